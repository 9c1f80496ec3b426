"""Sets the faults of a schedule on a real pool, and takes them away again.

Each kind is a method that does the damage, and returns a note and how it is undone. What happened, with the times at
which it really did, is in `happened`.
"""

import contextlib
import os
import signal

import attrs

from daemoncore import boottime
from tests.end_to_end.chaos.cables import Weather
from tests.end_to_end.chaos.history import Happened
from tests.end_to_end.chaos.schedule import LEADER

STOP_SECONDS = 20


class Faults:
    """What is broken in a pool at present.

    Args:
        pool: a pool on `Cables`, with small disks on the folders `spool` and `had` of each candidate.
    """

    def __init__(self, pool):
        self._pool = pool
        self._weather = {}
        self._broken = {}
        self.happened = []

    def begin(self, scheduled):
        """Let a fault happen."""
        fault = scheduled
        if fault.hosts == (LEADER,):
            leading = (node.index for node in self._pool.nodes if controllee_of(node))
            fault = attrs.evolve(fault, hosts=(next(leading, 0),))
        if self._is_taken(fault):
            return
        began = boottime.now()
        note, undo = getattr(self, "_" + fault.kind)(fault, self._pool[fault.hosts[0]])
        self._broken[scheduled] = (undo, len(self.happened))
        self.happened.append(Happened(fault, began, began, note))

    def _is_taken(self, fault):
        """Tell whether a host has a fault of this area already: it is drawn apart, but who leads shows only now."""
        others = [self.happened[place].fault for _, place in self._broken.values()]
        return fault.area != "links" and any(
            fault.area == other.area and set(fault.hosts) & set(other.hosts) for other in others
        )

    def end(self, fault):
        """Mend what a fault broke, if that was not done yet."""
        if fault not in self._broken:
            return
        undo, place = self._broken.pop(fault)
        undo()
        self.happened[place] = attrs.evolve(self.happened[place], ended=boottime.now())

    def end_all(self):
        """Mend everything, and start every daemon that ended for whatever reason."""
        for fault in list(self._broken):
            self.end(fault)
        for node in self._pool.nodes:
            self._revive(node)

    def _revive(self, node):
        if node.replica and not node.replica.is_up:
            node.replica.start()
        if not node.is_up:
            node.start()

    # --- links ------------------------------------------------------------------------------------------------

    def _cut(self, fault, _node):
        one, other = fault.hosts
        return self._set(fault, {(one, other), (other, one)}, Weather(is_cut=True))

    def _one_way(self, fault, _node):
        return self._set(fault, {fault.hosts}, Weather(is_cut=True))

    def _partition(self, fault, _node):
        others = [node.index for node in self._pool.nodes if node.index not in fault.hosts]
        pairs = {(one, other) for one in fault.hosts for other in others}
        return self._set(fault, pairs | {(b, a) for a, b in pairs}, Weather(is_cut=True))

    def _loss(self, fault, _node):
        one, other = fault.hosts
        return self._set(fault, {(one, other), (other, one)}, Weather(loss=fault.amount))

    def _delay(self, fault, _node):
        one, other = fault.hosts
        delay = fault.amount * self._pool.timeout_seconds / 2
        weather = Weather(delay_seconds=delay, jitter_seconds=delay)
        return self._set(fault, {(one, other), (other, one)}, weather)

    def _set(self, fault, pairs, weather):
        self._weather[fault] = (pairs, weather)
        self._show(pairs)

        def undo():
            del self._weather[fault]
            self._show(pairs)

        return "", undo

    def _show(self, pairs):
        for pair in pairs:
            weather = Weather()
            for others, one in self._weather.values():
                weather = weather.worse(one) if pair in others else weather
            self._pool.network.set_weather(*pair, weather)

    # --- processes --------------------------------------------------------------------------------------------

    def _kill_had(self, _fault, node):
        if not node.is_up:
            return "it was dead", nothing
        node.kill()
        return "", lambda: self._revive(node)

    def _kill_replication(self, _fault, node):
        if not node.replica.is_up:
            return "it was dead", nothing
        node.replica.kill()
        return "", lambda: self._revive(node)

    def _kill_host(self, _fault, node):
        return self._kill_hosts([node])

    def _kill_everybody(self, _fault, _node):
        return self._kill_hosts(self._pool.nodes)

    def _kill_hosts(self, nodes):
        # All processes first, so that nobody sees another die.
        for pid in [pid for node in nodes for pid in node.host_pids()]:
            signal_if_there(pid, signal.SIGKILL)
        for process in [process for node in nodes for process in node.processes()]:
            process.wait(STOP_SECONDS)

        def undo():
            for node in nodes:
                self._revive(node)

        return "", undo

    def _stop_had(self, _fault, node):
        if not node.is_up:
            return "it was dead", nothing
        node.send(signal.SIGTERM)

        def undo():
            node.process.wait(STOP_SECONDS)
            self._revive(node)

        return "", undo

    def _kill_guard(self, _fault, node):
        return self._kill(node.is_up and node.guard_pid())

    def _kill_controllee(self, _fault, node):
        return self._kill(controllee_of(node))

    def _kill_transferer(self, _fault, node):
        return self._kill(next(iter(node.replica.transferers()), None))

    def _kill(self, pid):
        if not pid:
            return "nobody was there", nothing
        signal_if_there(pid, signal.SIGKILL)
        return f"pid {pid}", nothing

    def _freeze_had(self, _fault, node):
        return self._freeze([node.pid] if node.is_up else [])

    def _freeze_guard(self, _fault, node):
        guard = node.is_up and node.guard_pid()
        return self._freeze([guard] if guard else [])

    def _freeze_controllee(self, _fault, node):
        pid = controllee_of(node)
        return self._freeze([pid] if pid else [])

    def _freeze_replication(self, _fault, node):
        return self._freeze([node.replica.process.pid] if node.replica.is_up else [])

    def _freeze_transferer(self, _fault, node):
        return self._freeze(node.replica.transferers()[:1])

    def _freeze_host(self, _fault, node):
        return self._freeze(node.host_pids() if node.is_up else [])

    def _freeze(self, pids):
        for pid in pids:
            signal_if_there(pid, signal.SIGSTOP)

        def undo():
            for pid in pids:
                signal_if_there(pid, signal.SIGCONT)

        return " ".join(["pid", *map(str, pids)]) if pids else "nobody was there", undo

    def _reload(self, _fault, node):
        # Any soft knob does; each time another value, so that there is something to take up.
        node.configure(HAD_CONTROLLEE_STOP_TIMEOUT=2 + len(self.happened) % 5)
        for process in node.processes():
            if process.poll() is None:
                signal_if_there(process.pid, signal.SIGHUP)
        return "", nothing

    # --- disks and clocks -------------------------------------------------------------------------------------

    def _full_state_disk(self, _fault, node):
        return fill(node.folder / "spool")

    def _full_had_disk(self, _fault, node):
        return fill(node.folder / "had")

    def _clock(self, fault, node):
        shift = node.folder / "shift"
        shift.write_text(str(fault.amount))
        return "", lambda: shift.write_text("0")


def nothing():
    """Undo what needs no undoing."""


def controllee_of(node):
    """Return the process of the controllee that runs on a node, None if none does."""
    life = node.running()
    return life.pid if life else None


def signal_if_there(pid, number):
    """Send a process a signal, unless it is gone."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def fill(folder):
    """Leave no byte free on a disk."""
    ballast = folder / "ballast"
    with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))
    return "", ballast.unlink
