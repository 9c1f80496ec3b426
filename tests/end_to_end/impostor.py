"""Speaks to a daemon as a member would, or as nobody should: raw bytes, forged messages, recorded connections.

An impostor has the pool's own credentials (here: it is on the same machine, under the same account), so what it says is
authentic; whether it is believed is what the tests ask.
"""

import contextlib
import random
import socket

import attrs
import trio

from daemoncore.address import Address
from daemoncore.cedar.commands import Command
from daemoncore.client import CallFailed, Client
from daemoncore.startup import Options
from had import messages
from had.events import Message
from had.loading import load
from had.transitions import State

#: Bytes that are not the protocol, by what they are.
GARBAGE = {
    "noise": random.Random(1).randbytes(65536),
    "zeros": bytes(4096),
    "http": b"GET / HTTP/1.1\r\nHost: pool\r\n\r\n",
    "tls": bytes.fromhex("160301020001 0001fc0303".replace(" ", "")) + bytes(508),
    "ssh": b"SSH-2.0-OpenSSH_9.6\r\n",
    # A packet header says: last packet, 4 GiB long.
    "huge packet": b"\x01\xff\xff\xff\xff" + bytes(4096),
    # No packet is the last, so the message never ends.
    "endless message": (b"\x00\x00\x00\x10\x00" + bytes(4096)) * 600,
    "unknown command": b"\x01\x00\x00\x00\x08" + (99999).to_bytes(8),
    "command without a payload": b"\x01\x00\x00\x00\x08" + int(Command.HAD_ALIVE_CMD).to_bytes(8),
    "half a header": b"\x01\x00",
    "half a message": b"\x01\x00\x00\x01\x00" + (60010).to_bytes(8),
}


def end_sending(connection):
    """Say that no more comes, unless the other side has hung up already: a reset that was seen leaves no connection."""
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_WR)


def shout(node, data, source="127.0.0.1"):
    """Send a daemon's command port raw bytes and return what comes back until it hangs up; None if it does not."""
    with socket.create_connection((node.host, node.pool.network.port), 5, (source, 0)) as connection:
        try:
            connection.sendall(data)
            end_sending(connection)
            answer = b""
            while part := connection.recv(65536):
                answer += part
        except ConnectionError:
            return b""
        except TimeoutError:
            return None
        return answer


def forged(pool, sender, **changes):
    """Return a message such as this node would send: passive, following nobody; with some of it changed."""
    members = tuple(node.entry for node in pool.nodes if node.index < pool.candidates)
    message = Message(
        sender=sender.entry,
        rank_id=len(members) - 1 - sender.index,
        controllee="keeper",
        state=State.PASSIVE,
        members=members,
        instance=2**33,
        sequence=1,
        validity_seconds=pool.timeout_seconds,
        up_seconds=60.0,
    )
    return attrs.evolve(message, **changes)


def ad_of(message):
    """Return a message as the ad that goes over the wire."""
    return messages.encode(message, wall_clock=1e9)


class RecordingStream(trio.abc.Stream):
    """A connection that keeps what was sent on it."""

    def __init__(self, stream):
        self._stream = stream
        self.sent = []

    async def send_all(self, data):
        """Send, and keep it."""
        self.sent.append(bytes(data))
        await self._stream.send_all(data)

    async def wait_send_all_might_not_block(self):
        """As the connection does."""
        await self._stream.wait_send_all_might_not_block()

    async def receive_some(self, max_bytes=None):
        """Receive."""
        return await self._stream.receive_some(max_bytes)

    async def aclose(self):
        """Close."""
        await self._stream.aclose()


class Impostor(Client):
    """A client with the credentials of a pool, calling from an address of the test's choice, that records its bytes."""

    def __init__(self, pool, source):
        security = load(Options(str(pool[0].configuration)), pool.environment).security
        super().__init__(security, source_address=source)
        self.recordings = []

    async def _dial(self, address):
        stream = RecordingStream(await super()._dial(address))
        self.recordings.append(stream)
        return stream

    async def say(self, node, *ads, command=Command.HAD_HEARTBEAT, pause_seconds=0.05):
        """Send ads to a node on one connection; return whether it was still open at the end."""
        with trio.fail_after(10):
            async with await self.connect(Address.parse(node.entry), command) as connection:
                for index, ad in enumerate(ads):
                    writer = connection.writer()
                    if index:
                        writer.put_int(command)
                    await connection.send(writer.put_ad(ad))
                with trio.move_on_after(pause_seconds):
                    try:
                        await connection.receive()
                    except CallFailed:
                        return False
                return True


def impersonate(pool, node, *ads, source, **options):
    """Send ads to a node from an address; return whether the connection was still open at the end."""

    async def speak():
        return await Impostor(pool, source).say(node, *ads, **options)

    return trio.run(speak)
