"""The replica machine under any sequence of events: what it must never do, whoever says what."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from replication import effects, events
from replication.events import CondorCommand, Point, State
from replication.manifest import Held
from replication.replica import Replica
from tests.replication.tellers import SETTINGS, A, C, T, files, version

MEMBERS = st.sampled_from((A, C))
VERSIONS = st.sampled_from(
    [
        version("1.1"),
        version("1.2"),
        version("2.0", "1.1"),
        version("2.3", "1.2"),
        version("3.1", "2.0", "1.1"),
        version("9.4", is_rooted=False),
        version("0.0", is_rooted=False),
    ]
)
CONTENTS = st.sampled_from(["a", "b", "c"])


class AnyWorld(RuleBasedStateMachine):
    """One replica; its driver is slow, its had is confused, and the others say anything."""

    def __init__(self):
        super().__init__()
        self.now = 0.0
        self.sequence = 0
        self.machine = Replica(SETTINGS, None, 1, 0.0)
        self.durable: Held | None = None
        self.writing: Held | None = None
        self.installing: effects.Install | None = None
        self.downloads: set[int] = set()
        self.is_leading_told = False
        self.answered: set[int] = set()
        self.requests = 0
        self.points: set[Point] = set()

    def tell(self, event, seconds=0.01):
        """Hand in an event and judge what comes of it."""
        self.now += seconds
        for effect in self.machine.handle(event, self.now):
            self.judge(effect)
        assert self.machine.deadline > self.now

    def judge(self, effect):
        """Hold one effect against the rules."""
        match effect:
            case effects.Note(held):
                assert self.writing is None
                assert self.installing is None
                if self.durable is None or held.version != self.durable.version:
                    assert held.version.point not in self.points, "a number is given twice"
                self.writing = held
            case effects.Install():
                assert self.writing is None
                assert self.installing is None
                assert not self.is_leading_told
                assert self.machine.state is not State.LEADER
                self.installing = effect
            case effects.StartDownload(number):
                assert not self.downloads
                self.downloads.add(number)
            case effects.Send(_, report):
                assert report.version == (None if self.machine.ledger.is_altered else self.version)
            case effects.StartUpload(_, sent):
                assert sent == self.version
            case effects.Answer(request):
                assert request not in self.answered
                self.answered.add(request)

    @property
    def version(self):
        """What is on disk."""
        return None if self.durable is None else self.durable.version

    def hold(self, held):
        """Something is on disk now."""
        self.durable = held
        self.points.add(held.version.point)

    # --- the driver ---------------------------------------------------------------------------------------------

    @precondition(lambda self: self.writing is not None)
    @rule(is_good=st.booleans())
    def write(self, is_good):
        """The disk answers."""
        held, self.writing = self.writing, None
        if is_good:
            self.hold(held)
        self.tell(events.Noted(held) if is_good else events.NoteFailed("full"))

    @precondition(lambda self: self.installing is not None)
    @rule(is_good=st.booleans())
    def install(self, is_good):
        """An installation is over."""
        effect, self.installing = self.installing, None
        if is_good:
            self.hold(effect.held)
            self.tell(events.Installed(effect.download, effect.held))
        else:
            self.tell(events.InstallFailed(effect.download, "full"))

    @rule(content=CONTENTS)
    def change(self, content):
        """The state is another."""
        self.tell(events.StateChanged(files(content)))

    @rule()
    def settle(self):
        """A last look is over, asked for or not."""
        self.tell(events.Settled())

    @rule(seconds=st.sampled_from([0.1, T, 4 * T, 70.0]))
    def wait(self, seconds):
        """Time passes."""
        self.tell(events.Tick(), seconds)

    # --- transfers ----------------------------------------------------------------------------------------------

    @precondition(lambda self: self.downloads)
    @rule(found=VERSIONS, content=CONTENTS, is_offered=st.booleans())
    def bring(self, found, content, is_offered):
        """A download offers something, or has brought it."""
        number = max(self.downloads)
        if is_offered:
            self.tell(events.Offered(number, found))
        elif self.installing is None:
            self.tell(events.Received(number, found, files(content)))

    @precondition(lambda self: self.downloads)
    @rule(is_orderly=st.booleans())
    def end(self, is_orderly):
        """A download's process ends."""
        number = self.downloads.pop()
        self.tell(events.DownloadEnded(number, is_orderly))

    @rule(peer=MEMBERS, is_ours=st.booleans())
    def ask_for_it(self, peer, is_ours):
        """Somebody wants our state."""
        self.requests += 1
        self.tell(events.UploadAsked(self.requests, peer, is_ours))

    # --- the others and had --------------------------------------------------------------------------------------

    @rule(peer=MEMBERS, is_ours=st.booleans())
    def link(self, peer, is_ours):
        """A connection is made."""
        self.tell(events.Linked(peer, is_ours))

    @rule(peer=MEMBERS)
    def lose(self, peer):
        """A daemon is gone."""
        self.tell(events.Gone(peer))

    @rule(peer=MEMBERS, found=st.none() | VERSIONS, content=CONTENTS, state=st.sampled_from(State))
    def report(self, peer, found, content, state):
        """A replica of ours says anything."""
        self.sequence += 1
        print_of = "" if found is None else content
        self.tell(events.Heard(events.Report(peer, state, found, print_of, 1, self.sequence, T)))

    @rule(peer=MEMBERS, command=st.sampled_from(CondorCommand), clock=st.integers(0, 3))
    def say(self, peer, command, clock):
        """A real condor_replication says anything."""
        self.tell(events.CondorSaid(peer, command, Point(9, clock), 3))

    @rule(epoch=st.none() | st.integers(1, 400), is_begun=st.booleans())
    def lead(self, epoch, is_begun):
        """Had leads, with whatever epoch."""
        self.is_leading_told = True
        self.tell(events.LeadershipBegan(epoch) if is_begun else events.LeadershipConfirmed(epoch))
        self.is_leading_told = False

    @rule(is_stopped=st.booleans())
    def stop_leading(self, is_stopped):
        """Had does not lead."""
        self.tell(events.LeadershipEnded(is_stopped))

    @rule(epoch=st.none() | st.integers(0, 9), is_flush=st.booleans(), is_strict=st.booleans())
    def ask(self, epoch, is_flush, is_strict):
        """Had asks something."""
        self.requests += 1
        if is_flush:
            self.tell(events.FlushAsked(self.requests, 2.0, A if is_strict else None))
        else:
            self.tell(events.CurrentAsked(self.requests, epoch, is_strict))

    @invariant()
    def memory_is_what_the_disk_holds(self):
        """Acknowledgements aside, which are written down with the next version."""
        held = self.machine.ledger.held
        assert (held is None) == (self.durable is None)
        if held is not None:
            assert (held.version, held.files) == (self.durable.version, self.durable.files)


AnyWorld.TestCase.settings = settings(max_examples=150, stateful_step_count=60, deadline=None)
TestAnyWorld = AnyWorld.TestCase
