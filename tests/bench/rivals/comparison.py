"""What two contenders were measured to do, side by side: as a table for readers and as plain values."""

import math
import statistics
from collections import defaultdict

import attrs

#: What is measured, in the order of the table. A row that ends in `_two` is the longest time with two controllees at once.
TITLES = {
    "cold_start": "cold start, all hosts together",
    "host_killed": "takeover, leader's host killed",
    "cable_pulled": "takeover, leader's cable pulled",
    "packets_lost": "takeover, leader's packets lost",
    "daemon_killed": "takeover, leader's daemon killed",
    "all_killed": "takeover, all killed but controllee",
    "controllee_killed": "controllee killed: back after",
    "leader_stopped": "leader stopped: none runs for",
    "cold_start_two": "two at once, cold start",
    "host_killed_two": "two at once, host killed",
    "cable_pulled_two": "two at once, cable pulled",
    "cable_pulled_healed": "  until one is left, cable back",
    "packets_lost_two": "two at once, packets lost",
    "packets_lost_healed": "  until one is left, no more lost",
    "daemon_killed_two": "two at once, daemon killed",
    "all_killed_two": "two at once, all killed but controllee",
    "controllee_killed_two": "two at once, controllee killed",
    "leader_stopped_two": "two at once, leader stopped",
}
CUTS = ("cable_pulled", "packets_lost")
WIDTH = 40


@attrs.define
class Comparison:
    """One rival and the pool of ours that it is compared with."""

    #: Name and version of the tool.
    rival: str
    #: How the rival is set.
    setting: str
    #: How the pool of ours is set.
    ours: str
    is_by_majority: bool
    #: Seconds by contender (`rival` or `ours`) and slug.
    seconds: dict = attrs.field(factory=lambda: {"rival": defaultdict(list), "ours": defaultdict(list)})
    #: What an idle host costs, by contender and role.
    idle: dict = attrs.field(factory=dict)
    #: How often each had to be replaced, since it did not come into order by itself.
    disorders: dict = attrs.field(factory=lambda: {"rival": 0, "ours": 0})

    def keep(self, side, slug, seconds):
        """Keep one figure."""
        self.seconds[side][slug].append(seconds)

    @property
    def title(self):
        """What is compared with what, in one line."""
        return f"{self.rival}, {self.setting}, against {self.ours}"

    @property
    def is_empty(self):
        """Whether nothing was measured yet."""
        return not any(self.seconds.values())

    def text(self):
        """Return the table."""
        columns = f"{'n':>3} {'median':>7} {'maximum':>7}"
        lines = [
            f"{self.rival}, {self.setting},",
            f"against {self.ours} (seconds)",
            f"{'':{WIDTH}} {self.rival:>19}   {'had':>19}",
            f"{'':{WIDTH}} {columns}   {columns}   {'ratio':>6}",
        ]
        slugs = [slug for slug in TITLES if any(self.seconds[side].get(slug) for side in self.seconds)]
        lines += [self._row(slug) for slug in slugs]
        for role in self.idle.get("ours", {}):
            lines += self._idle_rows(role)
        if any(self.disorders.values()):
            lines.append(
                f"{'times replaced, since not in order again':{WIDTH}} {self.disorders['rival']:19}   "
                f"{self.disorders['ours']:19}"
            )
        return "\n".join(lines)

    def _row(self, slug):
        values = [self.seconds[side].get(slug, []) for side in ("rival", "ours")]
        return f"{TITLES[slug]:{WIDTH}} {columns_of(values[0])}   {columns_of(values[1])}   {ratio(*values):>6}".rstrip()

    def _idle_rows(self, role):
        for name, title in (
            ("cpu_percent", "% of a core"),
            ("pss_mb", "MB (PSS)"),
            ("bytes_per_second", "bytes/s"),
        ):
            numbers = [
                getattr(self.idle[side][role], name) if side in self.idle else None for side in self.seconds
            ]
            first, second = ("-" if number is None else f"{number:.{_digits(name)}f}" for number in numbers)
            quotient = ratio(*([number] if number else [] for number in numbers))
            yield f"{f'idle {role}: {title}':{WIDTH}} {first:>19}   {second:>19}   {quotient:>6}".rstrip()

    def broken(self):
        """Yield where two programs of ours ran at once though that is promised not to happen."""
        for slug, values in self.seconds["ours"].items():
            is_allowed = not self.is_by_majority and slug.removesuffix("_two") in CUTS
            if slug.endswith("_two") and max(values) > 0 and not is_allowed:
                yield f"{TITLES[slug]} ({self.ours}): {shown(max(values))} s, promised 0"

    def as_plain(self):
        """Return everything as plain values; what did not happen while it was watched is null."""
        return {
            "rival": self.rival,
            "setting": self.setting,
            "ours": self.ours,
            "seconds": {
                side: {slug: [_finite(one) for one in values] for slug, values in slugs.items()}
                for side, slugs in self.seconds.items()
            },
            "idle": {
                side: {role: attrs.asdict(cost) for role, cost in roles.items()}
                for side, roles in self.idle.items()
            },
            "disorders": self.disorders,
        }


def columns_of(values):
    """Return number, median and maximum."""
    if not values:
        return f"{'-':>3} {'-':>7} {'-':>7}"
    return f"{len(values):3} {shown(statistics.median(values)):>7} {shown(max(values)):>7}"


def shown(seconds):
    """Return a time as text; what did not happen while it was watched has no end."""
    return "no end" if math.isinf(seconds) else f"{seconds:.3f}"


def ratio(rival, ours):
    """Return the rival's median as a multiple of ours, `-` where there is no such number."""
    if not rival or not ours:
        return "-"
    one, other = statistics.median(rival), statistics.median(ours)
    if not one or not other or math.isinf(one) or math.isinf(other):
        return "-"
    quotient = one / other
    return f"{quotient:.1f}" if quotient >= 1 else f"{quotient:.2f}"


def _finite(seconds):
    return None if math.isinf(seconds) else seconds


def _digits(name):
    return {"cpu_percent": 3, "pss_mb": 1, "bytes_per_second": 0}[name]
