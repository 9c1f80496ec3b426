"""The official bindings and our reader are given the same files and must say the same values."""

import os

import hypothesis
import hypothesis.strategies as st
import pytest

from daemoncore.config import ConfigurationError, load, read
from daemoncore.config.knob import Kind
from daemoncore.config.knobs import TABLE
from tests.daemoncore.config.oracle import Oracle

pytest.importorskip("htcondor2", reason="the official bindings have no wheel for this machine")


@pytest.fixture(scope="module")
def oracle(tmp_path_factory):
    """One process of the bindings for all tests of this file."""
    asked = Oracle(tmp_path_factory.mktemp("oracle"))
    yield asked
    asked.close()


def ours(path, text, names, *, subsystem="HAD", environment=None):
    """What our reader makes of a text."""
    path.write_text(text)
    plain = {"HOME": "/nowhere", "PATH": os.environ["PATH"], **(environment or {})}
    configuration = read(str(path), subsystem=subsystem, environment=plain)
    return {name: configuration.text(name) for name in names}


CASES = {
    "plain": ("A = 1\n  B  =  two words  \nC=\nD =x\\y\n", "A B C D"),
    "case": ("Abc = 1\naBC = $(abC) 2\n", "ABC"),
    "lazy": ("A = $(B)\nB = 1\nB = 2\n", "A"),
    "self": ("A = 1\nA = $(A) 2\nA = $(A:x), $(a)\nB = $(B:first) more\n", "A B"),
    "default": ("E =\nA = $(NOPE:x)\nB = $(E:y)\nC = $(NOPE:a b, c\\d)\nD = $(NOPE:$(A)-)\n", "A B C D"),
    "no default": ("A = $(NOPE:a-b)\nB = $(NOPE:a;b)\nC = $( X )\nD = $(X\n", "A B C D"),
    "nested": ("B = x\nA_x = found\nN = pre $(A_$(B)) post\nM = $(NOPE:$(B)z$(B))\n", "N M"),
    "dollars": ("A = $$(Foo) $(DOLLAR)(B) $\nB = $$([1+1])\n", "A B"),
    "computed name": ("X = q\nA_$(X) = 1\n", "A_q"),
    "names": ("a.b/c_1 = 1\n[section]\nD = 2\n", "a.b/c_1 D"),
    "colon": ("A : 1\nB: 2\n", "A B"),
    "words before": ("FOO BAR = 1\n", "FOO BAR"),
    "continuation": ("A = 1 \\\n   2 \\\n3\nB = \\\n x\nC = a\\ \n b\nD=k\\\n m\n", "A B C D"),
    "comment continues not": ("#c \\\nA = 1\nB = 2 # 3\n", "A B"),
    "comment inside": ("A = 1 \\\n # no \\\n 2\nB = 3\n", "A B"),
    "pragma": ("#opt:oldcomment\n#c \\\nA = 1\nB = 2\n", "A B"),
    "continued at end": ("A = 1 \\\n", "A"),
    "long text": ("X = 1\nA @=end\n one $(X)\n# c\n\n two\n@end\nB = $(A)\n", "A B"),
    "append": ("A = 1\nA += 2\nA +,= 3\nA +;= 4\nA +&&= 5\nA +|= 6\nB += first\n", "A B"),
    "append lazily": ("A = $(B)\nA += $(C)\nB = b\nC = c\n", "A"),
    "subsystem": ("A = 1\nHAD.A = 2\nMASTER.A = 3\nB = $(A)\nHAD.C = $(C) x\nC = y\n", "A B C"),
    "subsystem self": ("A = 1\nHAD.A = $(A) had\nHAD.A = $(HAD.A) again\n", "A"),
    "if": ("if true\nA = 1\nelse\nA = 2\nendif\nif 0\nB = 1\nelif 2\nB = 2\nelse\nB = 3\nendif\n", "A B"),
    "if empty": ("if $(NOPE)\nA = 1\nelse\nA = 2\nendif\nif ! $(NOPE)\nB = 1\nendif\n", "A B"),
    "if words": (
        "".join(
            f"if {word}\nA{index} = x\nelse\nA{index} = y\nendif\n"
            for index, word in enumerate(("yes", "No", "t", "F", "0.0", "1.5", "-3", ".5", "1e3"))
        ),
        "A0 A1 A2 A3 A4 A5 A6 A7 A8",
    ),
    "if defined": (
        (
            "A = 1\nE =\nif defined A\nB = 1\nendif\nif defined E\nC = 1\nendif\nif ! defined NOPE\nD = 1\nendif\n"
            "if defined HAD_CONNECTION_TIMEOUT\nF = 1\nendif\nif defined use SECURITY:STRONG\nG = 1\nendif\n"
        ),
        "B C D F G",
    ),
    "if version": (
        "if version >= 8.1.6\nA = 1\nendif\nif version < 9.0\nB = 1\nendif\nif version > 99.1.1\nC = 1\nendif\n",
        "A B C",
    ),
    "if nested": (
        "if false\nif true\nA = 1\nendif\nif $(X\nendif\nelse\nif true\nA = 2\nendif\nendif\nB = 3\n",
        "A B",
    ),
    "if colon": ("if true\n:A = 1\n:else\nA = 2\n:endif\nB = 1\n", "A B"),
    "functions": (
        (
            'B2 = abcdef\nP = /a/b/c.txt\nN = 4\nS = "quoted"\nL = x,y,z\nE = 7*6\n'
            "F1 = $ENV(HAD_TEST_NOPE)\nF2 = $ENV(HAD_TEST_NOPE:dflt)\nF3 = $CHOICE(1,a,b,c)\nF4 = $CHOICE(2,L)\n"
            "F5 = $SUBSTR(B2,1,2)\nF6 = $SUBSTR(B2,-2)\nF7 = $SUBSTR(B2,-3,2)\nF8 = $SUBSTR(B2,2)\nF9 = $SUBSTR(B2,1,-1)\n"
            "G1 = $INT(4*3)\nG2 = $INT(E,%04d)\nG3 = $REAL(3/2.0)\nG4 = $STRING(S)\nG5 = $EVAL(1+2*3)\nG6 = $INT(7/2)\n"
            "G7 = $INT(7.9)\nG8 = $REAL(3)\nG9 = $REAL(3,%.2f)\nG0 = $EVAL(S)\nH1 = $INT(N)\n"
            "P1 = $Fn(P)\nP2 = $Fx(P)\nP3 = $Fp(P)\nP4 = $Fd(P)\nP5 = $BASENAME(P)\nP6 = $DIRNAME(P)\nP7 = $Fpb(P)\n"
            "P8 = $Fdb(P)\nP9 = $Fxb(P)\nQ1 = $Fq(P)\nQ2 = $Fqa(P)\nQ3 = $Fnx(P)\nQ4 = $Fpn(P)\nQ5 = $Fdn(P)\n"
            "Q6 = $Fddn(P)\nQ7 = $F(P)\n"
        ),
        (
            "F1 F2 F3 F4 F5 F6 F7 F8 F9 G1 G2 G3 G4 G5 G6 G7 G8 G9 G0 H1"
            " P1 P2 P3 P4 P5 P6 P7 P8 P9 Q1 Q2 Q3 Q4 Q5 Q6 Q7"
        ),
    ),
    "security templates": (
        (
            "CONDOR_HOST = cm\nuse SECURITY : HOST_BASED\nuse SECURITY : recommended(svc, adm@x, b@y c@z)\n"
            "use security : FIPS, get_htcondor_idtokens\n"
        ),
        (
            "ALLOW_ADMINISTRATOR ALLOW_DAEMON ALLOW_READ ALLOW_WRITE ALLOW_NEGOTIATOR SEC_DEFAULT_INTEGRITY FIPS"
            " SEC_DEFAULT_CRYPTO_METHODS SEC_READ_AUTHENTICATION SEC_CLIENT_AUTHENTICATION_METHODS SECURITY_MODEL"
            " ALLOW_WRITE_COLLECTOR LEGACY_ALLOW_SEMANTICS SEC_READ_AUTHENTICATION_METHODS"
        ),
    ),
    "old security": (
        "use SECURITY : recommended_v9_0\nuse SECURITY : WITH_AUTHENTICATION STRONG\n",
        "ALLOW_ADMINISTRATOR ALLOW_DAEMON SEC_READ_INTEGRITY SEC_DEFAULT_ENCRYPTION",
    ),
    "had templates": (
        (
            "use EXPERIMENTAL : HAD\nuse EXPERIMENTAL : HADFixedPort(negotiator, 10.0.0.1, 51450, 41450)\n"
            "use EXPERIMENTAL : HADFixedPort(negotiator, 10.0.0.2, 51450, 41450)\n"
            "use EXPERIMENTAL : HADSharedPort(schedd, cm3)\n"
        ),
        (
            "HAD_LIST REPLICATION_LIST HAD_CONTROLLEE MASTER_NEGOTIATOR_CONTROLLER MASTER_SCHEDD_CONTROLLER HAD_ARGS"
            " REPLICATION_ARGS DAEMON_LIST MASTER_HAD_BACKOFF_CONSTANT"
        ),
    ),
    "roles": ("use ROLE : CentralManager, Submit Execute\n", "DAEMON_LIST"),
    "personal": ("use ROLE : Personal\n", "DAEMON_LIST CONDOR_HOST COLLECTOR_HOST"),
    "features": (
        "ALLOW_ADMINISTRATOR = me\nuse FEATURE : REMOTE_CONFIG(A, B)\n",
        "ALLOW_CONFIG SETTABLE_ATTRS_CONFIG",
    ),
    "auto use": (
        "AUTO_USE_SECURITY_STRONG = true\nAUTO_USE_SECURITY_FIPS = false\n",
        "SEC_DEFAULT_ENCRYPTION FIPS",
    ),
    "lists in the field": (
        "HAD_LIST = a:1, b:2\nREPLICATION_LIST = a:1,b:2\nDAEMON_LIST = MASTER COLLECTOR \nDC_DAEMON_LIST = +HAD, X\n",
        "HAD_LIST REPLICATION_LIST DAEMON_LIST DC_DAEMON_LIST",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_same_file_same_values(case, oracle, tmp_path):
    """Each construct of the language means to us what it means to HTCondor."""
    text, names = CASES[case]
    theirs = oracle.ask(text, names.split())
    assert theirs is not None, "HTCondor refuses the file"
    found = ours(tmp_path / "ours.conf", text, names.split())
    assert found == {name: as_text(value) for name, value in theirs.items()}


def as_text(value):
    """A typed answer of the bindings as text; the bindings type the knobs that they know."""
    if isinstance(value, bool):
        return str(value).lower()
    return value if value is None or isinstance(value, str) else str(value)


TYPED = {
    "HAD_USE_PRIMARY": ("true", "TRUE", "1", "0", "2 > 1", "!true", "true && false", "1.5"),
    "REPLICATION_INTERVAL": (
        "25",
        "60*60",
        "5 * $(MINUTE)",
        "7.9",
        "2 + true",
        "10 / 4",
        "-7 / 2 + 20",
        "1 ? 5 : 6",
    ),
    "MAX_TRANSFER_LIFETIME": ("(2 + 3) * 4 - 5 % 3", "010", "1 << 4", "6 & 3 | 8", "int(7.5)", "pow(2,5)"),
    "MASTER_BACKOFF_FACTOR": ("3/2", "3/2.0", "1e1", "2.5 * 2"),
}


@pytest.mark.parametrize(("name", "text"), [(name, text) for name, texts in TYPED.items() for text in texts])
def test_same_text_same_type(name, text, oracle, tmp_path):
    """Integers, reals and booleans, written as literals or expressions, have HTCondor's value."""
    path = tmp_path / "typed.conf"
    path.write_text(f"{name} = {text}\n")
    theirs = oracle.ask_file(path, [name])[name]
    value = load(str(path), environment={}).get(name)
    assert (int(value) if TABLE[name].kind is Kind.SECONDS else value) == theirs


#: Where we differ from HTCondor's table on purpose, and why.
DEFAULT_DIFFERENCES = {
    "HAD_CONTROLLEE": "HTCondor's code falls back to the negotiator's name; its table says nothing",
    "NEWLY_JOINED_WAITING_VERSION_INTERVAL": "HTCondor computes it in code, the table says nothing",
    "HAD_NOT_RESPONDING_TIMEOUT": "HTCondor puts the name together in code, the table says nothing",
    "REPLICATION_NOT_RESPONDING_TIMEOUT": "HTCondor puts the name together in code, the table says nothing",
    "REPLICATION_UPDATE_INTERVAL": "not in HTCondor's table, 300 in its code",
    "STATE_FILE": "HTCondor looks the three places up in code",
    "MAX_NUM_HAD_LOG": "1 in HTCondor's code",
    "MAX_NUM_REPLICATION_LOG": "1 in HTCondor's code",
    "MAX_NUM_TRANSFERER_LOG": "1 in HTCondor's code",
    "TRUNC_HAD_LOG_ON_OPEN": "false in HTCondor's code",
    "TRUNC_REPLICATION_LOG_ON_OPEN": "false in HTCondor's code",
    "TRUNC_TRANSFERER_LOG_ON_OPEN": "false in HTCondor's code",
    "LEGACY_ALLOW_SEMANTICS": "false in HTCondor's code",
    "SEC_DEFAULT_AUTHENTICATION_METHODS": "the wheel leaves out methods that it was built without",
}


def test_defaults_are_htcondors(oracle, tmp_path):
    """Every knob that HTCondor knows too has its default, but for the listed differences."""
    text = "LOCAL_DIR = /var/lib/pool\n"
    names = [knob.name for knob in TABLE.values() if not knob.is_ours]
    theirs = oracle.ask(text, names, subsystem="HAD")
    found = ours(tmp_path / "ours.conf", text, names)
    differing = {
        name for name in names if (found[name] or "").lower() != (as_text(theirs[name]) or "").lower()
    }
    assert differing <= set(DEFAULT_DIFFERENCES), {name: (found[name], theirs[name]) for name in differing}
    stale = {name for name in DEFAULT_DIFFERENCES if name not in differing} - {
        "SEC_DEFAULT_AUTHENTICATION_METHODS"
    }
    assert not stale, "listed as different, and is not"


def test_environment_wins_like_htcondors(oracle, tmp_path):
    """_CONDOR_NAME in the environment, in any case, wins over the file and may refer to it."""
    environment = {"_CONDOR_A": "env", "_condor_B": "$(B) and more", "_CONDOR_HAD.C": "prefixed"}
    text = "A = file\nB = file\nC = plain\n"
    theirs = oracle.ask(text, ["A", "B", "C"], environment=environment)
    assert ours(tmp_path / "ours.conf", text, ["A", "B", "C"], environment=environment) == theirs


@pytest.mark.parametrize(
    "text",
    [
        "",
        "DEFAULT_DOMAIN_NAME = example.org\n",
        "NETWORK_HOSTNAME = cm1.example.org\n",
        "NETWORK_HOSTNAME = cm1\nDEFAULT_DOMAIN_NAME = example.org\n",
        "NETWORK_INTERFACE = 127.0.0.2\n",
        "NETWORK_INTERFACE = lo\n",
    ],
)
def test_host_facts_are_htcondors(text, oracle, tmp_path):
    """Names and addresses of this host are the ones that HTCondor finds."""
    names = [
        "FULL_HOSTNAME",
        "HOSTNAME",
        "IP_ADDRESS",
        "IPV4_ADDRESS",
        "IP_ADDRESS_IS_IPV6",
        "UID_DOMAIN",
        "OPSYS",
    ]
    names += ["ARCH", "REAL_UID", "REAL_GID", "USERNAME", "SUBSYSTEM", "LOCALNAME", "DETECTED_CPUS"]
    theirs = {name: as_text(value) for name, value in oracle.ask(text, names).items()}
    assert ours(tmp_path / "ours.conf", text, names) == theirs


def test_local_files_like_htcondors(oracle, tmp_path):
    """LOCAL_CONFIG_DIR, then LOCAL_CONFIG_FILE; names in order, excluded names not, changed lists reread."""
    folder = tmp_path / "config.d"
    folder.mkdir()
    (folder / "10-a").write_text("A = ten\nB = ten\n")
    (folder / "20-b").write_text(f"A = twenty\nLOCAL_CONFIG_FILE = {tmp_path}/x.conf {tmp_path}/y.conf\n")
    (folder / "30-c.rpmsave").write_text("A = excluded\n")
    (folder / ".hidden").write_text("A = excluded\n")
    (folder / "sub").mkdir()
    (tmp_path / "x.conf").write_text(f"C = x\nLOCAL_CONFIG_FILE = {tmp_path}/x.conf {tmp_path}/z.conf\n")
    (tmp_path / "y.conf").write_text("C = y\n")
    (tmp_path / "z.conf").write_text("D = z\ninclude ifexist : /nowhere/at/all\ninclude : $(ROOT)/inc.conf\n")
    (tmp_path / "inc.conf").write_text("E = $(D) included\n")
    text = f"A = root\nB = root\nROOT = {tmp_path}\nLOCAL_CONFIG_DIR = $(ROOT)/config.d, /nowhere\n"
    names = ["A", "B", "C", "D", "E"]
    theirs = oracle.ask(text, names)
    found = ours(tmp_path / "ours.conf", text, names)
    assert found == theirs == {"A": "twenty", "B": "ten", "C": "x", "D": "z", "E": "z included"}


def test_command_sources_like_htcondors(oracle, tmp_path):
    """A file may be a command's output, by `include command` or by a bar."""
    text = "include command : /bin/echo A = 1\ninclude : /bin/echo B = 2 |\nLOCAL_CONFIG_FILE = /bin/echo C = 3 |\n"
    theirs = oracle.ask(text, ["A", "B", "C"])
    assert ours(tmp_path / "ours.conf", text, ["A", "B", "C"]) == theirs == {"A": "1", "B": "2", "C": "3"}


REFUSED = {
    "no operator": "A\n",
    "illegal name": "A+= 1\n",
    "unknown category": "use NONSENSE : x\n",
    "unknown security": "use SECURITY : nonsense\n",
    "missing include": "include : /nowhere/at/all\n",
    "missing command": "include command : /bin/no-such-command\n",
    "failing local command": "LOCAL_CONFIG_FILE = /bin/false |\n",
    "open if": "if true\nA = 1\n",
    "stray endif": "endif\n",
    "two elses": "if true\nelse\nelse\nendif\n",
    "complex condition": "if 1 > 0 && 2 > 1\nendif\n",
    "no condition": "if nonsense\nendif\n",
    "open long text": "A @=end\nx\n",
    "error": "error : stop here\n",
    "missing local file": "LOCAL_CONFIG_FILE = /nowhere/at/all\n",
    "include words": "include nonsense : /etc/passwd\n",
    "strict colon": "#opt:strict\nA : 1\n",
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_htcondor_refuses_we_refuse(case, oracle, tmp_path):
    """A file that makes HTCondor exit is a problem for us too."""
    path = tmp_path / "refused.conf"
    path.write_text(REFUSED[case])
    assert oracle.ask_file(path, ["A"]) is None
    with pytest.raises(ConfigurationError):
        load(str(path), environment={"PATH": "/bin"})


DIFFERENCES = {
    # Name: text, name asked, ours, theirs, why.
    "comment ends continuation": (
        "A = 1 \\\n  # note\n",
        "A",
        "1 ",
        "1 e",
        "theirs keeps the comment's last letter",
    ),
    "function with parentheses": (
        'A = $EVAL(strcat("a","b"))\n',
        "A",
        'strcat("a","b")',
        ")",
        "theirs loses text",
    ),
    "function of a reference": ("B = 2\nA = $INT($(B))\n", "A", "2", ")", "theirs takes names only"),
    "t is true": (
        "HAD_USE_PRIMARY = t\n",
        "HAD_USE_PRIMARY",
        "t",
        False,
        "theirs falls back to the default in silence",
    ),
}


@pytest.mark.parametrize("case", DIFFERENCES)
def test_documented_difference(case, oracle, tmp_path):
    """Where we differ on purpose, the difference is exactly the one that is written down."""
    text, name, expected, theirs, _why = DIFFERENCES[case]
    assert ours(tmp_path / "ours.conf", text, [name])[name] == expected
    assert oracle.ask(text, [name])[name] == theirs


_WORDS = st.sampled_from(
    ["x", "y z", "1", "a,b", "/p/q.r", '"s"', "#", "=", ":", "$", "$$(K)", "(", ")", "\\t"]
)


@st.composite
def _files(draw):
    """A file whose values refer only to earlier names or to themselves, so that HTCondor comes to an end.

    Every name has a plain value, since the bindings do not find one that exists with a prefix only.
    """
    lines = ["D0 = 0", "D1 = 1", *(f"N{index} = base" for index in range(5))]
    for _line in range(draw(st.integers(1, 14))):
        index = draw(st.integers(0, 4))
        prefix = draw(st.sampled_from(["", "", "", "HAD.", "MASTER."]))
        lines.append(
            f"{prefix}N{index} {draw(st.sampled_from(['=', '=', '=', '+=', '+,=']))} {draw(_value(index))}"
        )
        shape = draw(st.integers(0, 9))
        if shape == 0:
            condition = draw(
                st.sampled_from(["true", "0", f"defined N{index}", "!defined N9", "$(D0)", "$(N8)"])
            )
            lines[-1:] = [f"if {condition}", lines[-1], "else", f"N{index} = {draw(_value(0))}", "endif"]
        elif shape == 1:
            lines[-1:] = [lines[-1] + " \\", "   # a comment \\", "  continued"]
        elif shape == 2:
            lines.append(draw(st.sampled_from(["", "# comment", "#c \\", "[ini]"])))
    return "\n".join(lines) + "\n"


def _value(index):
    references = [
        st.sampled_from([f"$(N{index})", f"$(N{index}:d)", "$(N9)", "$(N9:e f)", "$(D1)", "$(DOLLAR)"])
    ]
    if index:
        lower = st.integers(0, index - 1)
        references += [lower.map(lambda i: f"$(N{i})"), lower.map(lambda i: f"$(N{i}:$(D0),d)")]
        references += [st.just("$(N$(D0))"), lower.map(lambda i: f"$(n{i})")]
    pieces = st.one_of(_WORDS, *references)
    return st.lists(pieces, min_size=0, max_size=4).map(" ".join)


@hypothesis.settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture, hypothesis.HealthCheck.too_slow],
)
@hypothesis.given(text=_files())
def test_any_file_same_values(text, oracle, tmp_path):
    """Whatever macros a file is made of, every name has HTCondor's value."""
    names = [f"N{index}" for index in range(5)]
    theirs = oracle.ask(text, names)
    if theirs is None:
        with pytest.raises(ConfigurationError):
            load(str(tmp_path / "oracle.conf"), environment={})
        return
    assert ours(tmp_path / "ours.conf", text, names) == theirs
