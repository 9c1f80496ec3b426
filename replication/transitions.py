"""The legal changes of a replica's state, and the reasons for them.

One table serves the machine (which asserts that it only makes legal changes), the log and the history (which print the
sentences) and the manual (whose diagram is made from the table and compared with it by a test). The states are
HTCondor's (`replication.events.State`).
"""

from __future__ import annotations

import enum
from typing import Final

from replication.events import State


class Reason(enum.Enum):
    """Why a state was left, as a sentence for people."""

    NOTHING_NEWER = "nothing newer is held elsewhere"
    NEWER_ELSEWHERE = "a newer version is held elsewhere"
    NEWEST_IS_HERE = "the newest version is here"
    NOT_IN_TIME = "the newest version could not be fetched in time"
    LEADS = "had leads"
    LEADS_NO_MORE = "had leads no more"


LEGAL: Final[dict[tuple[State, State], tuple[Reason, ...]]] = {
    (State.VERSION_REQUESTING, State.BACKUP): (Reason.NOTHING_NEWER,),
    (State.VERSION_REQUESTING, State.VERSION_DOWNLOADING): (Reason.NEWER_ELSEWHERE,),
    (State.VERSION_REQUESTING, State.LEADER): (Reason.LEADS,),
    (State.VERSION_DOWNLOADING, State.BACKUP): (Reason.NEWEST_IS_HERE, Reason.NOT_IN_TIME),
    (State.VERSION_DOWNLOADING, State.LEADER): (Reason.LEADS,),
    (State.BACKUP, State.LEADER): (Reason.LEADS,),
    (State.LEADER, State.BACKUP): (Reason.LEADS_NO_MORE,),
}
"""Every change that there is, with the reasons for which it happens."""
