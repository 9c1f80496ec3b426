"""Two replica machines, each on a real disk side, with copies made by hand: the whole way of a change, and back again."""

import os

import pytest
import trio

from replication import effects, events
from replication.replica import Replica
from replication.replica_settings import ReplicaSettings
from replication.sendable import Arrival
from tests.replication.storing import (
    HEAD,
    NUMBER,
    PATIENCE_SECONDS,
    Node,
    plain,
    records,
    sent,
    transaction,
    version,
    write,
)

A, B = "127.0.0.1:41450", "127.0.0.2:41450"
ENDED = events.LeadershipEnded(is_stopped=True)


class Member:
    """A machine, its store, and transfers that take no time."""

    def __init__(self, me, folder, members):
        self.me, self.members = me, members
        self.node = Node(folder)
        self.node.open_channel()
        self.is_cut_off = False
        self.had = ENDED
        #: From whom the download fetches that is under way here, and what it brought.
        self.source = self.arrival = None
        self.remarks = []

    @property
    def version(self):
        """What stands here."""
        return self.machine.version

    @property
    def content(self):
        """What the state file holds."""
        return self.node.path.read_bytes() if self.node.path.exists() else None

    async def live(self, task_status):
        """Drive the machine as the daemon does."""
        async with self.node.running() as self.store, trio.open_nursery() as nursery:
            settings = ReplicaSettings(me=self.me, members=(A, B), timeout_seconds=0.5, lifetime_seconds=60.0)
            self.machine = Replica(settings, self.node.opening.held, 1, trio.current_time())
            for event in (*self.node.opening.events, events.Linked(A if self.me == B else B, is_ours=True)):
                self.post(event)
            task_status.started()
            nursery.start_soon(self.confirm)
            while True:
                event = events.Tick()
                with trio.move_on_at(self.machine.deadline):
                    event = await self.node._receive.receive()
                self.turn(event)

    async def confirm(self):
        """Let had say each T/2 what it said before."""
        while True:
            if isinstance(self.had, events.LeadershipBegan):
                self.post(events.LeadershipConfirmed(self.had.epoch))
            else:
                self.post(self.had)
            await trio.sleep(0.25)

    def post(self, event):
        """Hand an event to the machine."""
        self.node._send.send_nowait(event)

    def say(self, had):
        """Let had say something, and go on saying it."""
        self.had = had
        self.post(had)

    def turn(self, event):
        """Let the machine handle one event, and do what it wants; a copy brings one version."""
        if isinstance(event, events.Installed | events.InstallFailed):
            self.post(events.DownloadEnded(event.download, is_orderly=True))
        for effect in self.machine.handle(event, trio.current_time()):
            self.perform(effect)

    def perform(self, effect):
        """Do one effect."""
        match effect:
            case effects.Note(held):
                self.store.note(held)
            case effects.Watch():
                self.store.watch()
            case effects.Settle(seconds):
                self.store.settle(seconds)
            case effects.KeepConflict(which):
                self.store.keep_conflict(which)
            case effects.Install(download, held, is_conflict):
                self.store.install(download, held, self.arrival, is_conflict=is_conflict)
            case effects.Send(to, report):
                other = self.members[to]
                if not (self.is_cut_off or other.is_cut_off):
                    other.post(events.Heard(report))
            case effects.Remark(name):
                self.remarks.append(name)
            case _:
                self.copy(effect)

    def copy(self, effect):
        """Do what a transferer does."""
        match effect:
            case effects.StartDownload(download, peer):
                self.source = self.members[peer]
                self.post(events.Offered(download, self.source.store.sendable.version))
            case effects.Take(download, _):
                self.fetch(download)
            case effects.StopDownload(download) | effects.Refuse(download):
                self.post(events.DownloadEnded(download, is_orderly=True))

    def fetch(self, download):
        """Put what the source holds beside the state: a tail if it continues ours."""
        sendable = self.source.store.sendable
        places, files, starts = self.node.places, [], []
        for place, file in enumerate(sendable.files):
            data = os.pread(file.descriptor, file.record.size_bytes, 0)
            mine = self.content or b""
            start = len(mine) if data.startswith(mine) else 0
            write(places.staged(NUMBER)[place], data[start:])
            files.append(file.record)
            starts.append(start)
        self.arrival = Arrival(NUMBER, tuple(files), tuple(starts) or (None,))
        self.post(events.Received(download, sendable.version, tuple(files)))

    async def until(self, condition):
        """Wait until something is so."""
        with trio.fail_after(PATIENCE_SECONDS):
            while not condition():
                await self.store.perform(lambda: None)

    async def has(self, content):
        """Wait until this content has a version here."""
        ledger = self.machine.ledger

        def is_so():
            files = () if ledger.held is None else ledger.held.files
            return self.content == content and ledger.is_written and plain(files) == plain(records(content))

        await self.until(is_so)


@pytest.fixture
async def pair(tmp_path, nursery):
    """Two members that have just started."""
    members = {}
    for me, name in ((A, "a"), (B, "b")):
        members[me] = Member(me, tmp_path / name, members)
    return members[A], members[B]


async def test_a_change_goes_the_whole_way(pair, nursery):
    """Written by a controllee, told, numbered, durable, offered, fetched, installed, renamed; and all of it handed over."""
    a, b = pair
    for member in pair:
        await nursery.start(member.live)
    a.say(events.LeadershipBegan(256))
    await a.until(lambda: a.version == version(256))
    a.node.append(HEAD)
    content = HEAD
    for number in range(5):
        content += transaction(number)
        a.node.append(transaction(number))
    await a.has(content)
    await b.has(content)
    assert b.version == a.version
    a.node.replace(HEAD + transaction(77))
    await b.has(HEAD + transaction(77))
    # The controllee stops; its last bytes have a version before another leads.
    a.node.append(transaction(78))
    a.say(ENDED)
    content = HEAD + transaction(77) + transaction(78)
    await b.has(content)
    b.say(events.LeadershipBegan(384))
    await b.until(lambda: b.version.gid == 384)
    b.node.append(transaction(79))
    await a.has(content + transaction(79))
    assert a.version == b.version
    assert a.version.lineage[-1].gid == 256
    assert a.store.conflicts == b.store.conflicts == ()
    copy = b.store.sendable_copy("ancestors", str(a.version.lineage[0]))
    assert sent(copy) == {"0": content}


async def test_what_diverged_in_a_partition_is_kept_and_replaced(pair, nursery):
    """Two leaders wrote; the later epoch stays, and the other's state is a conflict of its own node."""
    a, b = pair
    for member in pair:
        await nursery.start(member.live)
    a.say(events.LeadershipBegan(256))
    a.node.append(HEAD)
    await b.has(HEAD)
    a.is_cut_off = True
    b.say(events.LeadershipBegan(384))
    await b.until(lambda: b.version.gid == 384)
    a.node.append(transaction(1))
    b.node.append(transaction(2))
    await a.has(HEAD + transaction(1))
    await b.has(HEAD + transaction(2))
    a.say(ENDED)
    a.is_cut_off = False
    await a.has(HEAD + transaction(2))
    assert a.version == b.version
    await a.until(lambda: a.store.conflicts)
    assert a.node.kept() == [[HEAD + transaction(1)]]
    assert b.store.conflicts == ()


async def test_a_follower_whose_file_was_edited_or_removed_is_repaired(pair, nursery):
    """The edit is kept, and the leader's state is fetched again."""
    a, b = pair
    for member in pair:
        await nursery.start(member.live)
    a.say(events.LeadershipBegan(256))
    a.node.append(HEAD)
    await b.has(HEAD)
    b.node.append(transaction(9))
    await b.until(lambda: "state_altered" in b.remarks)
    await b.has(HEAD)
    assert b.node.kept() == [[HEAD + transaction(9)]]
    b.node.path.unlink()
    await b.until(lambda: b.remarks.count("state_altered") == 2)
    await b.has(HEAD)
    assert len(b.store.conflicts) == 1
    assert a.store.conflicts == ()
