"""What an Accountant log says about usage: the arithmetic of HTCondor's Accountant.cpp, read backwards.

At each update, `dt` seconds after the last one, a customer's AccumulatedUsage grows by ResourcesUsed * dt +
UnchargedTime, and UnchargedTime becomes 0. A match that begins at time s between two updates at t and t + dt makes
UnchargedTime smaller by s - t, since the update will charge the whole dt; one that ends makes it larger. So what was
used up to the last update is not AccumulatedUsage alone; `usage_of` puts it together.
"""

from __future__ import annotations

from typing import Final

import attrs

from daemoncore.classad_log import LogContents

#: The accountant's own record; its key really ends in a dot.
ACCOUNTANT: Final = "Accountant."
CUSTOMER: Final = "Customer."
RESOURCE: Final = "Resource."

#: No priority is better than this one.
BEST_PRIORITY: Final = 0.5

#: HTCondor's PRIORITY_HALFLIFE, one day.
HALF_LIFE_SECONDS: Final = 86400.0


def real(value: float) -> str:
    """Write a number as HTCondor writes reals."""
    return f"{value:f}"


def whole(value: float) -> str:
    """Write a number as HTCondor writes integers."""
    return str(round(value))


class Account:
    """One log, and its resources by customer."""

    def __init__(self, contents: LogContents, last_update: int | None = None) -> None:
        self.contents = contents
        if last_update is None:
            last_update = int(self.read(contents.ads.get(ACCOUNTANT, {}), "LastUpdateTime"))
        self.last_update = last_update
        self.resources_of: dict[str, list[dict[str, str]]] = {}
        for key, ad in contents.ads.items():
            if key.startswith(RESOURCE):
                user = ad.get("RemoteUser", '""').strip('"')
                self.resources_of.setdefault(CUSTOMER + user, []).append(ad)

    @staticmethod
    def read(ad: dict[str, str], name: str, default: float = 0.0) -> float:
        """Read an attribute as a number; the default if it is absent or no plain number, as HTCondor does."""
        try:
            return float(ad[name])
        except (KeyError, ValueError):
            return default

    def ad(self, key: str) -> dict[str, str]:
        """Give the attributes of an ad; none if there is no such ad."""
        return self.contents.ads.get(key, {})

    def number(self, key: str, name: str) -> float:
        """Read a number of an ad, 0 if it has none."""
        return self.read(self.ad(key), name)


@attrs.frozen
class Usage:
    """What a customer used, in seconds.

    Attributes:
        charged: AccumulatedUsage.
        total: with what is still to be charged for the time before the last update: matches that ended since the one
            before. Of a match that began after the last update nothing counts yet.
    """

    charged: float
    total: float


def usage_of(account: Account, key: str, is_weighted: bool) -> Usage:
    """Put together what a customer used, in seconds or in seconds weighted by slots."""
    ad = account.ad(key)
    charged = account.read(ad, "AccumulatedUsage")
    uncharged = account.read(ad, "WeightedUnchargedTime" if is_weighted else "UnchargedTime")
    if is_weighted:
        # HTCondor's own default, for logs from before there were weights.
        charged = account.read(ad, "WeightedAccumulatedUsage", charged)
    for resource in account.resources_of.get(key, []):
        late_seconds = account.read(resource, "StartTime") - account.last_update
        if late_seconds > 0:
            uncharged += late_seconds * (account.read(resource, "SlotWeight", 1.0) if is_weighted else 1.0)
    return Usage(charged, charged + uncharged)
