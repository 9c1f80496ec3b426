"""When each negotiator lived, seen from outside: processes of a host whose program is condor_negotiator.

Nothing is asked of any daemon. A thread looks at /proc each 20 ms; of an end it hears from the kernel. So the beginning
of a life is known to about 20 ms, and so is an overlap; on a machine that keeps the thread from running, less well. A
new process is looked at for two seconds, in which it has executed what it is going to be.
"""

import os
import select
import threading
import time
from pathlib import Path

import attrs

LOOK_SECONDS = 0.02
YOUTH_SECONDS = 2.0
PROGRAM = "condor_negotiator"


@attrs.define
class Life:
    """One negotiator. Times are time.monotonic()."""

    host: int
    pid: int
    began: float
    ended: float = float("inf")

    @property
    def is_running(self):
        """Whether it has not been seen to end."""
        return self.ended == float("inf")


class Watch:
    """Watches the hosts of a pool until it is closed.

    Args:
        network: the namespaces.
        program: what to look for.
    """

    def __init__(self, network, program=PROGRAM):
        self._program = program
        self._hosts = {Path(network.place(index)).stat().st_ino: index for index in range(len(network.hosts))}
        self.lives = []
        self._open = {}
        self._youngest = {}
        self._old = set()
        self._ends = select.poll()
        self._is_closing = False
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)
        self._thread.start()

    def close(self):
        """Stop looking."""
        self._is_closing = True
        self._thread.join()
        for descriptor in self._open:
            os.close(descriptor)

    def running(self):
        """Return the lives that go on."""
        return [life for life in list(self.lives) if life.is_running]

    def on(self, host):
        """Return the lives on a host, oldest first."""
        return [life for life in list(self.lives) if life.host == host]

    def overlap_seconds(self, since=0.0):
        """Return the longest time for which two lived at once, and who."""
        longest, who = 0.0, ()
        lives = list(self.lives)
        for number, one in enumerate(lives):
            for other in lives[number + 1 :]:
                both = min(one.ended, other.ended, time.monotonic()) - max(one.began, other.began, since)
                if both > longest:
                    longest, who = both, (one, other)
        return longest, who

    def _run(self):
        while not self._is_closing:
            self._note_ends(self._ends.poll(LOOK_SECONDS * 1000), time.monotonic())
            if self._open:
                # An end makes `poll` return early; the look at /proc keeps its own pace.
                time.sleep(LOOK_SECONDS / 4)
            before = time.monotonic()
            self._look()
            # Whoever ended while we looked ended before what was found in the same look began, as far as we can tell.
            self._note_ends(self._ends.poll(0), before)

    def _note_ends(self, events, at):
        for descriptor, _ in events:
            self._open.pop(descriptor).ended = at
            self._ends.unregister(descriptor)
            os.close(descriptor)

    def _look(self):
        present = {int(path.name) for path in Path("/proc").glob("[0-9]*")}
        now = time.monotonic()
        self._old &= present
        self._youngest = {pid: since for pid, since in self._youngest.items() if pid in present}
        for pid in present - self._old:
            since = self._youngest.setdefault(pid, now)
            if self._is_program(pid) and (host := self._host_of(pid)) is not None:
                self._begin(host, pid)
            elif now - since < YOUTH_SECONDS:
                continue
            self._old.add(pid)
            self._youngest.pop(pid, None)

    def _is_program(self, pid):
        try:
            return Path(f"/proc/{pid}/exe").readlink().name == self._program
        except OSError:
            return False

    def _host_of(self, pid):
        try:
            return self._hosts.get(Path(f"/proc/{pid}/ns/net").stat().st_ino)
        except OSError:
            return None

    def _begin(self, host, pid):
        try:
            descriptor = os.pidfd_open(pid)
        except ProcessLookupError:
            return
        life = Life(host, pid, time.monotonic())
        self._open[descriptor] = life
        self._ends.register(descriptor, select.POLLIN)
        self.lives.append(life)
