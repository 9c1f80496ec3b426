"""What one seed does to which pool: a pure function from a number to a schedule, which can be printed and run again.

Each seed draws the shape of the pool and, as the simulator does, its own subset of the kinds of faults: faults that all
happen at once hide each other. A host has one fault of its processes at a time, so that daemon and guard are never frozen
together while the controllee runs, which the guarantees leave to the fencing token.
"""

import random

import attrs

#: How long faults begin for. Then everything is mended, and the pool has to settle.
CHAOS_SECONDS = 14.0

LEADER = -1
"""In the place of a host: the one whose controllee runs when the fault begins, or the first."""


@attrs.frozen
class Kind:
    """A kind of faults: what it touches, and how long it lasts, in T."""

    #: "links", "processes", "disk" or "clock"; a host has one of the last three each at a time.
    area: str
    shortest: float
    longest: float


KINDS = {
    # The network. A cut between two of three is the incomplete one of P8.
    "cut": Kind("links", 2, 12),
    "one_way": Kind("links", 2, 12),
    "partition": Kind("links", 4, 14),
    "loss": Kind("links", 2, 10),
    "delay": Kind("links", 2, 10),
    # Processes, killed; daemons are started again after the time.
    "kill_had": Kind("processes", 0, 4),
    "kill_guard": Kind("processes", 0, 0),
    "kill_controllee": Kind("processes", 0, 0),
    "kill_replication": Kind("processes", 0, 4),
    "kill_transferer": Kind("processes", 0, 0),
    "kill_host": Kind("processes", 0, 8),
    "kill_everybody": Kind("processes", 0, 4),
    "stop_had": Kind("processes", 0, 4),
    # Processes, stopped and continued.
    "freeze_had": Kind("processes", 0.2, 4),
    "freeze_guard": Kind("processes", 0.2, 4),
    "freeze_controllee": Kind("processes", 0.2, 2),
    "freeze_replication": Kind("processes", 0.2, 6),
    "freeze_transferer": Kind("processes", 0.2, 4),
    "freeze_host": Kind("processes", 0.2, 6),
    "reload": Kind("processes", 0, 0),
    "full_state_disk": Kind("disk", 1, 6),
    "full_had_disk": Kind("disk", 1, 6),
    "clock": Kind("clock", 2, 12),
}

#: What may keep a controllee from its work until its member abstains.
BREAKING = {"kill_controllee", "kill_guard", "freeze_guard", "full_state_disk"}


@attrs.frozen
class Fault:
    """One fault; times in seconds from the beginning of the chaos."""

    at: float
    seconds: float
    kind: str
    #: The hosts that it is about, by place; of a fault of links the two ends, or one side of a partition.
    hosts: tuple[int, ...]
    #: The share that is lost, the delay in T, the step of the clock in seconds; 0 where there is nothing to choose.
    amount: float = 0.0

    @property
    def area(self):
        """What it touches."""
        return KINDS[self.kind].area

    def __str__(self):
        hosts = " ".join("leader" if host == LEADER else str(host) for host in self.hosts)
        amount = f" {self.amount:g}" if self.amount else ""
        return f"{self.at:6.2f} s for {self.seconds:4.2f} s: {self.kind} {hosts}{amount}"


@attrs.frozen
class Schedule:
    """A pool and what happens to it."""

    seed: int
    candidates: int
    witnesses: int
    has_majority: bool
    has_primary: bool
    timeout_seconds: float
    faults: tuple[Fault, ...]

    @property
    def members(self):
        """How many hosts there are."""
        return self.candidates + self.witnesses

    @property
    def kinds(self):
        """Which kinds of faults occur."""
        return {fault.kind for fault in self.faults}

    def __str__(self):
        mode = "majority" if self.has_majority else "default"
        primary = ", primary" if self.has_primary else ""
        head = (
            f"seed {self.seed}: {self.candidates} candidates, {self.witnesses} witnesses, {mode}{primary}, "
            f"T = {self.timeout_seconds:g} s"
        )
        return "\n".join([head, *(f"  {fault}" for fault in self.faults)])


def draw(seed):
    """Return the schedule of a seed."""
    dice = random.Random(seed * 7919 + 23)
    has_majority = dice.random() < 0.55
    candidates, witnesses = dice.choice(
        ((2, 1), (3, 0)) if has_majority else ((2, 0), (2, 1), (3, 0), (3, 0))
    )
    timeout = dice.choice((0.5, 0.7, 1.0))
    kinds = dice.sample(sorted(KINDS), dice.choice((2, 4, 6, 9)))
    gap = dice.choice((0.5, 1.0, 2.0, 3.0))
    faults, at = [], 0.0
    while (at := at + dice.expovariate(1 / gap)) < CHAOS_SECONDS:
        fault = _fault(dice, round(at, 2), dice.choice(kinds), candidates, witnesses, timeout)
        if not any(_collide(fault, other) for other in faults):
            faults.append(fault)
    return Schedule(seed, candidates, witnesses, has_majority, dice.random() < 0.5, timeout, tuple(faults))


def _fault(dice, at, kind, candidates, witnesses, timeout):
    area, everybody = KINDS[kind].area, list(range(candidates + witnesses))
    seconds = round(dice.uniform(KINDS[kind].shortest, KINDS[kind].longest) * timeout, 2)
    amount = 0.0
    if kind == "partition":
        hosts = dice.sample(everybody, dice.randint(1, len(everybody) - 1))
        hosts = [LEADER] if len(hosts) == 1 and dice.random() < 0.5 else hosts
    elif kind == "kill_everybody":
        hosts = everybody
    elif area == "links":
        hosts = dice.sample(everybody, 2)
        amount = {"loss": dice.choice((0.05, 0.2, 0.5)), "delay": dice.choice((0.05, 0.3, 0.8, 1.5))}.get(
            kind, 0.0
        )
    else:
        # A witness has neither controllee nor replica. Whoever leads is hit most often.
        has_witness = kind.endswith(("had", "host", "clock", "reload", "had_disk"))
        hosts = [dice.choice([LEADER, LEADER, *(everybody if has_witness else everybody[:candidates])])]
        amount = dice.choice((-3600.0, -5.0, 5.0, 3600.0)) if kind == "clock" else 0.0
    return Fault(at, seconds, kind, tuple(hosts), amount)


def _collide(fault, other):
    """Whether two faults would be on one host, in one area, at one time."""
    if fault.area == "links" or fault.area != other.area or not set(fault.hosts) & set(other.hosts):
        return False
    # What was killed needs a moment to be there again.
    return fault.at <= other.at + other.seconds + 0.5
