"""What a busy pool holds of its machine is the same after many switchovers; an hour of it is `make long-life`."""

from collections import Counter

import attrs
import pytest

from daemoncore.cedar.commands import Command
from tests.end_to_end.belongings import belongings
from tests.end_to_end.keys import KEYED, share_key
from tests.end_to_end.replica import LEDGER_CONTROLLEE

ROUNDS = 3
"""In each of them every member leads once; what each leaves behind shows thrice."""

COUNT_SECONDS = 0.2
"""The state changes so often."""

SERVER_SESSIONS = 'had_sessions{daemon="had",side="server"}'
COUNTED = ("descriptors", "threads", "descendants", "zombies")


def look(pool):
    """Return what every daemon holds, by member, daemon and kind; None while one does not answer."""
    found = {}
    for node in pool.nodes:
        for daemon, pid, page in (
            ("had", node.pid, node.http("/metrics")),
            ("had-replication", node.replica.process.pid, node.replica.http("/metrics")),
        ):
            if page is None:
                return None
            held = attrs.asdict(belongings(pid))
            lines = [line.rpartition(" ") for line in page[1].splitlines() if line[:1] != "#"]
            counts = {name: held[name] for name in COUNTED} | {"series": len(lines)}
            counts |= {name: float(value) for name, _, value in lines if name.startswith("had_sessions{")}
            found |= {(node.index, daemon, kind): count for kind, count in counts.items()}
    return found


class Asker:
    """Moves leadership, and counts its calls: each is somebody new to the daemon that takes it, with a session."""

    def __init__(self, pool):
        self.pool = pool
        self.calls = Counter()

    def switch_over(self, to):
        """Move leadership, once the member is ready for it."""
        leader = next(node for node in self.pool.nodes if node is not to and node.running())
        self.pool.wait(lambda: self._is_taken(leader, to), 30, f"{to} to be ready", 0.3)
        self.pool.wait(to.running, 30, f"the controllee on {to}")

    def _is_taken(self, leader, to):
        self.calls[leader.index, "had", SERVER_SESSIONS] += 1
        return self.pool.command(leader, Command.HAD_SWITCHOVER, To=to.entry)[0]


@pytest.mark.timeout(240)
def test_many_switchovers_leave_nothing_behind(make_pool):
    """Descriptors, threads, processes, sessions and time series are as many as before, with keys and a state."""
    pool = make_pool(3, timeout_seconds=1, has_replication=True, has_primary=False, knobs=KEYED)
    share_key(pool)
    for node in pool.nodes:
        node.configure(KEEPER_ARGS=f"-I -S {LEDGER_CONTROLLEE} {node.lives_file} {COUNT_SECONDS}")
    pool.start()
    first = pool.wait_settled(seconds=40)
    others = [node for node in pool.nodes if node is not first]
    asker = Asker(pool)
    # Once around, so that everybody has spoken with everybody in every role.
    for to in (*others, first):
        asker.switch_over(to)
    pool.wait_settled(first, 20)
    copies = (first.index, "had-replication", "descendants")
    before = pool.wait(
        lambda: found if (found := look(pool)) and found[copies] == len(others) else None,
        30,
        "a copy process for each follower",
        0.2,
    )
    asker.calls.clear()
    for to in (*others, first) * ROUNDS:
        asker.switch_over(to)
    pool.wait_settled(first, 20)
    least, more = {}, {}

    def is_as_before():
        # What is there for a moment goes again; what was left behind stays.
        for key, count in (look(pool) or {}).items():
            least[key] = min(count, least.get(key, count))
        more.clear()
        more.update({key: (before[key], n) for key, n in least.items() if n > before[key] + asker.calls[key]})
        return least and not more

    try:
        pool.wait(is_as_before, 20, "everything to be as before", 0.2)
    except AssertionError as error:
        raise AssertionError(f"more than before: {more}") from error
    assert pool.overlap_seconds() == 0
