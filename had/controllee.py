"""The controllee as the daemon's loop sees it: start, stop, renew; and two events that come back.

Nothing here blocks and nothing starts a thread: an order is one message to the guard (`had/guard.py`), which does the
work and answers. The answers become the election's own events, `ControlleeStarted` and `ControlleeExited`; after
`start` exactly one `ControlleeExited` follows, with at most one `ControlleeStarted` before it, also when the guard
dies. When `ControlleeExited` is delivered no process of the controllee is left.

Two kinds stand behind one interface. A `Program` is run by the guard, as its child. With `Commands` the controllee is
started, stopped and checked by commands of the user's, and may be anywhere (HAD_CONTROL = command).
"""

from __future__ import annotations

import enum
import os
from collections.abc import Callable, Mapping
from typing import Protocol, TypeAlias

import attrs
import trio

from daemoncore import boottime
from daemoncore.children import Children
from daemoncore.process import describe_status
from had.events import ControlleeExited, ControlleeStarted
from had.guard_link import GuardLink
from had.guard_messages import NO_CHANGE, Cause, Exited, Renew, Start, Started, StartFailed, Stop, ToDaemon

LEASE_SHARE_BEFORE_TERMINATION = 2 / 3
"""An unrenewed controllee gets SIGTERM after this share of its lease, and is dead by its end."""

MINIMUM_ANSWER_SECONDS = 0.1
"""A guard is never held to a shorter answer, whatever the timeout: a busy machine is not a broken guard."""

_FIRST_RETRY_SECONDS = 0.05
_LAST_RETRY_SECONDS = 5.0

ControlleeEvent: TypeAlias = ControlleeStarted | ControlleeExited


class Controllee(Protocol):
    """What the daemon's loop may ask, in any order and at any time; every call returns at once."""

    @property
    def pid(self) -> int | None:
        """The controllee's process, if it runs as a program of ours."""

    def start(self, environment: Mapping[str, str], *, is_disaster: bool = False) -> None:
        """Start it, or the program for a disaster, with exactly this environment; only after its last exit."""

    def stop(self, timeout_seconds: float) -> None:
        """SIGTERM, and SIGKILL after the time-out; no effect if it is not running or wanted."""

    def renew(self, until: float) -> None:
        """Let it live until then (seconds of CLOCK_BOOTTIME), and not a moment longer unless renewed again."""

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Look after it until cancelled; nothing of it is left then."""


@attrs.frozen
class Program:
    """A controllee that the guard runs itself."""

    argv: tuple[str, ...]
    #: Its output is appended here; empty is the daemon's standard error.
    log_path: str = ""
    #: Under whom it runs, if the daemon is root (CONDOR_IDS).
    user_id: int = NO_CHANGE
    group_id: int = NO_CHANGE


@attrs.frozen
class Commands:
    """A controllee that commands govern: HAD_START_COMMAND, HAD_STOP_COMMAND, HAD_CHECK_COMMAND."""

    start: tuple[str, ...]
    #: Must succeed also when nothing runs; it is run after a failed start, a failed check and the daemon's death.
    stop: tuple[str, ...]
    #: Exit status 0 while the controllee runs; empty: never checked.
    check: tuple[str, ...] = ()
    check_interval_seconds: float = 1.0
    #: A check that takes longer has failed.
    check_timeout_seconds: float = 10.0
    #: How long the stop command may take when there is no daemon to say so.
    stop_timeout_seconds: float = 10.0
    log_path: str = ""


class _Stage(enum.Enum):
    """How far an order has come."""

    #: Nothing is wanted.
    NONE = "none"
    #: Wanted, but there is no lease or no guard at this moment.
    WAITING = "waiting"
    #: The guard has the order.
    ORDERED = "ordered"
    #: The guard reported the start.
    RUNNING = "running"


class GuardedControllee:
    """The controllee, in the hands of a guard process that is replaced when it fails.

    Args:
        what: the program or the commands.
        deliver: called with each event; it must only queue it.
        answer_seconds: how long the guard may leave a ping unanswered (HAD_CONNECTION_TIMEOUT).
        owned: the daemon's processes.
        inherited: descriptors that the guard keeps open for as long as it lives.
        disaster: what runs instead where the state is lost (HAD_MISSING_STATE = disaster).
    """

    def __init__(
        self,
        what: Program | Commands,
        deliver: Callable[[ControlleeEvent], None],
        answer_seconds: float,
        owned: Children | None = None,
        inherited: tuple[int, ...] = (),
        disaster: Program | None = None,
    ) -> None:
        self._inherited = inherited
        self._what = what
        self._disaster = disaster
        self._is_disaster = False
        self._deliver = deliver
        self._answer_seconds = max(answer_seconds, MINIMUM_ANSWER_SECONDS)
        self._children = owned or Children()
        self._link: GuardLink | None = None
        self._stage = _Stage.NONE
        self._environment: dict[str, str] = {}
        self._until = 0.0
        self._is_stop_requested = False
        self._failed_check = ""
        self._pid: int | None = None

    @property
    def pid(self) -> int | None:
        """The controllee's process id while its program runs; None also if commands govern it."""
        return self._pid

    @property
    def guard_pid(self) -> int | None:
        """The guard's process id; None while it is being replaced."""
        return self._link.pid if self._link else None

    def change(
        self, what: Program | Commands, answer_seconds: float, disaster: Program | None = None
    ) -> None:
        """Take another program, or other commands, from the next start on."""
        self._what, self._disaster = what, disaster
        self._answer_seconds = max(answer_seconds, MINIMUM_ANSWER_SECONDS)

    # --- the driver's orders ----------------------------------------------------------------------------------

    def start(self, environment: Mapping[str, str], *, is_disaster: bool = False) -> None:
        """Start it, as soon as there is a lease, or what runs in its place; only after its last exit."""
        assert self._stage is _Stage.NONE, "the controllee was started before its last exit"
        self._environment = dict(environment)
        self._is_stop_requested = False
        self._failed_check = ""
        self._is_disaster = is_disaster
        self._stage = _Stage.WAITING
        self._order_start()

    def stop(self, timeout_seconds: float) -> None:
        """SIGTERM, and SIGKILL after the time-out; no effect if it is not running or wanted."""
        if self._stage is _Stage.NONE:
            return
        self._is_stop_requested = True
        if self._stage is _Stage.WAITING:
            self._finish("requested", "it had not been started")
        elif self._link:
            self._link.send(Stop(timeout_seconds))
        # Otherwise the guard failed, and everything is being killed already.

    def renew(self, until: float) -> None:
        """Let it live until then (seconds of CLOCK_BOOTTIME), and not a moment longer unless renewed again."""
        self._until = until
        if self._stage is _Stage.WAITING:
            self._order_start()
        elif self._link and self._stage is not _Stage.NONE:
            self._link.send(Renew(self._terminate_at(), until))

    def _terminate_at(self) -> float:
        now = boottime.now()
        return now + (self._until - now) * LEASE_SHARE_BEFORE_TERMINATION

    def _order_start(self) -> None:
        """Send the order, if there is a guard to take it and a lease to live by."""
        if self._link is None or self._until <= boottime.now():
            return
        self._stage = _Stage.ORDERED
        try:
            what = self._disaster if self._is_disaster and self._disaster is not None else self._what
            self._link.send(self._make_order(what))
        except ValueError as error:
            self._finish("start_failed", str(error))

    def _make_order(self, what: Program | Commands) -> Start:
        order = Start(
            argv=what.argv if isinstance(what, Program) else what.start,
            environment=tuple(self._environment.items()),
            log_path=what.log_path,
            terminate_at=self._terminate_at(),
            expires_at=self._until,
        )
        if isinstance(what, Program):
            return order._replace(user_id=what.user_id, group_id=what.group_id)
        return order._replace(stop_argv=what.stop, stop_timeout_seconds=what.stop_timeout_seconds)

    # --- the guard's answers ----------------------------------------------------------------------------------

    def _heard(self, message: ToDaemon) -> None:
        match message:
            case Started(pid):
                self._stage = _Stage.RUNNING
                self._pid = pid or None
                self._deliver(ControlleeStarted(pid))
            case StartFailed(text):
                self._finish("requested" if self._is_stop_requested else "start_failed", text)
            case Exited():
                self._finish(*self._explain(message))

    def _explain(self, exited: Exited) -> tuple[str, str]:
        """The reason and the detail of an exit, in the metrics' words."""
        detail = "; ".join(filter(None, (describe_status(exited.status), self._failed_check, exited.text)))
        if self._is_stop_requested:
            return "requested", detail
        if self._failed_check:
            return "exited", detail
        if exited.cause is Cause.LAPSED:
            return "killed", f"the lease was not renewed in time; {detail}"
        return ("signalled" if os.WIFSIGNALED(exited.status) else "exited"), detail

    def _finish(self, reason: str, detail: str) -> None:
        self._stage = _Stage.NONE
        self._pid = None
        self._deliver(ControlleeExited(reason, detail))

    # --- the guard's life -------------------------------------------------------------------------------------

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Keep a guard, replacing it when it dies or freezes, until cancelled.

        Raises:
            OSError: the first guard could not be started.
        """
        link = GuardLink(self._children, self._inherited)
        delay_seconds = _FIRST_RETRY_SECONDS
        while True:
            guard_began = trio.current_time()
            await self._serve(link, task_status)
            task_status = trio.TASK_STATUS_IGNORED
            lived_seconds = trio.current_time() - guard_began
            delay_seconds = _FIRST_RETRY_SECONDS if lived_seconds > _LAST_RETRY_SECONDS else delay_seconds
            link, delay_seconds = await self._replace(delay_seconds)

    async def _serve(self, link: GuardLink, task_status: trio.TaskStatus[None]) -> None:
        """Work with one guard until it fails; then nothing of the controllee is left, and the loop knows."""
        self._link = link
        try:
            if self._stage is _Stage.WAITING:
                self._order_start()
            task_status.started()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._watch_guard, link, nursery.cancel_scope)
                nursery.start_soon(self._check_regularly)
                while message := await link.receive():
                    self._heard(message)
                nursery.cancel_scope.cancel()
        finally:
            self._link = None
            try:
                await link.destroy()
            finally:
                await self._end_without_guard()

    async def _watch_guard(self, link: GuardLink, scope: trio.CancelScope) -> None:
        await link.until_frozen(self._answer_seconds, lambda: self._stage is _Stage.NONE)
        scope.cancel()

    async def _end_without_guard(self) -> None:
        """Finish what the guard left undone: its stop command, and the word that the controllee is gone."""
        if self._stage in {_Stage.ORDERED, _Stage.RUNNING}:
            if isinstance(self._what, Commands):
                with trio.CancelScope(shield=True):
                    await self._children.run(
                        self._what.stop, self._environment, self._what.stop_timeout_seconds
                    )
            self._finish(
                "requested" if self._is_stop_requested else "killed", "the guard process died or froze"
            )

    async def _replace(self, delay_seconds: float) -> tuple[GuardLink, float]:
        """Start another guard, at longer and longer intervals; a machine out of memory needs time, not forks."""
        while True:
            if self._stage is _Stage.WAITING and delay_seconds > _FIRST_RETRY_SECONDS:
                # Not the first in a row: whoever waits for the controllee must hear of it.
                self._finish("start_failed", "the guard process keeps failing; see the standard error of had")
            await trio.sleep(delay_seconds)
            delay_seconds = min(2 * delay_seconds, _LAST_RETRY_SECONDS)
            try:
                return GuardLink(self._children, self._inherited), delay_seconds
            except OSError:
                continue

    async def _check_regularly(self) -> None:
        """Ask the check command whether a controllee governed by commands still runs; stop what is left if not."""
        what = self._what
        if not isinstance(what, Commands) or not what.check:
            return
        while True:
            await trio.sleep(what.check_interval_seconds)
            environment = self._environment
            if self._stage is _Stage.RUNNING:
                failure = await self._children.run(what.check, environment, what.check_timeout_seconds)
                # Another run may have begun meanwhile; its environment is another object.
                is_same = self._stage is _Stage.RUNNING and self._environment is environment
                if failure and is_same and self._link and not self._is_stop_requested:
                    self._failed_check = f"check command: {failure}"
                    self._link.send(Stop(what.stop_timeout_seconds))


def controllee_environment(
    base: Mapping[str, str],
    *,
    node: str,
    epoch: int,
    epoch_file: str,
    state: str,
    state_file: str = "",
    extra: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """Add to a clean environment what the contract promises the controllee.

    Args:
        base: the daemon's environment, through `daemoncore.process.clean_environment`.
        node: this node's entry of HAD_LIST.
        epoch: the fencing token at the start.
        epoch_file: the file that always holds the present one.
        state: `current`, `stale` or `missing`.
        state_file: STATE_FILE, if one is configured.
        extra: `<CONTROLLEE>_ENVIRONMENT`, which comes last but cannot change the names above.
    """
    ours = {"HAD_NODE": node, "HAD_EPOCH": str(epoch), "HAD_EPOCH_FILE": epoch_file, "HAD_STATE": state}
    if state_file:
        ours["HAD_STATE_FILE"] = state_file
    return {**base, **(extra or {}), **ours}
