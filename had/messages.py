"""The HAD ad: what members tell each other, as HTCondor's ClassAd and back.

A real condor_had reads three attributes, HadSelfID, HadControlleeName and HadList, and ignores the rest; it sends the
same three with its collector's ad around them. Ours adds what `had.events.Message` holds, in attributes of our own,
marked by `HadProtocol = 1` (hard case 6). `docs/reference/wire.md` lists them. Unknown attributes are ignored, so that
our own versions can be mixed.

Facts of HTCondor's side: StateMachine.cpp, `HADStateMachine::initializeClassAd` and `commandHandlerHad`; transcripts in
tests/vectors (07-had).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Final, TypeVar

from daemoncore.address import Address
from daemoncore.cedar.classad import ClassAd, ValueLike
from daemoncore.cedar.errors import ProtocolError, WireError
from had.ballots import Electorate, Grant
from had.election_settings import Member
from had.events import Directive, Hold, Kind, Message, Pause, Sighting
from had.transitions import State

PROTOCOL: Final = 1
"""The marker's value: the version of what we add to HTCondor's ad."""

MAXIMUM_MEMBERS: Final = 256
"""More members or sightings than this in one ad is no pool (an epoch has room for 128 ids)."""

MAXIMUM_TEXT: Final = 1024
"""Characters of an operator's name or reason that are passed on."""

MAXIMUM_COUNT: Final = 2**53
"""No counter of ours comes near; what is passed on to others, or counted on from, must still fit a ClassAd."""

MAXIMUM_SECONDS: Final = 1e11
"""Three thousand years, as a duration or since 1970. Larger numbers passed on would be refused by the others."""

_STATES: Final = {state.value: state for state in State}
_CONDOR_STATES: Final = {Kind.ALIVE: State.LEADER, Kind.SEND_ID: State.ELECTION}
_NONE: Final = "-"
_T = TypeVar("_T")


# --- to the wire ----------------------------------------------------------------------------------------------


def encode(
    message: Message, wall_clock: float, spell: Callable[[Member], str] = lambda member: f"<{member}>"
) -> ClassAd:
    """Make the ad.

    Args:
        message: what it says.
        wall_clock: the sender's Unix time, for the skew metric of the receiver.
        spell: gives the address string of a member, with its name behind a shared port: a real condor_had compares
            HadList with its own, letter by letter, and complains of each difference.
    """
    items: list[tuple[str, ValueLike]] = [
        ("MyType", "HAD"),
        ("HadSelfID", message.rank_id),
        ("HadIndex", len(message.members) - 1 - message.rank_id),
        ("HadControlleeName", message.controllee),
        ("HadList", ",".join(map(spell, message.members))),
        ("HadIsActive", message.state is State.LEADER),
        ("HadProtocol", PROTOCOL),
        ("HadSender", message.sender),
        ("HadInstance", message.instance),
        ("HadSequence", message.sequence),
        ("HadUpSeconds", float(message.up_seconds)),
        ("HadState", message.state.value),
        ("HadEpoch", message.epoch),
        ("HadIsPrimary", message.is_primary),
        ("HadControlleeRuns", message.is_active),
        ("HadFollows", message.follows or _NONE),
        ("HadCandidacy", message.candidacy),
        ("HadWants", message.wants),
        ("HadIsYielding", message.is_yielding),
        ("HadSuccessor", message.successor or _NONE),
        ("HadOfferEpoch", message.offer_epoch),
        ("HadAwaits", message.awaits or _NONE),
        ("HadSightings", " ".join(_encode_sighting(s) for s in message.sightings)),
        ("HadSharedHash", message.shared_hash),
        ("HadVersion", message.version),
        ("HadIsReady", message.is_ready),
        ("HadWallClock", float(wall_clock)),
    ]
    if message.validity_seconds is not None:
        items.append(("HadAliveValidity", float(message.validity_seconds)))
    if message.abstains_seconds is not None:
        items.append(("HadAbstainsSeconds", float(message.abstains_seconds)))
    return ClassAd([*items, *_directive_items(message.directive), *_vote_items(message)])


def _directive_items(directive: Directive) -> Iterable[tuple[str, ValueLike]]:
    yield "HadDirectiveEpoch", directive.version[0]
    yield "HadDirectiveCount", directive.version[1]
    pause, hold = directive.pause, directive.hold
    if pause is not None:
        yield "HadPauseBy", pause.by
        yield "HadPauseReason", pause.reason
        yield "HadPauseSince", float(pause.since)
        if pause.until is not None:
            yield "HadPauseUntil", float(pause.until)
        if pause.seconds_left is not None:
            yield "HadPauseSecondsLeft", float(pause.seconds_left)
    if hold is not None:
        yield "HadHoldMember", hold.member
        yield "HadHoldBy", hold.by
        yield "HadHoldReason", hold.reason
        yield "HadHoldSince", float(hold.since)


def _vote_items(message: Message) -> Iterable[tuple[str, ValueLike]]:
    """Only majority mode has any."""
    if message.electorate.members:
        yield "HadElectorateEpoch", message.electorate.number[0]
        yield "HadElectorateCount", message.electorate.number[1]
        yield "HadElectorate", " ".join(message.electorate.members)
    if message.lease_epoch:
        yield "HadLeaseEpoch", message.lease_epoch
        yield "HadLeaseSeconds", float(message.lease_seconds)
    if message.grant is not None:
        yield "HadGrantMember", message.grant.member
        yield "HadGrantInstance", message.grant.instance
        yield "HadGrantSequence", message.grant.sequence
        yield "HadGrantSeconds", float(message.grant.seconds)


def _encode_sighting(sighting: Sighting) -> str:
    """One word of HadSightings; times in milliseconds."""
    abstains = _NONE if sighting.abstains_seconds is None else str(round(sighting.abstains_seconds * 1000))
    fields = (
        sighting.member,
        str(max(0, round(sighting.age_seconds * 1000))),
        str(max(0, round(sighting.remaining_seconds * 1000))),
        sighting.state.value,
        str(sighting.epoch),
        str(sighting.rank_id),
        str(sighting.candidacy),
        ("w" if sighting.wants else "") + ("y" if sighting.is_yielding else "") or _NONE,
        abstains,
        sighting.successor or _NONE,
        str(sighting.offer_epoch),
        str(sighting.instance),
        str(sighting.sequence),
    )
    return ",".join(fields)


# --- from the wire --------------------------------------------------------------------------------------------


def decode_untrusted(ad: ClassAd, kind: Kind) -> Message:
    """Read a peer's ad.

    Raises:
        WireError: the ad is not a HAD ad, or says what cannot be; nothing else is raised, whatever the ad holds.
    """
    rank_id = _required(ad.get_int("HadSelfID"), "HadSelfID")
    controllee = _required(ad.get_string("HadControlleeName"), "HadControlleeName")
    members = _members(_required(ad.get_string("HadList"), "HadList"))
    if not -1 <= rank_id < len(members):
        raise ProtocolError(f"HadSelfID {rank_id} is no place in a HadList of {len(members)}")
    if ad.get_int("HadProtocol") is None:
        if kind is Kind.HEARTBEAT or rank_id < 0:
            raise ProtocolError(f"HadSelfID {rank_id} is no place in a HadList of {len(members)}")
        sender = members[len(members) - 1 - rank_id]
        return Message(sender, rank_id, controllee, _CONDOR_STATES[kind], members, is_ours=False)
    return _decode_ours(ad, rank_id, controllee, members)


def _decode_ours(ad: ClassAd, rank_id: int, controllee: str, members: tuple[Member, ...]) -> Message:
    return Message(
        sender=_member(_required(ad.get_string("HadSender"), "HadSender")),
        rank_id=rank_id,
        controllee=controllee,
        state=_state(ad.get_string("HadState", "")),
        members=members,
        instance=_whole(ad, "HadInstance"),
        sequence=_whole(ad, "HadSequence"),
        validity_seconds=_optional_seconds(ad, "HadAliveValidity"),
        up_seconds=_seconds(ad.get_float("HadUpSeconds", 0.0), "HadUpSeconds"),
        epoch=_whole(ad, "HadEpoch"),
        is_primary=ad.get_bool("HadIsPrimary", default=False),
        follows=_optional_member(ad.get_string("HadFollows", _NONE)),
        is_active=ad.get_bool("HadControlleeRuns", default=False),
        sightings=_sightings(ad.get_string("HadSightings", "")),
        candidacy=_whole(ad, "HadCandidacy"),
        wants=ad.get_bool("HadWants", default=False),
        is_yielding=ad.get_bool("HadIsYielding", default=False),
        successor=_optional_member(ad.get_string("HadSuccessor", _NONE)),
        offer_epoch=_whole(ad, "HadOfferEpoch"),
        abstains_seconds=_optional_seconds(ad, "HadAbstainsSeconds"),
        awaits=_optional_member(ad.get_string("HadAwaits", _NONE)),
        directive=_directive(ad),
        shared_hash=_whole(ad, "HadSharedHash"),
        version=ad.get_string("HadVersion", "")[:MAXIMUM_TEXT],
        is_ready=ad.get_bool("HadIsReady", default=True),
        lease_epoch=_whole(ad, "HadLeaseEpoch"),
        lease_seconds=_seconds(ad.get_float("HadLeaseSeconds", 0.0), "HadLeaseSeconds"),
        grant=_grant(ad),
        electorate=_electorate(ad),
        wall_clock=_seconds(ad.get_float("HadWallClock", 0.0), "HadWallClock"),
    )


def _directive(ad: ClassAd) -> Directive:
    version = (_whole(ad, "HadDirectiveEpoch"), _whole(ad, "HadDirectiveCount"))
    pause = hold = None
    if "HadPauseBy" in ad:
        pause = Pause(
            by=_text(ad, "HadPauseBy"),
            reason=_text(ad, "HadPauseReason"),
            since=_seconds(ad.get_float("HadPauseSince", 0.0), "HadPauseSince"),
            until=_optional_seconds(ad, "HadPauseUntil"),
            seconds_left=_optional_seconds(ad, "HadPauseSecondsLeft"),
        )
        if (pause.until is None) != (pause.seconds_left is None):
            raise ProtocolError("a pause has an end and the seconds to it, or neither")
    if "HadHoldMember" in ad:
        hold = Hold(
            member=_member(_text(ad, "HadHoldMember")),
            by=_text(ad, "HadHoldBy"),
            reason=_text(ad, "HadHoldReason"),
            since=_seconds(ad.get_float("HadHoldSince", 0.0), "HadHoldSince"),
        )
    return Directive(version, pause, hold)


def _grant(ad: ClassAd) -> Grant | None:
    if "HadGrantMember" not in ad:
        return None
    member = _member(_text(ad, "HadGrantMember"))
    seconds = _seconds(ad.get_float("HadGrantSeconds", 0.0), "HadGrantSeconds")
    return Grant(member, _whole(ad, "HadGrantInstance"), _whole(ad, "HadGrantSequence"), seconds)


def _electorate(ad: ClassAd) -> Electorate:
    if "HadElectorate" not in ad:
        return Electorate()
    number = (_whole(ad, "HadElectorateEpoch"), _whole(ad, "HadElectorateCount"))
    return Electorate(number, _members(ad.get_string("HadElectorate", "")))


def _sightings(text: str) -> tuple[Sighting, ...]:
    words = text.split()
    if len(words) > MAXIMUM_MEMBERS:
        raise ProtocolError(f"HadSightings has more than {MAXIMUM_MEMBERS} entries (got {len(words)})")
    return tuple(_decode_sighting(word) for word in words)


#: One word of HadSightings; fields after those we know are a later version's. One pattern for the whole word, since in
#: a large pool most of what a daemon does is reading sightings.
_SIGHTING: Final = re.compile(
    (
        "(?P<member>[^,]+),(?P<age>N),(?P<remaining>N),(?P<state>[a-z]+),(?P<epoch>N),(?P<rank>-1|N),(?P<candidacy>N),"
        "(?P<flags>[^,]*),(?P<abstains>-|N),(?P<successor>[^,]+),(?P<offer>N),(?P<instance>N),(?P<sequence>N)(?:,.*)?"
    ).replace("N", "[0-9]{1,16}")
)


def _decode_sighting(word: str) -> Sighting:
    found = _SIGHTING.fullmatch(word)
    if found is None:
        raise ProtocolError(f"a sighting cannot be {word[:200]!r}")
    member, age, remaining, state, epoch, rank, candidacy, flags, abstains, successor, *numbers = (
        found.groups()
    )
    offer, instance, sequence = map(int, numbers)
    return Sighting(
        member=_member(member),
        age_seconds=int(age) / 1000,
        remaining_seconds=int(remaining) / 1000,
        state=_state(state),
        epoch=int(epoch),
        rank_id=int(rank),
        candidacy=int(candidacy),
        wants="w" in flags,
        is_yielding="y" in flags,
        abstains_seconds=None if abstains == _NONE else int(abstains) / 1000,
        successor=_optional_member(successor),
        offer_epoch=offer,
        instance=instance,
        sequence=sequence,
    )


def _members(text: str) -> tuple[Member, ...]:
    words = text.replace(",", " ").split()
    if not 0 < len(words) <= MAXIMUM_MEMBERS:
        raise ProtocolError(f"HadList must have 1 to {MAXIMUM_MEMBERS} members (got {len(words)})")
    return tuple(_member(word) for word in words)


_known_members: dict[str, Member] = {}


def _member(text: str) -> Member:
    """Return the one spelling of an address; the few that a pool has are remembered."""
    known = _known_members.get(text)
    if known is not None:
        return known
    member = str(_guarded(Address.parse, text))
    if len(_known_members) < 4 * MAXIMUM_MEMBERS:
        _known_members[text] = member
    return member


def _optional_member(text: str) -> Member | None:
    return None if text == _NONE else _member(text)


def _guarded(read: Callable[[str], _T], text: str) -> _T:
    """Map what a reader of text raises to the one exception for a peer's bytes."""
    try:
        return read(text)
    except ValueError as error:
        raise ProtocolError(f"unreadable value {text[:100]!r}: {error}") from error


def _state(text: str) -> State:
    state = _STATES.get(text)
    if state is None:
        raise ProtocolError(f"unknown HadState {text[:100]!r}")
    return state


def _whole(ad: ClassAd, name: str) -> int:
    number = ad.get_int(name, 0)
    if number < 0:
        raise ProtocolError(f"{name} must not be negative (got {number})")
    if number >= MAXIMUM_COUNT:
        raise ProtocolError(f"{name} must be less than 2^53 (got {number})")
    return number


def _seconds(value: float, name: str) -> float:
    if not 0 <= value <= MAXIMUM_SECONDS:
        raise ProtocolError(f"{name} must be seconds, finite and not negative (got {value})")
    return value


def _optional_seconds(ad: ClassAd, name: str) -> float | None:
    value = ad.get_float(name)
    return None if value is None else _seconds(value, name)


def _text(ad: ClassAd, name: str) -> str:
    return ad.get_string(name, "")[:MAXIMUM_TEXT]


def _required(value: _T | None, name: str) -> _T:
    if value is None:
        raise ProtocolError(f"a HAD ad needs {name}")
    return value


__all__ = ["MAXIMUM_MEMBERS", "PROTOCOL", "WireError", "decode_untrusted", "encode"]
