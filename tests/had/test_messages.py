"""The HAD ad: there and back, from anybody, and as real daemons send it."""

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daemoncore.cedar.classad import ClassAd
from daemoncore.cedar.errors import ProtocolError, WireError
from had.ballots import Electorate, Grant
from had.events import Directive, Hold, Kind, Message, Pause, Sighting
from had.messages import (
    MAXIMUM_MEMBERS,
    MAXIMUM_TEXT,
    PROTOCOL,
    _known_members,
    _member,
    decode_untrusted,
    encode,
)
from had.transitions import State
from tests import vector_files

ONE, TWO, THREE = "127.0.0.1:9620", "127.0.0.2:9620", "[::1]:9620"
MEMBERS = (ONE, TWO, THREE)

members = st.sampled_from(MEMBERS)
counts = st.integers(0, 2**31 - 1)
milliseconds = st.integers(0, 10**9).map(lambda number: number / 1000)
texts = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=MAXIMUM_TEXT)
sightings = st.builds(
    Sighting,
    member=members,
    age_seconds=milliseconds,
    remaining_seconds=milliseconds,
    state=st.sampled_from(State),
    epoch=counts,
    rank_id=st.integers(-1, 127),
    candidacy=counts,
    wants=st.booleans(),
    abstains_seconds=st.none() | milliseconds,
    successor=st.none() | members,
    offer_epoch=counts,
    instance=counts,
    sequence=counts,
    is_yielding=st.booleans(),
)
endless = st.builds(Pause, by=texts, reason=texts, since=milliseconds)
pauses = endless | st.builds(attrs.evolve, endless, until=milliseconds, seconds_left=milliseconds)
holds = st.builds(Hold, member=members, by=texts, reason=texts, since=milliseconds)
messages = st.builds(
    Message,
    sender=members,
    # A place in the list, or a witness's.
    rank_id=st.integers(-1, 2),
    controllee=texts,
    state=st.sampled_from(State),
    members=st.lists(members, min_size=3, max_size=5).map(tuple),
    instance=counts,
    sequence=counts,
    validity_seconds=st.none() | milliseconds,
    up_seconds=milliseconds,
    epoch=counts,
    is_primary=st.booleans(),
    follows=st.none() | members,
    is_active=st.booleans(),
    sightings=st.lists(sightings, max_size=4).map(tuple),
    candidacy=counts,
    wants=st.booleans(),
    is_yielding=st.booleans(),
    successor=st.none() | members,
    offer_epoch=counts,
    abstains_seconds=st.none() | milliseconds,
    awaits=st.none() | members,
    directive=st.builds(
        Directive, st.tuples(counts, counts), pause=st.none() | pauses, hold=st.none() | holds
    ),
    shared_hash=st.integers(0, 2**48 - 1),
    version=texts,
    is_ready=st.booleans(),
    lease_epoch=st.integers(1, 2**31 - 1),
    lease_seconds=milliseconds,
    grant=st.none() | st.builds(Grant, members, st.integers(0, 2**40), st.integers(0, 2**40), milliseconds),
    electorate=st.builds(
        Electorate,
        st.tuples(st.integers(0, 2**31 - 1), st.integers(0, 1000)),
        st.lists(members, min_size=1, max_size=4).map(tuple),
    ),
    wall_clock=milliseconds,
)

# What a stranger may put into any attribute of ours.
names = st.sampled_from(
    [*encode(Message(ONE, 2, "n", State.PRE, MEMBERS), 0.0), "HadPauseBy", "HadHoldMember"]
)
values = (
    st.integers(-(2**63), 2**63 - 1)
    | st.floats()
    | st.booleans()
    | st.text(st.characters(exclude_characters="\0"), max_size=60)
    | st.sampled_from(
        ["-", "", ",", ONE, "a,1,2,leader,3,4,5,w,-,-,0,1,2", "leader", "<127.0.0.1:1?sock=x>", "9" * 30]
    )
    | st.just(())
)


def example(**changes):
    """A message that says something in every block."""
    message = Message(
        ONE,
        2,
        "negotiator",
        State.LEADER,
        MEMBERS,
        instance=3,
        sequence=9,
        validity_seconds=5.0,
        sightings=(Sighting(TWO, 0.25, 4.75, State.PASSIVE, epoch=130, rank_id=1),),
        directive=Directive(
            (385, 2), Pause("root", "upgrade", 10.0, 20.0, 7.0), Hold(TWO, "root", "why", 9.0)
        ),
    )
    return attrs.evolve(message, **changes)


def through_the_wire(message, kind=Kind.HEARTBEAT):
    """What the receiver of a message reads, its ad having been lines of text in between."""
    return decode_untrusted(ClassAd.from_lines(encode(message, message.wall_clock).to_lines()), kind)


@given(messages)
def test_every_message_comes_back_as_it_was(message):
    """Encoding, the text of the ad, and decoding together change nothing."""
    assert through_the_wire(message) == message


def test_every_field_of_a_message_is_on_the_wire():
    """A message in which every field differs from its default comes back whole, so no field was forgotten."""
    full = example(
        sightings=(
            Sighting(
                TWO,
                1.0,
                2.0,
                State.LEADER,
                instance=3,
                sequence=4,
                epoch=5,
                rank_id=6,
                candidacy=7,
                wants=True,
                abstains_seconds=8.0,
                is_yielding=True,
                successor=THREE,
                offer_epoch=9,
            ),
        ),
        up_seconds=1.0,
        epoch=5,
        is_primary=True,
        follows=TWO,
        is_active=True,
        candidacy=8,
        wants=True,
        is_yielding=True,
        successor=TWO,
        offer_epoch=3,
        abstains_seconds=1.5,
        awaits=THREE,
        shared_hash=77,
        version="0.1.0",
        is_ready=False,
        lease_epoch=130,
        lease_seconds=4.0,
        grant=Grant(TWO, 3, 4, 5.0),
        electorate=Electorate((130, 1), MEMBERS),
        wall_clock=99.5,
    )
    for part in (full, full.sightings[0], full.directive, full.directive.pause, full.directive.hold):
        unset = {f.name for f in attrs.fields(type(part)) if getattr(part, f.name) == f.default}
        assert unset <= {"is_ours"}, "give these fields a value above, and draw them in the strategies"
    assert through_the_wire(full) == full


@given(st.dictionaries(names, values, max_size=30), st.booleans(), st.sampled_from(Kind))
@settings(max_examples=400)
def test_no_ad_raises_anything_but_a_wire_error(changes, is_from_ours, kind):
    """Whatever a peer puts into whichever attribute, it is a message or a WireError."""
    ad = encode(example(), 1.0) if is_from_ours else ClassAd()
    try:
        message = decode_untrusted(ad.with_values(changes), kind)
    except WireError:
        return
    assert isinstance(message, Message)


@given(st.lists(st.text(st.characters(exclude_characters="\0"), min_size=1, max_size=40), max_size=6))
def test_no_lines_raise_anything_but_a_wire_error(lines):
    """Lines that never were an ad of ours are refused, or read, like any other."""
    try:
        decode_untrusted(ClassAd.from_lines([*encode(example(), 1.0).to_lines(), *lines]), Kind.HEARTBEAT)
    except WireError:
        return


@given(st.dictionaries(names, values | st.floats(min_value=0), max_size=5))
def test_what_was_accepted_can_be_passed_on(changes):
    """Nothing that a member says can make the others refuse us when we say what we heard of it."""
    try:
        heard = decode_untrusted(encode(example(), 0.0).with_values(changes), Kind.HEARTBEAT)
    except WireError:
        return
    seen = Sighting(
        heard.sender,
        0.25,
        heard.validity_seconds or 0.0,
        heard.state,
        instance=heard.instance,
        sequence=heard.sequence,
        epoch=heard.epoch,
        rank_id=heard.rank_id,
        candidacy=heard.candidacy,
        abstains_seconds=heard.abstains_seconds,
        successor=heard.successor,
        offer_epoch=heard.offer_epoch,
    )
    through_the_wire(example(sightings=(seen,), directive=heard.directive, epoch=heard.epoch))


def test_unknown_attributes_and_later_fields_are_ignored():
    """A later version may say more, in the ad and in each sighting, and is still understood."""
    ad = encode(example(), 0.0)
    more = ad.with_values({"HadMood": "fine", "HadSightings": ad.get_string("HadSightings") + ",new,fields"})
    assert decode_untrusted(more, Kind.HEARTBEAT) == example()


@pytest.mark.parametrize(
    ("attribute", "value", "complaint"),
    [
        ("HadSelfID", -2, "is no place in a HadList of 3"),
        ("HadSelfID", MAXIMUM_MEMBERS, "is no place in a HadList of 3"),
        ("HadSelfID", "2", "needs HadSelfID"),
        ("HadControlleeName", 4, "needs HadControlleeName"),
        ("HadList", "", "HadList must have 1 to 256"),
        ("HadList", " ".join(f"10.0.0.1:{n + 1}" for n in range(MAXIMUM_MEMBERS + 1)), "got 257"),
        ("HadList", "nonsense", "unreadable value 'nonsense'"),
        ("HadSender", "127.0.0.1", "unreadable value"),
        ("HadState", "king", "unknown HadState 'king'"),
        ("HadEpoch", -1, "HadEpoch must not be negative"),
        ("HadDirectiveCount", 2**53, "HadDirectiveCount must be less than 2.53"),
        ("HadAliveValidity", -0.5, "HadAliveValidity must be seconds"),
        ("HadAbstainsSeconds", 1e18, "HadAbstainsSeconds must be seconds"),
        ("HadPauseSecondsLeft", (), "a pause has an end and the seconds to it, or neither"),
        ("HadAliveValidity", float("inf"), "HadAliveValidity must be seconds"),
        ("HadUpSeconds", float("nan"), "HadUpSeconds must be seconds"),
        ("HadAbstainsSeconds", -1.0, "HadAbstainsSeconds must be seconds"),
        ("HadSightings", "127.0.0.2:9620,1,2,leader", "a sighting cannot be"),
        ("HadSightings", "127.0.0.2:9620,-1,2,leader,3,4,5,w,-,-,0,1,2", "a sighting cannot be"),
        ("HadSightings", "127.0.0.2:9620,x,2,leader,3,4,5,w,-,-,0,1,2", "a sighting cannot be"),
        ("HadSightings", "a " * (MAXIMUM_MEMBERS + 1), "more than 256 entries"),
    ],
)
def test_what_cannot_be_is_refused_by_name(attribute, value, complaint):
    """The error names the attribute or repeats the value."""
    with pytest.raises(ProtocolError, match=complaint):
        decode_untrusted(encode(example(), 0.0).with_values({attribute: value}), Kind.HEARTBEAT)


@pytest.mark.parametrize("attribute", ["HadSelfID", "HadControlleeName", "HadList"])
def test_an_ad_without_htcondors_three_attributes_is_refused(attribute):
    """The three attributes that HTCondor reads must be there."""
    with pytest.raises(ProtocolError, match=f"needs {attribute}"):
        decode_untrusted(encode(example(), 0.0).without(attribute), Kind.ALIVE)


def test_operators_texts_are_cut():
    """A text that is too long is passed on as far as the limit goes."""
    long = "x" * (MAXIMUM_TEXT + 50)
    message = example(directive=Directive((1, 1), Pause(long, long, 1.0), Hold(TWO, long, long, 1.0)))
    read = through_the_wire(message).directive
    assert {len(text) for text in (read.pause.by, read.pause.reason, read.hold.by, read.hold.reason)} == {
        MAXIMUM_TEXT
    }


def test_a_message_without_validity_is_held_to_htcondors_formula():
    """An absent HadAliveValidity is None, as for a real condor_had, and not an instant death (hard case 7)."""
    ad = encode(example(), 0.0).without("HadAliveValidity")
    assert decode_untrusted(ad, Kind.HEARTBEAT).validity_seconds is None


def test_members_behind_a_shared_port_are_spelled_as_htcondor_does():
    """A real condor_had compares the list letter by letter; whoever reads it knows the members by their numbers."""
    recorded = vector_files.conversation("10-shared-port-had", "h1")["stream"][-2]["fields"][0]["value"]
    spelled = recorded["HadList"].strip('"')
    members = ("10.99.0.1:9660", "10.99.0.2:9660")
    message = attrs.evolve(example(), sender=members[0], members=members, rank_id=1)
    ad = encode(message, 0.0, lambda member: f"<{member}?sock=had>")
    assert ad.get_string("HadList") == spelled
    assert decode_untrusted(ad, Kind.HEARTBEAT).members == members


def test_htcondor_finds_what_it_reads_in_our_ad():
    """A real condor_had finds the id, the controllee and the list in our ad, as it would spell them."""
    ad = encode(example(), 0.0)
    assert ad.get_int("HadSelfID") == 2
    assert ad.get_string("HadControlleeName") == "negotiator"
    assert ad.get_string("HadList") == "<127.0.0.1:9620>,<127.0.0.2:9620>,<[::1]:9620>"
    assert ad.get_int("HadIndex") == 0
    assert ad.get_bool("HadIsActive") is True
    assert ad.get_int("HadProtocol") == PROTOCOL


def recorded_ads():
    """The HAD ads of the recorded conversations, with the id in them and the command that carried them."""
    for name in ("01-raw-had", "07-had", "07-had-step-down"):
        for connection in vector_files.load(name)["connections"]:
            kind = Kind.ALIVE if "HAD_ALIVE_CMD" in connection["about"] else Kind.SEND_ID
            for entry in connection["stream"]:
                for field in entry.get("fields", ()):
                    if field["type"] == "ad" and "HadSelfID" in field["value"]:
                        assert kind is Kind.ALIVE or "HAD_SEND_ID_CMD" in connection["about"]
                        yield pytest.param(field["value"], kind, id=f"{name}/{connection['id']}")


@pytest.mark.parametrize(("lines", "kind"), list(recorded_ads()))
def test_the_ad_of_a_real_condor_had_names_its_sender_and_state(lines, kind):
    """The sender is found by its id in its own list, and the command tells a leader from a candidate."""
    ad = ClassAd.from_lines(f"{name} = {text}" for name, text in lines.items())
    addresses = [word.strip("<>") for word in ad.get_string("HadList").split(",")]
    message = decode_untrusted(ad, kind)
    assert message.sender == addresses[ad.get_int("HadIndex")]
    assert message.members == tuple(addresses)
    assert message.rank_id == len(addresses) - 1 - ad.get_int("HadIndex")
    assert message.controllee == "NEGOTIATOR"
    assert message.state is (State.LEADER if kind is Kind.ALIVE else State.ELECTION)
    assert not message.is_ours
    assert message.validity_seconds is None


def test_there_are_recorded_ads_of_both_kinds():
    """The recordings hold leaders and candidates, so the test above is about something."""
    assert {parameter.values[1] for parameter in recorded_ads()} == {Kind.ALIVE, Kind.SEND_ID}


def test_a_stranger_cannot_send_a_heartbeat_or_claim_a_place_outside_its_list():
    """Without our marker there are only HTCondor's two commands, and an id is a place in the list."""
    ad = ClassAd({"HadSelfID": 1, "HadControlleeName": "n", "HadList": f"<{ONE}>,<{TWO}>"})
    assert decode_untrusted(ad, Kind.ALIVE).sender == ONE
    for changed, kind in ((ad, Kind.HEARTBEAT), (ad.with_values({"HadSelfID": 2}), Kind.ALIVE)):
        with pytest.raises(ProtocolError, match="is no place in a HadList of 2"):
            decode_untrusted(changed, kind)


def test_a_flood_of_addresses_is_not_remembered():
    """However many members a peer makes up, only those of four of the largest lists are kept."""
    limit = 4 * MAXIMUM_MEMBERS
    addresses = [f"10.9.{number // 256}.{number % 256}:9620" for number in range(limit + 10)]
    assert [_member(address) for address in addresses] == addresses
    assert len(_known_members) <= limit
    _known_members.clear()
