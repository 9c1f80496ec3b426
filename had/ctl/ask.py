"""Asks daemons over CEDAR: their status at level READ, or an operator's request at level ADMINISTRATOR.

All are asked at once, each with its own deadline, so a pool with a dead member answers as fast as a healthy one
plus that deadline. What can go wrong with one daemon becomes a word in its answer and harms no other.
"""

import time
from collections.abc import Sequence
from typing import TypeVar

import attrs
import trio

from daemoncore import client
from daemoncore.address import Address
from daemoncore.cedar.classad import ClassAd
from daemoncore.cedar.commands import Command
from daemoncore.cedar.errors import WireError
from daemoncore.cedar.handshake import Outcome
from daemoncore.client import CallFailed, Client
from had.ctl import documents
from had.ctl.pool import Answer, Dated, Failure, Pool
from had.ctl.replica_status import ReplicaStatus
from had.ctl.replicas import Replicas
from had.status import Status

#: Operators' requests are answered by the daemon's next turn; `had.service` gives up after 5 s itself.
REQUEST_SECONDS = 6.0

_FAILURES = {
    client.ConnectionRefused: Failure.REFUSED,
    client.TimedOut: Failure.TIMEOUT,
    client.Unreachable: Failure.UNREACHABLE,
    client.Denied: Failure.DENIED,
}

Said = TypeVar("Said", bound=Dated)


@attrs.frozen
class Target:
    """Somebody to ask.

    Attributes:
        entry: as the list spells it.
        address: the same in numbers; None when its name is not known.
        trouble: why it is not known.
    """

    entry: str
    address: Address | None
    trouble: str = ""


@attrs.frozen
class Reply:
    """What a daemon says to an operator's request."""

    is_accepted: bool
    text: str
    #: JSON, where the request is one for a document; empty if there is none.
    document: str = ""


class RequestError(Exception):
    """A request did not reach the daemon or was not answered; the sentence says why."""


async def ask_pool(
    members: Sequence[Target], witnesses: Sequence[Target], caller: Client, timeout_seconds: float
) -> Pool:
    """Ask everybody for their status, and return when all have answered or run out of time."""
    everyone = (*members, *witnesses)
    answers = await _ask_all(everyone, Command.HAD_STATUS, Status, caller, timeout_seconds)
    return Pool(tuple(t.entry for t in members), tuple(t.entry for t in witnesses), answers)


async def ask_replicas(targets: Sequence[Target], caller: Client, timeout_seconds: float) -> Replicas:
    """Ask every replication daemon for its status, and return when all have answered or run out of time."""
    command, kind = Command.REPLICATION_STATUS, ReplicaStatus
    answers = await _ask_all(targets, command, kind, caller, timeout_seconds)
    return Replicas(tuple(target.entry for target in targets), answers)


async def _ask_all(
    targets: Sequence[Target], command: Command, kind: type[Said], caller: Client, timeout_seconds: float
) -> dict[str, Answer[Said]]:
    """Ask all at once; the answers come in the order of the targets."""
    answers: dict[str, Answer[Said]] = {}

    async def ask(target: Target) -> None:
        answers[target.entry] = await _ask(target, command, kind, caller, timeout_seconds)

    async with trio.open_nursery() as nursery:
        for target in targets:
            nursery.start_soon(ask, target)
    return {target.entry: answers[target.entry] for target in targets}


async def ask_status(target: Target, caller: Client, timeout_seconds: float) -> Answer[Status]:
    """Ask one member for its status."""
    return await _ask(target, Command.HAD_STATUS, Status, caller, timeout_seconds)


async def _ask(
    target: Target, command: Command, kind: type[Said], caller: Client, timeout_seconds: float
) -> Answer[Said]:
    if target.address is None:
        return Answer(target.entry, failure=Failure.UNREACHABLE, detail=target.trouble)
    began, began_at = trio.current_time(), time.time()
    try:
        with trio.fail_after(timeout_seconds):
            text = await _fetch(target.address, command, caller)
        document = documents.parse(text)
        status = documents.value_from(kind, document)
    except trio.TooSlowError:
        detail = f"nothing came within {timeout_seconds:g} s"
        return Answer(target.entry, failure=Failure.TIMEOUT, detail=detail)
    except CallFailed as error:
        failure = _failure_of(error)
        if failure is Failure.PROTOCOL and await _is_condor(target.address, caller, timeout_seconds):
            failure = Failure.UNKNOWN_COMMAND
        return Answer(target.entry, failure=failure, detail=error.reason)
    except (WireError, documents.DocumentError) as error:
        return Answer(target.entry, failure=Failure.PROTOCOL, detail=str(error))
    seconds = trio.current_time() - began
    return Answer(target.entry, document, status, seconds=seconds, received_at=(began_at + time.time()) / 2)


async def _is_condor(address: Address, caller: Client, timeout_seconds: float) -> bool:
    """Whether a daemon of HTCondor's is there, which hangs up without a word on a command that it does not know."""
    try:
        with trio.fail_after(timeout_seconds):
            look = await caller.connect(address, Command.DC_AUTHENTICATE, asked_about=Command.DC_NOP_READ)
            async with look:
                return not look.peer.is_ours
    except (CallFailed, trio.TooSlowError):
        return False


async def _fetch(address: Address, command: Command, caller: Client) -> str:
    async with await caller.connect(address, command) as connection:
        # A question that could be asked in a resumed session needs a payload, which proves that the session is ours.
        await connection.send(connection.writer().put_ad(ClassAd()))
        reader = await connection.receive()
        return reader.get_text()


def _failure_of(error: CallFailed) -> Failure:
    if isinstance(error, client.Denied) and error.outcome is Outcome.COMMAND_NOT_FOUND:
        return Failure.UNKNOWN_COMMAND
    return _FAILURES.get(type(error), Failure.PROTOCOL)


async def request(
    target: Target, command: Command, ad: ClassAd, caller: Client, seconds: float = REQUEST_SECONDS
) -> Reply:
    """Give one daemon an operator's request, and wait so long for the reply.

    Raises:
        RequestError: there is no reply; whether the request was carried out is then unknown unless it says more.
    """
    if target.address is None:
        raise RequestError(f"{target.entry}: {target.trouble}")
    try:
        with trio.fail_after(seconds):
            async with await caller.connect(target.address, command) as connection:
                await connection.send(connection.writer().put_ad(ad))
                reader = await connection.receive()
                reply = reader.get_ad()
    except trio.TooSlowError as error:
        raise RequestError(f"{target.entry} did not reply within {seconds:g} s") from error
    except CallFailed as error:
        raise RequestError(f"{target.entry}: {_failure_of(error).value} ({error.reason})") from error
    except WireError as error:
        raise RequestError(f"{target.entry}: {Failure.PROTOCOL.value} ({error})") from error
    is_accepted, text = reply.get_bool("Accepted", False), reply.get_string("Text", "")
    return Reply(is_accepted, text, reply.get_string("Document", ""))
