"""What one seed simulates: the pool, its hosts, and which faults may happen (swarm testing).

Every seed draws its own subset of the kinds of faults, with its own rates. A run in which everything fails all the
time explores little: faults mask each other. A run in which only freezes and switchovers happen, again and again,
finds what they do to each other.
"""

from __future__ import annotations

import random

import attrs

TIMEOUTS = (0.2, 0.5, 1.0, 2.0, 5.0)

#: Kinds of faults and requests, by name (`tests.simulation.faults` has one method each; `suspend` and `exchange` besides).
KINDS = (
    "kill",
    "host",
    "freeze",
    "slow",
    "cut",
    "partition",
    "one_way",
    "weather",
    "deny",
    "disk",
    "die",
    "broken",
    "stubborn",
    "stop",
    "switchover",
    "pause",
    "retime",
    "relist",
    "hard",
)

VOTING_KINDS = ("reject", "siege")
"""Faults that only votes survive: a living leader is taken for dead. Without them two controllees are no surprise."""

EXCHANGE_SHARE = 0.5
"""The share of mixed pools in which hosts are upgraded and rolled back (`exchange`), drawn apart from all else."""

FIRST_SEED = 1_000_000
"""Seeds before this one draw no majority, so that those which failed once replay what they found."""


@attrs.frozen
class Options:
    """One seed's pool and faults; times in seconds, T is `timeout_seconds`."""

    candidates: int = 3
    witnesses: int = 0
    #: Positions in the list that run a real condor_had.
    condors: tuple[int, ...] = ()
    timeout_seconds: float = 2.0
    use_primary: bool = False
    #: HAD_REQUIRE_MAJORITY.
    majority: bool = False
    #: Clocks run at 1 +- this; the machine's settings say the same.
    clock_drift: float = 0.01
    #: Each clock at one end of that or the other, nothing between.
    is_drift_extreme: bool = False
    latency: tuple[float, float] = (0.0002, 0.001)
    disk_delay: tuple[float, float] = (0.001, 0.05)
    start_skew_seconds: float = 0.05
    chaos_timeouts: float = 25.0
    #: Mean time between faults, in T.
    gap_timeouts: float = 2.0
    kinds: tuple[str, ...] = ()
    loses_disks: bool = False
    #: How long nothing must have disturbed the network before two controllees are an error, in T.
    settle_timeouts: float = 6.0
    stop_timeout_seconds: float = 2.0
    restart_window_seconds: float = 0.0
    backoff_constant_seconds: float = 1.0
    backoff_ceiling_seconds: float = 6.0
    recover_seconds: float = 20.0
    #: How many promises of the contract are measured at the end.
    promises: int = 3
    #: Which promises (`tests.simulation.promises`), none for all of them.
    promise_names: tuple[str, ...] = ()

    @property
    def members(self) -> tuple[str, ...]:
        """HAD_LIST."""
        return tuple(f"n{i + 1}:9620" for i in range(self.candidates))

    @property
    def witness_members(self) -> tuple[str, ...]:
        """HAD_WITNESS_LIST."""
        return tuple(f"w{i + 1}:9620" for i in range(self.witnesses))


def draw(seed: int) -> Options:
    """Draw a seed's options; the dice are its own, so that a change of the simulator does not reshuffle seeds."""
    options = _drawn(seed)
    if options.condors and random.Random(seed * 7919 + 19).random() < EXCHANGE_SHARE:
        return attrs.evolve(options, kinds=(*options.kinds, "exchange"))
    dice = random.Random(seed * 7919 + 18)
    if seed < FIRST_SEED or options.condors or dice.random() < 0.4:
        return options
    # A disk that is lost while lists or T are changing is two faults at once.
    is_changing = {"relist", "retime"} & set(options.kinds)
    options = attrs.evolve(
        options,
        majority=True,
        kinds=options.kinds + (("suspend",) if dice.random() < 0.3 else ()),
        witnesses=dice.choice((0, 1, 1) if options.candidates == 2 else (0, 0, 1)),
        loses_disks=options.loses_disks and not is_changing,
    )
    besides = tuple(kind for kind in VOTING_KINDS if dice.random() < 0.3)
    return attrs.evolve(
        options,
        kinds=options.kinds + besides,
        is_drift_extreme=options.clock_drift > 0 and dice.random() < 0.5,
    )


def _drawn(seed: int) -> Options:
    dice = random.Random(seed * 7919 + 17)
    candidates = dice.choice((2, 2, 3, 3, 3, 4, 5))
    is_mixed = dice.random() < 0.12
    condors: tuple[int, ...] = ()
    if is_mixed:
        condors = tuple(sorted(dice.sample(range(candidates), dice.randint(1, candidates - 1))))
    timeout = dice.choice(TIMEOUTS)
    share = dice.choice((0.0, 0.1, 0.2, 0.4, 0.8))
    kinds = tuple(k for k in KINDS if dice.random() < share)
    if is_mixed:
        kinds = tuple(k for k in kinds if k in {"kill", "host", "freeze", "cut", "partition", "die", "stop"})
    return Options(
        candidates=candidates,
        witnesses=0 if is_mixed else dice.choice((0, 0, 0, 1)),
        condors=condors,
        timeout_seconds=timeout,
        use_primary=dice.random() < 0.5,
        clock_drift=dice.choice((0.0, 0.001, 0.01, 0.01)),
        latency=dice.choice(((0.0001, 0.0002), (0.0002, 0.001), (0.0, 0.02 * timeout))),
        disk_delay=dice.choice(((0.001, 0.003), (0.001, 0.05))),
        start_skew_seconds=dice.choice((0.0, 0.05, 0.05, timeout)),
        chaos_timeouts=dice.choice((15.0, 25.0)),
        gap_timeouts=dice.choice((0.3, 1.0, 2.0, 5.0)),
        kinds=kinds,
        loses_disks=dice.random() < 0.15,
        stop_timeout_seconds=dice.choice((0.5, 2.0)),
        restart_window_seconds=dice.choice((0.0, 0.0, 0.0, 3 * timeout)),
        backoff_constant_seconds=dice.choice((0.5, 2.0)),
        recover_seconds=dice.choice((2.0, 20.0)),
        promises=0 if is_mixed else dice.choice((1, 3)),
    )
