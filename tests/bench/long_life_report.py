"""What a long life came to: the samples, what went wrong, the verdicts on all of it, as text and as JSON."""

import json

import attrs

from tests.bench.long_life_figures import MEASURES, Series, table

#: Until everything that is made once has been made: caches, rotated logs, kept ancestors, the allocators' memory.
WARM_UP_PART = 0.5


@attrs.define
class Findings:
    """Everything that is known of one run."""

    machine: dict
    minutes: float = 0.0
    switchovers: int = 0
    controllees: int = 0
    #: Acts that failed, counts that were lost, controllees that ran side by side: a sentence each.
    failures: list[str] = attrs.field(factory=list)
    load_averages: list[float] = attrs.field(factory=list)
    #: By measure and owner.
    series: dict[tuple[str, str], Series] = attrs.field(factory=dict)

    def keep(self, name, owner, value):
        """Keep a sample."""
        self.series.setdefault((name, owner), Series(MEASURES[name], owner)).add(self.minutes, value)

    def judged(self):
        """Return the series after the warm-up, in the order of the measures."""
        order = list(MEASURES)
        keys = sorted(self.series, key=lambda key: (order.index(key[0]), key[1]))
        all_series = [self.series[key] for key in keys]
        half = WARM_UP_PART * self.minutes
        return [series.since(max(half, series.measure.settles_minutes)) for series in all_series]

    def wrong(self):
        """Return everything that is not as it should be."""
        grown = [f"{s.measure.title}, {s.owner}: {s.verdict()}" for s in self.judged() if s.verdict()]
        return grown + self.failures

    def text(self):
        """Return the report."""
        m, loads = self.machine, self.load_averages or [0.0]
        heading = (
            f"{m['date']}, {m['processor']}, {m['cores']} cores, Linux {m['kernel']}, Python {m['python']}; "
            f"load average {min(loads):.1f} to {max(loads):.1f}"
        )
        story = (
            f"{self.minutes:.0f} minutes, {self.switchovers} switchovers, {self.controllees} controllees; "
            f"judged after the first {WARM_UP_PART:.0%}"
        )
        wrong = [f"not in order: {line}" for line in self.wrong()]
        ending = wrong or ["Nothing grows, and nothing was lost."]
        return "\n".join([heading, story, "", table(self.judged()), "", *ending])

    def to_json(self):
        """Return everything as a JSON document."""
        plain = attrs.asdict(self, filter=lambda field, _: field.name != "series")
        series = [
            {"measure": name, "owner": owner, "minutes": one.minutes, "values": one.values}
            for (name, owner), one in self.series.items()
        ]
        return json.dumps({**plain, "series": series}) + "\n"

    @classmethod
    def from_json(cls, text):
        """Read what `to_json` gave."""
        document = json.loads(text)
        series = {
            (one["measure"], one["owner"]): Series(
                MEASURES[one["measure"]], one["owner"], one["minutes"], one["values"]
            )
            for one in document.pop("series")
        }
        return cls(**document, series=series)
