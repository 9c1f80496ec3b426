"""What the bench of replication found: rows of figures against their promises, as text and as plain values."""

import statistics

import attrs

#: HTCondor 25.14's own replication, measured by us: an append reaches the replica after minimum/median/maximum seconds.
CONDORS_DELAY = "0.2/1.4/5.6 at REPLICATION_INTERVAL = 5, 10/158/294 by default"


@attrs.frozen
class Figure:
    """One thing that was measured so many times."""

    title: str
    values: tuple[float, ...]
    #: The most that it may be, or the least if `is_floor`; None if nothing is promised.
    promise: float | None = None
    is_floor: bool = False
    #: What to compare it with.
    beside: str = ""

    @property
    def worst(self):
        """The value that is the furthest from what is wanted."""
        return min(self.values) if self.is_floor else max(self.values)

    @property
    def is_held(self):
        """Whether the promise was held every time."""
        if self.promise is None:
            return True
        return self.worst >= self.promise if self.is_floor else self.worst <= self.promise


@attrs.define
class Section:
    """Figures of one unit."""

    title: str
    unit: str
    digits: int = 3
    #: What stands above the last column.
    beside: str = ""
    figures: list[Figure] = attrs.field(factory=list)

    def add(self, title, values, promise=None, *, is_floor=False, beside=""):
        """Keep one figure; nothing measured is nothing kept."""
        if values:
            self.figures.append(Figure(title, tuple(values), promise, is_floor, beside))

    def text(self):
        """Return the table."""
        worst = "minimum" if any(figure.is_floor for figure in self.figures) else "maximum"
        lines = [
            f"{self.title} ({self.unit})",
            f"{'':58} {'n':>4} {'median':>9} {worst:>9}  {'promise':>8}  {self.beside}".rstrip(),
        ]
        return "\n".join(lines + [self._row(figure) for figure in self.figures])

    def _row(self, figure):
        promise = "-" if figure.promise is None else f"{figure.promise:.{self.digits}f}"
        mark = " " if figure.is_held else "!"
        return (
            f"{figure.title:58} {len(figure.values):4} {statistics.median(figure.values):9.{self.digits}f} "
            f"{figure.worst:9.{self.digits}f}{mark} {promise:>8}  {figure.beside}"
        ).rstrip()

    def broken(self):
        """Yield what was not held, as text."""
        for figure in self.figures:
            if not figure.is_held:
                yield (
                    f"{figure.title} ({self.title}): {figure.worst:.{self.digits}f} {self.unit}, "
                    f"promised {figure.promise:g}"
                )
