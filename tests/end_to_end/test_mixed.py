"""C1: pools in which some members are condor_had, here a double that speaks only HTCondor's messages.

Each story is told in a pool of two of its own. They mostly wait, HTCondor's interval being long, so all are told at
once, and each test looks at one. What a story measures is in intervals: with T = 0.5 and two members one is 6 s.
"""

import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from daemoncore import boottime
from tests.end_to_end.networks import Loopback, Namespaces
from tests.end_to_end.node import ROOT
from tests.end_to_end.pool import Pool

pytestmark = [pytest.mark.timed, pytest.mark.timeout(120)]

T = 0.5
#: HTCondor's formula, 2 * (2 * T * N + 1).
INTERVAL = 2 * (2 * T * 2 + 1)
#: What processes take to start and messages to travel, on a machine that is busy with the other stories.
SLACK = 2.0


class Host:
    """A place in a pool on which either daemon can run."""

    def __init__(self, pool, index):
        self.pool, self.node = pool, pool[index]

    def start_ours(self):
        """Start our daemon."""
        self.node.start()
        return boottime.now()

    def start_condor(self):
        """Start the double, with the same configuration."""
        node, logged = self.node, len(self.node.errors())
        argv = [sys.executable, "-m", "tests.end_to_end.condor_double", "-c", str(node.configuration)]
        with node.error_file.open("ab") as errors:
            node.process = subprocess.Popen(
                self.pool.network.command(self.node.index, [*argv, str(node.lives_file)]),
                cwd=ROOT,
                env=self.pool.environment,
                stdin=subprocess.DEVNULL,
                stdout=errors,
                stderr=errors,
                start_new_session=True,
            )
        self.pool.wait(lambda: "pre -> passive" in node.errors()[logged:], 10, f"HTCondor's daemon on {node}")
        return boottime.now()

    def upgrade(self):
        """Stop HTCondor's daemon, wait for its negotiator, and start ours."""
        assert self.node.stop() == 0
        self.pool.wait(lambda: not self.node.running(), 5, f"the end of the negotiator on {self.node}")
        return self.start_ours()

    def downgrade(self):
        """Stop our daemon, and its controllee with it, and start HTCondor's."""
        assert self.node.stop() == 0
        return self.start_condor()

    def wait_life(self, after, intervals):
        """Wait for a controllee that begins here after a time, within so many intervals; return its life."""
        life = self.pool.wait_new_life(after, intervals * INTERVAL + SLACK, self.node)
        assert life.began - after <= intervals * INTERVAL + SLACK
        return life

    def follows(self, other):
        """Tell whether our daemon here follows another host's."""
        status = self.node.status()
        return status is not None and status["leader"] == other.node.entry

    def wait_follows(self, other, seconds):
        """Wait until our daemon here follows another host's."""
        self.pool.wait(lambda: self.follows(other), seconds, f"{self.node} follows {other.node}", 0.05)


def only_life(pool):
    """Return the one controllee that runs; there must be no other, nor have been two at once."""
    assert pool.overlap_seconds() == 0.0
    [life] = [node.running() for node in pool.nodes if node.running()]
    return life


def last_alive(led, at):
    """Return when a real leader sent its last ALIVE before a time: twice in an interval, beginning when it led."""
    return led.began + (at - led.began) // (INTERVAL / 2) * (INTERVAL / 2)


def real_host_dies(pool, first, second):
    """Ours follows a real primary, and takes over an interval after its last ALIVE, no sooner, when its host dies."""
    led = first.wait_life(first.start_condor(), 2)
    second.start_ours()
    second.wait_follows(first, INTERVAL)
    at = pool.unplug(first.node)
    first.node.kill_host()
    life = second.wait_life(at, 1)
    assert life.began >= last_alive(led, at) + INTERVAL - 0.5
    assert only_life(pool).pid == life.pid


def real_daemons_die(pool, first, second):
    """All of HTCondor's is killed, but the machine answers, so a negotiator may be left: ours waits three intervals."""
    led = first.wait_life(first.start_condor(), 2)
    second.start_ours()
    second.wait_follows(first, INTERVAL)
    at = first.node.kill_host()
    life = second.wait_life(at, 3)
    assert life.began >= last_alive(led, at) + 3 * INTERVAL - 0.5
    assert only_life(pool).pid == life.pid


def real_primary_returns(pool, first, second):
    """Ours leads, and stops at a returning real primary's first SEND_ID: never two, and an interval with none."""
    led = second.wait_life(second.start_ours(), 1)
    back = first.start_condor()
    life = first.wait_life(back, 2)
    assert life.began - back >= 2 * INTERVAL - 0.5
    [ended] = [one for one in second.node.lives() if one.pid == led.pid]
    assert ended.has_stopped
    assert ended.ended < life.began
    second.wait_follows(first, INTERVAL)
    assert only_life(pool).pid == life.pid


def our_primary_returns(pool, first, second):
    """Our primary announces itself to a real leader, and starts when its ALIVEs have ceased: never two."""
    led = second.wait_life(second.start_condor(), 2)
    back = first.start_ours()
    # It hears the real one within half an interval, which steps down within one, half a one after its last ALIVE.
    life = first.wait_life(back, 2.5)
    [ended] = [one for one in second.node.lives() if one.pid == led.pid]
    assert ended.has_stopped
    assert life.began - ended.ended >= INTERVAL / 2 - 0.5
    assert only_life(pool).pid == life.pid


def our_primary_dies(pool, first, second):
    """A real secondary hears ours lead, and takes over two to three intervals after its last ALIVE when its host dies."""
    led = first.wait_life(first.start_ours(), 1)
    second.start_condor()
    pool.wait(lambda: boottime.now() > led.began + INTERVAL, INTERVAL + SLACK, "an interval", 0.1)
    at = first.node.kill_host()
    life = second.wait_life(at, 3)
    # It may have heard the last ALIVE half an interval before.
    assert life.began - at >= 1.5 * INTERVAL - 0.5
    assert only_life(pool).pid == life.pid


def only_condor_had_dies(pool, first, second):
    """A killed condor_had leaves its negotiator: ours does not start beside it, nor before a real member would."""
    led = first.wait_life(first.start_condor(), 2)
    second.start_ours()
    second.wait_follows(first, INTERVAL)
    at = first.node.kill()
    # HTCondor's master starts it again when ours has found out; then the negotiator is stopped, and the real one leads again.
    found_out = at + INTERVAL + 1
    pool.wait(lambda: boottime.now() > found_out, INTERVAL + 2, "the end of the interval", 0.1)
    assert only_life(pool).pid == led.pid
    back = first.start_condor()
    pool.wait_dead(led.pid, SLACK)
    life = first.wait_life(back, 2)
    second.wait_follows(first, INTERVAL)
    assert only_life(pool).pid == life.pid


def upgrade_and_back(pool, first, second):
    """Two real managers are upgraded one by one, the secondary first, and rolled back: never two."""
    led = first.wait_life(first.start_condor(), 2)
    second.start_condor()
    second.upgrade()
    # The real leader's first message is lost: it goes in a session that only its predecessor knew.
    second.wait_follows(first, 1.5 * INTERVAL)
    assert only_life(pool).pid == led.pid
    both_ours = first.wait_life(first.upgrade(), 0.5)
    second.wait_follows(first, INTERVAL)
    # Ours hands over to ours, at once; the real primary comes back in its own time.
    back = first.downgrade()
    between = second.wait_life(both_ours.began, 0.5)
    life = first.wait_life(back, 2)
    assert life.began - back >= 2 * INTERVAL - 0.5
    assert between.began < life.began
    second.wait_follows(first, INTERVAL)
    second.downgrade()
    assert only_life(pool).pid == life.pid


def upgrade_of_the_leader_first(pool, first, second):
    """The real leader is upgraded first: ours listens for an interval beside a real follower, and leads. Never two."""
    first.wait_life(first.start_condor(), 2)
    second.start_condor()
    at = first.upgrade()
    life = first.wait_life(at, 1.5)
    assert life.began - at >= INTERVAL - 0.5
    second.upgrade()
    second.wait_follows(first, INTERVAL)
    assert first.node.send(signal.SIGTERM)
    handed = second.wait_life(life.began, 0.5)
    assert only_life(pool).pid == handed.pid


#: Each with HAD_USE_PRIMARY, and the hosts that it takes.
STORIES = {
    real_host_dies: (True, Namespaces),
    real_daemons_die: (True, Loopback),
    real_primary_returns: (True, Loopback),
    our_primary_returns: (True, Loopback),
    our_primary_dies: (False, Loopback),
    only_condor_had_dies: (False, Loopback),
    upgrade_and_back: (True, Loopback),
    upgrade_of_the_leader_first: (False, Loopback),
}

#: Hosts apart need a word on security; who may speak is decided by address.
APART = {
    "ALLOW_DAEMON": "*/10.77.0.*",
    "ALLOW_ADMINISTRATOR": "*/10.77.0.*",
    "SEC_DEFAULT_AUTHENTICATION": "OPTIONAL",
}


def tell(folder, story):
    """Make a pool, tell a story in it, and end it."""
    has_primary, network = STORIES[story]
    knobs = APART if network is Namespaces else None
    with Pool(folder, 2, timeout_seconds=T, has_primary=has_primary, network=network, knobs=knobs) as pool:
        try:
            story(pool, Host(pool, 0), Host(pool, 1))
        except AssertionError as error:
            lives = "\n".join(str(life) for life in pool.lives())
            raise AssertionError(f"{error}\n{lives}\n{pool.story()}") from error


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """Tell all stories at once; return what came of each, to be waited for."""
    folder = tmp_path_factory.mktemp("mixed")
    with ThreadPoolExecutor(len(STORIES)) as threads:
        yield {story: threads.submit(tell, folder / story.__name__, story) for story in STORIES}


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.__name__)
def test_mixed_pool(told, story):
    """What the story says holds between two daemons of which one is HTCondor's."""
    told[story].result()
