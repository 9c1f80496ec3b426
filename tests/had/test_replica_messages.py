"""What had and its replica say to each other, there and back: the replica's own codec reads what had writes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemoncore.cedar.classad import ClassAd
from daemoncore.cedar.commands import Command
from daemoncore.cedar.errors import WireError
from had.replica_messages import condor_command, decode_answer_untrusted, encode
from had.replica_words import (
    Currency,
    CurrentAsked,
    FlushAsked,
    LeadershipBegan,
    LeadershipConfirmed,
    LeadershipEnded,
    ReplicaAnswer,
    Withdrawn,
)
from replication import effects, events
from replication.messages import decode_attended_untrusted, encode_answer
from replication.version import Version

WORDS = [
    (LeadershipBegan(130), events.LeadershipBegan(130)),
    (LeadershipConfirmed(2**31 - 1), events.LeadershipConfirmed(2**31 - 1)),
    (LeadershipEnded(), events.LeadershipEnded(is_stopped=True)),
    (CurrentAsked(7), events.CurrentAsked(7)),
    (CurrentAsked(7, 0), events.CurrentAsked(7, 0)),
    (CurrentAsked(2**40, 257, is_missing_refused=True), events.CurrentAsked(2**40, 257, True)),
    (FlushAsked(8, 2.5, "127.0.0.2:41450"), events.FlushAsked(8, 2.5, "127.0.0.2:41450")),
    (FlushAsked(8, 0), events.FlushAsked(8, 0.0)),
    (Withdrawn(9), events.Withdrawn(9)),
]


@pytest.mark.parametrize(("word", "event"), WORDS)
def test_the_replica_reads_what_had_says(word, event):
    """Each word arrives as the event of the same name."""
    ad = ClassAd.from_lines(encode(word).to_lines())
    assert ad.get_int("HadProtocol") == 1
    assert decode_attended_untrusted(ad) == event


@pytest.mark.parametrize("currency", list(Currency))
def test_had_reads_what_the_replica_answers(currency):
    """Everything that had goes by arrives as it was."""
    said = effects.Answer(
        7,
        effects.Currency(currency.value),
        None,
        good_for_seconds=2.0,
        is_missing_everywhere=True,
        known_gid=386,
        behind=("127.0.0.2:41450", "[::1]:41450"),
        is_complete=False,
        text="not yet",
    )
    heard = ReplicaAnswer(7, currency, 2.0, True, 386, False, said.behind, "not yet")
    assert decode_answer_untrusted(ClassAd.from_lines(encode_answer(said).to_lines())) == heard


def test_a_version_in_an_answer_is_passed_over():
    """What the replica holds is its own affair."""
    said = effects.Answer(7, effects.Currency.CURRENT, Version(386, 4))
    assert decode_answer_untrusted(encode_answer(said)) == ReplicaAnswer(7, Currency.CURRENT)


@pytest.mark.parametrize(
    ("word", "command"),
    [
        (LeadershipBegan(130), Command.HAD_AFTER_ELECTION_STATE),
        (LeadershipConfirmed(130), Command.HAD_IN_LEADER_STATE),
        (LeadershipEnded(), Command.HAD_AFTER_LEADER_STATE),
        (CurrentAsked(7), None),
        (FlushAsked(7, 1.0), None),
        (Withdrawn(7), None),
    ],
)
def test_a_real_replication_is_told_in_htcondors_words(word, command):
    """704, 706 and 705; what it cannot answer is not asked."""
    assert condor_command(word) == command


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"Currency": "fresh"}, "no state is 'fresh'"),
        ({"Currency": ""}, "no state is ''"),
        ({"Request": -1}, "Request"),
        ({"KnownGid": 2**60}, "KnownGid"),
        ({"GoodForSeconds": -1.0}, "GoodForSeconds"),
        ({"GoodForSeconds": float("nan")}, "GoodForSeconds"),
        ({"GoodForSeconds": 2e6}, "GoodForSeconds"),
        ({"Behind": "a\x1bb"}, "Behind"),
        ({"Behind": " ".join(["127.0.0.1:1"] * 257)}, "Behind"),
    ],
)
def test_an_answer_that_cannot_be_is_refused_by_name(change, complaint):
    """One exception, which says what is wrong."""
    with pytest.raises(WireError, match=complaint):
        decode_answer_untrusted(ClassAd({"Request": 7, "Currency": "current"} | change))


def test_the_least_answer_is_one():
    """Another version of ours may leave out what it does not know; a flush that is not called complete is not."""
    assert decode_answer_untrusted(ClassAd({"Currency": "stale"})) == ReplicaAnswer(
        0, Currency.STALE, is_complete=False
    )


def test_a_long_sentence_is_cut():
    """What goes to the log has an end."""
    answer = decode_answer_untrusted(ClassAd({"Currency": "stale", "Text": "x" * 5000}))
    assert len(answer.text) == 1024


names = st.sampled_from([*encode_answer(effects.Answer(1, effects.Currency.STALE, Version(1, 1)))])
values = st.integers(-(2**63), 2**63 - 1) | st.floats() | st.booleans() | st.text(max_size=30)


@given(st.dictionaries(names, values, max_size=8))
def test_nothing_but_a_wire_error_comes_of_an_ad(changes):
    """Whatever the attributes hold."""
    clean = {k: v.replace("\0", "") if isinstance(v, str) else v for k, v in changes.items()}
    try:
        decode_answer_untrusted(ClassAd({"Currency": "stale"} | clean))
    except WireError:
        return
