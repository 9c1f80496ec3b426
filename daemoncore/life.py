"""The part of a daemon's life that is the same for every daemon: from its first breath to the last line of its log.

A `Life` obeys signals, early ones too; reads the configuration again when asked; keeps systemd, condor_master and the log
alive; and knows whether the daemon is ready. What its daemon does it knows nothing about: that comes in as functions.

What it tells must be in the daemon's table of events: `start_refused`, `<program>_crashed`, `stop_requested` and
`configuration_refused`.
"""

from __future__ import annotations

import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from functools import partial
from typing import Final, Generic, TypeVar

import trio

from daemoncore import boottime
from daemoncore.client import Client
from daemoncore.config import ConfigurationError
from daemoncore.early_signals import STOPPING, EarlySignals
from daemoncore.event_log import Tell
from daemoncore.inheritance import Inheritance
from daemoncore.log import DaemonLog, LogSettings, serve_logger
from daemoncore.memory import give_back
from daemoncore.metrics import DaemonMetrics
from daemoncore.notify import Notifier
from daemoncore.parent import Parent
from daemoncore.startup import StartError

LOG_TICK_SECONDS: Final = 60.0
"""TOUCH_LOG_INTERVAL: how often an idle log shows that its daemon lives."""

Loaded = TypeVar("Loaded")


class Life(Generic[Loaded]):
    """One daemon's life.

    Args:
        program: `had` or `replication`.
        load: reads the configuration, on a thread; raises ConfigurationError.
        take: puts a configuration that was read again in force.
        stop: makes the daemon end; at once if told so.
        tell: is told of what is worth a line.
        log: where the lines go.
        metrics: what every daemon tells of itself.
        environment: the process environment, in which systemd left its address.
        early_signals: what came while the configuration was first read.
        inheritance: what condor_master handed down, if it started us.
        client: gives what connects to it.
        hang_seconds: gives NOT_RESPONDING_TIMEOUT, after which it may kill us.
        last_turn: when the daemon's loop turned last, on the clock of `boottime`.
        health_limit_seconds: how long ago that may be.
    """

    def __init__(
        self,
        program: str,
        *,
        load: Callable[[], Loaded],
        take: Callable[[Loaded], None],
        stop: Callable[[bool], None],
        tell: Tell,
        log: DaemonLog,
        metrics: DaemonMetrics,
        environment: Mapping[str, str],
        early_signals: EarlySignals,
        inheritance: Inheritance | None,
        client: Callable[[], Client],
        hang_seconds: Callable[[], float],
        last_turn: Callable[[], float],
        health_limit_seconds: Callable[[], float],
    ) -> None:
        self._program = program
        self._load = load
        self._take = take
        self._stop = stop
        self._tell = tell
        self._log = log
        self._metrics = metrics
        self._early_signals = early_signals
        self._parent: Parent | None = None
        if inheritance is not None:
            end = partial(self.stop, True)
            self._parent = Parent(inheritance, program.upper(), client, hang_seconds, end, tell)
        self._last_turn = last_turn
        self._health_limit_seconds = health_limit_seconds
        self._notifier = Notifier.from_environment(environment)
        self._reload = trio.Event()
        self._is_ready = trio.Event()
        self._signals: AsyncIterator[int] | None = None

    async def live(self, serve: Callable[[], Awaitable[None]]) -> None:
        """Live: `serve` starts the parts, `run` among them, and ends when the daemon does; then the log is closed.

        Raises:
            StartError: the daemon cannot start.
        """
        try:
            with trio.open_signal_receiver(*STOPPING, signal.SIGHUP) as self._signals:
                await serve()
        except Exception as error:
            refused = _refusal_in(error)
            if refused is None:
                self._tell(f"{self._program}_crashed", error=repr(error))
            else:
                self._tell("start_refused", error=str(refused))
            raise
        finally:
            self._log.close()

    async def run(self) -> None:
        """Obey, reload and keep alive until cancelled; a part of what `serve` starts."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._obey_signals)
            nursery.start_soon(self._reload_when_asked)
            nursery.start_soon(self._keep_alive)
            if self._parent is not None:
                await self._is_ready.wait()
                nursery.start_soon(self._parent.run)

    # --- readiness --------------------------------------------------------------------------------------------

    def ready(self, sentence: str) -> None:
        """Start-up is finished; the sentence is what `systemctl status` shows."""
        give_back()
        self._is_ready.set()
        self._metrics.readiness(is_ready=True)
        self._notifier.ready(sentence)

    def stopping(self) -> None:
        """The daemon is on its way out."""
        self._notifier.stopping()

    def why_not_ready(self) -> str | None:
        """For /ready; None when the daemon is."""
        return None if self._is_ready.is_set() else "starting"

    def scrape(self) -> bytes:
        """For /metrics: everything that the daemon tells Prometheus."""
        self._metrics.log_lines_lost(self._log.lost_count)
        return self._metrics.render()

    def last_turn_seconds(self) -> float:
        """For /health: how long ago the loop turned."""
        return boottime.now() - self._last_turn()

    # --- signals and reloads ----------------------------------------------------------------------------------

    def reload(self) -> None:
        """Have the configuration read again, soon."""
        self._reload.set()

    def stop(self, is_fast: bool) -> None:
        """End, as a signal or an operator asks."""
        self._tell("stop_requested", fast=is_fast)
        self._stop(is_fast)

    def refuse(self, problems: Iterable[str]) -> None:
        """A configuration that was read again cannot be used; the former one stays in force."""
        self._metrics.configuration_refused()
        for problem in problems:
            self._tell("configuration_refused", problem=problem)

    def took(self, log: LogSettings, shared_hash: int) -> None:
        """A configuration is in force."""
        self._log.reconfigure(log)
        serve_logger("", self._log)
        self._metrics.configuration_loaded(time.time(), shared_hash)

    async def _obey_signals(self) -> None:
        assert self._signals is not None, "run is a part of what live serves"
        self._early_signals.take(self._obey)
        async for number in self._signals:
            self._obey(number)

    def _obey(self, number: int) -> None:
        if number == signal.SIGHUP:
            self.reload()
        else:
            self.stop(is_fast=number == signal.SIGQUIT)

    async def _reload_when_asked(self) -> None:
        while True:
            await self._reload.wait()
            self._reload = trio.Event()
            try:
                # A name server or an included command may take its time; the daemon goes on meanwhile, and may end.
                loaded = await trio.to_thread.run_sync(self._load, abandon_on_cancel=True)
                self._take(loaded)
            except ConfigurationError as error:
                self.refuse(str(problem) for problem in error.problems)
            except Exception as error:  # noqa: BLE001 -- what we should have foreseen must not end a leader
                self.refuse([f"it cannot be taken up: {error!r}"])

    async def _keep_alive(self) -> None:
        """Tell systemd that the loop turns, and the log that its daemon lives."""
        interval = min(self._notifier.watchdog_seconds or LOG_TICK_SECONDS, LOG_TICK_SECONDS)
        while True:
            await trio.sleep(interval)
            if self.last_turn_seconds() < self._health_limit_seconds():
                self._notifier.watchdog()
            self._log.tick()


def _refusal_in(error: Exception) -> StartError | None:
    """Find why the daemon cannot start, alone or as the one failure of a nursery; None for a programmer's error."""
    while isinstance(error, ExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error if isinstance(error, StartError) else None
