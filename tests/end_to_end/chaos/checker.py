"""Decides whether a history keeps the promises of docs/guarantees.md. Pure: values in, sentences about violations out.

T is HAD_CONNECTION_TIMEOUT. The rules:

1. **Never two (majority).** No two controllees live at one instant.
2. **Two only where the network is cut (default).** While two controllees live, the hosts cannot reach each other, or
   could not until less than T + 0.5 s and a stop ago, and no third member joins them (P7, P8). Killed or frozen daemons
   and hosts are no excuse (P3 to P6).
3. **Epochs.** An epoch belongs to one member, each member's leaderships have rising ones, and with a majority those of
   the whole pool rise.
4. **Each part is served.** Where nothing changed for as long as the promises ask for, each part of the pool whose members
   reach each other, and which may have a leader, has exactly one controllee; with a majority, the other parts have none.
5. **One in the end.** After everything was mended there is one controllee in time, it stays, and with HAD_USE_PRIMARY it
   is on the first member.
6. **What is acknowledged is not lost.** What lay on another member's disk at any time is in the end in the state or in
   a conflict that somebody keeps. So is what only its writer ever held, since every host returns with its disk.
7. **Nothing is written twice.** No write number of an epoch comes again, and each write follows the one before it.
8. **Nothing is torn.** In the end each member's state is whole, belongs to its version, and is the same everywhere.
9. **No daemon stumbles.** No log holds a programmer's error.

A controllee lives from its first instruction to the last that it recorded, which is 5 ms before its end at most, or
earlier, so what is called an overlap was one. Not counted is what docs/guarantees.md does not promise: a frozen
controllee, and the first moment after its host resumes (RESUME_SECONDS).
"""

import itertools

from tests.end_to_end.chaos.schedule import BREAKING
from tests.end_to_end.chaos.spans import difference, intersection, length, stretched, union

ALLOWANCE_SECONDS = 1.0
"""What every bound has in addition, for a machine of two cores that runs several pools at once, each process of which has
to start an interpreter. Besides, the time for which daemons of the pool waited for a processor is added, as the kernel
counts it."""

DROWNING_SHARE = 0.5
"""Where a daemon of the pool could not run for this share of the time that it wanted a processor in, the machine drowns:
leases lapse that nobody could renew, and how often that happens is not promised. Rules 4 and 5 are silent then, and rule 8
asks no more that all hold the same in time; never those on safety."""

STOP_SECONDS = 0.3
"""What the scribe takes to stop: one cycle, a sync, and its exit."""

RESUME_SECONDS = 0.25
"""After a frozen host resumes its controllee may run until its guard has; both wait for a processor."""

BEAT_SECONDS = 0.05
"""Between two signs of life of a scribe lie 5 ms, or its transaction."""

FROZEN = {"freeze_host", "freeze_controllee"}


def settle_seconds(schedule):
    """Return how long a pool may take, from when everything is mended until the right leader's controllee runs.

    The sum of P2 (all may start anew), P6 with a state (the first member returns, its replica waits for T for those that
    do not answer), a vote that is bound for T, and what a member whose controllee kept dying abstains for.
    """
    seconds = 5 * schedule.timeout_seconds + 3
    if schedule.kinds & BREAKING:
        # MASTER_HAD_BACKOFF_CONSTANT and _CEILING of a fire.
        seconds += 1 + 2
    return seconds


def violations(history):
    """Return what does not hold, one sentence each; empty if everything does."""
    rules = (never_two, epochs, served, one_in_the_end, lost, written_twice, torn, stumbled)
    return [sentence for rule in rules for sentence in rule(history)]


# --- two controllees ----------------------------------------------------------------------------------------------


def alive(history, life):
    """Return the spans in which a controllee could act, frozen ones and the first moment after them left out."""
    frozen = [
        (one.began, one.ended + RESUME_SECONDS)
        for one in history.happened
        if one.fault.kind in FROZEN and one.fault.hosts == (life.node,)
    ]
    return difference([(life.began, life.ended)], union(frozen))


def never_two(history):
    """Rules 1 and 2."""
    for one, other in itertools.combinations(history.livings, 2):
        both = intersection(alive(history, one), alive(history, other))
        if both and not history.schedule.has_majority:
            both = difference(both, _excuses(history, one.node, other.node, both))
        if both:
            why = "majority" if history.schedule.has_majority else "no cut that would excuse it"
            yield (
                f"two controllees for {length(both):.3f} s from {both[0][0]:.3f}: {_name(one)} and {_name(other)}; {why}"
            )


def _name(life):
    return f"node {life.node} epoch {life.epoch} pid {life.pid} ({life.began:.3f} to {life.ended:.3f})"


def _excuses(history, one, other, both):
    """Return the spans in which two members may both lead: no path over at most one member joins them (P8)."""
    schedule = history.schedule
    healing = schedule.timeout_seconds + 0.5 + STOP_SECONDS + ALLOWANCE_SECONDS
    heals = healing + history.waited_seconds(both[-1][1] - 2 * healing, both[-1][1])
    excuse = stretched(_doubts(history, one, other), heals)
    for third in set(range(schedule.members)) - {one, other}:
        without = [_doubts(history, one, third), _doubts(history, third, other), _troubles(history, third)]
        excuse = intersection(excuse, stretched(union(*without), heals))
    return excuse


def _doubts(history, one, other):
    """Return when something was wrong with the link between two members, in whatever direction."""
    if one == other:
        return []
    return union([(h.began, h.ended) for h in history.happened if _touches(h.fault, one, other)])


def _touches(fault, one, other):
    if fault.area != "links":
        return False
    if fault.kind == "partition":
        return (one in fault.hosts) != (other in fault.hosts)
    return {one, other} == set(fault.hosts)


def _troubles(history, node):
    """Return when something was wrong with a member itself."""
    return union(
        [
            (h.began, h.ended)
            for h in history.happened
            if h.fault.area == "processes" and node in h.fault.hosts
        ]
    )


# --- epochs -------------------------------------------------------------------------------------------------------


def epochs(history):
    """Rule 3."""
    owners = {}
    for epoch, node in {(life.epoch, life.node) for life in history.livings} | {
        (write.epoch, write.node) for write in history.writes
    }:
        owners.setdefault(epoch, set()).add(node)
    for epoch, nodes in sorted(owners.items()):
        if len(nodes) > 1:
            yield f"epoch {epoch} belongs to nodes {sorted(nodes)}"
    order = sorted(history.livings, key=lambda life: life.began)
    for before, after in itertools.pairwise(order):
        if history.schedule.has_majority and after.epoch < before.epoch:
            yield f"epochs fall: {_name(after)} after {_name(before)}"
    for node in range(history.schedule.members):
        own = [life for life in order if life.node == node]
        for before, after in itertools.pairwise(own):
            if after.epoch < before.epoch and not history.schedule.has_majority:
                yield f"epochs fall: {_name(after)} after {_name(before)}"


# --- service ------------------------------------------------------------------------------------------------------


def served(history):
    """Rule 4."""
    changes = sorted(
        {history.settled_at, history.mended_at, *(t for h in history.happened for t in (h.began, h.ended))}
    )
    for began, ended in itertools.pairwise(changes):
        for members, healthy in _parts(history, began, ended):
            yield from _unentitled(history, members, began, ended)
            due = _due(history, began, _serving_seconds(history, began))
            if ended > due and not is_drowning(history, began, ended):
                yield from _judged(history, members, healthy, began, due)
                yield from _judged(history, members, healthy, began, ended)


def is_drowning(history, began, ended):
    """Tell whether there was too little processor between two times to say anything about bounds."""
    return history.waited_seconds(began, ended) > DROWNING_SHARE * (ended - began)


def _due(history, began, seconds):
    """Return when a bound is over: the allowance, and what processes waited for a processor meanwhile, are added."""
    due = began + seconds + ALLOWANCE_SECONDS
    while (later := began + seconds + ALLOWANCE_SECONDS + history.waited_seconds(began, due)) > due + 0.01:
        due = later
    return later


def _serving_seconds(history, began):
    """Return how long after a change each part has its controllee.

    In a pool that was left alone before, P1. Otherwise what `settle_seconds` sums up; and a winner waits for a replica
    that does not answer for T, for one that is frozen 3 T or 3 s.
    """
    schedule = history.schedule
    if _is_alone(history, began):
        return 1.5 * schedule.timeout_seconds + 0.5
    replica = (
        3 * max(schedule.timeout_seconds, 1.0)
        if schedule.kinds & {"freeze_replication", "freeze_host"}
        else 0
    )
    backoff = 3 if schedule.kinds & BREAKING else 0
    return 5 * schedule.timeout_seconds + 1 + replica + backoff


def _is_alone(history, began):
    """Tell whether a fault of links began at this time in a pool that was settled, and nothing else was going on."""
    calm = max(0.0, began - settle_seconds(history.schedule))
    around = [h for h in history.happened if h.ended >= calm and h.began <= began]
    return len(around) == 1 and around[0].began == began and around[0].fault.area == "links"


def _parts(history, began, ended):
    """Return the parts of the pool between two changes; none where a link or a disk is in doubt."""
    active = [h.fault for h in history.happened if h.began <= began and h.ended >= ended]
    if any(f.kind in {"loss", "delay", "one_way"} or f.area == "disk" for f in active):
        return []
    members = range(history.schedule.members)
    cut = {frozenset((a, b)) for a in members for b in members if any(_touches(f, a, b) for f in active)}
    parts, left = [], set(members)
    while left:
        part, edge = set(), {min(left)}
        while edge:
            part |= edge
            edge = {b for a in edge for b in members if a != b and frozenset((a, b)) not in cut} - part
        if any(frozenset(pair) in cut for pair in itertools.combinations(part, 2)):
            return []
        parts.append(part)
        left -= part
    broken = {node for f in active if f.area == "processes" for node in f.hosts}
    return [(part, part - broken) for part in parts]


def _unentitled(history, members, began, ended):
    """With a majority: a part that has none has no controllee once the last lease is over, which is T at most."""
    schedule = history.schedule
    if not schedule.has_majority or 2 * len(members) > schedule.members:
        return
    over = _due(history, began, schedule.timeout_seconds)
    for life in history.livings:
        if life.node in members and over < ended and intersection(alive(history, life), [(over, ended)]):
            yield f"{_name(life)} lives without a majority after {over:.3f}; nothing changed since {began:.3f}"


def _judged(history, members, healthy, began, moment):
    schedule = history.schedule
    here = [
        life
        for life in history.livings
        if life.node in members and any(a <= moment <= b + BEAT_SECONDS for a, b in alive(history, life))
    ]
    can_lead = any(node < schedule.candidates for node in healthy)
    if schedule.has_majority:
        can_lead = can_lead and 2 * len(healthy) > schedule.members
    if can_lead and not here:
        yield f"members {sorted(members)} have no controllee at {moment:.3f}; nothing changed since {began:.3f}"
    if len(here) > 1:
        yield f"members {sorted(members)} have {len(here)} controllees at {moment:.3f}; nothing changed since {began:.3f}"


def one_in_the_end(history):
    """Rule 5."""
    schedule = history.schedule
    if is_drowning(history, history.mended_at, history.ended_at):
        return
    due = _due(history, history.mended_at, settle_seconds(schedule))
    bound = due - history.mended_at
    end = history.ended_at
    last = [life for life in history.livings if life.began <= end <= life.ended + BEAT_SECONDS]
    if len(last) != 1:
        yield f"{len(last)} controllees in the end: {', '.join(map(_name, last)) or 'nobody'}"
        return
    (life,) = last
    if life.began > due:
        yield f"the last controllee came {life.began - history.mended_at:.3f} s after everything was mended, not {bound:.3f} s: {_name(life)}"
    others = [one for one in history.livings if one is not life and one.ended > due]
    if others:
        yield f"{_name(others[0])} still lived {bound:.3f} s after everything was mended"
    if schedule.has_primary and life.node != 0:
        yield f"the first member does not lead in the end, but {_name(life)}"


# --- the state ----------------------------------------------------------------------------------------------------


def lost(history):
    """Rule 6."""
    kept = {}
    for final in history.finals:
        for reach in (final.reach, *final.conflicts):
            for epoch, number in reach.items():
                kept[epoch] = max(kept.get(epoch, 0), number)
    writers = {write.epoch: write.node for write in history.writes}
    acknowledged = {}
    for held in history.held:
        for epoch, number in held.reach.items():
            if writers.get(epoch) != held.node:
                acknowledged[epoch] = max(acknowledged.get(epoch, 0), number)
    written = {}
    for write in history.writes:
        written[write.epoch] = max(written.get(write.epoch, 0), write.number)
    for epoch, number in sorted(acknowledged.items()):
        if kept.get(epoch, 0) < number:
            yield f"acknowledged state is lost: write {number} of epoch {epoch} was held elsewhere, {kept.get(epoch, 0)} is the last one kept"
    for epoch, number in sorted(written.items()):
        if kept.get(epoch, 0) < number and acknowledged.get(epoch, 0) <= kept.get(epoch, 0):
            yield f"state is lost that only its writer had: write {number} of epoch {epoch}, {kept.get(epoch, 0)} is the last one kept"


def written_twice(history):
    """Rule 7."""
    numbers = {}
    for write in sorted(history.writes, key=lambda one: one.at):
        before = numbers.get(write.epoch, 0)
        # A controllee that was killed between the commit and the record leaves one write out.
        if write.number <= before or write.number > before + 2:
            yield f"write {write.number} of epoch {write.epoch} follows write {before} (node {write.node}, pid {write.pid}, {write.at:.3f})"
        numbers[write.epoch] = write.number


def torn(history):
    """Rule 8."""
    holders = [final for final in history.finals if final.node < history.schedule.candidates]
    for final in holders:
        if final.torn:
            yield f"node {final.node} is torn: {final.torn}"
    is_late = is_drowning(history, history.ended_at, history.looked_at)
    if any(final.reach != holders[0].reach for final in holders) and not is_late:
        yield f"the members hold different states in the end: {[final.reach for final in holders]}"


def stumbled(history):
    """Rule 9."""
    for final in history.finals:
        for complaint in final.complaints:
            yield f"node {final.node} says {complaint}"
