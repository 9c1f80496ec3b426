"""One seed from the cold start to the last promise: `run(seed)`.

Phases: the cold start (P2), chaos as the options allow, in which only safety counts, then everything is mended and
the pool must settle in time and stay settled (liveness), then some promises are measured one by one.
"""

from __future__ import annotations

import time

import attrs

from had import events
from tests.simulation.faults import Chaos
from tests.simulation.options import Options, draw
from tests.simulation.pool import Pool
from tests.simulation.promises import Promises
from tests.simulation.world import Violation


@attrs.frozen
class Result:
    """What came of one seed."""

    seed: int
    options: Options
    #: What does not hold, None if everything does.
    violation: str | None
    lines: list[str]
    #: Events that were handled by a machine and judged.
    steps: int
    messages: int
    virtual_seconds: float
    real_seconds: float

    @property
    def is_good(self) -> bool:
        """Tell whether every invariant held."""
        return self.violation is None


def run(seed: int, options: Options | None = None, *, is_tracing: bool = False) -> Result:
    """Simulate one seed, with the options drawn from it unless others are given."""
    options = options or draw(seed)
    began = time.perf_counter()
    pool = Pool(options, seed, is_tracing=is_tracing)
    violation = None
    try:
        story(pool)
    except Violation as found:
        violation = f"at {pool.world.now:.3f}: {found}"
    except AssertionError as found:
        violation = f"at {pool.world.now:.3f}: assertion in the machine: {found!r} {_where(found)}"
    except Exception as found:  # noqa: BLE001 - a crash of the machine is a finding like any other
        violation = f"at {pool.world.now:.3f}: the machine raised {found!r} {_where(found)}"
    world = pool.world
    if violation is not None:
        world.tell("!!", violation)
    spent = time.perf_counter() - began
    return Result(
        seed, options, violation, world.lines, pool.watch.steps, pool.network.messages, world.now, spent
    )


def _where(error: BaseException) -> str:
    frame = error.__traceback__
    while frame is not None and frame.tb_next is not None:
        frame = frame.tb_next
    return f"({frame.tb_frame.f_code.co_filename}:{frame.tb_lineno})" if frame else ""


def story(pool: Pool) -> None:
    """Play all phases; raise a `Violation` where something does not hold."""
    _cold_start(pool)
    chaos = Chaos(pool)
    chaos.begin()
    pool.world.run_until(pool.world.now + pool.options.chaos_timeouts * pool.timeout)
    chaos.end()
    _recover(pool)
    if pool.options.promises:
        Promises(pool).check_some(pool.options.promises)


def _cold_start(pool: Pool) -> None:
    """P2: all hosts together, and the highest id leads."""
    options = pool.options
    pool.start_all(options.start_skew_seconds)
    if options.condors:
        return
    is_complete = options.start_skew_seconds < options.timeout_seconds
    # Empty disks withhold votes for one lease: P2's 2 T + 1 s remains, its "at once" does not.
    at_once = 2 * pool.timeout + 1 if options.majority else 0.5 + 8 * options.latency[1]
    bound = options.start_skew_seconds + (at_once if is_complete else 2 * pool.timeout + 1)
    pool.world.run_while(lambda: not pool.watch.runs, bound)
    if not pool.watch.runs:
        raise Violation(f"promise: P2: no controllee {bound:.2f} s after a cold start: {pool.describe()}")
    if is_complete and pool.watch.runs[0].node != pool.members[0]:
        raise Violation(
            f"promise: P2: the controllee came on {pool.watch.runs[0].node}, not on the first member"
        )


def _recover(pool: Pool) -> None:
    """Mend everything but hosts that stay dead; the pool settles and stays settled."""
    world, dice = pool.world, pool.world.dice
    dead: set[str] = set()
    if dice.random() < 0.3:
        names = [n.name for n in pool.everyone]
        dead = set(dice.sample(names, dice.randint(1, len(names) - 1)))
        # Where a list was being changed, a majority of the shorter one is needed until a leader has changed it.
        is_changing = "relist" in pool.options.kinds
        is_too_many = pool.options.majority and (2 * len(dead) >= len(names) or is_changing)
        if not set(pool.members) - dead or is_too_many:
            dead = set()
    world.run_until(world.now + 1.1)  # reconfigurations under way are done by then
    world.tell("**", f"all mended, dead for good: {sorted(dead) or 'nobody'}")
    pool.bring_back(frozenset(dead))
    for node in pool.nodes:
        if node.is_up and node.machine is not None and (node.machine.is_paused or node.machine.hold):
            world.tell("**", f"resume asked of {node.label}")
            node.receive(events.ResumeRequested(pool.next_request()))
            break
    promises = Promises(pool)
    promises.pool_dead = frozenset(dead)
    Promises.pool_dead = frozenset(dead)
    bound = promises.settle_bound
    if pool.options.condors:
        interval = pool.settings_of(pool.members[0]).condor_interval_seconds
        bound = 4 * interval + 4 * pool.timeout * len(pool.members) + pool.options.stop_timeout_seconds
    pool.settle(bound, "everything was mended")
    if not pool.options.condors:
        world.run_until(world.now + pool.watch.settle_seconds)
        pool.settle(bound, "the first settling")
        pool.stay(3 * pool.timeout, "everything was mended")
