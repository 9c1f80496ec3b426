"""What the replicas of a pool say, side by side, as `had.ctl.pool` has it for the election.

Whether a replica is in sync is the leader's word, since only the leader knows what the newest version is. Where the leader
cannot be asked nothing is said about it. Nothing here asks anybody; `had.ctl.ask` does.
"""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from had.ctl.pool import Answer, Failure
from had.ctl.replica_status import BEHIND_SECONDS, Held, ReplicaStatus, Seen


@attrs.frozen
class Replicas:
    """Everything that is known at one moment.

    Attributes:
        entries: REPLICATION_LIST.
        answers: one answer for each of them.
    """

    entries: tuple[str, ...]
    answers: Mapping[str, Answer[ReplicaStatus]] = attrs.field(factory=dict)

    @property
    def statuses(self) -> dict[str, ReplicaStatus]:
        """What those say that answered, in the order of the list."""
        found = ((entry, self.answers[entry].status) for entry in self.entries if entry in self.answers)
        return {entry: status for entry, status in found if status is not None}

    @property
    def leaders(self) -> tuple[str, ...]:
        """Everybody who leads: by their own word, or if they cannot be asked, by others' who hear them."""
        statuses = self.statuses
        own = {entry for entry, status in statuses.items() if status.state == "leader"}
        heard = {status.leader for status in statuses.values()} - {*statuses, None}
        foreign = {entry for entry in self.entries if entry in heard and self.is_heard(entry)}
        return tuple(entry for entry in self.entries if entry in own | foreign)

    @property
    def leader(self) -> str | None:
        """The one replica that leads, else None."""
        leaders = self.leaders
        return leaders[0] if len(leaders) == 1 else None

    @property
    def leading(self) -> ReplicaStatus | None:
        """What the leader says; None if there is none that can be asked."""
        return None if self.leader is None else self.statuses.get(self.leader)

    def views_of(self, entry: str) -> list[Seen]:
        """What each replica that answered knows of another."""
        seen = (one for status in self.statuses.values() for one in status.replicas)
        return [one for one in seen if one.address == entry]

    def is_heard(self, entry: str) -> bool:
        """Whether some replica hears this one, or it spoke to us without knowing the question."""
        return self._is_ignorant(entry) or any(one.state == "alive" for one in self.views_of(entry))

    def is_condor(self, entry: str) -> bool:
        """Whether a real condor_replication is there, which cannot be asked."""
        views = self.views_of(entry)
        is_seen = any(one.implementation == "condor" for one in views)
        return entry not in self.statuses and (is_seen or self._is_ignorant(entry))

    @property
    def is_all_condor(self) -> bool:
        """Whether all of them are real ones, so that nothing can be learnt."""
        return all(self.is_condor(entry) for entry in self.entries)

    def _is_ignorant(self, entry: str) -> bool:
        answer = self.answers.get(entry)
        return answer is not None and answer.failure is Failure.UNKNOWN_COMMAND

    def version(self, entry: str) -> Held | None:
        """What a replica holds: by its own word, or by the leader's who heard of it."""
        status = self.statuses.get(entry)
        if status is not None:
            return status.version
        seen = self._seen_by_leader(entry)
        return None if seen is None or seen.version is None else Held(seen.version.gid, seen.version.clock)

    def is_in_sync(self, entry: str) -> bool | None:
        """Whether a replica holds what the leader holds; None if nobody can say."""
        leading = self.leading
        if leading is None:
            return None
        if entry == self.leader:
            return True
        own = self.statuses.get(entry)
        # Its own word may be newer than what the leader has heard of it.
        if own is not None and own.version is not None and _is_same(own.version, leading.version):
            return True
        seen = self._seen_by_leader(entry)
        return None if seen is None else seen.in_sync

    def lag_seconds(self, entry: str) -> float | None:
        """How long a replica has lacked something; None if that is not known."""
        if self.is_in_sync(entry):
            return 0.0
        seen = self._seen_by_leader(entry)
        return None if seen is None else seen.lag_seconds

    def is_behind(self, entry: str) -> bool:
        """Whether a replica lacks something for longer than the moments that every change takes."""
        if self.is_in_sync(entry) is not False:
            return False
        lag_seconds = self.lag_seconds(entry)
        return lag_seconds is None or lag_seconds > BEHIND_SECONDS

    def _seen_by_leader(self, entry: str) -> Seen | None:
        leading = self.leading
        if leading is None:
            return None
        return next((one for one in leading.replicas if one.address == entry), None)


def _is_same(one: Held, other: Held | None) -> bool:
    return other is not None and (one.point, one.sha256) == (other.point, other.sha256)
