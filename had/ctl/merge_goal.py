"""When a merge or a restoring is done: pure functions of what the pool says before and after.

It is done when the kept state is known to be in what the leader holds, and a controllee runs that was started after that.
The daemons alone say so; that a request was accepted says nothing.
"""

from __future__ import annotations

from typing import Any

import attrs

from had.ctl.changing import PlanError
from had.ctl.kept import Kept, kept_states
from had.ctl.merge_plan import MergePlan
from had.ctl.pool import Pool
from had.ctl.replica_status import ReplicaStatus
from had.ctl.verdict import is_led


@attrs.frozen
class Task:
    """One kept state and what is to be done with it.

    Attributes:
        kept: the state.
        holder: whose copy is taken.
        kind: `merge` or `restore`.
        plan: what would come of it.
        document: the same as it was sent.
    """

    kept: Kept
    holder: str
    kind: str
    plan: MergePlan
    document: dict[str, Any]


@attrs.frozen
class Leading:
    """The replica into which it goes.

    Attributes:
        entry: its entry of REPLICATION_LIST.
        status: what it said before.
        controllee: the name of the controllee of its host.
    """

    entry: str
    status: ReplicaStatus
    controllee: str

    @property
    def size_bytes(self) -> int:
        """The size of what it held."""
        return 0 if self.status.version is None else self.status.version.bytes

    def checked_member(self, pool: Pool) -> str:
        """Return the member of the election that leads on the same host and can be asked to restart its controllee.

        Raises:
            PlanError: there is none.
        """
        member = pool.member_of(self.entry)
        if member is None or member != pool.leader:
            raise PlanError(
                f"{self.entry} leads the replication and {pool.leader or 'nobody'} the pool: wait until `hadctl status`"
                " says that they agree, or let it wait with --at-next-stop"
            )
        if member not in pool.statuses:
            raise PlanError(
                f"{member} cannot be asked to restart its controllee: let it wait with --at-next-stop, and"
                " restart the controllee there"
            )
        return member


def leading_of(pool: Pool) -> Leading:
    """Return the replica that leads.

    Raises:
        PlanError: there is none that can be asked.
    """
    assert pool.replicas is not None, "they were asked"
    entry, status = pool.replicas.leader, pool.replicas.leading
    if entry is None:
        said = (
            f"{' and '.join(pool.replicas.leaders)} lead at once"
            if pool.replicas.leaders
            else "no replica leads"
        )
        raise PlanError(f"{said}, so there is no state to change: `hadctl replication status` says more")
    if status is None:
        raise PlanError(
            f"{entry} leads and cannot be asked: merge and restore need a leader of ours, so `hadctl switchover` first"
        )
    member = pool.member_of(entry)
    beside = None if member is None else pool.statuses.get(member)
    name = None if beside is None else beside.controllee.name
    return Leading(entry, status, name or "controllee")


@attrs.frozen
class Goal:
    """What is to come true.

    Attributes:
        tasks: all of one kind.
        leading: where.
        member: the member that restarts its controllee; None if it may wait.
        before: what the pool said before.
    """

    tasks: tuple[Task, ...]
    leading: Leading
    member: str | None
    before: Pool

    def awaited(self, now: Pool) -> str | None:
        """Say what is still waited for, None when all is done.

        Raises:
            PlanError: the daemon found that it cannot be done.
        """
        assert now.replicas is not None, "they were asked"
        kept = {one.id: one for one in kept_states(now.replicas)}
        open_ones = [
            task.kept.id for task in self.tasks if not self._is_done(task, kept.get(task.kept.id), now)
        ]
        leader = now.leader
        status = None if leader is None else now.statuses.get(leader)
        state = None if status is None else status.controllee.state
        name = self.leading.controllee
        if open_ones:
            doing = f"the {name} of {leader} is {state}" if state else "no member leads"
            return f"{' and '.join(open_ones)} not {self._word} yet, {doing}"
        if status is None or not is_led(status):
            return f"{self._word}; the {name} does not run again yet ({state or 'no member leads'})"
        if leader == self.member and self._process(self.before) == self._process(now):
            return f"{self._word}; the {name} of {leader} was not restarted yet"
        return None

    def outcome(self, now: Pool) -> str:
        """Say what came true."""
        assert now.replicas is not None, "they were asked"
        kept = {one.id: one for one in kept_states(now.replicas)}
        names = " and ".join(task.kept.id for task in self.tasks)
        points = {kept[task.kept.id].merged_into for task in self.tasks if task.kept.id in kept} - {None}
        version = now.replicas.version(self.leading.entry)
        point = next(iter(points)) if len(points) == 1 else (version.point if version else "its state")
        where = "merged into" if self.tasks[0].kind == "merge" else "restored as"
        return f"{names} {where} version {point}, and the {self.leading.controllee} of {now.leader} runs"

    @property
    def _word(self) -> str:
        return "merged" if self.tasks[0].kind == "merge" else "restored"

    def _is_done(self, task: Task, kept: Kept | None, now: Pool) -> bool:
        assert now.replicas is not None, "they were asked"
        if kept is None:
            # What was merged may have made room; nothing else goes while its holder answers.
            return task.holder in now.replicas.statuses
        failure = kept.failure or kept.copies.get(task.holder, kept.conflict).failure
        if failure and failure not in {task.kept.failure, task.kept.copies[task.holder].failure}:
            raise PlanError(f"{kept.id} could not be {self._word}: {failure}")
        return kept.merged_into is not None

    def _process(self, pool: Pool) -> tuple[int | None, float | None] | None:
        status = None if self.member is None else pool.statuses.get(self.member)
        return None if status is None else (status.controllee.pid, status.controllee.since)
