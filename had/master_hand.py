"""The hand: a process beside the election daemon that stops condor_master's controllee when the daemon cannot.

It is what the guard (`had/guard.py`) is for a controllee that the daemon runs itself. It watches the daemon by a pidfd, by
the socket between them, and by the lease that the daemon's loop renews. When the daemon is gone, or its lease lapses, it
sends SIGQUIT to the controllee, SIGKILL soon after, and CHILD_OFF_FAST to condor_master, again until that is taken.

The order matters more than the signals. When its controller dies, condor_master stops the controllee itself, and starts
it again a second later without anybody's order; there it runs, beside the next leader's, until condor_master has started
the controller anew, by the manual's MASTER_HAD_BACKOFF_CONSTANT six minutes later. CHILD_OFF_FAST calls that off.

condor_master also kills all that descends from a daemon that died. So the hand does not descend from it: the shell that
starts it ends at once, before any list of the daemon's descendants is made, and nothing in its environment names its
ancestors. It ends when the daemon does, as soon as its work is done. With CGROUP_ALL_DAEMONS it is killed all the same.

Run with the socket's descriptor, the daemon's process id, a lock's descriptor, and the daemon's options in JSON; the
environment is the daemon's, since it holds the session with condor_master.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import math
import os
import select
import sys
import time
from collections.abc import Callable

import trio

from daemoncore import boottime
from daemoncore.client import Client
from daemoncore.config import ConfigurationError
from daemoncore.inheritance import InheritanceError, read_inheritance
from daemoncore.process import leave_signals_to_daemon, prefer_us
from daemoncore.startup import Options
from had.household import Household
from had.loading import load
from had.master_ending import Ending
from had.master_hand_messages import (
    MAXIMUM_MESSAGE_BYTES,
    Failed,
    FromHand,
    Lapsed,
    Lease,
    Noted,
    Ready,
    decode_to_hand,
    encode,
)
from had.master_reach import MasterReach
from had.master_voice import MasterVoice

DEATH_SECONDS = 0.1
"""From SIGQUIT to SIGKILL when the daemon is dead: others may start theirs 0.2 s after its death."""

LAPSE_MARGIN_SECONDS = 0.05
"""A lapsed lease is followed by SIGKILL so long before its end."""

HURRY_SECONDS = 60.0
"""For so long condor_master is told without a pause to start no other one, should it not take that at once."""

CALM_SECONDS = 1.0
"""The pause after that, for as long as condor_master lives and nobody relieves us."""

RELIEF_SECONDS = 0.1
"""Between two attempts the next daemon has this long to take the lock, which it tries every 0.02 s."""


class Hand:
    """The hand's one loop.

    Args:
        channel: our end of the socket pair to the daemon.
        daemon: a pidfd of the daemon.
        voice: gives orders to condor_master.
        household: where the controllee's processes are.
        lock: the descriptor of the folder's lock, which the next daemon waits for.
        find: looks for condor_master where it is not known.
        hurry_seconds: HURRY_SECONDS.
    """

    def __init__(
        self,
        channel: int,
        daemon: int,
        voice: MasterVoice,
        household: Household,
        lock: int,
        find: Callable[[], None],
        *,
        hurry_seconds: float = HURRY_SECONDS,
    ) -> None:
        self._channel = channel
        self._daemon = daemon
        self._voice = voice
        self._household = household
        self._lock = lock
        self._find = find
        self._hurry_seconds = hurry_seconds
        self._lease: Lease | None = None
        #: A lapsed lease is not revived by what the daemon says when it is the first to wake.
        self._has_lapsed = False
        self._alarm = boottime.Alarm()
        os.set_blocking(channel, False)

    def run(self) -> None:
        """Serve the daemon until it is gone and nothing is left to do."""
        self._say(Ready(os.getpid()))
        is_served = True
        while is_served:
            lease = self._lease
            self._alarm.set(lease.terminate_at if lease else math.inf)
            ready, _, _ = select.select((self._channel, self._daemon, self._alarm.fileno()), (), ())
            if lease and boottime.now() >= lease.terminate_at and self._daemon not in ready:
                # The look at the clock comes first: whatever is in the channel comes too late.
                self._lapse(lease)
            is_served = self._daemon not in ready and self._read_channel()
        # What lapsed may have come up again; nobody else is left who would see that.
        if self._lease or self._has_lapsed:
            self._end(boottime.now() + DEATH_SECONDS)

    def _read_channel(self) -> bool:
        """Obey every message that has arrived; whether there may be more."""
        while True:
            try:
                data = os.read(self._channel, MAXIMUM_MESSAGE_BYTES)
            except BlockingIOError:
                return True
            except ConnectionResetError:
                return False
            if not data:
                return False
            message = decode_to_hand(data)
            if isinstance(message, Lease):
                self._say(Noted())
                self._renew(message)
            else:
                self._lease, self._has_lapsed = None, False

    def _renew(self, lease: Lease) -> None:
        if self._has_lapsed:
            return
        self._lease = lease
        if lease.pid:
            self._household.note(lease.pid)
        if boottime.now() >= lease.terminate_at:
            self._lapse(lease)

    def _lapse(self, lease: Lease) -> None:
        margin = min(LAPSE_MARGIN_SECONDS, (lease.expires_at - lease.terminate_at) / 2)
        self._lease, self._has_lapsed = None, True
        self._say(Lapsed())
        self._end(lease.expires_at - margin)

    def _end(self, kill_at: float) -> None:
        """End the controllee, and persevere until condor_master starts no other one, or a daemon can see to that."""
        hurry_until = boottime.now() + self._hurry_seconds
        while True:
            ending = Ending(self._voice, self._household, lambda: kill_at, quit_after_seconds=0)
            trio.run(ending.run)
            if ending.is_held or self._household.is_abandoned() or self._is_relieved():
                return
            self._find()
            if boottime.now() >= hurry_until:
                if self._household.is_blind():
                    return
                time.sleep(CALM_SECONDS)

    def _is_relieved(self) -> bool:
        """Whether the daemon is awake again, or the next one is there; whatever runs then is theirs.

        A daemon that is dead has left us its lock. The next one gets its chance, and if it takes it, we have no more to do.
        """
        if not self._is_daemon_dead():
            self._read_channel()
            return not self._has_lapsed
        fcntl.flock(self._lock, fcntl.LOCK_UN)
        time.sleep(RELIEF_SECONDS)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        return False

    def _is_daemon_dead(self) -> bool:
        ready, _, _ = select.select((self._daemon,), (), (), 0)
        return bool(ready)

    def _say(self, message: FromHand) -> None:
        """Tell the daemon; one that does not listen is dead or frozen, and both are noticed otherwise."""
        with contextlib.suppress(BlockingIOError, BrokenPipeError, ConnectionResetError):
            os.write(self._channel, encode(message))


def main() -> int:
    """Serve the daemon named on the command line."""
    channel, daemon_pid, lock = map(int, sys.argv[1:4])
    leave_signals_to_daemon()
    try:
        daemon = os.pidfd_open(daemon_pid)
    except ProcessLookupError:
        return 0
    environment = dict(os.environ)
    try:
        given = json.loads(sys.argv[4])
        options = Options(
            given["config"], given["local_name"], given["port"], inheritance=read_inheritance(environment)
        )
        loaded = load(options, environment)
    except (ConfigurationError, InheritanceError) as error:
        os.write(channel, encode(Failed(str(error))))
        return 2
    settings = loaded.settings
    client = Client(
        loaded.security.speaking_from(str(settings.me.numeric.sinful())),
        local_sockets=options.local_sockets(settings.socket_folder),
    )
    reach = MasterReach(options.inheritance, settings.control)
    voice = MasterVoice(lambda: client, reach.address, settings.control.controllee)
    household = Household(reach.master, reach.likeness(), {daemon_pid})
    reach.find()
    prefer_us()
    Hand(channel, daemon, voice, household, lock, reach.find).run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
