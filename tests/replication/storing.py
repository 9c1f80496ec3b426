"""A store on a real disk, with its real thread: what it says is collected, and can be waited for."""

import contextlib
import copy
import errno
import hashlib
import os

import trio

from daemoncore.durable import DurableError
from replication.disk import RealDisk
from replication.events import StateChanged
from replication.manifest import FileRecord, Held
from replication.pair import Pair
from replication.places import Places
from replication.sendable import Arrival
from replication.store import Store
from replication.store_terms import StoreSettings
from replication.version import Version

#: Nothing here takes longer on any machine.
PATIENCE_SECONDS = 10.0

HEAD = b"107 1 CreationTimestamp 1700000000\n101 Customer.a@x * *\n"

#: In the names of what was received; no process has this number.
NUMBER = 4194305


def transaction(number):
    """One whole transaction of a ClassAd log."""
    return b"105 \n103 Customer.a@x Priority %d.500000\n106 \n" % number


def record(name, data, mode=0o600):
    """The record of a file with this content."""
    return FileRecord(name, len(data), hashlib.sha256(data).hexdigest(), mode)


def records(*contents):
    """The records of a list of files with these contents."""
    return tuple(record(str(place), data) for place, data in enumerate(contents))


def version(gid, clock=0, *lineage):
    """A rooted version."""
    return Version(gid, clock, tuple(parent.point for parent in lineage), is_rooted=True)


def write(path, data, how=os.O_TRUNC):
    """Write a file with the permission bits that `record` has."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | how, 0o600)
    os.write(descriptor, data)
    os.close(descriptor)


class FillingDisk(RealDisk):
    """A real disk on which there is no more room at times."""

    def __init__(self):
        self.is_full = False

    def _check(self, path):
        if self.is_full:
            raise DurableError(f"{path}: No space left on device", path=path, errno=errno.ENOSPC)

    def replace(self, path, data, **how):
        """See `Disk`."""
        self._check(path)
        super().replace(path, data, **how)

    def copy(self, source, target, size_bytes, mode):
        """See `Disk`."""
        self._check(target)
        super().copy(source, target, size_bytes, mode)


class Observed:
    """Remembers what it was told."""

    def __init__(self):
        self.faults, self.kept, self.failures, self.ancestors, self.problems = [], [], [], [], []

    def fault_changed(self, fault):
        """See `StoreObserver`."""
        self.faults.append(fault)

    def conflict_kept(self, keeping):
        """See `StoreObserver`."""
        self.kept.append(keeping)

    def conflict_not_kept(self, error):
        """See `StoreObserver`."""
        self.failures.append(error)

    def ancestor_not_kept(self, error):
        """See `StoreObserver`."""
        self.ancestors.append(error)

    def conflict_not_usable(self, identifier, reason):
        """See `StoreObserver`."""
        self.problems.append((identifier, reason))

    def background_failed(self, error):
        """See `StoreObserver`."""
        self.failures.append(error)


class Node:
    """One node's disk, and the store that runs on it."""

    def __init__(self, folder, *, names=("log",), is_folder=False, disk=None, **settings):
        for name in ("state", "spool", "had"):
            (folder / name).mkdir(parents=True)
        self.folder = folder
        self.paths = tuple(folder / "state" / name for name in names)
        self.path = self.paths[0]
        self.places = Places(self.paths, is_folder, folder / "spool" / "Version", folder / "had")
        self.settings = StoreSettings(**settings)
        self.disk = disk
        self.observed = Observed()
        self.opening = self._send = None
        self.is_controllee_running = False
        self.clock = 1000.0

    def holds(self, which, *contents, **fields):
        """Let the node hold a version of these files."""
        for path, data in zip(self.paths, contents, strict=False):
            write(path, data)
        held = Held(which, records(*contents), **fields)
        Pair(self.places).note(held)
        return held

    def open_channel(self):
        """Make the place where events are put; before `running` only if somebody else puts some there."""
        self._send, self._receive = trio.open_memory_channel(float("inf"))

    @contextlib.asynccontextmanager
    async def running(self):
        """Open the store and let it run."""
        if self._send is None:
            self.open_channel()
        self.store = Store(
            self.places,
            self.settings,
            self._send.send_nowait,
            self.observed,
            wall_clock=self.tick,
            disk=self.disk,
        )
        try:
            self.opening = await trio.to_thread.run_sync(
                lambda: self.store.open(is_controllee_running=lambda: self.is_controllee_running)
            )
            async with trio.open_nursery() as nursery:
                await nursery.start(self.store.run)
                yield self.store
                nursery.cancel_scope.cancel()
        finally:
            self.store.close()

    def tick(self):
        """Each second of the wall clock is another one."""
        self.clock += 1.0
        return self.clock

    def append(self, data, place=0):
        """Append as a controllee does."""
        write(self.paths[place], data, os.O_APPEND)

    def replace(self, data, place=0):
        """Let another file have the name, as a compacted log does."""
        new = self.paths[place].with_name("log.new")
        write(new, data)
        new.rename(self.paths[place])

    async def next(self):
        """Wait for the next event, whatever it is."""
        with trio.fail_after(PATIENCE_SECONDS):
            return await self._receive.receive()

    async def event(self, kind):
        """Wait for the next event of a kind, and return it."""
        while not isinstance(found := await self.next(), kind):
            pass
        return found

    async def changed_to(self, *contents):
        """Wait until this state is told; return how often another one was."""
        wanted, others = records(*contents), 0
        while plain((await self.event(StateChanged)).files) != plain(wanted):
            others += 1
        return others

    async def idle(self):
        """Wait until everything that was asked of the store has been done, looks included; return what it said."""
        for _ in range(3):
            self.store._vigil.want()
            await self.store.perform(lambda: None)
            await self.store.perform(lambda: None)
        found = []
        with contextlib.suppress(trio.WouldBlock):
            while True:
                found.append(self._receive.receive_nowait())
        return found

    async def until(self, condition):
        """Wait until something is so."""
        with trio.fail_after(PATIENCE_SECONDS):
            while not condition():
                await self.store.perform(lambda: None)

    def receive(self, *contents, starts=None, number=NUMBER):
        """Put down what a transferer received: whole files, tails or nothing; return the arrival."""
        starts = starts or (0,) * len(contents)
        for path, data, start in zip(self.places.staged(number), contents, starts, strict=True):
            if start is not None:
                write(path, data[start:])
        return Arrival(number, records(*contents), starts)

    def leftovers(self):
        """Everything beside the state that is not the state."""
        return sorted(path.name for path in self.path.parent.iterdir() if path not in self.paths)

    def kept(self):
        """What the conflicts hold, the oldest first, each as a list of its files."""
        archive = self.store._keepsakes.conflicts.archive
        copies = self.store._contents.conflicts
        return [[archive.path_of(kept, one.name).read_bytes() for one in kept.files] for kept in copies]

    def again(self):
        """The same disk, with nothing opened."""
        node = copy.copy(self)
        node.observed, node._send = Observed(), None
        return node


def plain(files):
    """Files without their permission bits, which are each node's own."""
    return [(one.name, one.size_bytes, one.sha256) for one in files]


def sent(sendable):
    """Read what can be sent, as an uploader would."""
    found = {}
    for file in sendable.files:
        if file.is_folder:
            continue
        if file.descriptor >= 0:
            data = os.pread(file.descriptor, file.record.size_bytes, 0)
        else:
            data = file.path.read_bytes()[: file.record.size_bytes]
        assert hashlib.sha256(data).hexdigest() == file.record.sha256
        found[file.record.name] = data
    return found
