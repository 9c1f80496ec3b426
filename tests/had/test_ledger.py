"""Durable before visible: a record counts when the disk has said so, and a claim to an epoch with it."""

import math

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from had.events import Directive, Persist, Record
from had.ledger import (
    DISK_PATIENCE_SECONDS,
    DISK_RETRY_SECONDS,
    MAXIMUM_EPOCH,
    MAXIMUM_EPOCH_JUMP,
    Ledger,
    owner,
)
from tests.had.speakers import MEMBERS, A, B, C


def ledger_with(epoch=0):
    """A ledger whose disk holds an epoch, and the list of what it orders."""
    effects = []
    record = Record(epoch)
    return Ledger(record, record, effects.append), effects


def test_a_record_is_ordered_once_and_counts_when_it_is_on_disk():
    """`keep` asks for a write, `record` changes with the answer."""
    ledger, effects = ledger_with(5)
    later = Record(130)
    ledger.keep(later)
    ledger.keep(later)
    assert effects == [Persist(later)]
    assert (ledger.record.epoch, ledger.wanted.epoch) == (5, 130)
    ledger.persisted(later)
    assert ledger.record == later


def test_a_larger_epoch_is_learnt():
    """What was heard of is written if it is the largest, and only then."""
    ledger, effects = ledger_with(130)
    ledger.learn(130)
    ledger.learn(7)
    assert effects == []
    ledger.learn(385)
    assert effects == [Persist(Record(385))]


@pytest.mark.parametrize(
    ("epoch", "is_plausible"),
    [
        (0, True),
        (130 + MAXIMUM_EPOCH_JUMP, True),
        (131 + MAXIMUM_EPOCH_JUMP, False),
        (2**31 - 1, False),
    ],
)
def test_an_epoch_from_far_ahead_is_not_the_pools(epoch, is_plausible):
    """So many leaderships cannot have been (hard case 2)."""
    ledger, _ = ledger_with(130)
    assert ledger.is_plausible(epoch) is is_plausible


def test_no_epoch_is_larger_than_replication_can_write():
    """A gid of HTCondor's is a signed integer of 32 bits."""
    ledger, _ = ledger_with(MAXIMUM_EPOCH - 5)
    assert ledger.is_plausible(MAXIMUM_EPOCH)
    assert not ledger.is_plausible(MAXIMUM_EPOCH + 1)


def test_a_claim_is_above_every_known_epoch_and_ours_when_on_disk():
    """The next counter with our own id; it holds only once it was written."""
    ledger, effects = ledger_with(385)
    assert ledger.make_claim(2)
    assert ledger.claim == 4 * 128 + 2
    assert not ledger.has_claim
    ledger.persisted(effects[-1].record)
    assert ledger.has_claim


def test_a_claim_that_is_still_the_largest_is_kept():
    """Asking again makes no second write."""
    ledger, effects = ledger_with(0)
    ledger.make_claim(1)
    ledger.make_claim(1)
    assert len(effects) == 1
    ledger.persisted(effects[0].record)
    ledger.make_claim(1)
    assert ledger.claim == 129
    assert len(effects) == 1


def test_a_larger_epoch_that_is_heard_undoes_a_claim():
    """Whoever heard of a later leadership leads with a new epoch above it, or not at all."""
    ledger, effects = ledger_with(0)
    ledger.make_claim(1)
    ledger.persisted(effects[-1].record)
    ledger.keep(attrs.evolve(ledger.wanted, epoch=258))
    assert not ledger.has_claim
    ledger.persisted(effects[-1].record)
    assert not ledger.has_claim
    ledger.make_claim(1)
    assert ledger.claim == 3 * 128 + 1


@pytest.mark.parametrize(("above", "claim"), [(0, 129), (128, 129), (129, 257), (200, 257)])
def test_a_claim_is_above_what_a_rival_holds(above, claim):
    """A claim that is not larger than a rival's epoch is replaced by the next (hard case 1)."""
    ledger, _ = ledger_with(0)
    ledger.make_claim(1)
    ledger.make_claim(1, above)
    assert ledger.claim == claim


def test_what_others_know_leaves_our_unused_claim_out():
    """An offer is compared with the epochs of others, not with the claim that was made to take it up."""
    ledger, _ = ledger_with(258)
    assert ledger.others_epoch == 258
    ledger.make_claim(1)
    assert (ledger.wanted.epoch, ledger.others_epoch) == (385, 258)
    ledger.keep(attrs.evolve(ledger.wanted, epoch=514))
    assert ledger.others_epoch == 514


def test_a_refused_write_takes_the_claim_back():
    """A node whose disk fails promises nothing: no claim, and the old record still stands."""
    ledger, _ = ledger_with(5)
    ledger.make_claim(1)
    ledger.refused(10.0)
    assert ledger.is_broken
    assert not ledger.has_claim
    assert (ledger.claim, ledger.record.epoch) == (0, 5)


def test_a_claim_after_a_refused_write_is_a_new_epoch():
    """The refused bytes may still be found after a crash, so their epoch is not used again."""
    ledger, effects = ledger_with(5)
    ledger.make_claim(1)
    refused = ledger.wanted.epoch
    ledger.refused(10.0)
    ledger.make_claim(1)
    ledger.persisted(effects[-1].record)
    assert ledger.has_claim
    assert ledger.claim > refused


def test_a_disk_that_refused_is_tried_again_each_second():
    """The same record is written again, and success ends it."""
    ledger, effects = ledger_with(0)
    ledger.retry(0.0)
    assert effects == []
    ledger.keep(Record(7))
    ledger.refused(10.0)
    ledger.retry(10.0 + DISK_RETRY_SECONDS - 0.01)
    assert len(effects) == 1
    ledger.retry(10.0 + DISK_RETRY_SECONDS)
    ledger.retry(10.0 + DISK_RETRY_SECONDS + 0.5)
    assert effects == [Persist(Record(7))] * 2
    ledger.persisted(Record(7))
    assert not ledger.is_broken


def hanging():
    """A ledger whose disk has a claim to write since 10.0 and was given up; and what it ordered."""
    ledger, effects = ledger_with(5)
    ledger.turned(9.0)
    ledger.make_claim(1)
    ledger.turned(10.0)
    ledger.turned(10.5)
    assert ledger.patience_ends_at(0.2) == 10.0 + DISK_PATIENCE_SECONDS
    assert ledger.patience_ends_at(3.0) == 13.0
    assert not ledger.gives_up(12.9, 3.0)
    assert not ledger.is_broken
    assert ledger.gives_up(13.0, 3.0)
    return ledger, effects


def test_a_disk_that_does_not_answer_is_given_up_once():
    """After a second, and after T, the node promises nothing; it is told once, and nothing more is written meanwhile."""
    ledger, effects = hanging()
    assert ledger.is_broken
    assert ledger.claim == 0
    assert not ledger.gives_up(14.0, 3.0)
    assert ledger.patience_ends_at(3.0) == math.inf
    ledger.retry(20.0)
    assert len(effects) == 1


def test_a_disk_that_owes_nothing_is_not_waited_for():
    """However long nothing was written."""
    ledger, effects = ledger_with(5)
    ledger.turned(1.0)
    assert ledger.patience_ends_at(3.0) == math.inf
    ledger.keep(Record(7))
    ledger.turned(2.0)
    ledger.persisted(effects[-1].record)
    assert ledger.patience_ends_at(3.0) == math.inf
    ledger.keep(Record(9))
    ledger.turned(50.0)
    assert ledger.patience_ends_at(3.0) == 53.0


def test_a_disk_that_answers_after_all_is_good_again():
    """When all that was wanted is written, and not before; the next claim is a new epoch."""
    ledger, effects = hanging()
    claimed = effects[-1].record
    ledger.keep(Record(300))
    ledger.persisted(claimed)
    assert ledger.is_broken
    ledger.persisted(Record(300))
    assert not ledger.is_broken
    assert not ledger.has_claim
    ledger.make_claim(1)
    assert ledger.claim == 3 * 128 + 1
    ledger.turned(60.0)
    assert ledger.patience_ends_at(3.0) == 63.0


def test_a_disk_that_refuses_after_all_is_tried_each_second():
    """The error is an answer."""
    ledger, effects = hanging()
    ledger.refused(20.0)
    ledger.turned(20.0)
    assert ledger.is_broken
    assert ledger.patience_ends_at(3.0) == math.inf
    ledger.retry(20.0 + DISK_RETRY_SECONDS)
    assert len(effects) == 2
    ledger.persisted(effects[-1].record)
    assert not ledger.is_broken


def test_epochs_end_at_31_bits():
    """HTCondor's gid is a signed 32-bit integer: the last epochs are used, and then no claim is made."""
    ledger, effects = ledger_with(MAXIMUM_EPOCH - 128)
    assert ledger.make_claim(127)
    assert ledger.claim == MAXIMUM_EPOCH
    assert not ledger.make_claim(127, MAXIMUM_EPOCH)
    assert len(effects) == 1


@given(st.integers(0, MAXIMUM_EPOCH - 256), st.integers(0, 127), st.integers(0, 127))
def test_two_members_never_make_the_same_epoch(epoch, one, other):
    """The id is part of an epoch, so two that claim above the same epoch differ, and both are above it."""
    claims = []
    for my_id in (one, other):
        ledger, _ = ledger_with(epoch)
        assert ledger.make_claim(my_id)
        claims.append(ledger.claim)
    assert min(claims) > epoch
    assert (claims[0] == claims[1]) == (one == other)


def test_a_directive_is_kept_with_the_epoch():
    """A claim does not lose what operators asked for."""
    ledger, effects = ledger_with(0)
    ledger.keep(attrs.evolve(ledger.wanted, directive=Directive((1, 2))))
    ledger.make_claim(0)
    assert effects[-1] == Persist(Record(128, Directive((1, 2))))


@pytest.mark.parametrize(
    ("epoch", "member"), [(0, None), (130, A), (129, B), (128, C), (131, None), (255, None), (2, A)]
)
def test_an_epoch_names_its_owner(epoch, member):
    """The id in an epoch is a place in HAD_LIST, counted from its end."""
    assert owner(epoch, MEMBERS) == member
