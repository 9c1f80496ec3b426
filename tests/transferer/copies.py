"""Real transferers for tests: the replication daemon's part, played by hand, and the two processes over loopback."""

import contextlib
import json
import os
import select
import socket
import subprocess
import sys
import time
from pathlib import Path

import attrs

from daemoncore.cedar.packets import AFTER_AUTHENTICATION
from daemoncore.cedar.stream import Stream

ROOT = Path(__file__).parents[2]
KEY = bytes(range(32))
LIFETIME = 60.0


@attrs.define
class Copier:
    """One transferer process, and its daemon's end of the channel."""

    process: subprocess.Popen
    control: socket.socket
    events: list = attrs.field(factory=list)
    buffer: bytes = b""

    @classmethod
    def start(cls, role, **arguments):
        """Start a process; it waits for its first document."""
        ours, theirs = socket.socketpair()
        process = subprocess.Popen(
            [sys.executable, "-m", "transferer", role, "test"],
            stdin=theirs,
            stdout=subprocess.PIPE,
            cwd=ROOT,
            **arguments,
        )
        theirs.close()
        return cls(process, ours)

    def tell(self, descriptors=(), **document):
        """Send a document, with descriptors."""
        line = json.dumps({**document, "descriptors": len(descriptors)}).encode() + b"\n"
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            sent = socket.send_fds(self.control, [line], list(descriptors))
            self.control.sendall(line[sent:])

    def event(self, *names, seconds=20):
        """Return the next event of one of these names; other ones are kept in `events`."""
        until = time.monotonic() + seconds
        while True:
            line, newline, rest = self.buffer.partition(b"\n")
            if newline:
                self.buffer = rest
                event = json.loads(line)
                self.events.append(event)
                if event["event"] in names:
                    return event
                assert event["event"] in {"progress", *names}, f"expected one of {names}, got {event}"
                continue
            assert select.select([self.process.stdout], [], [], until - time.monotonic())[0], f"no {names}"
            data = os.read(self.process.stdout.fileno(), 65536)
            assert data, f"the process ended before one of {names}; it said {self.events}"
            self.buffer += data

    def ended(self, seconds=20):
        """Wait for the end; return the last event and the exit status."""
        event = self.event("exit", seconds=seconds)
        return event, self.process.wait(seconds)

    def close(self):
        """End the process, whatever it does."""
        self.control.close()
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()


def connected():
    """Return two ends of a loopback TCP connection."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        one = socket.create_connection(listener.getsockname())
        other, _ = listener.accept()
    return one, other


def streams(*, is_encrypted):
    """Return the state of both sides of a connection after the handshake, as documents."""
    client, server = Stream(AFTER_AUTHENTICATION), Stream(AFTER_AUTHENTICATION)
    if is_encrypted:
        client.encrypt_with(KEY, os.urandom(16))
        server.encrypt_with(KEY, os.urandom(16))
    return client, server


def begin(copier, connection, stream, **task):
    """Give a process its task, with a connection that is open already; it is closed here."""
    descriptor = connection.detach()
    copier.tell(
        [descriptor],
        what="begin",
        connection={"descriptor": 0, "stream": stream.hand_over().to_document()},
        **{"protocol": "ours", "lifetime_seconds": LIFETIME, "stall_seconds": 5, **task},
    )
    os.close(descriptor)


@attrs.define
class Pair:
    """An uploader and a downloader on one connection."""

    up: Copier
    down: Copier

    @classmethod
    def start(cls, *, is_encrypted=False, up=None, **down):
        """Start both, with the changes to their tasks."""
        theirs, ours = connected()
        client, server = streams(is_encrypted=is_encrypted)
        pair = cls(Copier.start("up"), Copier.start("down"))
        begin(pair.up, ours, server, **(up or {}))
        begin(pair.down, theirs, client, **down)
        return pair

    def offer(self, version, entries, descriptors=(), **more):
        """Have the uploader offer a version."""
        self.up.tell(descriptors, what="version", version=version, entries=entries, **more)

    def copy(self, version, entries, descriptors=(), have=None, *, seconds=20, **more):
        """Copy one version; return what each side said of it, the downloader's part not installed yet."""
        self.offer(version, entries, descriptors, **more)
        offer = self.down.event("offer")
        assert offer["version"] == version
        self.down.tell(what="take", have=have)
        return self.down.event("received", seconds=seconds)

    def installed(self):
        """Say that the version is installed; return what the uploader says of it."""
        self.down.tell(what="installed")
        return self.up.event("sent")

    def end(self):
        """End both in good order; return the downloader's last event."""
        self.up.tell(what="end")
        event, status = self.up.ended()
        assert (event["result"], status) == ("ok", 0)
        event, status = self.down.ended()
        assert (event["result"], status) == ("ok", 0)
        return event

    def close(self):
        """End both, whatever they do."""
        self.up.close()
        self.down.close()


def file_entry(path, name="0", **more):
    """Return an entry of a version for a file as it is now."""
    return {"name": name, "path": str(path), "bytes": path.stat().st_size, "mode": 0o600, **more}
