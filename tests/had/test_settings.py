"""The election daemon's settings: who we are, what is refused, what a change asks for."""

from pathlib import Path

import attrs
import pytest

from daemoncore.address import Address
from daemoncore.config import ConfigurationError, load
from daemoncore.membership import Network
from had.control_settings import ControlKind
from had.custody_events import MissingState
from had.settings import Change, compare, load_settings, needs_restart, settings_from

NAMES = {
    "cm1": ("10.0.0.1", "10.1.0.1"),
    "cm2": ("10.0.0.2",),
    "alias": ("10.0.0.1",),
    "myself": ("127.0.1.1",),
}

BASE = "HAD_CONTROLLEE = worker\nWORKER = /bin/sleep\nWORKER_ARGS = infinity\n"
OPEN = "ALLOW_DAEMON = *\n"


def resolve(host):
    """A resolver that knows four names."""
    if host in NAMES:
        return NAMES[host]
    if host.replace(".", "").isdigit() or ":" in host:
        return (host,)
    raise OSError(-2, "Name or service not known")


def network(*own):
    """A host with these addresses and one interface."""
    return Network(resolve, lambda host: host in own, lambda name: ("10.0.0.2",) if name == "eth7" else ())


def make(tmp_path, text, *own, port=None, environment=None, local_name=None):
    """The settings of a text on a host with these addresses."""
    path = tmp_path / "pool.conf"
    path.write_text(BASE + text)
    configuration = load(str(path), local_name=local_name, environment={})
    return settings_from(
        configuration, network(*(own or ("127.0.0.1",))), port=port, environment=environment or {}
    )


def refusals(tmp_path, text, *own, **options):
    """The messages of a refusal."""
    with pytest.raises(ConfigurationError) as caught:
        make(tmp_path, text, *own, **options)
    return [problem.message for problem in caught.value.problems]


def test_plain(tmp_path):
    """Defaults and values arrive typed."""
    text = "HAD_LIST = 127.0.0.1:1, 127.0.0.2:1\nHAD_CONNECTION_TIMEOUT = 0.2\nLOCAL_DIR = /srv\nHAD_HTTP_PORT = 8080\n"
    settings = make(tmp_path, text)
    assert settings.me.entry == "127.0.0.1:1"
    assert [member.name for member in settings.members] == ["127.0.0.1:1", "127.0.0.2:1"]
    assert settings.connection_timeout_seconds == 0.2
    assert settings.use_primary is False
    assert settings.control.kind is ControlKind.SPAWN
    assert settings.control.argv == ("/bin/sleep", "infinity")
    assert settings.http_port == 8080
    assert settings.had_dir == Path("/srv/had")
    assert settings.log.path == Path("/srv/log/HADLog")
    assert (settings.backoff_constant_seconds, settings.backoff_factor) == (9.0, 2.0)
    assert (settings.backoff_ceiling_seconds, settings.recover_seconds) == (3600.0, 300.0)
    assert not settings.is_witness


def test_election_settings(tmp_path):
    """The state machine gets numeric names, and how people spell them."""
    settings = make(
        tmp_path, f"{OPEN}HAD_LIST = cm1:1 cm2:1\nMASTER_HAD_BACKOFF_CONSTANT = 360\n", "10.0.0.2"
    )
    election = settings.election("1.0")
    assert (election.me, election.members) == ("10.0.0.2:1", ("10.0.0.1:1", "10.0.0.2:1"))
    assert election.labels == (("10.0.0.1:1", "cm1:1"), ("10.0.0.2:1", "cm2:1"))
    assert election.backoff_constant_seconds == 360.0
    assert (election.controllee, election.version) == ("worker", "1.0")
    assert 0 < election.shared_hash < 1 << 48


SELF = [
    # Text, own addresses, port, the entry found.
    ("HAD_LIST = 10.0.0.1:1 10.0.0.2:1", ("10.0.0.2",), None, "10.0.0.2:1"),
    ("HAD_LIST = cm1:1 cm2:1", ("10.0.0.1",), None, "cm1:1"),
    ("HAD_LIST = <10.0.0.1:1> <10.0.0.2:1>", ("10.0.0.1",), None, "<10.0.0.1:1>"),
    ("HAD_LIST = [::1]:1 [::2]:1", ("::2",), None, "[::2]:1"),
    ("HAD_LIST = 127.0.0.1:1 127.0.0.1:2", ("127.0.0.1",), 2, "127.0.0.1:2"),
    (
        "HAD_LIST = 127.0.0.1:1 127.0.0.2:1\nHAD_SELF = 127.0.0.2:1",
        ("127.0.0.1", "127.0.0.2"),
        None,
        "127.0.0.2:1",
    ),
    ("HAD_LIST = cm1:1 cm2:1\nHAD_SELF = <10.0.0.1:1>", (), None, "cm1:1"),
    ("HAD_LIST = cm1:1 cm2:1\nHAD_SELF = ALIAS:1", (), None, "cm1:1"),
    (
        "HAD_LIST = 127.0.0.1:1 127.0.0.2:1\nNETWORK_INTERFACE = 127.0.0.2",
        ("127.0.0.1", "127.0.0.2"),
        None,
        "127.0.0.2:1",
    ),
    (
        "HAD_LIST = 10.0.0.1:1 10.9.0.1:1\nNETWORK_INTERFACE = 10.9.*",
        ("10.0.0.1", "10.9.0.1"),
        1,
        "10.9.0.1:1",
    ),
    ("HAD_LIST = cm1:1 cm2:1\nNETWORK_INTERFACE = eth7", ("10.0.0.1", "10.0.0.2"), None, "cm2:1"),
    ("HAD_LIST = cm1:1\nHAD_WITNESS_LIST = cm2:1", ("10.0.0.2",), None, "cm2:1"),
]


@pytest.mark.parametrize(("text", "own", "port", "entry"), SELF)
def test_self_is_found(tmp_path, text, own, port, entry):
    """HAD_SELF names us; else the one entry that fits port, NETWORK_INTERFACE and an address that can be bound."""
    assert make(tmp_path, f"{OPEN}{text}\n", *(own or ("192.0.2.1",)), port=port).me.entry == entry


SELF_REFUSED = [
    ("HAD_LIST = 127.0.0.1:1 127.0.0.2:1", ("127.0.0.1", "127.0.0.2"), 1, "several entries with port 1"),
    (
        "HAD_LIST = 127.0.0.1:1 127.0.0.2:1",
        ("127.0.0.1", "127.0.0.2"),
        1,
        "set HAD_SELF or NETWORK_INTERFACE",
    ),
    ("HAD_LIST = 10.0.0.1:1", ("10.0.0.9",), None, "must have an entry for this host (got 10.0.0.1:1)"),
    ("HAD_LIST = 10.0.0.1:1", ("10.0.0.1",), 2, "must have an entry for this host with port 2"),
    (
        "HAD_LIST = 10.0.0.1:1\nHAD_SELF = 10.0.0.2:1",
        (),
        None,
        "must be an entry of HAD_LIST or HAD_WITNESS_LIST",
    ),
    ("HAD_LIST = 10.0.0.1:1\nHAD_SELF = 10.0.0.1:1", (), 2, "the daemon was told to listen on port 2"),
    (
        "HAD_LIST = 10.0.0.1:1\nNETWORK_INTERFACE = 10.0.0.2",
        ("10.0.0.1", "10.0.0.2"),
        None,
        "and NETWORK_INTERFACE = 10.0.0.2",
    ),
]


@pytest.mark.parametrize(("text", "own", "port", "message"), SELF_REFUSED)
def test_self_is_refused(tmp_path, text, own, port, message):
    """No entry, or several, or a wrong HAD_SELF, is one refusal that says what to set."""
    found = refusals(tmp_path, f"{OPEN}{text}\n", *(own or ("192.0.2.1",)), port=port)
    assert len(found) == 1
    assert message in found[0]


REFUSED = {
    "no list": ("", "HAD_LIST must name the members of the election (it is not set)"),
    "bad port": ("HAD_LIST = 127.0.0.1:x\n", "has an entry that is no address"),
    "no port": ("HAD_LIST = 127.0.0.1\n", "has an entry that is no address"),
    "unknown name": (
        "HAD_LIST = nowhere:1\n",
        "names nowhere, which cannot be resolved: Name or service not known",
    ),
    "duplicate": (
        "HAD_LIST = 127.0.0.1:1 127.0.0.1:1\n",
        "must name each member once (got 127.0.0.1:1 twice)",
    ),
    "alias": (f"{OPEN}HAD_LIST = cm1:1 alias:1\n", "(got cm1:1 and alias:1, which are the same)"),
    "witness": (
        f"{OPEN}HAD_LIST = 127.0.0.1:1 cm1:1\nHAD_WITNESS_LIST = 10.0.0.1:1\n",
        "must not name a member of HAD_LIST (got 10.0.0.1:1)",
    ),
    "too many": (
        "HAD_LIST = "
        + " ".join(f"127.0.0.1:{port}" for port in range(1, 130))
        + "\nHAD_SELF = 127.0.0.1:7\n",
        "must have at most 128 members (got 129)",
    ),
    "open": ("HAD_LIST = 127.0.0.1:1 10.0.0.1:1\n", "nothing says who may command it; add ALLOW_DAEMON"),
    "majority": (
        "HAD_LIST = "
        + " ".join(f"127.0.0.1:{port}" for port in range(1, 52))
        + "\nHAD_SELF = 127.0.0.1:7\nHAD_REQUIRE_MAJORITY = true\n",
        "allows at most 50 members in HAD_LIST and HAD_WITNESS_LIST (got 51)",
    ),
    "two behind one port": (
        "HAD_LIST = <127.0.0.1:1?sock=a> <127.0.0.1:1?sock=b>\n",
        "HAD_LIST must name each member once",
    ),
    "not below condor_master": (
        "HAD_LIST = 127.0.0.1:1\nHAD_CONTROL = master\nDAEMON_LIST = MASTER HAD\n",
        "DAEMON_LIST must contain WORKER, which condor_master is to start (HAD_CONTROL is master)",
    ),
    "twice": (
        "HAD_LIST = 127.0.0.1:1\nHAD_CONTROL = spawn\nDAEMON_LIST = MASTER HAD worker\n",
        "DAEMON_LIST must not contain WORKER, which had starts itself (HAD_CONTROL is spawn)",
    ),
    "no program": ("HAD_LIST = 127.0.0.1:1\nWORKER =\n", "WORKER must be the program of HAD_CONTROLLEE"),
    "no commands": ("HAD_LIST = 127.0.0.1:1\nHAD_CONTROL = command\n", "HAD_START_COMMAND must be set"),
    "open quote": (
        "HAD_LIST = 127.0.0.1:1\nWORKER_ARGS = 'x\n",
        "WORKER_ARGS cannot be split into arguments",
    ),
    "environment": ("HAD_LIST = 127.0.0.1:1\nWORKER_ENVIRONMENT = x\n", "each item is NAME=value (got x)"),
    "odd name": ("HAD_LIST = 127.0.0.1:1\nHAD_CONTROLLEE = a b\n", "HAD_CONTROLLEE must be one word"),
    "ids": (
        "HAD_LIST = 127.0.0.1:1\nCONDOR_IDS = condor\n",
        "CONDOR_IDS must be uid.gid, two numbers (got condor)",
    ),
    "no replicas": ("HAD_LIST = 127.0.0.1:1\nHAD_USE_REPLICATION = true\n", "REPLICATION_LIST must be set"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(tmp_path, case):
    """What would only fail later is refused with knob, value and rule."""
    text, message = REFUSED[case]
    assert any(message in found for found in refusals(tmp_path, text))


def test_problems_come_together(tmp_path):
    """Several mistakes are one refusal, and each has its line."""
    text = "HAD_LIST = 127.0.0.1:x\nHAD_WITNESS_LIST = 127.0.0.1:x\nCONDOR_IDS = x\nWORKER_ARGS = 'x\n"
    with pytest.raises(ConfigurationError) as caught:
        make(tmp_path, text)
    assert sorted(problem.source.line for problem in caught.value.problems) == [4, 5, 6, 7]


LISTS = [
    ("127.0.0.2:2 127.0.0.1:2", ["entry 1 is", "entry 2 is", "different order"]),
    ("127.0.0.1:2", ["entry 2 is 127.0.0.2:1 in HAD_LIST and nothing in REPLICATION_LIST"]),
    (
        "127.0.0.1:2 127.0.0.2:2 127.0.0.3:2",
        ["entry 3 is nothing in HAD_LIST and 127.0.0.3:2 in REPLICATION_LIST"],
    ),
    ("127.0.0.1:2 127.0.0.3:2", ["entry 2 is 127.0.0.2:1 in HAD_LIST and 127.0.0.3:2 in REPLICATION_LIST"]),
]


@pytest.mark.parametrize(("replicas", "parts"), LISTS)
def test_differing_lists(tmp_path, replicas, parts):
    """Lists that differ are refused with the entries that do; without replication that is a warning."""
    text = f"HAD_LIST = 127.0.0.1:1 127.0.0.2:1\nREPLICATION_LIST = {replicas}\n"
    found = refusals(tmp_path, f"{text}HAD_USE_REPLICATION = true\n")
    assert len(found) == 1
    assert all(part in found[0] for part in parts)
    warnings = [warning.message for warning in make(tmp_path, text).warnings]
    assert len(warnings) == 1
    assert all(part in warnings[0] for part in parts)


BY_COMMANDS = "HAD_CONTROL = command\nHAD_START_COMMAND = /bin/true\nHAD_STOP_COMMAND = /bin/true\n"
REPLICATED = """
HAD_LIST = 127.0.0.1:1 127.0.0.2:1
REPLICATION_LIST = 127.0.0.1:2 127.0.0.2:2
HAD_USE_REPLICATION = true
"""


def test_what_replication_needs_is_read(tmp_path):
    """Each member's replica is the entry in its place, and ours is the one that had calls."""
    text = f"{REPLICATED}MAX_TRANSFER_LIFETIME = 77\nHAD_CONNECTION_TIMEOUT = 3\nHAD_MISSING_STATE = wait\n"
    settings = make(tmp_path, f"{text}STATE_FILE = /spool/a /spool/b\n")
    assert settings.warnings == ()
    assert settings.replica == Address("127.0.0.1", 2)
    assert settings.election().has_replica
    custody = settings.custody()
    assert (custody.timeout_seconds, custody.lifetime_seconds) == (3.0, 77.0)
    assert custody.condor_interval_seconds == settings.election().condor_interval_seconds
    assert custody.missing_state is MissingState.WAIT
    assert custody.replica_of("127.0.0.2:1") == "127.0.0.2:2"
    assert custody.replica_of("127.0.0.9:1") is None
    assert custody.replica_of(None) is None
    assert settings.state.place.paths == ("/spool/a", "/spool/b")


def test_without_replication_there_is_no_replica(tmp_path):
    """A list alone changes nothing."""
    settings = make(tmp_path, REPLICATED.replace("true", "false"))
    assert not settings.election().has_replica


def test_a_witness_has_no_replica(tmp_path):
    """It never leads, so it minds no state."""
    text = REPLICATED.replace("127.0.0.1:1 ", "").replace("127.0.0.1:2 ", "")
    settings = make(tmp_path, f"{text}HAD_WITNESS_LIST = 127.0.0.1:1\nHAD_MISSING_STATE = disaster\n")
    assert settings.is_witness
    assert not settings.election().has_replica


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("HAD_MISSING_STATE = wait\nHAD_USE_REPLICATION = false\n", ("HAD_MISSING_STATE", "got wait")),
        ("HAD_MISSING_STATE = disaster\n", ("WORKER_DISASTER", "must be set")),
        (
            f"HAD_MISSING_STATE = disaster\nWORKER_DISASTER = /bin/true\n{BY_COMMANDS}",
            ("HAD_MISSING_STATE", "HAD_CONTROL = spawn"),
        ),
        ("REPLICATION_LIST =\n", ("REPLICATION_LIST", "must be set")),
    ],
)
def test_what_nobody_would_do_is_refused(tmp_path, text, parts):
    """A policy for a missing state needs somebody who minds the state, and what it starts."""
    found = refusals(tmp_path, REPLICATED + text)
    assert len(found) == 1
    assert all(part in found[0] for part in parts)


def test_the_program_for_a_disaster_has_arguments(tmp_path):
    """It is split as any command."""
    text = f"{REPLICATED}HAD_MISSING_STATE = disaster\nWORKER_DISASTER = /bin/echo 'all gone'\n"
    assert make(tmp_path, text).control.disaster_argv == ("/bin/echo", "all gone")


def test_a_change_of_what_minds_the_state_waits_for_a_restart(tmp_path):
    """Everything else of it is taken up in place."""
    old = make(tmp_path, REPLICATED)
    without = make(tmp_path, REPLICATED.replace("true", "false"))
    assert needs_restart(old, without) == ("HAD_USE_REPLICATION",)
    longer = make(tmp_path, f"{REPLICATED}MAX_TRANSFER_LIFETIME = 77\n")
    assert needs_restart(old, longer) == ()
    assert compare(old, longer) is Change.SOFT


@pytest.mark.parametrize(
    "policy",
    [
        "ALLOW_DAEMON = x@y",
        "HOSTALLOW_WRITE = *",
        "SEC_DEFAULT_AUTHENTICATION = REQUIRED",
        "use SECURITY : recommended",
    ],
)
def test_any_policy_admits_remote_members(tmp_path, policy):
    """One security setting shows that somebody thought of it."""
    assert make(tmp_path, f"HAD_LIST = 127.0.0.1:1 cm1:1\n{policy}\n").warnings == ()


@pytest.mark.parametrize("policy", ["", "SEC_TOKEN_DIRECTORY = /x\n", "ALLOW_DAEMON =\n", "ALLOW_READ = *\n"])
def test_no_policy_is_no_policy(tmp_path, policy):
    """Places of tokens, and empty lists, decide nothing."""
    assert (
        "nothing says who may command it" in refusals(tmp_path, f"HAD_LIST = 127.0.0.1:1 cm1:1\n{policy}")[0]
    )


def test_old_host_lists_are_told_the_missing_line(tmp_path):
    """The manual's sample has HOSTALLOW_ lists only: it loads, and the line that HTCondor 9 needs is named."""
    settings = make(tmp_path, "HAD_LIST = 127.0.0.1:1 cm1:1\nHOSTALLOW_ADMINISTRATOR = cm1\n")
    assert ["add ALLOW_DAEMON = $(COLLECTOR_HOST)" in warning.message for warning in settings.warnings] == [
        True
    ]


def test_loopback_name_is_warned_of(tmp_path):
    """A host name that a hosts file maps to 127.0.1.1 cannot be reached by the others."""
    settings = make(tmp_path, f"{OPEN}HAD_LIST = myself:1 cm1:1\nHAD_SELF = myself:1\n")
    assert "names myself, which is 127.0.1.1 here" in settings.warnings[0].message


def test_started_by_condor_master(tmp_path):
    """Auto means master for a child of condor_master; spawn stays spawn; an empty mark is none."""
    environment = {"CONDOR_INHERIT": "1 <127.0.0.1:9>"}
    text = "HAD_LIST = 127.0.0.1:1\n"
    assert make(tmp_path, text, environment=environment).control.kind is ControlKind.MASTER
    assert make(tmp_path, text, environment={"CONDOR_INHERIT": ""}).control.kind is ControlKind.SPAWN
    text += "HAD_CONTROL = spawn\n"
    assert make(tmp_path, text, environment=environment).control.kind is ControlKind.SPAWN


def test_to_be_started_by_condor_master(tmp_path):
    """Where DAEMON_LIST has both, a check by hand knows that condor_master will start them; else auto is spawn."""
    text = "HAD_LIST = 127.0.0.1:1\nMASTER_WORKER_CONTROLLER = had\n"
    settings = make(tmp_path, f"{text}DAEMON_LIST = MASTER HAD +worker\nLOG = /log\n")
    assert settings.control.kind is ControlKind.MASTER
    assert settings.control.argv == ("/bin/sleep", "infinity")
    assert settings.control.master_address_file == "/log/.master_address"
    assert not settings.warnings
    assert make(tmp_path, f"{text}DAEMON_LIST = MASTER HAD\n").control.kind is ControlKind.SPAWN


def test_a_controllee_without_its_controller_is_warned_of(tmp_path):
    """Without MASTER_<CONTROLLEE>_CONTROLLER condor_master starts it on every manager."""
    text = "HAD_LIST = 127.0.0.1:1\nHAD_CONTROL = master\nDAEMON_LIST = MASTER HAD WORKER\n"
    (warning,) = make(tmp_path, text).warnings
    assert "MASTER_WORKER_CONTROLLER must be HAD" in str(warning)


@pytest.mark.parametrize(
    ("ours", "others", "is_warned"),
    [
        ("", "", True),
        ("/opt/x.py", "/opt/x.py -v", True),
        ("/opt/x.py", "/opt/y.py", False),
        ("", "-local-name OTHER", False),
        ("-local-name WORKER", "", False),
    ],
)
def test_a_daemon_that_looks_like_the_controllee_is_warned_of(tmp_path, ours, others, is_warned):
    """What shares its program and is not told apart by arguments could be ended in its place."""
    text = (
        "HAD_LIST = 127.0.0.1:1\nHAD_CONTROL = master\nDAEMON_LIST = MASTER HAD WORKER OTHER\n"
        f"MASTER_WORKER_CONTROLLER = HAD\nOTHER = /bin/sleep\nWORKER_ARGS = {ours}\nOTHER_ARGS = {others}\n"
    )
    warnings = [str(warning) for warning in make(tmp_path, text).warnings]
    assert bool(warnings) == is_warned
    assert all("WORKER is the program of OTHER too" in warning for warning in warnings)


def test_commands(tmp_path):
    """With HAD_CONTROL = command the three commands are split."""
    text = (
        "HAD_LIST = 127.0.0.1:1\nHAD_CONTROL = command\nHAD_START_COMMAND = systemctl start 'a b'\n"
        "HAD_STOP_COMMAND = systemctl stop x\nHAD_ON_CHANGE = /bin/notify now\nWORKER_ENVIRONMENT = A=1;B=2 3\n"
    )
    control = make(tmp_path, text).control
    assert control.kind is ControlKind.COMMAND
    assert control.start_command == ("systemctl", "start", "a b")
    assert control.check_command == ()
    assert control.on_change == ("/bin/notify", "now")
    assert control.environment == {"A": "1", "B": "2 3"}


def test_witness_needs_no_program(tmp_path):
    """A witness has no controllee."""
    settings = make(tmp_path, f"{OPEN}HAD_LIST = cm1:1\nHAD_WITNESS_LIST = 127.0.0.1:1\nWORKER =\n")
    assert settings.is_witness
    assert settings.control.kind is ControlKind.NONE


def test_absent_program_is_only_warned_of(tmp_path):
    """A program that is not there yet may be there when it is needed."""
    settings = make(tmp_path, "HAD_LIST = 127.0.0.1:1\nWORKER = /nowhere/worker\n")
    assert "WORKER names /nowhere/worker, which does not exist on this host" in settings.warnings[0].message


LIST = "HAD_LIST = 127.0.0.1:1 127.0.0.2:1\n"
CHANGES = [
    (LIST, LIST, Change.UNCHANGED),
    (LIST, f"# moved\n{LIST}", Change.UNCHANGED),
    (LIST, f"{LIST}HAD_CONNECTION_TIMEOUT = 2\n", Change.SOFT),
    (LIST, "HAD_LIST = 127.0.0.1:1 127.0.0.3:1\n", Change.SOFT),
    (LIST, "HAD_LIST = 127.0.0.2:1 127.0.0.1:1\n", Change.SOFT),
    (LIST, f"{LIST}HAD_WITNESS_LIST = 127.0.0.9:1\n", Change.SOFT),
    (LIST, f"{LIST}WORKER_ARGS = 7\n", Change.SOFT),
    (LIST, f"{LIST}HAD_HTTP_PORT = 8080\n", Change.SOFT),
    (LIST, f"{LIST}HAD_USE_PRIMARY = true\n", Change.HARD),
    (LIST, f"{LIST}HAD_CONTROLLEE = Worker\n", Change.SOFT),
    (LIST, f"{LIST}HAD_CONTROLLEE = other\nOTHER = /bin/sleep\n", Change.HARD),
    (LIST, "HAD_LIST = 127.0.0.1:2 127.0.0.2:1\n", Change.HARD),
    (LIST, "HAD_LIST = 127.0.0.2:1\nHAD_WITNESS_LIST = 127.0.0.1:1\n", Change.HARD),
]


@pytest.mark.parametrize(("before", "after", "change"), CHANGES)
def test_what_a_change_asks_for(tmp_path, before, after, change):
    """Only the controllee, HAD_USE_PRIMARY and our own entry are hard; everything else leaves the controllee alone."""
    assert compare(make(tmp_path, before), make(tmp_path, after)) is change


def test_what_needs_a_restart(tmp_path):
    """Knobs that are bound at the start are named."""
    before = make(tmp_path, LIST)
    assert needs_restart(before, make(tmp_path, f"{LIST}HAD_CONNECTION_TIMEOUT = 2\n")) == ()
    after = make(tmp_path, f"{LIST}HAD_HTTP_PORT = 1\nHAD_DIR = /x\n")
    assert needs_restart(before, after) == ("HAD_DIR", "HAD_HTTP_PORT")
    moved = make(tmp_path, f"{LIST}DAEMON_SOCKET_DIR = /elsewhere\n")
    assert needs_restart(before, moved) == ("DAEMON_SOCKET_DIR",)


HASHED = [
    ("HAD_LIST = 127.0.0.1:1, 127.0.0.2:1\n", True),
    ("HAD_LIST = <127.0.0.1:1>,<127.0.0.2:1>\nHAD_HTTP_PORT = 1\nHAD_CONNECTION_TIMEOUT = 5.0\n", True),
    ("HAD_LIST = 127.0.0.1:1 127.0.0.2:1\nHAD_SELF = 127.0.0.1:1\nHAD_DIR = /x\n", True),
    ("HAD_LIST = 127.0.0.2:1 127.0.0.1:1\n", False),
    (f"{LIST}HAD_CONNECTION_TIMEOUT = 2\n", False),
    (f"{LIST}HAD_USE_PRIMARY = true\n", False),
    (f"{LIST}HAD_WITNESS_LIST = 127.0.0.9:1\n", False),
    (f"{LIST}REPLICATION_LIST = 127.0.0.1:2 127.0.0.2:2\n", False),
    (f"{LIST}HAD_DAEMON_RESTART_WINDOW = 30\n", False),
]


@pytest.mark.parametrize(("text", "is_same"), HASHED)
def test_shared_hash(tmp_path, text, is_same):
    """The hash changes with what members must agree on, and with nothing else."""
    assert (make(tmp_path, LIST).shared_hash == make(tmp_path, text).shared_hash) is is_same


@pytest.mark.parametrize(
    ("seconds", "is_warned"), [("0.05", True), ("0.49", True), ("0.5", False), ("1", False), ("5", False)]
)
def test_a_timeout_that_a_busy_machine_does_not_keep_is_warned_of(tmp_path, seconds, is_warned):
    """The daemon starts with it; the warning has the reason, the value to take and the line."""
    text = f"HAD_LIST = 127.0.0.1:1, 127.0.0.2:1\nHAD_CONNECTION_TIMEOUT = {seconds}\n"
    warnings = [str(warning) for warning in make(tmp_path, text).warnings]
    assert len(warnings) == is_warned
    for warning in warnings:
        assert "HAD_CONNECTION_TIMEOUT is so short that leadership may move without a fault" in warning
        assert f"make it at least 0.5 seconds (got {seconds}), line 5" in warning


def test_warnings_do_not_count_as_change(tmp_path):
    """Two settings with other warnings are the same settings."""
    settings = make(tmp_path, LIST)
    assert compare(settings, attrs.evolve(settings, warnings=(1,))) is Change.UNCHANGED


def test_on_this_host(tmp_path):
    """With the real network, HAD_SELF in the environment tells nodes on 127.0.0.1 and 127.0.0.2 apart."""
    path = tmp_path / "pool.conf"
    path.write_text(f"{BASE}{LIST}")
    with pytest.raises(ConfigurationError, match="set HAD_SELF or NETWORK_INTERFACE"):
        load_settings(str(path), environment={})
    environment = {"_CONDOR_HAD_SELF": "127.0.0.2:1"}
    assert load_settings(str(path), environment=environment).me.entry == "127.0.0.2:1"
    assert (
        load_settings(str(path), environment={"_CONDOR_NETWORK_INTERFACE": "127.0.0.2"}).me.entry
        == "127.0.0.2:1"
    )
    assert load_settings(str(path), environment={"_CONDOR_NETWORK_INTERFACE": "lo"}).me.entry == "127.0.0.1:1"
