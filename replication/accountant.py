"""Merging two diverged Accountant logs: usage that either side charged is charged once.

After a partition two negotiators have kept accounts of the same users from a common beginning, the *base*, which
replicas keep. HTCondor lets the larger clock win and loses the other side's usage (its ReplicatorStateMachine.cpp has
had a place for a merge since 2006). Here each attribute is merged by what it means (Accountant.cpp):

* *Usage* only grows, by what was used: base + (survivor - base) + (other - base). What was used and will be charged
  at the next update (UnchargedTime) counts with it; see `_Usage`.
* *Priority* is an average of usage that decays by half every half-life, and so is linear in it: the base's share,
  decayed, and what each side has added since, decayed from its own last update to the later one. Never below 0.5.
* *Times*: the earliest beginning that is not 0, the latest last usage, the latest last update.
* *Settings* (PriorityFactor, Ceiling, Floor, ...) were set by people: the side that changed it wins; where both did
  and differ, the survivor's stands and a warning says so.
* *Resources* and what is counted from them are the survivor's: the negotiator counts them anew when it starts.
* *Removed customers* stay removed, unless the other side has used something since.

Without a base nothing tells what both have in common. Then the larger of two numbers is taken, which loses some usage
but charges none twice, and nobody is removed.

*Survivor* is the side whose resources are taken; usage comes out the same whichever it is. The result is for a
stopped negotiator, which reads its log only when it starts.
"""

from __future__ import annotations

from typing import Final

import attrs

from daemoncore.classad_log import LogContents
from replication.account import (
    ACCOUNTANT,
    BEST_PRIORITY,
    CUSTOMER,
    HALF_LIFE_SECONDS,
    RESOURCE,
    Account,
    real,
    usage_of,
    whole,
)

#: Attributes that are counted from the Resource records, or will be charged by whoever holds these.
TRANSIENT: Final = frozenset(
    {
        "ResourcesUsed",
        "WeightedResourcesUsed",
        "HierWeightedResourcesUsed",
        "UnchargedTime",
        "WeightedUnchargedTime",
    }
)

#: Attributes with a rule of their own.
COUNTED: Final = frozenset(
    {"Priority", "AccumulatedUsage", "WeightedAccumulatedUsage", "BeginUsageTime", "LastUsageTime"}
)


@attrs.frozen
class Row:
    """What the merge makes of one customer; numbers are None where a side has no such customer.

    Attributes:
        customer: the name, without its `Customer.`.
        usage_seconds: of base, survivor, other and the result, with what is still to be charged.
        weighted_seconds: the same, weighted by slots.
        priority: the same four.
        notes: sentences about settings and removals.
    """

    customer: str
    usage_seconds: tuple[float | None, float | None, float | None, float | None]
    weighted_seconds: tuple[float | None, float | None, float | None, float | None]
    priority: tuple[float | None, float | None, float | None, float | None]
    notes: tuple[str, ...] = ()

    @property
    def is_changed(self) -> bool:
        """Whether the result differs from what the survivor has."""
        pairs = (self.usage_seconds, self.weighted_seconds, self.priority)
        return bool(self.notes) or any(numbers[1] != numbers[3] for numbers in pairs)


@attrs.frozen
class Merged:
    """The result.

    Attributes:
        contents: the log to write, whole and compact.
        rows: every customer of either side, by name.
        warnings: what people should look at.
    """

    contents: LogContents
    rows: tuple[Row, ...]
    warnings: tuple[str, ...] = ()


def merge(
    base: LogContents | None,
    survivor: LogContents,
    other: LogContents,
    half_life_seconds: float = HALF_LIFE_SECONDS,
) -> Merged:
    """Merge two logs that grew apart.

    Args:
        base: the newest state that both grew out of; None if it is not known any more.
        survivor: the side whose resources and undecided settings stand.
        other: the other side.
        half_life_seconds: PRIORITY_HALFLIFE.
    """
    return _Merger(base, survivor, other, half_life_seconds).merged()


class _Merger:
    """One merge: three accounts, and what was noticed on the way."""

    def __init__(
        self, base: LogContents | None, survivor: LogContents, other: LogContents, half_life_seconds: float
    ) -> None:
        self._has_base = base is not None
        self._base = Account(base or LogContents())
        self._survivor = Account(survivor)
        self._other = Account(other)
        self._half_life_seconds = half_life_seconds
        self._last_update = max(self._survivor.last_update, self._other.last_update)
        self._warnings: list[str] = []
        self._notes: list[str] = []

    def merged(self) -> Merged:
        """Merge everything: the ads of neither kind first, then customers, then resources."""
        survivor, other = self._survivor.contents, self._other.contents
        created = [one.created for one in (survivor, other) if one.created]
        result = LogContents(
            sequence=max(survivor.sequence, other.sequence) + 1, created=min(created, default=0)
        )
        if not self._has_base:
            self._warnings.append(
                "the common ancestor is not known: the larger numbers were taken, some usage is lost"
            )
        for key in dict.fromkeys((*survivor.ads, *other.ads)):
            if not key.startswith((CUSTOMER, RESOURCE)):
                result.ads[key] = self._settings(key, frozenset())
        result.ads.setdefault(ACCOUNTANT, {})["LastUpdateTime"] = str(self._last_update)
        rows = []
        customers = {key for key in (*survivor.ads, *other.ads) if key.startswith(CUSTOMER)}
        for key in sorted(customers):
            self._notes = []
            ad = self._customer(key)
            if ad is not None:
                result.ads[key] = ad
            rows.append(self._row(key, ad))
            self._warnings += [f"{key.removeprefix(CUSTOMER)}: {note}" for note in self._notes]
        result.ads |= {key: dict(ad) for key, ad in survivor.ads.items() if key.startswith(RESOURCE)}
        result.types = {
            key: kind for key, kind in {**other.types, **survivor.types}.items() if key in result.ads
        }
        return Merged(result, tuple(rows), tuple(self._warnings))

    def _customer(self, key: str) -> dict[str, str] | None:
        """Merge one customer; None if it stays removed."""
        if self._is_removed(key):
            return None
        ad = self._settings(key, TRANSIENT | COUNTED)
        ad |= {name: self._survivor.ad(key)[name] for name in TRANSIENT if name in self._survivor.ad(key)}
        self._carry_over(ad)
        for is_weighted in (False, True):
            self._merge_usage(key, ad, is_weighted)
        if any("Priority" in side.ad(key) for side in (self._survivor, self._other)):
            ad["Priority"] = real(self._priority(key))
        begins = [side.number(key, "BeginUsageTime") for side in (self._survivor, self._other)]
        ad["BeginUsageTime"] = whole(min((begin for begin in begins if begin), default=0))
        ad["LastUsageTime"] = whole(
            max(side.number(key, "LastUsageTime") for side in (self._survivor, self._other))
        )
        return ad

    def _is_removed(self, key: str) -> bool:
        """Whether one side removed a customer whom the other has not touched since."""
        if key not in self._base.contents.ads:
            return False
        for removed, kept in ((self._survivor, self._other), (self._other, self._survivor)):
            if key in removed.contents.ads:
                continue
            is_used = any(
                usage_of(kept, key, w).total != usage_of(self._base, key, w).total for w in (False, True)
            )
            lasting = set(kept.ad(key)) | set(self._base.ad(key))
            is_set = any(
                kept.ad(key).get(name) != self._base.ad(key).get(name)
                for name in lasting - TRANSIENT - COUNTED
            )
            self._notes.append(
                "removed on one side, used on the other: kept"
                if is_used or is_set
                else "removed on one side, untouched on the other: removed"
            )
            return not (is_used or is_set)
        return False

    def _settings(self, key: str, left_out: frozenset[str]) -> dict[str, str]:
        """Merge attributes that somebody set: whoever changed one wins, the survivor if both did."""
        base, mine, theirs = self._base.ad(key), self._survivor.ad(key), self._other.ad(key)
        if not mine or not theirs:
            return {name: value for name, value in (mine or theirs).items() if name not in left_out}
        merged: dict[str, str] = {}
        for name in dict.fromkeys((*mine, *theirs)):
            here, there, before = mine.get(name), theirs.get(name), base.get(name)
            value = there if self._has_base and here == before else here
            if not self._has_base and here is None:
                value = there
            if name in left_out:
                continue
            if here != there and before not in {here, there} and name != "LastUpdateTime":
                self._notes.append(f"{name} is {here} here and {there} there: {value} was kept")
            if value is not None:
                merged[name] = value
        return merged

    def _carry_over(self, ad: dict[str, str]) -> None:
        """Let the survivor's resources be charged from its own last update on, though the result's is later."""
        late_seconds = self._last_update - self._survivor.last_update
        if late_seconds <= 0 or not self._survivor.last_update:
            return
        for used, uncharged, form in (
            ("ResourcesUsed", "UnchargedTime", whole),
            ("WeightedResourcesUsed", "WeightedUnchargedTime", real),
        ):
            held = Account.read(ad, used)
            if held:
                ad[uncharged] = form(Account.read(ad, uncharged) + held * late_seconds)

    def _merge_usage(self, key: str, ad: dict[str, str], is_weighted: bool) -> None:
        """Merge what was used; the part that is still to be charged is the survivor's and stays where it is."""
        base, mine, theirs = (
            usage_of(side, key, is_weighted) for side in (self._base, self._survivor, self._other)
        )
        pending = mine.total - mine.charged
        if not self._has_base:
            total = max(mine.total, theirs.total)
        else:
            # A side that removed the customer has added nothing, and takes nothing away.
            total = base.total + sum(
                usage.total - base.total
                for side, usage in ((self._survivor, mine), (self._other, theirs))
                if key in side.contents.ads
            )
        name = "WeightedAccumulatedUsage" if is_weighted else "AccumulatedUsage"
        ad[name] = real(max(0.0, total - pending))

    def _priority(self, key: str) -> float:
        """Merge the averages: the base's share once, and what each side added to it, all decayed to one time."""
        sides = [side for side in (self._survivor, self._other) if key in side.contents.ads]
        if not self._has_base:
            return max(self._aged(side, side.number(key, "Priority")) for side in sides)
        base = self._base.number(key, "Priority")
        # Before its first update a log has no time; nothing of it has decayed.
        elapsed_seconds = self._last_update - (self._base.last_update or self._last_update)
        total = base * self._aging(elapsed_seconds)
        for side in sides:
            priority = side.number(key, "Priority")
            share = base * self._aging(side.last_update - (self._base.last_update or side.last_update))
            # At the floor nothing was added that could be told from the floor.
            if priority > BEST_PRIORITY:
                total += self._aged(side, max(0.0, priority - share))
        return max(total, BEST_PRIORITY)

    def _aged(self, side: Account, value: float) -> float:
        """Decay a number of one side from its last update to the result's."""
        return value * self._aging(self._last_update - side.last_update)

    def _aging(self, seconds: float) -> float:
        """How much is left of an average after a time; a clock that was set back takes and gives nothing."""
        return float(0.5 ** (max(0.0, seconds) / self._half_life_seconds))

    def _row(self, key: str, ad: dict[str, str] | None) -> Row:
        """Say what became of one customer."""
        result = Account(LogContents(ads={} if ad is None else {key: ad}), last_update=self._last_update)
        # Resources that began after the last update count with the customer's usage.
        result.resources_of = self._survivor.resources_of
        sides = (self._base, self._survivor, self._other, result)
        usage, weighted = (
            tuple(
                usage_of(side, key, is_weighted).total if key in side.contents.ads else None for side in sides
            )
            for is_weighted in (False, True)
        )
        priority = tuple(side.number(key, "Priority") if key in side.contents.ads else None for side in sides)
        name = key.removeprefix(CUSTOMER)
        return Row(name, _four(usage), _four(weighted), _four(priority), tuple(self._notes))


def _four(
    numbers: tuple[float | None, ...],
) -> tuple[float | None, float | None, float | None, float | None]:
    base, survivor, other, result = numbers
    return base, survivor, other, result


def table(merged: Merged) -> list[str]:
    """Give the lines of a table: for every customer what the merge would make of its usage and priority."""
    row = "{:<24} {:>14} {:>14} {:>14} {:>14}  {:>12}".format
    lines = [row("used seconds of", "ancestor", "here", "there", "merged", "priority")]
    for one in merged.rows:
        priority = "removed" if one.priority[3] is None else f"{one.priority[3]:.2f}"
        lines.append(
            row(one.customer, *("-" if n is None else f"{n:.0f}" for n in one.usage_seconds), priority)
        )
    sums = [sum(one.usage_seconds[place] or 0.0 for one in merged.rows) for place in range(4)]
    lines.append(row("total", *(f"{number:.0f}" for number in sums), ""))
    return lines
