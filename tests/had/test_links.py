"""One link: how often it dials, and whom."""

import attrs
import trio
import trio.testing

from daemoncore.cedar.authentication import Identity
from daemoncore.cedar.handshake import Peer
from had.links import Link
from tests.had.speakers import A

TIMEOUT_SECONDS = 1.0
SANE_DIALS = 50


class Answered:
    """An open connection to a real condor_had."""

    peer = Peer(Identity("condor@password"), is_ours=False)

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_exception):
        await trio.lowlevel.checkpoint()


@attrs.define
class Dialled:
    """A client that counts its calls; a real condor_had answers each."""

    calls: list = attrs.field(factory=list)

    async def connect(self, address, command, *, asked_about=None):  # noqa: ARG002 -- only the number counts
        """Answer."""
        await trio.lowlevel.checkpoint()
        self.calls.append(trio.current_time())
        assert len(self.calls) < SANE_DIALS, "the link dials in a circle"
        return Answered()


class Silent:
    """A watcher that keeps nothing."""

    def found(self, peer, implementation):
        """Ignore what was found."""


async def test_a_condor_had_is_looked_at_once_each_time_it_is_heard(nursery, autojump_clock):
    """A link with nothing to say to a real condor_had dials once to learn what it is, and once more per `hurry`."""
    dialled, events = Dialled(), []
    link = Link(
        A,
        lambda: dialled,
        events.append,
        lambda: TIMEOUT_SECONDS,
        lambda message: message,
        Silent(),
        lambda _member: False,
    )
    nursery.start_soon(link.run)
    for dials in (1, 2, 3):
        await trio.sleep(10 * TIMEOUT_SECONDS)
        assert len(dialled.calls) == dials
        link.hurry()
