"""Who used how much: HTCondor's accounting of users, over a ClassAd log.

Two kinds of records matter. `Customer.<user>` carries a user's priority (a running average of the slots in use, whose
weight halves every half-life; smaller is better, never below 0.5) and the seconds used since the beginning.
`Resource.<slot>@<address>` says who holds a slot, and since when. Usage is charged in whole seconds at each update
for what is held *then*; a match made or ended between two updates leaves a correction, negative or positive, in
`UnchargedTime`, which the next update settles. So the sum is exact to the second, whatever the moments of updates; with
one exception that HTCondor has as well: a match that both begins and ends between two updates is charged too little,
by the time from the update to its beginning. (The negotiator updates before it matches, so it never meets the case.)

Names, types and arithmetic are those of HTCondor's Accountant.cpp, so that its own tools read the file.
"""

from __future__ import annotations

TYPE_CHECKING = False  # what typing.TYPE_CHECKING is, without the price of importing typing
if TYPE_CHECKING:
    from classad_log import ClassAdLog

#: The record of the accountant itself; its key really ends in a dot.
ACCOUNTANT = "Accountant."
CUSTOMER = "Customer."
RESOURCE = "Resource."

#: HTCondor's PRIORITY_HALFLIFE, one day, in seconds.
HALF_LIFE_SECONDS = 86400.0

#: HTCondor's DEFAULT_PRIO_FACTOR, the factor of a user for whom nobody set another one.
DEFAULT_PRIORITY_FACTOR = 1000.0

#: No priority is better than this one.
BEST_PRIORITY = 0.5


def number(ad: dict[str, str], attribute: str, default: float = 0.0) -> float:
    """Return an attribute as a number; `default` when it is absent or no plain number, as HTCondor does."""
    try:
        return float(ad[attribute])
    except (KeyError, ValueError):
        return default


def charge(ad: dict[str, str], elapsed_seconds: int, now: int, half_life_seconds: float) -> dict[str, float]:
    """Return what an update `elapsed_seconds` (at least 1) after the last one makes of a customer's numbers.

    The result holds the attributes that the update sets: integers for times, floats for the rest.
    """
    held = int(number(ad, "ResourcesUsed"))
    held_weighted = number(ad, "WeightedResourcesUsed")
    uncharged = int(number(ad, "UnchargedTime"))
    uncharged_weighted = number(ad, "WeightedUnchargedTime")
    accumulated = number(ad, "AccumulatedUsage")

    aging = 0.5 ** (elapsed_seconds / half_life_seconds)
    recent_weighted = held_weighted + uncharged_weighted / elapsed_seconds
    priority = max(number(ad, "Priority"), BEST_PRIORITY) * aging + recent_weighted * (1 - aging)
    charged: dict[str, float] = {
        "Priority": max(priority, BEST_PRIORITY),
        "AccumulatedUsage": accumulated + held * elapsed_seconds + uncharged,
        "WeightedAccumulatedUsage": (
            number(ad, "WeightedAccumulatedUsage", accumulated)
            + held_weighted * elapsed_seconds
            + uncharged_weighted
        ),
        "UnchargedTime": 0,
        "WeightedUnchargedTime": 0.0,
    }
    if charged["AccumulatedUsage"] > 0 and not number(ad, "BeginUsageTime"):
        charged["BeginUsageTime"] = now
    if held + uncharged / elapsed_seconds > 0:
        charged["LastUsageTime"] = now
    return charged


class Accountant:
    """The records of one pool. Times are whole seconds since 1970; nothing is durable before the log's commit."""

    def __init__(self, log: ClassAdLog, half_life_seconds: float = HALF_LIFE_SECONDS) -> None:
        self._log = log
        self._half_life_seconds = half_life_seconds
        self._recount()

    @property
    def customers(self) -> list[str]:
        """The names of all users with a record."""
        return customers(self._log.ads)

    @property
    def used_seconds(self) -> float:
        """What all users were charged for since the beginning."""
        return sum(number(self._log.ads[CUSTOMER + user], "AccumulatedUsage") for user in self.customers)

    @property
    def matches(self) -> dict[str, str]:
        """The user of every slot that is held, by the slot's name."""
        return {
            key.removeprefix(RESOURCE): ad.get("RemoteUser", '""')[1:-1]
            for key, ad in self._log.ads.items()
            if key.startswith(RESOURCE)
        }

    def add_customer(self, user: str) -> None:
        """Make the record of a user who was never seen before; one who was keeps what he has."""
        if user not in self.customers:
            self._set(CUSTOMER + user, Priority=BEST_PRIORITY, PriorityFactor=DEFAULT_PRIORITY_FACTOR)
            self._set_held(user, 0, 0.0)
            self._set(CUSTOMER + user, UnchargedTime=0, WeightedUnchargedTime=0.0)
            self._set(CUSTOMER + user, AccumulatedUsage=0.0, WeightedAccumulatedUsage=0.0)
            self._set(CUSTOMER + user, BeginUsageTime=0, LastUsageTime=0)

    def effective_priority(self, user: str) -> float:
        """Return a user's priority times his factor: the smaller, the sooner his jobs are matched."""
        return effective_priority(self._log.ads[CUSTOMER + user])

    def held_by(self, user: str) -> int:
        """Return how many slots a user holds."""
        return int(number(self._log.ads[CUSTOMER + user], "ResourcesUsed"))

    def update_priorities(self, now: int) -> None:
        """Charge everyone for the time since the last update; within the same second, do nothing."""
        elapsed_seconds = now - self._last_update
        if elapsed_seconds == 0:
            return
        self._set(ACCOUNTANT, LastUpdateTime=now)
        # A clock that was set back charges nothing: the time since then is counted from here.
        if elapsed_seconds > 0:
            for user in self.customers:
                ad = self._log.ads[CUSTOMER + user]
                self._set(CUSTOMER + user, **charge(ad, elapsed_seconds, now, self._half_life_seconds))

    def add_match(self, user: str, slot: str, slot_weight: float, now: int) -> None:
        """Give a free slot to a user who has a record."""
        ad = self._log.ads[CUSTOMER + user]
        self._set_held(user, self.held_by(user) + 1, number(ad, "WeightedResourcesUsed") + slot_weight)
        # The next update will charge the slot from the last update on: take back what is before now.
        self._settle(user, self._last_update - now, slot_weight)
        self._log.set(RESOURCE + slot, "RemoteUser", f'"{user}"')
        self._set(RESOURCE + slot, SlotWeight=slot_weight, StartTime=now)

    def remove_match(self, slot: str, now: int) -> None:
        """Free a slot that is held."""
        match = self._log.ads[RESOURCE + slot]
        user = match.get("RemoteUser", '""')[1:-1]
        slot_weight = number(match, "SlotWeight", 1.0)
        started = int(number(match, "StartTime"))
        self._log.destroy(RESOURCE + slot)
        if user in self.customers:
            held_weighted = number(self._log.ads[CUSTOMER + user], "WeightedResourcesUsed") - slot_weight
            self._set_held(user, max(self.held_by(user) - 1, 0), max(held_weighted, 0.0))
            self._settle(user, now - max(started, self._last_update), slot_weight)

    @property
    def _last_update(self) -> int:
        return int(number(self._log.ads.get(ACCOUNTANT, {}), "LastUpdateTime"))

    def _recount(self) -> None:
        """Derive what each user holds from the slots' records, which are the truth (so HTCondor at start)."""
        held = {user: [0, 0.0] for user in self.customers}
        for slot, user in self.matches.items():
            if user in held:
                held[user][0] += 1
                held[user][1] += number(self._log.ads[RESOURCE + slot], "SlotWeight", 1.0)
        for user, (count, weight) in held.items():
            self._set_held(user, int(count), weight)

    def _set_held(self, user: str, count: int, weight: float) -> None:
        """Note how many slots a user holds, and their weight; without groups both weighted counts are one."""
        self._set(CUSTOMER + user, ResourcesUsed=count, WeightedResourcesUsed=weight)
        self._set(CUSTOMER + user, HierWeightedResourcesUsed=weight)

    def _settle(self, user: str, seconds: int, slot_weight: float) -> None:
        """Add to a user's correction, which the next update charges."""
        ad = self._log.ads[CUSTOMER + user]
        uncharged = int(number(ad, "UnchargedTime")) + seconds
        uncharged_weighted = number(ad, "WeightedUnchargedTime") + seconds * slot_weight
        self._set(CUSTOMER + user, UnchargedTime=uncharged, WeightedUnchargedTime=uncharged_weighted)

    def _set(self, key: str, **attributes: float) -> None:
        """Set numbers as HTCondor writes them: integers plain, reals with six decimals."""
        for attribute, value in attributes.items():
            self._log.set(key, attribute, str(value) if isinstance(value, int) else f"{value:f}")


def customers(ads: dict[str, dict[str, str]]) -> list[str]:
    """Return the names of all users with a record."""
    return [key.removeprefix(CUSTOMER) for key in ads if key.startswith(CUSTOMER)]


def effective_priority(ad: dict[str, str]) -> float:
    """Return a customer ad's priority times its factor."""
    factor = number(ad, "PriorityFactor", DEFAULT_PRIORITY_FACTOR)
    return number(ad, "Priority", BEST_PRIORITY) * factor


def usage_table(ads: dict[str, dict[str, str]]) -> list[str]:
    """Return the lines of a table with one row per user, by name, and a total."""
    row = "{:<16} {:>12} {:>6} {:>14} {:>16}".format
    lines = [row("user", "priority", "slots", "used seconds", "weighted seconds")]
    totals = [0.0, 0.0, 0.0]
    for user in sorted(customers(ads)):
        ad = ads[CUSTOMER + user]
        sums = [
            number(ad, name) for name in ("ResourcesUsed", "AccumulatedUsage", "WeightedAccumulatedUsage")
        ]
        totals = [total + value for total, value in zip(totals, sums, strict=True)]
        lines.append(row(user, f"{effective_priority(ad):.2f}", *(f"{value:.0f}" for value in sums)))
    return [*lines, row("total", "", *(f"{value:.0f}" for value in totals))]
