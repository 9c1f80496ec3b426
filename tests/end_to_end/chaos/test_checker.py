"""The checker, rule by rule, on histories made by hand: what is good passes, and what is bad is named."""

import attrs
import pytest

from tests.end_to_end.chaos.checker import violations
from tests.end_to_end.chaos.history import (
    Final,
    Happened,
    Held,
    History,
    Living,
    Write,
    livings_in,
    reach_of,
    waited_seconds,
    writes_in,
)
from tests.end_to_end.chaos.schedule import Fault, Schedule

END = 60.0
STATE = {130: 5}


def happened(kind, hosts, began, ended, amount=0.0):
    """A fault that went as it was scheduled."""
    return Happened(Fault(began, ended - began, kind, hosts, amount), began, ended)


def history(*faults, majority=False, primary=False, livings=None, candidates=3, witnesses=0, **changes):
    """A history of three members, T = 1 s, settled at 10 s, mended at 40 s and watched until 60 s."""
    schedule = Schedule(1, candidates, witnesses, majority, primary, 1.0, tuple(one.fault for one in faults))
    writes = tuple(Write(0, 1, 130, number, 10.0 + number) for number in range(1, 6))
    good = History(
        schedule,
        settled_at=10.0,
        looked_at=65.0,
        mended_at=40.0,
        ended_at=END,
        happened=tuple(faults),
        livings=livings if livings is not None else (Living(0, 1, 130, 9.0, END + 1),),
        writes=writes,
        held=(Held(1, 20.0, {130: 4}),),
        finals=tuple(Final(node, STATE, (), "") for node in range(candidates)),
    )
    return attrs.evolve(good, **changes)


def objections(*arguments, **changes):
    """What the checker says, as one text."""
    return "\n".join(violations(history(*arguments, **changes)))


FIRST = Living(0, 1, 130, 9.0, END + 1)


def second(began, ended, node=1, epoch=257):
    """Another controllee."""
    return Living(node, 2, epoch, began, ended)


def test_a_quiet_pool_is_good():
    """One controllee all along is no violation, in either mode."""
    assert not objections()
    assert not objections(majority=True, primary=True)


# --- never two ----------------------------------------------------------------------------------------------------


def test_two_with_a_majority_are_reported():
    """An overlap of 10 ms is one, whatever was cut."""
    split = happened("partition", (0,), 15.0, 30.0)
    lives = (attrs.evolve(FIRST, ended=18.01), second(18.0, END + 1))
    assert "two controllees for 0.010 s" in objections(split, majority=True, livings=lives)


def test_one_after_the_other_is_good():
    """A controllee that begins when the one before it has ended is no second one."""
    split = happened("partition", (0,), 15.0, 39.0)
    lives = (attrs.evolve(FIRST, ended=16.0), second(17.0, END + 1))
    assert not objections(split, majority=True, livings=lives)


def test_two_in_a_partition_are_what_is_promised_by_default():
    """Each side has one, until T + 0.5 s and a stop after the heal."""
    split = happened("partition", (0,), 15.0, 30.0)
    assert not objections(split, livings=(FIRST, second(17.0, 31.5)))
    assert "no cut that would excuse it" in objections(split, livings=(FIRST, second(17.0, 33.5)))


def test_two_without_a_cut_are_reported_by_default():
    """A frozen daemon, or a killed one, excuses nothing."""
    for kind in ("freeze_had", "kill_had", "freeze_host"):
        fault = happened(kind, (1,), 15.0, 20.0)
        assert "two controllees" in objections(fault, livings=(FIRST, second(16.0, 17.0, node=2)))


@pytest.mark.parametrize("kind", ["cut", "one_way", "loss", "delay"])
def test_a_third_member_that_joins_the_two_leaves_no_excuse(kind):
    """P8: a bad link between two makes no second leader while a third is heard by both; it may if that one's link is bad too."""
    lives = (FIRST, second(17.0, 31.0))
    direct = happened(kind, (0, 1), 15.0, 30.0)
    assert "two controllees" in objections(direct, livings=lives)
    assert not objections(direct, happened("cut", (1, 2), 15.0, 30.0), livings=lives)
    assert not objections(direct, happened("kill_had", (2,), 15.0, 30.0), livings=lives)
    assert not objections(direct, livings=lives, candidates=2)


def test_a_frozen_controllee_does_not_live():
    """While its host is frozen, and in the first moment after, it is not counted; after that it is."""
    freeze = happened("freeze_host", (0,), 15.0, 30.0)
    taken = second(17.0, END + 1)
    assert not objections(freeze, majority=True, livings=(attrs.evolve(FIRST, ended=30.2), taken))
    assert "two controllees" in objections(
        freeze, majority=True, livings=(attrs.evolve(FIRST, ended=30.4), taken)
    )


# --- epochs -------------------------------------------------------------------------------------------------------


def test_an_epoch_of_two_members_is_reported():
    """An epoch belongs to one member, whether it shows in a life or in a write."""
    lives = (attrs.evolve(FIRST, ended=16.0), second(17.0, END + 1, epoch=130))
    assert "epoch 130 belongs to nodes [0, 1]" in objections(livings=lives)
    assert "belongs to nodes" in objections(writes=(Write(0, 1, 130, 1, 11.0), Write(2, 9, 130, 2, 12.0)))


def test_falling_epochs_are_reported():
    """They rise in the whole pool with a majority, and on each member by default."""
    lives = (attrs.evolve(FIRST, ended=16.0), second(17.0, END + 1, epoch=129))
    assert "epochs fall" in objections(majority=True, livings=lives)
    assert not objections(livings=lives)
    own = (attrs.evolve(FIRST, ended=16.0), second(17.0, END + 1, epoch=129, node=0))
    assert "epochs fall" in objections(livings=own)


# --- service ------------------------------------------------------------------------------------------------------


def test_a_part_without_a_controllee_is_reported():
    """A side of a long partition that may lead has one by default, and with a majority the side that has it."""
    split = happened("partition", (0,), 15.0, 30.0)
    assert "members [1, 2] have no controllee" in objections(split)
    assert "members [1, 2] have no controllee" in objections(
        split, majority=True, livings=(attrs.evolve(FIRST, ended=16.0), second(31.0, END + 1))
    )
    assert not objections(split, livings=(FIRST, second(17.5, 30.5)))


def test_p1_is_held_to_its_bound_in_a_pool_that_was_left_alone():
    """A cut that comes first is answered within 1.5 T + 0.5 s and the allowance, one in the middle of others later."""
    split = happened("partition", (0,), 15.0, 30.0)
    late = (FIRST, second(18.5, 30.5))
    assert "members [1, 2] have no controllee at 18.000" in objections(split, livings=late)
    assert not objections(happened("kill_transferer", (1,), 14.0, 14.0), split, livings=late)


def test_a_controllee_without_a_majority_is_reported():
    """A leader whose side is the smaller one has no controllee once its lease is over."""
    split = happened("partition", (0,), 15.0, 30.0)
    said = objections(split, majority=True)
    assert "lives without a majority" in said


def test_a_part_with_two_is_reported():
    """Two members that hear each other have one controllee between them, also while a third is cut off."""
    split = happened("partition", (0,), 15.0, 30.0)
    lives = (FIRST, second(17.0, 30.5), second(17.0, 30.5, node=2, epoch=384))
    assert "members [1, 2] have 2 controllees" in objections(split, livings=lives)


def test_nothing_is_asked_where_a_link_is_in_doubt():
    """Loss, delay and a one-way cut leave open who hears whom, and a short time leaves open everything."""
    for kind in ("loss", "delay", "one_way"):
        assert not objections(happened(kind, (0, 1), 15.0, 39.0), happened("partition", (0,), 15.0, 39.0))
    assert not objections(happened("partition", (0,), 15.0, 18.0))


# --- the end ------------------------------------------------------------------------------------------------------


def test_nobody_in_the_end_is_reported():
    """After everything was mended there is a controllee."""
    assert "0 controllees in the end" in objections(livings=(attrs.evolve(FIRST, ended=45.0),))


def test_two_in_the_end_are_reported():
    """After everything was mended there is only one."""
    assert "2 controllees in the end" in objections(livings=(FIRST, second(50.0, END + 1)))


def test_one_that_comes_late_is_reported():
    """The last controllee has its bound, and the time that processes waited for a processor is added to it."""
    lives = (attrs.evolve(FIRST, ended=41.0), second(52.0, END + 1))
    assert "12.000 s after everything was mended, not 9.000 s" in objections(livings=lives)
    assert not objections(livings=lives, waited=((0.0, {7: 99.0}), (40.0, {7: 100.0}), (45.0, {7: 104.0})))


def test_a_machine_that_drowns_keeps_no_bounds_but_is_safe():
    """Where daemons wait for a processor more than half of the time nothing is said of service; two are two all the same."""
    drowned = tuple((float(at), {7: 0.6 * at, 8: 0.1 * at}) for at in range(10, 61))
    assert not objections(livings=(attrs.evolve(FIRST, ended=45.0),), waited=drowned)
    assert "two controllees" in objections(livings=(FIRST, second(50.0, 51.0)), waited=drowned)
    behind = (Final(0, STATE, (), ""), Final(1, {130: 4}, (), ""), Final(2, STATE, (), ""))
    later = (*drowned, (70.0, {7: 0.6 * 70}))
    assert not objections(finals=behind, waited=later, looked_at=70.0)
    spoilt = (attrs.evolve(behind[0], torn="12 bytes"), *behind[1:])
    assert "node 0 is torn" in objections(finals=spoilt, waited=later, looked_at=70.0)
    assert "different states" in objections(finals=behind, looked_at=70.0)


def test_the_wrong_one_in_the_end_is_reported():
    """With HAD_USE_PRIMARY it is the first member, without it whoever leads."""
    lives = (attrs.evolve(FIRST, ended=15.0), second(16.0, END + 1))
    fault = happened("kill_host", (0,), 15.0, 20.0)
    assert "the first member does not lead in the end" in objections(fault, primary=True, livings=lives)
    assert not objections(fault, livings=lives)


# --- the state ----------------------------------------------------------------------------------------------------


def test_acknowledged_state_that_is_lost_is_reported():
    """What another member once held is in the end in the state or in a conflict."""
    finals = tuple(Final(node, {130: 3}, (), "") for node in range(3))
    assert "acknowledged state is lost: write 4 of epoch 130" in objections(finals=finals)
    kept = (attrs.evolve(finals[0], conflicts=({130: 5},)), *finals[1:])
    assert not objections(finals=kept)


def test_state_that_only_its_writer_had_is_not_lost_either():
    """Its host came back with its disk, so it is kept as a conflict; if not, that is reported in other words."""
    finals = tuple(Final(node, {130: 4}, (), "") for node in range(3))
    assert "state is lost that only its writer had: write 5 of epoch 130" in objections(finals=finals)


def test_a_write_number_that_comes_again_is_reported():
    """Numbers rise by one, or by two where a controllee died between its commit and its record."""
    again = tuple(Write(0, 1, 130, number, 10.0 + at) for at, number in enumerate((1, 2, 4, 5)))
    assert not objections(writes=again)
    again = (*again, Write(0, 1, 130, 5, 30.0))
    assert "write 5 of epoch 130 follows write 5" in objections(writes=again)
    gap = tuple(Write(0, 1, 130, number, 10.0 + number) for number in (1, 4, 5))
    assert "write 4 of epoch 130 follows write 1" in objections(writes=gap)


def test_torn_and_different_states_are_reported():
    """Each member's state belongs to its version, and in the end all hold the same; a witness holds none."""
    finals = history().finals
    bad = (attrs.evolve(finals[0], torn="12 bytes have ab"), *finals[1:])
    assert "node 0 is torn: 12 bytes have ab" in objections(finals=bad)
    assert "different states" in objections(finals=(attrs.evolve(finals[0], reach={130: 9}), *finals[1:]))
    witness = (*finals[:2], Final(2, {}, (), ""))
    assert not objections(candidates=2, witnesses=1, finals=witness)


def test_a_daemon_that_stumbles_is_reported():
    """A programmer's error in any log is one."""
    finals = history().finals
    assert "node 1 says Traceback" in objections(
        finals=(finals[0], attrs.evolve(finals[1], complaints=("Traceback",)), finals[2])
    )


# --- reading ------------------------------------------------------------------------------------------------------


def test_the_reach_of_a_state():
    """Only finished transactions count, a compact log has none, and a torn line is nothing."""
    compact = (
        b"107 1 CreationTimestamp 1\n101 Customer.scribe@test * *\n103 Customer.scribe@test Written130 7\n"
    )
    assert reach_of(b"") == {}
    assert reach_of(compact) == {130: 7}
    written = compact + b"105 \n103 Customer.scribe@test Written257 1\n106 #epoch=257 number=1\n"
    assert reach_of(written) == {130: 7, 257: 1}
    begun = written + b"105 \n103 Customer.scribe@test Written257 2\n"
    assert reach_of(begun) == reach_of(begun + b"106 #ep") == {130: 7, 257: 1}


def test_the_daemon_that_waited_longest_counts():
    """Whole times and not moments are compared, and a daemon that came or went meanwhile has its part."""
    samples = ((1.0, {7: 1.0}), (2.0, {7: 1.5, 8: 0.2}), (3.0, {8: 0.9}), (4.0, {8: 1.0, 9: 0.1}))
    assert waited_seconds(samples, 1.0, 2.0) == 0.5
    assert waited_seconds(samples, 1.0, 4.0) == 1.0
    assert waited_seconds(samples, 2.0, 4.0) == 0.8
    assert waited_seconds(samples, 4.0, 9.0) == waited_seconds((), 0.0, 9.0) == 0.0


def test_the_records_of_a_scribe():
    """A process's number may come round again; a life ends with the last that it said."""
    lines = ["start 7 130 1.0", "beat 7 130 1.5", "start 8 257 2.0", "stop 8 257 3.0", "start 7 384 4.0"]
    assert livings_in(lines, 1) == [
        Living(1, 7, 130, 1.0, 1.5),
        Living(1, 8, 257, 2.0, 3.0),
        Living(1, 7, 384, 4.0, 4.0),
    ]
    assert writes_in(["begin 7 130 - 1.0", "write 7 130 1 1.5"], 2) == [Write(2, 7, 130, 1, 1.5)]
