"""A pool of real condor_masters, each on a host of its own, whose HAD daemons are ours or real, manager by manager."""

import shutil
import tempfile
import time
from pathlib import Path

from tests.end_to_end.networks import Namespaces
from tests.real.manager import COLLECTOR_PORT, Manager
from tests.real.watching import Watch

NEGOTIATOR_SECONDS = 120
"""A real negotiator may wait a minute for the collector of a dead manager before it answers anybody."""


class Pool:
    """Central managers of one pool; nothing runs before `start`.

    Args:
        release: the HTCondor.
        kinds: a letter for each manager: `o` is ours, `r` is real.
        control: HAD_CONTROL of ours: `auto`, which is condor_master, or `spawn`.
        is_shared: whether all daemons of a host are behind one port.
        settings: further settings, for all.
    """

    def __init__(self, release, kinds, *, control="auto", is_shared=False, settings=None):
        self.release = release
        self.control = control
        self.is_shared = is_shared
        # Not pytest's folder: the daemons are another user, and names of sockets are short.
        self.folder = Path(tempfile.mkdtemp(prefix="real-"))
        self.folder.chmod(0o755)
        self.network = Namespaces(len(kinds))
        self.managers = [Manager(self, index) for index in range(len(kinds))]
        for manager, kind in zip(self.managers, kinds, strict=True):
            manager.become(ours=kind == "o", **(settings or {}))
        self[0].hadctl("keys", "create")
        for manager in self.managers[1:]:
            manager.copy_keys_from(self[0])
        self.watch = Watch(self.network)
        self._since = 0.0

    def __getitem__(self, index):
        return self.managers[index]

    def start(self, *managers):
        """Start some masters, or all; return the time."""
        at = time.monotonic()
        for manager in managers or self.managers:
            manager.start()
        return at

    def close(self):
        """End everything and remove it."""
        for manager in self.managers:
            manager.close()
        self.watch.close()
        self.network.close()
        shutil.rmtree(self.folder)

    # --- waiting ----------------------------------------------------------------------------------------------

    def wait(self, condition, seconds, what, pause_seconds=0.1):
        """Wait until a condition holds and return its value; fail with all logs when it does not in time."""
        deadline = time.monotonic() + seconds
        while not (value := condition()):
            if time.monotonic() > deadline:
                raise AssertionError(f"not within {seconds:g} s: {what}\n{self.story()}")
            time.sleep(pause_seconds)
        return value

    def wait_only(self, manager, seconds, steady_seconds=2.0):
        """Wait until a manager's negotiator has been the only one for a while; return its life."""
        state = {"since": None, "life": None}

        def look():
            running = self.watch.running()
            if len(running) != 1 or running[0].host != manager.index:
                state["since"] = None
                return None
            if state["since"] is None or state["life"] is not running[0]:
                state.update(since=time.monotonic(), life=running[0])
            return running[0] if time.monotonic() - state["since"] >= steady_seconds else None

        return self.wait(look, seconds, f"one negotiator, on {manager}", 0.05)

    def wait_in_order(self, seconds=60):
        """Wait until hadctl finds nothing wrong between our members."""
        manager = next(one for one in self.managers if one.is_ours and one.process)
        said = []

        def look():
            said[:] = [manager.hadctl("status", check=False)]
            return "unreachable" not in said[0] and "silent" not in said[0] and "in sync" in said[0]

        self.wait(look, seconds, f"the pool is in order; hadctl status: {said}", 0.3)

    # --- what happened ----------------------------------------------------------------------------------------

    def forget(self):
        """Let the story of negotiators begin now."""
        self._since = time.monotonic()

    def overlap_seconds(self):
        """Return the longest time for which two negotiators lived at once, since the story began."""
        return self.watch.overlap_seconds(self._since)[0]

    def new_life(self, manager, after, seconds):
        """Wait for the first negotiator on a host that began after a time, and return its life."""

        def look():
            return next((life for life in self.watch.on(manager.index) if life.began > after), None)

        return self.wait(look, seconds, f"a new negotiator on {manager}", 0.02)

    # --- the state --------------------------------------------------------------------------------------------

    def set_factor(self, manager, user, factor):
        """Have the negotiator of a manager write into the state: a user's priority factor."""
        # Its own collector, and by name: the ad of a negotiator that died with its host lives on for a while.
        where = ("-pool", f"{manager.address}:{COLLECTOR_PORT}", "-name", manager.name)
        words = (*where, "-setfactor", f"{user}@real.invalid", factor)
        self.wait(
            lambda: "was set to" in manager.tool("condor_userprio", *words, check=False, seconds=5),
            NEGOTIATOR_SECONDS,
            f"the negotiator of {manager} takes a priority factor",
            0.5,
        )

    def wait_factor(self, manager, user, factor, seconds):
        """Wait until it stands in a manager's state file."""
        line = f"103 Customer.{user}@real.invalid PriorityFactor {factor}"
        self.wait(lambda: line in manager.state(), seconds, f"{line!r} in the state of {manager}")

    def story(self):
        """Return what happened: lives of negotiators, and the end of each log."""
        now = time.monotonic()
        lives = "\n".join(
            f"host {life.host} pid {life.pid}: {life.began - now:.2f} to"
            f" {'now' if life.is_running else f'{life.ended - now:.2f}'}"
            for life in self.watch.lives
        )
        return f"negotiators, seconds before now:\n{lives}\n" + "\n".join(m.story() for m in self.managers)
