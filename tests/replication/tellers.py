"""Three replicas, short ways to say what one of them said, and a node whose disk always answers."""

import attrs

from replication import effects, events
from replication.events import State
from replication.manifest import FileRecord, Held, fingerprint
from replication.replica import Replica
from replication.replica_settings import ReplicaSettings
from replication.version import Version

A, B, C = "127.0.0.1:41450", "127.0.0.2:41450", "127.0.0.3:41450"

T = 3.0

#: This node is B.
SETTINGS = ReplicaSettings(me=B, members=(A, B, C), timeout_seconds=T, lifetime_seconds=60.0)


def files(content):
    """Describe a state file by what stands in it."""
    return (FileRecord("0", len(content), content.encode().hex().rjust(64, "0")[-64:]),)


def version(*points, is_rooted=True):
    """Make a version of `gid.clock`, its parent, and so on."""
    first, *rest = (events.Point(*map(int, point.split("."))) for point in points)
    return Version(first.gid, first.clock, tuple(rest), is_rooted)


def held(content, *points, is_rooted=True, **fields):
    """Say what a node holds."""
    return Held(version(*points, is_rooted=is_rooted), files(content), **fields)


class Others:
    """The other replicas: each report is a later one."""

    def __init__(self):
        self.sequence = 0

    def report(self, sender, content=None, *points, leads=False, **fields):
        """Make a report; without content it holds nothing."""
        self.sequence += 1
        what = {}
        if content is not None:
            what = {"version": version(*points), "fingerprint": fingerprint(files(content))}
        state = State.LEADER if leads else State.BACKUP
        plain = {"instance": 1, "sequence": self.sequence, "validity_seconds": T}
        return events.Heard(events.Report(sender, state, **(plain | what | fields)))


class Story:
    """One replica and what it did; whatever it wants written is written at once, unless `is_disk_slow`."""

    def __init__(self, start=None, *, settings=SETTINGS, now=0.0, is_disk_slow=False):
        self.machine = Replica(settings, start, 1, now)
        self.others = Others()
        self.now = now
        self.is_disk_slow = is_disk_slow
        self.done = []
        self.tell(events.Tick())

    def tell(self, event, at=None):
        """Hand in an event and return what came of it."""
        self.now = self.now if at is None else at
        found = self.machine.handle(event, self.now)
        self.done += found
        for effect in found:
            if isinstance(effect, effects.Note) and not self.is_disk_slow:
                found = found + self.tell(events.Noted(effect.held))
        return found

    def wait(self, until):
        """Let time pass, waking the machine whenever it wants to be."""
        found = []
        while self.machine.deadline <= until:
            found += self.tell(events.Tick(), self.machine.deadline)
        self.now = until
        return found + self.tell(events.Tick(), until)

    def hear(self, sender, content=None, *points, at=None, **fields):
        """Let a replica of ours report."""
        return self.tell(self.others.report(sender, content, *points, **fields), at)

    def link(self, *members, is_ours=True):
        """Let connections be made."""
        return [e for m in members for e in self.tell(events.Linked(m, is_ours))]

    def follow(self):
        """Bring a new story to the point where nothing is asked and had does not lead."""
        self.tell(events.LeadershipEnded(is_stopped=True))
        self.wait(self.now + T)
        self.done.clear()
        return self

    def fetch(self, content, *points, number=None):
        """Let the present download bring a version, and return what the machine wants done with it."""
        number = number or self.machine.download.number
        named = version(*points)
        offered = self.tell(events.Offered(number, named))
        if not only(offered, effects.Take):
            return offered
        return self.tell(events.Received(number, named, files(content)))

    def install(self, found):
        """Do what an Install wants."""
        effect = one(found, effects.Install)
        return self.tell(events.Installed(effect.download, effect.held))

    @property
    def held(self):
        """What the machine holds, as a point and what its state file contains."""
        held = self.machine.ledger.held
        return None if held is None else str(held.version.point)


def only(found, kind):
    """Return the effects of one kind."""
    return [effect for effect in found if isinstance(effect, kind)]


def one(found, kind):
    """Return the one effect of a kind."""
    effect, *rest = only(found, kind)
    assert rest == []
    return effect


def remarks(found):
    """Return the names of what was remarked."""
    return [effect.name for effect in only(found, effects.Remark)]


def reports(found, to=None):
    """Return the reports that were sent, to one member or to any."""
    return [e.report for e in only(found, effects.Send) if to in (None, e.to)]


def unled(record):
    """Return what was held without the mark of an unended leadership."""
    return attrs.evolve(record, is_leading=False)
