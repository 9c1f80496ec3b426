"""The official Python bindings, which nobody here wrote, as clients of our command port.

Their calls hold the interpreter and have no timeout, so each runs in a process of its own with a deadline.
"""

import json
import os
import subprocess
import sys
import time

import pytest
import trio

from daemoncore.authorization import Level
from daemoncore.cedar.classad import ClassAd
from daemoncore.cedar.keys import pool_signing_key
from daemoncore.cedar.tokens import mint_token
from tests.daemoncore import command_ports

pytest.importorskip("htcondor2", reason="the official bindings are not installed", exc_type=ImportError)

INVALIDATE, MASTER_OFF = 57, 468
#: Under load a process of the bindings takes a second to start.
DEADLINE_SECONDS = 60

PREAMBLE = """
import sys, warnings
warnings.simplefilter("ignore")
import htcondor2 as htcondor, classad2 as classad
address = sys.argv[1]
location = classad.ClassAd({"MyAddress": address, "MyType": "DaemonMaster", "Name": "x", "CondorVersion": "25.14.1"})
ad = classad.ClassAd({"MyType": "HAD", "Name": "had@cm2", "HadIsActive": True})
collector = htcondor.Collector(location)
"""

METHODS = {
    "raw": {
        f"SEC_DEFAULT_{name}": "NEVER"
        for name in ("NEGOTIATION", "AUTHENTICATION", "ENCRYPTION", "INTEGRITY")
    },
    "unauthenticated": {
        "SEC_DEFAULT_AUTHENTICATION": "OPTIONAL",
        "SEC_DEFAULT_ENCRYPTION": "REQUIRED",
        "SEC_DEFAULT_INTEGRITY": "REQUIRED",
    },
    "CLAIMTOBE": {
        "SEC_DEFAULT_AUTHENTICATION": "REQUIRED",
        "SEC_DEFAULT_AUTHENTICATION_METHODS": "CLAIMTOBE",
    },
    "FS": {"SEC_DEFAULT_AUTHENTICATION": "REQUIRED", "SEC_DEFAULT_AUTHENTICATION_METHODS": "FS"},
    "IDTOKENS": {"SEC_DEFAULT_AUTHENTICATION": "REQUIRED", "SEC_DEFAULT_AUTHENTICATION_METHODS": "IDTOKENS"},
}
#: What each method is called by the server, None for strangers.
NAMES = {"raw": None, "unauthenticated": None, "CLAIMTOBE": "CLAIMTOBE", "FS": "FS", "IDTOKENS": "IDTOKENS"}


class Bindings:
    """The bindings with a configuration of their own."""

    def __init__(self, folder, settings):
        self.folder = folder
        config = folder / "condor_config"
        lines = [f"{name} = {value}" for name, value in settings.items()]
        lines += ["FULL_HOSTNAME = cm1.example.org", "LOCAL_DIR = " + str(folder), "LOG = " + str(folder)]
        config.write_text("\n".join(lines) + "\n")
        self.environment = {
            **os.environ,
            "CONDOR_CONFIG": str(config),
            "_CONDOR_NETWORK_INTERFACE": "127.0.0.1",
        }

    async def run(self, address, *statements):
        """Run statements against an address in a process of its own; return what it printed, or its error."""
        code = PREAMBLE + "\n".join(statements)
        result = await trio.to_thread.run_sync(lambda: self.run_blocking(address, code))
        return result.stdout.strip(), result.stderr.strip().splitlines()[-1:] if result.returncode else None

    def run_blocking(self, address, code):
        """Run code in a process of its own."""
        return subprocess.run(
            [sys.executable, "-c", code, address],
            env=self.environment,
            timeout=DEADLINE_SECONDS,
            capture_output=True,
            text=True,
            check=False,
        )


class Rig:
    """One server on loopback and the bindings, with the same settings."""

    def __init__(self, folder, method, **changes):
        values = command_ports.settings(folder, ALLOW_DAEMON="*", ALLOW_ADMINISTRATOR="*")
        for feature in ("AUTHENTICATION", "ENCRYPTION", "INTEGRITY"):
            values[f"SEC_DEFAULT_{feature}"] = "OPTIONAL"
        self.values = values | METHODS[method] | changes
        self.port = self.new_port()
        self.bindings = Bindings(folder, self.values)

    def new_port(self):
        """Return a server that knows nothing of the one before."""
        port = command_ports.port(self.values, now=time.time)
        port.server.register(INVALIDATE, Level.DAEMON, port.take_ad)
        return port


@pytest.fixture(params=sorted(METHODS))
def method(request):
    """One way of logging in."""
    return request.param


async def serving(nursery, port):
    """Start serving a port on loopback and return the address string."""
    [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
    nursery.start_soon(port.server.serve, [listener])
    return f"<127.0.0.1:{listener.socket.getsockname()[1]}>"


def methods_seen(port):
    """Return the methods by which commands other than DC_NOP came in."""
    return {entry[2] for entry in port.observer.commands if entry[0] != 60011}


async def test_the_bindings_advertise(tmp_path, method):
    """Ads of any size arrive, several on one connection, whatever the method."""
    rig = Rig(tmp_path, method)
    async with trio.open_nursery() as nursery:
        address = await serving(nursery, rig.port)
        _, error = await rig.bindings.run(
            address,
            'big = classad.ClassAd({"MyType": "HAD", "Name": "big", "Filler": "x" * 9000})',
            'collector.advertise([ad, big], "UPDATE_HAD_AD", True)',
        )
        assert error is None
        nursery.cancel_scope.cancel()
    assert [ad["Name"] for _, ad in rig.port.received] == ["had@cm2", "big"]
    assert methods_seen(rig.port) == {NAMES[method]}
    assert rig.port.observer.refusals == []
    assert rig.port.observer.failures == []


async def test_the_bindings_query(tmp_path, method):
    """They take our answer, one message with all ads in it."""
    rig = Rig(tmp_path, method)
    async with trio.open_nursery() as nursery:
        address = await serving(nursery, rig.port)
        output, error = await rig.bindings.run(
            address,
            'print([entry["TargetType"] for entry in collector.query(htcondor.AdType.HAD)])',
        )
        assert error is None
        nursery.cancel_scope.cancel()
    assert output == "['HAD']"
    assert methods_seen(rig.port) == {NAMES[method]}


async def test_the_bindings_send_commands_and_resume_their_session(tmp_path, method):
    """CHILD_ON and a second command in the same process arrive; with a key the second one resumes."""
    rig = Rig(tmp_path, method)
    async with trio.open_nursery() as nursery:
        address = await serving(nursery, rig.port)
        _, error = await rig.bindings.run(
            address,
            'htcondor.send_command(location, 490, "NEGOTIATOR")',
            'htcondor.send_command(location, 490, "COLLECTOR")',
        )
        assert error is None
        nursery.cancel_scope.cancel()
    assert rig.port.received == [(490, "NEGOTIATOR"), (490, "COLLECTOR")]
    assert len(rig.port.server.sessions) == (0 if method == "raw" else 1)


async def test_the_bindings_ping(tmp_path):
    """DC_SEC_QUERY says who they are and that they may."""
    rig = Rig(tmp_path, "IDTOKENS")
    async with trio.open_nursery() as nursery:
        address = await serving(nursery, rig.port)
        output, error = await rig.bindings.run(
            address,
            'answer = htcondor.ping(location, "UPDATE_HAD_AD")',
            'print(answer["AuthorizationSucceeded"])',
        )
        assert error is None
        nursery.cancel_scope.cancel()
    assert output == "True"


async def test_the_bindings_learn_of_a_restart(tmp_path):
    """A server that was restarted says that it knows no such session; the next call negotiates anew."""
    rig = Rig(tmp_path, "IDTOKENS")
    restarted = rig.new_port()
    ports = [rig.port, restarted]
    async with trio.open_nursery() as nursery:
        [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
        address = f"<127.0.0.1:{listener.socket.getsockname()[1]}>"

        async def serve(stream):
            # The second connection meets the restarted server, also if the first one's command is still being read.
            port = ports.pop(0) if len(ports) > 1 else restarted
            await port.server._serve_socket(stream)

        nursery.start_soon(trio.serve_listeners, serve, [listener])
        output, error = await rig.bindings.run(
            address,
            'htcondor.send_command(location, 490, "FIRST")',
            "for name in ('SECOND', 'THIRD'):",
            "    try:",
            "        htcondor.send_command(location, 490, name)",
            "    except Exception as error:",
            "        print(name, 'was lost')",
        )
        assert error is None
        nursery.cancel_scope.cancel()
    assert rig.port.received == [(490, "FIRST")]
    assert output == "SECOND was lost"
    assert restarted.received == [(490, "THIRD")]
    assert restarted.observer.reasons == ["session_not_found"]


async def test_the_bindings_are_told_why_they_may_not(tmp_path):
    """A user who is not on the list hears DENIED, an unknown command CMD_NOT_FOUND."""
    rig = Rig(tmp_path, "IDTOKENS", ALLOW_ADMINISTRATOR="alice@example.org")
    async with trio.open_nursery() as nursery:
        address = await serving(nursery, rig.port)
        _, error = await rig.bindings.run(address, 'htcondor.send_command(location, 490, "NEGOTIATOR")')
        assert error is not None
        _, error = await rig.bindings.run(
            address, f'htcondor.send_command(location, {MASTER_OFF}, "NEGOTIATOR")'
        )
        assert error is not None
        nursery.cancel_scope.cancel()
    assert rig.port.observer.reasons == ["denied", "command_not_found"]
    assert rig.port.received == []


TOKENS = [
    # what the token says of itself, whether it gets through
    ({"subject": "alice@example.org"}, True),
    ({"subject": "alice@example.org", "levels": ("DAEMON",)}, True),
    ({"subject": "alice@example.org", "levels": ("READ",)}, False),
    ({"subject": "mallory@example.org"}, False),
    ({"subject": "alice@example.org", "key_name": "NOSUCH"}, False),
    ({"subject": "alice@example.org", "signing_key": b"another key"}, False),
    ({"subject": "alice@example.org", "now": 1.7e9, "lifetime_seconds": 60}, False),
    ({"subject": "alice@example.org", "issuer": "another.example.org"}, False),
]


@pytest.mark.parametrize(
    ("claims", "expected"), TOKENS, ids=[json.dumps(str(claims)) for claims, _ in TOKENS]
)
async def test_the_bindings_present_tokens_of_ours(tmp_path, claims, expected):
    """Tokens that we mint work in stock clients; wrong, expired, foreign and limited ones get nowhere."""
    rig = Rig(tmp_path, "IDTOKENS", ALLOW_DAEMON="alice@example.org", DENY_DAEMON="mallory@*")
    key = pool_signing_key((tmp_path / "passwords" / "POOL").read_bytes())
    defaults = {"signing_key": key, "issuer": "pool.example.org", "identifier": "1", "now": time.time()}
    arguments = defaults | claims
    token = tmp_path / "tokens" / "token"
    token.write_text(mint_token(arguments.pop("signing_key"), **arguments) + "\n")
    token.chmod(0o600)
    # The bindings must not mint a token of their own.
    rig.bindings = Bindings(tmp_path, rig.values | {"SEC_PASSWORD_DIRECTORY": "/nonexistent"})
    async with trio.open_nursery() as nursery:
        address = await serving(nursery, rig.port)
        await rig.bindings.run(address, 'collector.advertise([ad], "UPDATE_HAD_AD", True)')
        nursery.cancel_scope.cancel()
    assert [ad["Name"] for _, ad in rig.port.received] == (["had@cm2"] if expected else [])
    if expected:
        assert rig.port.observer.commands[0][1:3] == ("alice@example.org", "IDTOKENS")
    else:
        assert all(isinstance(ad, ClassAd) for _, ad in rig.port.received)
        assert rig.port.observer.refusals
