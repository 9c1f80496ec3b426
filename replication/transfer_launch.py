"""How a transferer is started: its process, and the task that it begins with.

Who a downloader calls, how it is let in and what it may take all stands in its task, which goes over the channel and
not into its arguments; a list of processes shows no more than the direction and the peer.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping
from typing import Any, Final

from daemoncore.address import Address
from daemoncore.cedar.commands import Command
from daemoncore.cedar.sessions import Session
from daemoncore.cedar.stream_state import StreamState
from daemoncore.children import Children
from replication import transferer_words as words
from replication.replica_settings import Member
from replication.transfer_terms import Terms
from replication.transferer_process import TransfererProcess

#: The protocols of a transfer (`transferer.task.PROTOCOLS`), and the command by which a downloader asks for each.
COMMANDS: Final = {
    "ours": Command.REPLICATION_FETCH,
    "condor": Command.REPLICATION_TRANSFER_FILE_NEW,
    "callback": Command.REPLICATION_TRANSFER_FILE,
}


def no_session(_peer: Member, _command: int) -> Session | None:
    """Let every downloader log in."""
    return None


class Launcher:
    """Starts transferers.

    Args:
        children: the daemon's processes.
        terms: what holds for those that are started from now on.
        address_of: where a replica listens.
        session_of: what the daemon has agreed on with a replica, good for a command; it saves a login.
    """

    def __init__(
        self,
        children: Children,
        terms: Callable[[], Terms],
        address_of: Callable[[Member], Address],
        session_of: Callable[[Member, int], Session | None],
    ) -> None:
        self._children = children
        self._terms = terms
        self._address_of = address_of
        self._session_of = session_of
        #: The sessions that a replica did not know any more, as after its restart.
        self._refused: dict[Member, str] = {}
        self._used: dict[Member, str] = {}

    def download(
        self, peer: Member, protocol: str, target: Mapping[str, Any], request: Mapping[str, str | int]
    ) -> TransfererProcess:
        """Start one that fetches.

        Args:
            peer: from whom.
            protocol: how; one of `COMMANDS`.
            target: where to, as its task has it: `files` or `folder`.
            request: what the asking ad says besides, and besides `Terms.asking`.

        Raises:
            OSError: it could not be started.
        """
        terms, address = self._terms(), self._address_of(peer)
        task = {**words.login(terms, str(address.sinful()), self._session(peer, protocol)), **target}
        task |= words.limits(terms)
        if protocol == "ours":
            task["request"] = {**terms.asking, **request}
        if protocol != "callback":
            process = self._start("down", peer, terms)
            process.tell(words.begin(terms, protocol, **task))
            return process
        with _listener(terms, address) as listening:
            place = Address(*listening.getsockname()[:2])
            task |= {"listener": 0, "call_back_address": str(place.sinful())}
            process = self._start("down", peer, terms)
            process.tell(words.begin(terms, protocol, **task), [listening.detach()])
        return process

    def upload(
        self, peer: Member, protocol: str, connection: tuple[StreamState, int] | None, call_back: str | None
    ) -> TransfererProcess:
        """Start one that sends.

        Args:
            peer: to whom.
            protocol: how; one of `COMMANDS`.
            connection: on which we were asked; its descriptor is ours to close once this returns.
            call_back: where to call instead, for `callback`.

        Raises:
            OSError: it could not be started; the descriptor is still the caller's.
        """
        terms = self._terms()
        process = self._start("up", peer, terms)
        if connection is None:
            process.tell(words.begin(terms, protocol, address=call_back))
        else:
            state, descriptor = connection
            process.tell(words.begin(terms, protocol, **words.handed_over(state)), [descriptor])
        return process

    def not_let_in(self, peer: Member) -> None:
        """Let the next downloader log in, since the last one got no connection with the session it was given."""
        if peer in self._used:
            self._refused[peer] = self._used.pop(peer)

    def _session(self, peer: Member, protocol: str) -> Session | None:
        session = self._session_of(peer, COMMANDS[protocol])
        self._used.pop(peer, None)
        if session is None or session.identifier == self._refused.get(peer):
            return None
        self._used[peer] = session.identifier
        return session

    def _start(self, role: str, peer: Member, terms: Terms) -> TransfererProcess:
        return TransfererProcess(
            self._children,
            (*terms.argv, role, peer),
            terms.environment_of_transferer(),
            lifetime_seconds=terms.lifetime_seconds + terms.grace_seconds,
            grace_seconds=terms.grace_seconds,
        )


def _listener(terms: Terms, address: Address) -> socket.socket:
    """Return a socket at which a real uploader can call back, on the way to whose address we ourselves would speak."""
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    host = terms.source_address
    if host is None:
        with socket.socket(family, socket.SOCK_DGRAM) as asking:
            # Sends nothing: the kernel only looks for the way.
            asking.connect((address.host, address.port))
            host = asking.getsockname()[0]
    return socket.create_server((host, 0), family=family)
