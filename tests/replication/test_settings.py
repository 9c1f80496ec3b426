"""The replication daemon's settings: who we are, where the state is, what is refused."""

import os
import stat
import sys

import attrs
import pytest

from daemoncore.config import ConfigurationError, load
from daemoncore.membership import Network
from replication.settings import needs_restart, settings_from

LISTS = {
    "HAD_LIST": "127.0.0.1:1, 127.0.0.2:1",
    "REPLICATION_LIST": "127.0.0.1:2 127.0.0.2:2",
    "HAD_USE_REPLICATION": "true",
}


def network(*own):
    """A host with these addresses, on which every name is a number already."""
    return Network(lambda host: (host,), lambda host: host in own, lambda _name: ())


@pytest.fixture
def make(tmp_path):
    """Give a function that makes settings; the state is one file in a folder of the test's own."""
    (tmp_path / "spool").mkdir()

    def settings(*own, port=None, **changes):
        lines = {**LISTS, "LOCAL_DIR": tmp_path, "STATE_FILE": tmp_path / "spool" / "log", **changes}
        path = tmp_path / "pool.conf"
        path.write_text("".join(f"{name} = {value}\n" for name, value in lines.items() if value is not None))
        configuration = load(str(path), subsystem="REPLICATION", environment={})
        return settings_from(configuration, network(*(own or ("127.0.0.2",))), port=port, environment={})

    return settings


def refusals(make, *own, **changes):
    """The sentences of a refusal."""
    with pytest.raises(ConfigurationError) as caught:
        make(*own, **changes)
    return " / ".join(str(problem) for problem in caught.value.problems)


def test_plain(make, tmp_path):
    """Defaults and values arrive typed, and the machine gets its part."""
    settings = make(HAD_CONNECTION_TIMEOUT="0.5", REPLICATION_HTTP_PORT="8081")
    assert settings.me.entry == "127.0.0.2:2"
    assert [member.name for member in settings.members] == ["127.0.0.1:2", "127.0.0.2:2"]
    assert (settings.paths, settings.is_folder) == ((tmp_path / "spool" / "log",), False)
    assert (settings.interval_seconds, settings.lifetime_seconds, settings.joining_seconds) == (300, 300, 3)
    assert (settings.keep_conflicts, settings.is_merging, settings.half_life_seconds) == (8, False, 86400)
    assert (settings.spool, settings.http_port) == (tmp_path / "spool", 8081)
    assert settings.transferer == (sys.executable, "-P", "-m", "transferer")
    replica = settings.replica()
    assert (replica.me, replica.others, replica.place) == ("127.0.0.2:2", ("127.0.0.1:2",), 0)


def test_self_follows_had(make):
    """HAD_SELF names the entry of HAD_LIST; ours is the one at its place, and -p must agree with it."""
    both = ("127.0.0.1", "127.0.0.2")
    assert make(*both, HAD_SELF="127.0.0.1:1").me.entry == "127.0.0.1:2"
    assert make(*both, HAD_SELF="127.0.0.1:1", port=2).me.entry == "127.0.0.1:2"
    assert "told to listen on port 3" in refusals(make, *both, HAD_SELF="127.0.0.1:1", port=3)


def test_self_by_port(make):
    """Without HAD_SELF it is the one entry with our port that this host can be; two of them are refused."""
    lists = {"HAD_LIST": "127.0.0.1:1, 127.0.0.1:3", "REPLICATION_LIST": "127.0.0.1:2, 127.0.0.1:4"}
    assert make("127.0.0.1", port=4, **lists).me.entry == "127.0.0.1:4"
    assert "REPLICATION_LIST has several entries" in refusals(make, "127.0.0.1", **lists)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"REPLICATION_LIST": None}, "REPLICATION_LIST must name the members"),
        ({"HAD_LIST": None}, "HAD_LIST must name the members"),
        ({"REPLICATION_LIST": "127.0.0.1:2"}, "entry 2 is 127.0.0.2:1 in HAD_LIST and nothing"),
        ({"REPLICATION_LIST": "127.0.0.2:2, 127.0.0.1:2"}, "the hosts are the same, in a different order"),
        ({"REPLICATION_LIST": "127.0.0.2:2, 127.0.0.2:2"}, "must name each replica once"),
        ({"STATE_FILE": "log"}, "must be given with an absolute path"),
        ({"STATE_FILE": "/nowhere/at/all/log"}, "there is no folder /nowhere/at/all"),
        ({"STATE_FILE": "/tmp/a /tmp/a"}, "must name each file once"),
        ({"STATE_FILE": "/tmp/ /tmp/b"}, "must be files, or one folder alone"),
        ({"SPOOL": "/nowhere/at/all"}, "SPOOL must be a folder that exists"),
        ({"TRANSFERER": "/nowhere/had-transferer"}, "must be the path of had-transferer"),
        ({"CONDOR_IDS": "me"}, "CONDOR_IDS must be uid.gid"),
    ],
)
def test_refused(make, changes, sentence):
    """What cannot be is refused with the knob, the value and the rule."""
    assert sentence in refusals(make, **changes)


def test_a_policy_is_needed_off_this_machine(make):
    """Replicas on other machines need somebody to say who may command them (hard case 5)."""
    lists = {"HAD_LIST": "10.0.0.1:1, 10.0.0.2:1", "REPLICATION_LIST": "10.0.0.1:2, 10.0.0.2:2"}
    assert "REPLICATION_LIST has a member off this host" in refusals(make, "10.0.0.1", **lists)
    assert make("10.0.0.1", **lists, ALLOW_DAEMON="condor@password").me.entry == "10.0.0.1:2"


def test_a_folder(make, tmp_path):
    """A folder is spelled with a slash at its end, or is one that exists."""
    assert make(STATE_FILE=f"{tmp_path}/jobs/").is_folder
    (tmp_path / "work").mkdir()
    assert make(STATE_FILE=tmp_path / "work").is_folder
    assert not make(STATE_FILE=tmp_path / "absent").is_folder


def test_several_files(make, tmp_path):
    """A list may be separated by commas or blanks and keeps its order."""
    settings = make(STATE_FILE=f"{tmp_path}/b, {tmp_path}/a {tmp_path}/c")
    assert [path.name for path in settings.paths] == ["b", "a", "c"]


def test_a_path_with_blanks(make, tmp_path):
    """A blank belongs to a path unless a slash follows it, as in HTCondor, which knows one path only."""
    (tmp_path / "my pool").mkdir()
    settings = make(STATE_FILE=f"{tmp_path}/my pool/log, {tmp_path}/my pool/other log")
    assert [path.name for path in settings.paths] == ["log", "other log"]


def test_the_old_names(make, tmp_path):
    """The state is STATE_FILE, else NEGOTIATOR_STATE_FILE, else the accountant's log in SPOOL."""
    assert make(STATE_FILE=None).paths == (tmp_path / "spool" / "Accountantnew.log",)
    assert make(STATE_FILE=None, NEGOTIATOR_STATE_FILE=tmp_path / "old").paths == (tmp_path / "old",)
    assert make(MAX_TRANSFERER_LIFETIME="30").lifetime_seconds == 30


def test_a_pool_without_htcondor_has_no_spool(make, tmp_path):
    """A default SPOOL that does not exist is none."""
    (tmp_path / "spool").rmdir()
    assert make(STATE_FILE=tmp_path / "state").spool is None


def test_the_transferer(make, tmp_path):
    """TRANSFERER may name ours elsewhere; condor_transferer, which we cannot use, is warned of and passed over."""
    program = tmp_path / "had-transferer"
    program.touch()
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    assert make(TRANSFERER=program).transferer == (str(program),)
    settings = make(TRANSFERER="/usr/libexec/condor_transferer")
    assert settings.transferer[-1] == "transferer"
    assert "TRANSFERER" in " ".join(str(warning) for warning in settings.warnings)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_files_belong_to_whom_they_belonged(make, tmp_path):
    """Started as root, files belong to CONDOR_IDS, else to the owner of SPOOL (hard case 24)."""
    os.chown(tmp_path / "spool", 4321, 4322)
    assert make().owner == (4321, 4322)
    assert make(CONDOR_IDS="1.2").owner == (1, 2)


def test_what_a_reload_takes_up(make, tmp_path):
    """Times are taken up while everything goes on; where the state lies needs a restart, and which knobs is said."""
    before = make()
    assert needs_restart(before, make(HAD_CONNECTION_TIMEOUT="1")) == ()
    assert needs_restart(before, make(STATE_FILE=tmp_path / "other")) == ("STATE_FILE",)
    moved = attrs.evolve(before, http_port=1, had_dir=tmp_path)
    assert needs_restart(before, moved) == ("HAD_DIR", "REPLICATION_HTTP_PORT")
    assert needs_restart(before, make(DAEMON_SOCKET_DIR="/elsewhere")) == ("DAEMON_SOCKET_DIR",)


def test_members_agree_on_the_hash(make):
    """The shared hash is the same on all members, and another one for other lists."""
    assert make("127.0.0.1").shared_hash == make("127.0.0.2").shared_hash
    lists = {"HAD_LIST": "127.0.0.1:1, 127.0.0.2:7", "REPLICATION_LIST": LISTS["REPLICATION_LIST"]}
    assert make(**lists).shared_hash != make().shared_hash
