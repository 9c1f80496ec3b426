"""Loading: everything wrong at once, every value with its source."""

import re

import pytest

from daemoncore.config import ConfigurationError, load, read
from daemoncore.config.layers import PLACES

EVERYTHING_WRONG = """\
HAD_LIST = 127.0.0.1:1
HAD_CONNECTION_TIMEOUT = -3
HAD_USE_PRIMARY = maybe
A B
if nonsense
endif
HAD_HTTP_PORT = $(HTTP_PORT)
HTTP_PORT = many
X = $(Y)
Y = $(X)
HAD_DIR = $(X)
use SECURITY : nonsense
include : /nowhere/at/all
"""


def write(tmp_path, text, name="pool.conf"):
    """A configuration file."""
    path = tmp_path / name
    path.write_text(text)
    return str(path)


def test_all_problems_at_once(tmp_path):
    """One refusal lists every mistake, each with its file and line."""
    path = write(tmp_path, EVERYTHING_WRONG)
    with pytest.raises(ConfigurationError) as caught:
        load(path, environment={})
    lines = [problem.source.line for problem in caught.value.problems]
    assert sorted(lines) == [2, 3, 4, 5, 7, 11, 12, 13]
    assert str(caught.value).splitlines() == [str(problem) for problem in caught.value.problems]
    assert all(problem.source.name == path for problem in caught.value.problems)


def test_a_problem_reads_as_a_sentence(tmp_path, monkeypatch):
    """The text says file, knob, rule, value and line."""
    monkeypatch.chdir(tmp_path)
    write(tmp_path, "# T\nHAD_CONNECTION_TIMEOUT = -3\n", "had.toml")
    with pytest.raises(ConfigurationError) as caught:
        load("had.toml", environment={})
    expected = "had.toml: HAD_CONNECTION_TIMEOUT must be at least 0.05 seconds (got -3), line 2"
    assert str(caught.value) == expected


def test_values_text_and_types(tmp_path):
    """A configuration answers with the type, the expanded text and the raw text."""
    path = write(tmp_path, "T = 2\nHAD_CONNECTION_TIMEOUT = $(T) * 2\nHAD_LIST = a:1 b:2\nEMPTY =\n")
    configuration = load(path, environment={})
    assert configuration.get("had_connection_timeout") == 4.0
    assert configuration.text("HAD_CONNECTION_TIMEOUT") == "2 * 2"
    assert configuration.raw("HAD_CONNECTION_TIMEOUT") == "$(T) * 2"
    assert configuration.get("HAD_LIST") == ("a:1", "b:2")
    assert configuration.get("HAD_USE_PRIMARY") is False
    assert configuration.get("T") == "2"
    assert configuration.text("EMPTY") is None
    assert configuration.text("NEVER_SET") is None
    assert configuration.get("HAD_SELF") is None
    assert list(configuration) == ["EMPTY", "HAD_CONNECTION_TIMEOUT", "HAD_LIST", "T"]


def test_families_have_types(tmp_path):
    """Knobs named after a daemon or a level are typed like the others."""
    path = write(tmp_path, "MASTER_HAD_BACKOFF_CONSTANT = 6 * $(MINUTE)\nSEC_DAEMON_ENCRYPTION = REQUIRED\n")
    configuration = load(path, environment={})
    assert configuration.get("MASTER_HAD_BACKOFF_CONSTANT") == 360.0
    assert configuration.text("SEC_DAEMON_ENCRYPTION") == "REQUIRED"
    wrong = write(tmp_path, "MASTER_HAD_BACKOFF_CONSTANT = soon\n")
    with pytest.raises(ConfigurationError, match="MASTER_HAD_BACKOFF_CONSTANT must be a number of seconds"):
        load(wrong, environment={})


def test_every_value_knows_its_source(tmp_path):
    """File and line of the assignment that counts, the metaknob, the environment, a detection or a default."""
    write(tmp_path, "D = local\n", "local.conf")
    text = f"""\
A = 1
B = \\
  2
C @=end
text
@end
A = $(A) again
use SECURITY : recommended
HAD.E = mine
E = all
_UNUSED = 1
LOCAL_CONFIG_FILE = {tmp_path}/local.conf
"""
    path = write(tmp_path, text)
    configuration = load(path, environment={"_CONDOR_F": "env"})
    sources = {name: str(configuration.source(name)) for name in ("A", "B", "C", "D", "E", "F")}
    assert sources == {
        "A": f"{path}, line 7",
        "B": f"{path}, line 2",
        "C": f"{path}, line 4",
        "D": f"{tmp_path}/local.conf, line 1",
        "E": f"{path}, line 9",
        "F": "<Environment>",
    }
    assert str(configuration.source("ALLOW_DAEMON")) == f"{path}, line 8, use SECURITY:recommended"
    assert str(configuration.source("HAD_CONNECTION_TIMEOUT")) == "<Default>"
    assert str(configuration.source("PID")) == "<Detected>"
    assert str(configuration.source("NEVER_SET")) == "<Undefined>"
    assert configuration.files == (path, f"{tmp_path}/local.conf")
    assert configuration.is_set("A")
    assert not configuration.is_set("HAD_CONNECTION_TIMEOUT")


def test_local_name_is_stronger_than_subsystem(tmp_path):
    """LOCALNAME.X counts before SUBSYSTEM.X, which counts before X."""
    path = write(
        tmp_path, "X = plain\nHAD.X = subsystem\nnode2.X = local\nnode1.Y = $(LOCALNAME)-$(SUBSYSTEM)\n"
    )
    assert load(path, environment={}).text("X") == "subsystem"
    assert load(path, local_name="node2", environment={}).text("X") == "local"
    assert load(path, local_name="node1", environment={}).text("X") == "subsystem"
    assert load(path, local_name="node1", environment={}).text("Y") == "node1-HAD"
    assert load(path, subsystem="REPLICATION", environment={}).text("X") == "plain"


def test_prefixed_knobs_are_checked(tmp_path):
    """A mistake behind a prefix that applies to us is a mistake; behind another's it is theirs."""
    path = write(tmp_path, "HAD.HAD_CONNECTION_TIMEOUT = soon\n")
    with pytest.raises(ConfigurationError, match="HAD_CONNECTION_TIMEOUT must be a number of seconds"):
        load(path, environment={})
    assert load(path, subsystem="REPLICATION", environment={}).get("HAD_CONNECTION_TIMEOUT") == 5.0


def test_reserved_facts_win(tmp_path):
    """Facts that HTCondor lets nobody override stay; others can be set."""
    path = write(tmp_path, "PID = 1\nHOSTNAME = other\nARCH = Z80\n")
    configuration = load(path, environment={})
    assert configuration.text("PID") != "1"
    assert configuration.text("HOSTNAME") != "other"
    assert configuration.text("ARCH") == "Z80"


@pytest.mark.parametrize(
    ("name", "pattern"),
    [
        ("FULL_HOSTNAME", r"\S+"),
        ("HOSTNAME", r"[^.\s]+"),
        ("IP_ADDRESS", r"[0-9a-f.:]+"),
        ("IP_ADDRESS_IS_IPV6", "true|false"),
        ("PID", r"\d+"),
        ("PPID", r"\d+"),
        ("REAL_UID", r"\d+"),
        ("REAL_GID", r"\d+"),
        ("DETECTED_CPUS", r"\d+"),
        ("DETECTED_MEMORY", r"\d+"),
        ("OPSYS", "LINUX"),
        ("ARCH", r"[A-Z0-9_]+"),
        ("CONDORISADMIN", "true|false"),
        ("SUBSYSTEM", "HAD"),
        ("CONFIG_ROOT", "/.*"),
    ],
)
def test_detected_facts(tmp_path, name, pattern):
    """Facts of host and process are there for the asking."""
    assert re.fullmatch(pattern, load(write(tmp_path, ""), environment={}).text(name) or "")


def test_misspelt_lifetime_is_taken(tmp_path):
    """The spelling of the manual's sample counts, with a warning; the right one wins over it."""
    configuration = load(write(tmp_path, "MAX_TRANSFERER_LIFETIME = 20\n"), environment={})
    assert configuration.get("MAX_TRANSFER_LIFETIME") == 20.0
    assert [str(warning.message) for warning in configuration.warnings] == [
        "MAX_TRANSFERER_LIFETIME is taken as MAX_TRANSFER_LIFETIME, which HTCondor reads"
    ]
    both = load(write(tmp_path, "MAX_TRANSFERER_LIFETIME = 20\nMAX_TRANSFER_LIFETIME = 30\n"), environment={})
    assert both.get("MAX_TRANSFER_LIFETIME") == 30.0
    assert "is ignored" in both.warnings[0].message


@pytest.mark.parametrize(
    ("text", "warned"),
    [
        ("HAD_CONECTION_TIMEOUT = 2\n", "did you mean HAD_CONNECTION_TIMEOUT?"),
        ("HAD_USE_PRIMRAY = true\n", "did you mean HAD_USE_PRIMARY?"),
        ("HADLIST = a:1\n", "did you mean HAD_LIST?"),
        ("HAD_ALIVE_TOLERANCE = 5\n", "nothing refers to it"),
        ("MASTER_HAD_BACKOF_CONSTANT = 5\n", "is not a knob"),
        ("HAD_PORT = 51450\n", None),
        ("HAD_MY_PORT = 1\nHAD_LIST = a:$(HAD_MY_PORT)\n", None),
        ("MAX_SHADOW_LOG = 1\nSHADOW_DEBUG = x\nSCHEDD_NAME = s@\nNUM_CPUS = 4\n", None),
        ("MASTER_HAD_BACKOFF_CONSTANT = 5\nHAD_ENVIRONMENT = A=1\n", None),
    ],
)
def test_misspelt_knobs_are_warned_of(tmp_path, text, warned):
    """A stray name that looks like ours is warned of; other daemons' knobs are not our business."""
    messages = [warning.message for warning in load(write(tmp_path, text), environment={}).warnings]
    assert len(messages) == (0 if warned is None else 1)
    assert warned is None or warned in messages[0]


def test_where_files_are_looked_for(tmp_path):
    """-c, then HAD_CONFIG, then CONDOR_CONFIG; ONLY_ENV is no file at all."""
    first, second, third = (write(tmp_path, f"X = {n}\n", f"{n}.conf") for n in (1, 2, 3))
    environment = {"HAD_CONFIG": second, "CONDOR_CONFIG": third}
    assert load(first, environment=environment).text("X") == "1"
    assert load(None, environment=environment).text("X") == "2"
    assert load(None, environment={"CONDOR_CONFIG": third}).text("X") == "3"
    only = load(None, environment={"CONDOR_CONFIG": "ONLY_ENV", "_CONDOR_X": "4"})
    assert (only.text("X"), only.path, only.files) == ("4", "", ())


@pytest.mark.skipif(
    any(__import__("os").path.exists(place) for place in PLACES), reason="this host has a pool"
)
def test_no_file_anywhere():
    """Without any file the refusal says where it looked."""
    with pytest.raises(
        ConfigurationError, match=r"-c FILE, \$HAD_CONFIG, \$CONDOR_CONFIG, /etc/had/had.toml"
    ):
        load(None, environment={})


def test_unreadable_root(tmp_path):
    """A root file that is not there is a problem that names it."""
    with pytest.raises(ConfigurationError, match=r"/no.conf: cannot be read: No such file"):
        load(str(tmp_path / "no.conf"), environment={})
    with pytest.raises(ConfigurationError, match=r"/no.toml: cannot be read: No such file"):
        load(str(tmp_path / "no.toml"), environment={})


def test_missing_local_files_may_be_allowed(tmp_path):
    """REQUIRE_LOCAL_CONFIG_FILE = false makes a missing file no problem."""
    text = "LOCAL_CONFIG_FILE = /nowhere/at/all\n"
    with pytest.raises(ConfigurationError, match="LOCAL_CONFIG_FILE: cannot read /nowhere/at/all"):
        load(write(tmp_path, text), environment={})
    assert not read(write(tmp_path, f"REQUIRE_LOCAL_CONFIG_FILE = no\n{text}"), environment={}).files[1:]


@pytest.mark.parametrize("value", ["$CHOICE(LOG,1,2)", "$INT(LOG)", "$CHOICE(0,LOG)"])
def test_an_argument_that_names_its_own_value_is_a_circle(tmp_path, value):
    """A function's argument may name a value; where that is the one that it stands in, it is refused, and no crash."""
    path = tmp_path / "circle.conf"
    path.write_text(f"LOG = {value}\n")
    with pytest.raises(
        ConfigurationError, match="LOG cannot be expanded: its macros refer to each other in a circle"
    ):
        load(str(path), environment={})


def test_circles_are_refused(tmp_path):
    """Macros in a circle end as a problem, in HTCondor they never end."""
    with pytest.raises(
        ConfigurationError, match="HAD_SELF cannot be expanded: its macros refer to each other"
    ):
        load(write(tmp_path, "HAD_SELF = $(A)\nA = $(B)\nB = x$(A)\n"), environment={})
    doubling = "HAD_SELF = $(A9)\nA0 = xxxxxxxxxxxxxxxx\n" + "".join(
        f"A{i} = {f'$(A{i - 1})' * 16}\n" for i in range(1, 10)
    )
    with pytest.raises(ConfigurationError, match="HAD_SELF cannot be expanded"):
        load(write(tmp_path, doubling), environment={})


def test_self_includes_end(tmp_path):
    """A file that includes itself is a problem, not a hang."""
    path = write(tmp_path, f"include : {tmp_path}/pool.conf\n")
    with pytest.raises(ConfigurationError, match="nested deeper than 20"):
        load(path, environment={})


def test_included_command_writes_its_cache_once(tmp_path):
    """`include command into` runs the command when the cache is missing, and reads the cache from then on."""
    cache = tmp_path / "cache"
    text = f"include command into {cache} : /bin/echo X = first\n"
    assert load(write(tmp_path, text), environment={}).text("X") == "first"
    again = text.replace("first", "second")
    assert load(write(tmp_path, again), environment={}).text("X") == "first"


def test_features_of_others_are_noted(tmp_path):
    """A feature that touches none of our knobs is left to other daemons, and said so."""
    configuration = load(write(tmp_path, "use FEATURE : GPUs\nuse POLICY : Desktop\n"), environment={})
    assert [warning.message for warning in configuration.warnings] == [
        "use FEATURE: GPUs is left to other daemons",
        "use POLICY: Desktop is left to other daemons",
    ]


def test_warnings_and_errors_of_a_file(tmp_path):
    """`warning :` and `error :` speak with the line's macros expanded."""
    text = "X = here\nwarning : be careful $(X)\nerror 3 : stop $(X)\n"
    configuration = read(write(tmp_path, text), environment={})
    assert [problem.message for problem in configuration.problems] == ["stop here"]
    assert [problem.message for problem in configuration.warnings] == ["be careful here"]


def test_user_based_security_depends_on_root(tmp_path):
    """SECURITY:USER_BASED admits `condor` under root and the user otherwise."""
    configuration = load(write(tmp_path, "use SECURITY : USER_BASED\n"), environment={})
    who = "condor" if configuration.text("CondorIsAdmin") == "true" else configuration.text("USERNAME")
    assert configuration.text("ALLOW_DAEMON").startswith(f"{who}@*")
