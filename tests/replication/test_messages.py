"""What replication daemons and had say: there and back, from anybody, and as real daemons send it."""

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemoncore.cedar.classad import ClassAd
from daemoncore.cedar.errors import ProtocolError, WireError
from daemoncore.cedar.scalars import MessageReader, MessageWriter
from replication import messages
from replication.effects import Answer, Currency
from replication.events import (
    CondorCommand,
    CondorSaid,
    CurrentAsked,
    FlushAsked,
    LeadershipBegan,
    LeadershipConfirmed,
    LeadershipEnded,
    Report,
    State,
    Withdrawn,
)
from replication.version import INTEGER_LIMIT, Point, Version
from tests import vector_files

ONE, TWO = "127.0.0.1:9630", "[::1]:9630"

numbers = st.integers(0, INTEGER_LIMIT)
points = st.builds(Point, numbers, numbers)
words = st.text("0123456789abcdef.-", min_size=1, max_size=64)
lineages = st.lists(points, max_size=5, unique_by=lambda point: point.gid).map(tuple)
versions = st.builds(Version, numbers, numbers, lineages, st.booleans()).filter(
    lambda v: v.gid not in {p.gid for p in v.lineage}
)
reports = st.builds(
    Report,
    sender=st.sampled_from((ONE, TWO)),
    state=st.sampled_from(State),
    version=st.none() | versions,
    fingerprint=st.just("") | words,
    instance=numbers,
    sequence=numbers,
    validity_seconds=st.integers(0, 10**6).map(float),
    total_bytes=st.integers(0, 2**50),
    conflicts=st.lists(words, max_size=5).map(tuple),
    merged=st.lists(words, max_size=5).map(tuple),
)
anything = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=True)
    | st.text(max_size=40)
)


def ad_of(fields):
    """Make an ad of whatever can be one."""
    try:
        return ClassAd([(name, value) for name, value in fields.items() if value is not None])
    except ValueError:
        return ClassAd()


@given(reports)
def test_a_report_arrives_as_it_was_sent(report):
    """What one replica says another one hears, over a text ad."""
    body = MessageWriter().put_ad(messages.encode_report(report)).body()
    assert messages.decode_report_untrusted(MessageReader(body).get_ad()) == report


@given(st.dictionaries(st.sampled_from(list(messages.encode_report(Report(ONE, State.BACKUP)))), anything))
def test_whatever_a_report_holds_it_is_read_or_refused(fields):
    """An ad of nonsense under the right names is one exception and nothing else."""
    fields["HadProtocol"] = 1
    try:
        report = messages.decode_report_untrusted(ad_of(fields))
    except WireError:
        return
    assert isinstance(report, Report)


@pytest.mark.parametrize(
    "field", ["ReplicationSender", "ReplicationState", "ReplicationInstance", "HadProtocol"]
)
def test_a_report_without_what_it_needs_is_refused(field):
    """A report says who sends it, in what state, and that it is one of ours."""
    ad = messages.encode_report(Report(ONE, State.BACKUP))
    ad = ClassAd([(name, value) for name, value in ad.items() if name != field])
    with pytest.raises(ProtocolError, match=field):
        messages.decode_report_untrusted(ad)


@pytest.mark.parametrize(
    "text",
    ["", "no JSON", "[]", "[" * 100_000, '{"gid": -1, "clock": 0, "lineage": [], "rooted": true}'],
)
def test_a_version_that_is_none_is_refused(text):
    """A version comes as a JSON document that makes sense, or not at all."""
    with pytest.raises(ProtocolError):
        messages.version_untrusted(text)


@given(st.sampled_from(CondorCommand), points, st.sampled_from(State), st.booleans())
def test_condors_messages_arrive_as_they_were_sent(command, point, state, is_encrypted):
    """HTCondor's six values say what they said; a solicitation is its sender alone."""
    writer = MessageWriter(encrypted=is_encrypted)
    body = messages.write_condor(writer, f"<{ONE}>", command, point, state).body()
    said = messages.read_condor_untrusted(MessageReader(body, encrypted=is_encrypted), command)
    expected = CondorSaid(ONE, command, point, state.number)
    assert said == (CondorSaid(ONE, command) if command is CondorCommand.SOLICIT_VERSION else expected)


@given(st.sampled_from(CondorCommand), st.binary(max_size=120), st.booleans())
def test_any_bytes_are_a_condor_message_or_refused(command, body, is_encrypted):
    """Bytes of any kind are one exception or a message."""
    try:
        said = messages.read_condor_untrusted(MessageReader(body, encrypted=is_encrypted), command)
    except WireError:
        return
    assert said.command is command


def recorded():
    """Give every recorded message of HTCondor's replication: the command, its fields, and how it was sent."""
    for name in vector_files.names():
        for connection in vector_files.load(name).get("connections", []):
            for entry in connection["stream"]:
                fields = entry.get("fields", [])
                named = {field["name"]: field.get("value") for field in fields}
                if "sender_address" in named and "logical_clock" in named:
                    about = connection["about"]
                    named_there = [c for c in CondorCommand if f"REPLICATION_{c.name}" in about]
                    if named_there:
                        command = max(named_there, key=lambda c: len(c.name))
                        yield pytest.param(command, named, entry, id=f"{name}/{connection['id']}")


@pytest.mark.parametrize(("command", "named", "entry"), list(recorded()))
def test_recorded_messages_are_read_and_written_alike(command, named, entry):
    """What real daemons said is understood, and what we write for the same values is the same bytes."""
    body = vector_files.body_of(entry)
    has_command = "command" in named
    reader = MessageReader(body, encrypted=entry["encrypted"])
    if has_command:
        reader.get_int()
    said = messages.read_condor_untrusted(reader, command)
    assert said.point == Point(named["gid"], named["logical_clock"])
    assert said.state == named["state"]
    writer = MessageWriter(encrypted=entry["encrypted"])
    if has_command:
        writer.put_int(named["command"])
    state = list(State)[named["state"]]
    assert messages.write_condor(writer, named["sender_address"], command, said.point, state).body() == body


@pytest.mark.parametrize(
    ("fields", "event"),
    [
        ({"What": "began", "Epoch": 130}, LeadershipBegan(130)),
        ({"What": "confirmed", "Epoch": 130}, LeadershipConfirmed(130)),
        ({"What": "ended", "IsStopped": True}, LeadershipEnded(is_stopped=True)),
        ({"What": "ended"}, LeadershipEnded(is_stopped=False)),
        ({"What": "current", "Request": 7}, CurrentAsked(7)),
        (
            {"What": "current", "Request": 7, "IncumbentEpoch": 129, "IsMissingRefused": True},
            CurrentAsked(7, 129, is_missing_refused=True),
        ),
        ({"What": "flush", "Request": 8, "TimeoutSeconds": 10.0}, FlushAsked(8, 10.0)),
        (
            {"What": "flush", "Request": 8, "TimeoutSeconds": 10.0, "Successor": f"<{ONE}>"},
            FlushAsked(8, 10.0, ONE),
        ),
        ({"What": "withdrawn", "Request": 8}, Withdrawn(8)),
    ],
)
def test_what_had_says_is_understood(fields, event):
    """Each thing that had says becomes its event."""
    assert messages.decode_attended_untrusted(ClassAd({"HadProtocol": 1, **fields})) == event


@given(
    st.sampled_from(("began", "confirmed", "ended", "current", "flush", "withdrawn", "", "stop")),
    st.dictionaries(
        st.sampled_from(
            ("Epoch", "Request", "IncumbentEpoch", "IsMissingRefused", "TimeoutSeconds", "Successor")
        ),
        anything,
    ),
)
def test_whatever_had_says_is_understood_or_refused(what, fields):
    """Nonsense from had is one exception and nothing else."""
    try:
        event = messages.decode_attended_untrusted(ad_of({"What": what, **fields}))
    except WireError:
        return
    assert attrs.has(type(event))


def test_an_answer_says_everything():
    """An answer tells had how good the state is, what it is called, and who lacks it."""
    answer = Answer(
        5,
        Currency.STALE,
        Version.first(130).advanced(),
        2.0,
        known_gid=258,
        behind=(ONE, TWO),
        is_complete=False,
        text="x",
    )
    ad = messages.encode_answer(answer)
    assert (ad.get_int("Request"), ad.get_string("Currency")) == (5, "stale")
    assert (ad.get_int("Gid"), ad.get_int("Clock"), ad.get_int("KnownGid")) == (130, 1, 258)
    assert ad.get_string("Behind").split() == [ONE, TWO]
    assert ad.get_bool("IsComplete") is False
    assert messages.encode_answer(Answer(5, Currency.MISSING, None)).get_int("Gid") is None
