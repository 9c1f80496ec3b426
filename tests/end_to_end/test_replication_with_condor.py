"""Pools in which some members run HTCondor's replication daemon, C1: the state goes both ways, and nothing is lost in silence.

`condor_replication_double.py` stands in HTCondor's place, since CI has none. Where a real condor_replication is on PATH the
same is done with that, each daemon on a host of its own: on one host it takes every loopback address for itself.
"""

import os
import shutil

import pytest

from tests.end_to_end.attending_had import AttendingHad
from tests.end_to_end.condor_replica import HASTY, CondorReplica, RealReplica
from tests.end_to_end.keys import KEYED, share_key
from tests.end_to_end.networks import Loopback, Namespaces
from tests.end_to_end.replica import value_in

EPOCH, NEXT_EPOCH = 129, 257
#: Where there is a real one, each story is told a second time.
REAL = (
    [pytest.param("real", marks=[pytest.mark.real, pytest.mark.root])]
    if shutil.which("condor_replication")
    else []
)
NEGOTIATED_BY_NOBODY = {
    **dict.fromkeys(
        [f"SEC_DEFAULT_{what}" for what in ("AUTHENTICATION", "ENCRYPTION", "INTEGRITY", "NEGOTIATION")],
        "NEVER",
    ),
    "ALLOW_DAEMON": "*",
    "ALLOW_READ": "*",
}


class Mixed:
    """Two members: ours, with a had that the test plays, and one of HTCondor's."""

    def __init__(self, pool, kind):
        self.pool, self.kind = pool, kind
        self.ours, self.node = pool[0].replica, pool[0]
        self.theirs = kind(pool, pool[1])
        self.had = None

    def start_ours(self):
        """Start our daemon and its had."""
        self.ours.start()
        self.had = self.had or AttendingHad(self.pool, self.node)
        self.wait(self.ours.status, "ours to answer")

    def wait(self, condition, what, seconds=40):
        """Wait for something that other processes bring about; a lost message of HTCondor's is made good after 10 s."""
        return self.pool.wait(condition, seconds, what, 0.02)

    def wait_in_step(self, value):
        """Wait until both hold this value under one version, and nothing else lies about."""
        self.wait(lambda: self.ours.value() == self.theirs.value() == value, f"{value} on both")
        self.wait(lambda: self.ours.point() == self.theirs.point(), "one version on both")
        self.wait(lambda: not self.ours.beside(), "nothing beside our state")
        assert not self.ours.torn()

    def wait_asked(self):
        """Wait until ours has asked theirs what it holds since it holds that; theirs answers before it hears anything else."""
        words = lambda: [line.split()[1:3] for line in self.theirs.said()]  # noqa: E731 -- of the log, twice
        asked = lambda: ["hears", "804"] in words()[::-1][: [w[0] for w in words()[::-1]].index("has")]  # noqa: E731
        self.wait(asked, "ours to ask what theirs holds")

    def lead(self, epoch=EPOCH):
        """Let ours lead."""
        self.had.lead(epoch)
        self.wait(lambda: (self.ours.point() or (0,))[0] == epoch, "our leadership to be recorded")

    def publish(self, value):
        """Let our controllee write a value, and wait until theirs has it."""
        self.had.write(value)
        self.wait_in_step(value)

    def theirs_leads_with(self, value):
        """Let theirs lead, and its negotiator write a value that ours gets."""
        self.theirs.lead()
        self.theirs.write(value)
        self.wait_in_step(value)

    def kept(self):
        """Return the last value in each state that ours keeps as a conflict."""
        return sorted(value_in(data) for data in self.ours.conflicts().values())

    def close(self):
        """End what is on threads of ours; the pool ends the rest."""
        self.theirs.step_down(is_told=False)
        if self.had:
            self.had.close()
        for replica in (self.ours, self.theirs.node.replica):
            assert "Traceback" not in replica.errors() + replica.log()
        assert not self.ours.logged("handler_failed")


@pytest.fixture(params=["double", *REAL])
def mixed(make_pool, request):
    """Make a pool of one of each, `mixed()`; nothing runs yet."""
    pools = []
    kind, network = CondorReplica, Loopback
    if request.param == "real":
        kind, network = RealReplica, Namespaces

    def make(security=KEYED, **knobs):
        knobs = security | HASTY | knobs
        pool = make_pool(2, timeout_seconds=1, has_replication=True, network=network, knobs=knobs)
        if security is KEYED:
            share_key(pool)
        pools.append(Mixed(pool, kind))
        return pools[-1]

    yield make
    for one in pools:
        one.close()


def test_theirs_leads_then_ours_then_theirs(mixed):
    """The state goes to whoever does not lead; each leadership goes on with the last value of the one before it."""
    both = mixed()
    both.theirs.start()
    both.start_ours()
    both.theirs_leads_with(1)
    gid, clock = both.theirs.point()
    both.theirs_leads_with(2)
    assert both.ours.point() == (gid, clock + 1)
    both.theirs.step_down()

    both.lead()
    assert both.ours.value() == 2
    both.publish(3)
    assert both.theirs.point()[0] == EPOCH
    # The last bytes of a leadership have their version at its end, and theirs asks for it a moment later.
    both.had.write(4)
    both.had.step_down()
    both.wait_in_step(4)
    both.wait_asked()
    assert both.ours.status()["state"] == "backup"

    # It goes on under our gid, and ours knows what that grew out of.
    both.theirs_leads_with(5)
    assert both.ours.point()[0] == EPOCH
    assert both.ours.status()["version"]["lineage"] == [[gid, clock + 1]]
    assert both.kept() == []


def test_theirs_dies_and_ours_goes_on(mixed):
    """What theirs had published is where our controllee starts."""
    both = mixed()
    both.theirs.start()
    both.start_ours()
    both.theirs_leads_with(7)
    both.theirs.kill()
    answer = both.had.ask("current")
    assert answer.get_string("Currency") == "current"
    both.lead()
    assert both.ours.value() == 7


def test_one_of_theirs_that_joins_is_repaired(mixed):
    """It fetches nothing by itself; our leader tells it again when it listens, though the state does not change."""
    both = mixed(REPLICATION_INTERVAL=300)
    both.start_ours()
    both.lead()
    both.had.write(11)
    both.wait(lambda: both.ours.point() == (EPOCH, 1), "a version")
    both.theirs.start()
    both.wait_in_step(11)
    both.theirs.kill()
    both.had.write(12)
    both.wait(lambda: both.ours.point() == (EPOCH, 2), "the next version")
    both.theirs.start()
    both.wait_in_step(12)


def test_one_of_theirs_that_returns_with_an_old_state_and_leads(mixed):
    """Nobody was there to repair it. It is followed, as it is the leader; and what it does not have is kept."""
    both = mixed()
    both.theirs.start()
    both.start_ours()
    both.lead()
    both.publish(1)
    both.theirs.kill()
    for value in (2, 3, 4):
        both.had.write(value)
        both.wait(lambda clock=value: both.ours.point() == (EPOCH, clock), "the next version")
    both.had.step_down()
    both.wait(lambda: both.ours.status()["state"] == "backup", "the end of our leadership")
    assert both.ours.stop() == 0
    both.theirs.start()
    both.theirs.lead()
    both.theirs.write(50)
    both.wait(lambda: both.theirs.point() == (EPOCH, 2), "another history under our numbers")
    both.start_ours()
    both.wait_in_step(50)
    assert both.kept() == [4]
    both.theirs.write(51)
    both.wait_in_step(51)
    assert both.kept() == [4]


def test_a_version_that_cannot_be_compared_is_taken_and_ours_is_kept(mixed):
    """A gid of HTCondor's says nothing: its leader's state goes over ours as it would at HTCondor, but not in silence."""
    both = mixed()
    both.start_ours()
    both.lead()
    both.had.write(5)
    both.wait(lambda: both.ours.point() == (EPOCH, 1), "a version")
    both.had.step_down()
    both.wait(lambda: both.ours.status()["state"] == "backup", "the end of our leadership")
    (both.theirs.state_file.parent / "Version").write_text("1804289383\n2")
    both.theirs.start()
    both.theirs_leads_with(9)
    assert both.kept() == [5]
    # And our next leadership grows out of theirs: its number need not be the larger one.
    both.theirs.step_down()
    both.lead(NEXT_EPOCH)
    both.publish(10)
    assert both.ours.status()["version"]["lineage"][0][0] == 1804289383


@pytest.mark.parametrize(
    ("security", "is_fips"), [(KEYED, 1), (NEGOTIATED_BY_NOBODY, 0)], ids=["keys and SHA-256", "raw and MD5"]
)
def test_files_of_all_sizes_go_both_ways(mixed, security, is_fips):
    """Nothing, a little, and more than a chunk; in the clear on a call back where nothing is negotiated, with either digest."""
    both = mixed(security, HAD_FIPS_MODE=is_fips)
    both.theirs.start()
    both.start_ours()
    both.theirs.lead()
    padding = b"".join(
        b"105 \n103 Customer.counter@test Padding %d\n106 \n" % number for number in range(20_000)
    )
    contents = (b"", b"107 1 CreationTimestamp 1700000000\n", padding)
    for number, content in enumerate(contents):
        both.theirs.state_file.write_bytes(content)
        os.utime(both.theirs.state_file, (number + 2e9, number + 2e9))
        both.wait(
            lambda wanted=content: (
                both.ours.state_file.exists() and both.ours.state_file.read_bytes() == wanted
            ),
            f"{len(content)} bytes at ours",
        )
        both.wait(lambda: both.ours.point() == both.theirs.point(), "one version on both")
    both.theirs.step_down()
    both.lead()
    for content in (padding * 2, contents[1], b""):
        both.ours.state_file.write_bytes(content)
        both.wait(
            lambda wanted=content: both.theirs.state_file.read_bytes() == wanted,
            f"{len(content)} bytes at theirs",
        )
        both.wait(lambda: both.ours.point() == both.theirs.point(), "one version on both")
    assert bool(both.theirs.said("down-new")) is (security is KEYED)
    assert both.kept() == []


def test_back_to_htcondor_and_forth(mixed):
    """`Version` and the state are what HTCondor's daemon finds in our place; what it did there is adopted afterwards."""
    both = mixed()
    both.start_ours()
    both.lead()
    both.had.write(1)
    both.wait(lambda: both.ours.point() == (EPOCH, 1), "a version")
    both.had.step_down()
    both.wait(lambda: both.ours.status()["state"] == "backup", "the end of our leadership")
    assert both.ours.stop() == 0

    back = both.kind(both.pool, both.node)
    back.start()
    back.lead()
    assert (back.point(), back.value()) == ((EPOCH, 1), 1)
    back.write(2)
    both.wait(lambda: back.point() == (EPOCH, 2), "HTCondor's next version")
    back.kill()

    both.start_ours()
    both.wait(lambda: both.ours.point() == (EPOCH, 2), "HTCondor's version to be adopted")
    both.lead(NEXT_EPOCH)
    assert both.ours.status()["version"]["lineage"][0] == [EPOCH, 2]
    assert both.ours.value() == 2
    assert both.kept() == []
