"""Who may do what: the lists, their entries, what levels imply, and what a proof is limited to."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemoncore.authorization import (
    AuthorizationError,
    Authorizer,
    Level,
    Visitor,
    host_names,
    implied_levels,
    split_entry,
)

ADDRESSES = {"cm1.example.org": ("10.0.0.1", "fd00::1"), "cm2.example.org": ("10.0.0.2",)}
CONDOR = "condor@password"


def authorizer(**settings):
    """Return an authorizer of these settings, in a network with two known hosts."""
    return Authorizer.from_settings(settings.get, addresses_of=lambda name: ADDRESSES.get(name, ()))


def is_allowed(level, user=CONDOR, address="10.0.0.1", settings=None, **visitor):
    """Say whether a user from an address is allowed a level by these settings."""
    return authorizer(**(settings or {})).refusal(Level(level), Visitor(user, address, **visitor)) is None


@pytest.mark.parametrize("level", [level for level in Level if level not in (Level.ALLOW, Level.CLIENT)])
def test_nobody_may_do_anything_by_default(level):
    """Without any list every level is closed to everybody, as in HTCondor 25."""
    assert not is_allowed(level, user="root@example.org", address="127.0.0.1")


def test_two_levels_are_open_by_default():
    """ALLOW is for everybody by definition, CLIENT by the default of ALLOW_CLIENT."""
    assert is_allowed("ALLOW", user="unauthenticated@unmapped")
    assert is_allowed("CLIENT", user="unauthenticated@unmapped")


# Every pair of a level that somebody is allowed and a level that is asked for; True where the one implies the other.
IMPLICATIONS = [
    ("DAEMON", {"DAEMON", "WRITE", "READ"}),
    ("ADMINISTRATOR", {"ADMINISTRATOR", "WRITE", "READ"}),
    ("WRITE", {"WRITE", "READ"}),
    ("NEGOTIATOR", {"NEGOTIATOR", "READ"}),
    ("CONFIG", {"CONFIG", "READ"}),
    ("READ", {"READ"}),
    ("ADVERTISE_MASTER", {"ADVERTISE_MASTER", "READ"}),
]


@pytest.mark.parametrize(("granted", "expected"), IMPLICATIONS)
def test_a_level_implies_what_the_table_says_and_nothing_else(granted, expected):
    """Being allowed one level allows exactly the levels that it implies."""
    settings = {f"ALLOW_{granted}": CONDOR}
    asked = ["DAEMON", "ADMINISTRATOR", "WRITE", "NEGOTIATOR", "CONFIG", "READ", "ADVERTISE_MASTER"]
    # The ADVERTISE levels take their list from DAEMON when they have none of their own.
    fallback = {"ADVERTISE_MASTER"} if granted == "DAEMON" else set()
    assert {level for level in asked if is_allowed(level, settings=settings)} == expected | fallback
    assert implied_levels(Level(granted)) == {Level(level) for level in expected}


ENTRIES = [
    # entry, user, address, whether it matches
    ("*", "anybody@anywhere", "192.0.2.1", True),
    ("*/*", "unauthenticated@unmapped", "192.0.2.1", True),
    ("condor@password", "condor@password", "192.0.2.1", True),
    ("condor@password", "CONDOR@Password", "192.0.2.1", True),
    ("condor@password", "condor@password.example.org", "192.0.2.1", False),
    ("condor@password", "xcondor@password", "192.0.2.1", False),
    ("*@example.org", "alice@example.org", "192.0.2.1", True),
    ("*@example.org", "alice@example.org.evil.com", "192.0.2.1", False),
    ("*@example.org", "unauthenticated@unmapped", "192.0.2.1", False),
    ("root@*", "root@cm1", "192.0.2.1", True),
    ("condor@example.org/10.0.0.1", "condor@example.org", "10.0.0.1", True),
    ("condor@example.org/10.0.0.1", "condor@example.org", "10.0.0.2", False),
    ("condor@example.org/10.0.0.1", "alice@example.org", "10.0.0.1", False),
    ("condor@example.org/10.0.0.0/24", "condor@example.org", "10.0.0.77", True),
    ("*/10.0.0.0/24", "condor@example.org", "10.0.1.77", False),
    ("10.0.0.0/24", "anybody@anywhere", "10.0.0.255", True),
    ("10.0.0.0/255.255.255.0", "anybody@anywhere", "10.0.0.255", True),
    ("10.0.0.0/255.255.255.0", "anybody@anywhere", "10.0.1.0", False),
    ("10.0.*", "anybody@anywhere", "10.0.3.4", True),
    ("10.0.*", "anybody@anywhere", "10.1.3.4", False),
    ("10.0.0.1", "anybody@anywhere", "10.0.0.1", True),
    ("10.0.0.1", "anybody@anywhere", "10.0.0.11", False),
    ("10.0.0.1", "anybody@anywhere", "::ffff:10.0.0.1", True),
    ("fd00::/16", "anybody@anywhere", "fd00::99", True),
    ("fd00::1", "anybody@anywhere", "fd00:0:0::1", True),
    ("[fd00::1]", "anybody@anywhere", "fd00::1", True),
    ("fe80::1", "anybody@anywhere", "fe80::1%eth0", True),
    ("cm1.example.org", "anybody@anywhere", "10.0.0.1", True),
    ("cm1.example.org", "anybody@anywhere", "fd00::1", True),
    ("cm1.example.org", "anybody@anywhere", "10.0.0.2", False),
    ("nosuch.example.org", "anybody@anywhere", "10.0.0.1", False),
    ("condor@password/cm2.example.org", "condor@password", "10.0.0.2", True),
]


@pytest.mark.parametrize(("entry", "user", "address", "matches"), ENTRIES)
def test_an_entry_matches_whom_it_names(entry, user, address, matches):
    """Users match by pattern without regard to case, hosts by address, network, pattern or the addresses of a name."""
    assert is_allowed("DAEMON", user, address, settings={"ALLOW_DAEMON": entry}) is matches
    both = {"ALLOW_DAEMON": "*", "DENY_DAEMON": entry}
    assert is_allowed("DAEMON", user, address, settings=both) is not matches


def test_a_host_pattern_matches_the_names_that_are_known():
    """A name with a star is compared with the names that the visitor's address is known to have."""
    settings = {"ALLOW_READ": "*.example.org"}
    assert is_allowed("READ", settings=settings, names=("cm1.example.org",))
    assert not is_allowed("READ", settings=settings, names=("example.org.evil.com",))
    assert not is_allowed("READ", settings=settings)


PATTERNS = [
    ("*.example.org", True),
    ("a@b/h*", True),
    ("*", False),
    ("10.0.*", False),
    ("fd00:*", False),
    ("h", False),
]


@pytest.mark.parametrize(("entry", "expected"), PATTERNS)
def test_only_patterns_of_names_need_the_visitors_names(entry, expected):
    """Addresses, their patterns and plain names are matched without asking a name server."""
    assert authorizer(DENY_READ=entry).has_name_patterns is expected
    assert authorizer(ALLOW_READ=entry).has_name_patterns is expected


def test_a_deny_entry_wins_over_an_allow_entry_and_over_implication():
    """Whoever is on the deny list of a level is out, even with a level that implies it."""
    settings = {"ALLOW_DAEMON": CONDOR, "ALLOW_READ": "*", "DENY_READ": CONDOR}
    assert is_allowed("DAEMON", settings=settings)
    assert not is_allowed("READ", settings=settings)
    assert is_allowed("READ", user="alice@example.org", settings=settings)


@pytest.mark.parametrize("everybody", ["*", "*/*", " * "])
def test_denying_everybody_denies_everybody(everybody):
    """DENY_x = * closes a level whatever ALLOW_x says."""
    assert not is_allowed("DAEMON", settings={"ALLOW_DAEMON": "*", "DENY_DAEMON": everybody})


def test_a_denied_level_implies_nothing():
    """Who is denied DAEMON does not get READ through it."""
    settings = {"ALLOW_DAEMON": "*", "DENY_DAEMON": "10.0.0.1"}
    assert not is_allowed("READ", settings=settings)
    assert is_allowed("READ", address="10.0.0.2", settings=settings)


FALLBACKS = [
    ({"ALLOW_DEFAULT": CONDOR}, "DAEMON", True),
    ({"ALLOW_DEFAULT": CONDOR, "ALLOW_DAEMON": "alice@x"}, "DAEMON", False),
    ({"ALLOW_DEFAULT": CONDOR, "ALLOW_DAEMON": " "}, "DAEMON", True),
    ({"ALLOW_WRITE": CONDOR}, "DAEMON", False),
    ({"ALLOW_WRITE": CONDOR, "LEGACY_ALLOW_SEMANTICS": "True"}, "DAEMON", True),
    ({"ALLOW_WRITE": CONDOR, "LEGACY_ALLOW_SEMANTICS": "True"}, "ADMINISTRATOR", False),
    ({"ALLOW_DAEMON": CONDOR}, "ADVERTISE_MASTER", True),
    ({"ALLOW_DAEMON": "alice@x", "ALLOW_DAEMON_HAD": CONDOR}, "DAEMON", True),
    ({"ALLOW_DAEMON": CONDOR, "ALLOW_DAEMON_HAD": "alice@x"}, "DAEMON", False),
    ({"ALLOW_DAEMON": CONDOR, "ALLOW_DAEMON_COLLECTOR": "alice@x"}, "DAEMON", True),
    ({"ALLOW_DEFAULT_HAD": CONDOR}, "DAEMON", True),
]


@pytest.mark.parametrize(("settings", "level", "expected"), FALLBACKS)
def test_a_level_without_a_list_falls_back(settings, level, expected):
    """The subsystem's own list comes first, then the level's, then DEFAULT; WRITE stands for DAEMON only in legacy mode."""
    assert is_allowed(level, settings=settings) is expected


@pytest.mark.parametrize(
    ("listed", "user"), [(CONDOR, "condor_pool@password"), ("condor_pool@*", "condor@x.org")]
)
def test_the_two_names_of_the_pool_are_one(listed, user):
    """condor@ and condor_pool@ stand for each other unless USE_POOL_USERNAME_EQUIVALENT says no."""
    settings = {"ALLOW_DAEMON": listed}
    assert is_allowed("DAEMON", user, settings=settings)
    assert not is_allowed("DAEMON", user, settings=settings | {"USE_POOL_USERNAME_EQUIVALENT": "false"})


LIMITS = [
    (None, "ADMINISTRATOR", True),
    (frozenset({"READ"}), "READ", True),
    (frozenset({"READ"}), "DAEMON", False),
    (frozenset({"DAEMON"}), "READ", True),
    (frozenset({"DAEMON"}), "ADMINISTRATOR", False),
    (frozenset({"READ", "administrator"}), "ADMINISTRATOR", True),
    (frozenset({"NOSUCH"}), "READ", False),
    (frozenset(), "READ", False),
    (frozenset(), "ALLOW", True),
]


@pytest.mark.parametrize(("limits", "level", "expected"), LIMITS)
def test_a_limited_proof_reaches_no_further(limits, level, expected):
    """A proof limited to levels reaches these and what they imply, even when the lists let everybody in."""
    assert is_allowed(level, settings={"ALLOW_DEFAULT": "*"}, limits=limits) is expected


def test_the_family_is_let_in_unlisted():
    """Whoever has the family session may do DAEMON and ADMINISTRATOR things and what they imply, not CONFIG."""
    for level in ("DAEMON", "ADMINISTRATOR", "WRITE", "READ"):
        assert is_allowed(level, user="condor@family", is_family=True)
        assert not is_allowed(level, user="condor@family", is_family=False)
    assert not is_allowed("CONFIG", user="condor@family", is_family=True)


def test_lists_of_old_are_read_with_care():
    """HOSTDENY_ always counts; HOSTALLOW_ counts where there is no ALLOW_; both are named for the check."""
    assert is_allowed("READ", settings={"HOSTALLOW_READ": "10.0.0.1"})
    assert not is_allowed("READ", settings={"HOSTALLOW_READ": "10.0.0.1", "ALLOW_READ": "10.0.0.9"})
    assert not is_allowed("READ", settings={"HOSTDENY_READ": "10.0.0.1", "ALLOW_READ": "*"})
    assert authorizer(HOSTALLOW_READ="*", HOSTDENY_WRITE="*").legacy_settings == (
        "HOSTALLOW_READ",
        "HOSTDENY_WRITE",
    )


@pytest.mark.parametrize("entry", ["+group", "<10.0.0.1:9618>", "alice/host"])
def test_an_entry_that_cannot_be_understood_lets_nobody_in(entry):
    """In an ALLOW_ list such an entry matches nobody and is reported; in a DENY_ list it stops the daemon."""
    allowed = authorizer(ALLOW_DAEMON=f"{entry}, {CONDOR}")
    assert len(allowed.ignored_entries) == len(
        [level for level in Level if "DAEMON" in level or "ADVERTISE" in level]
    )
    assert allowed.refusal(Level.DAEMON, Visitor("alice@x", "10.0.0.1")) is not None
    assert allowed.refusal(Level.DAEMON, Visitor(CONDOR, "10.0.0.1")) is None
    with pytest.raises(AuthorizationError, match="DENY_READ"):
        authorizer(DENY_READ=entry)


def test_a_refusal_says_which_list_is_to_blame():
    """The reason names the user, where it came from, and the setting to look at."""
    visitor = Visitor("alice@example.org", "10.0.0.1")
    assert "there is no ALLOW_DAEMON" in authorizer().refusal(Level.DAEMON, visitor)
    reason = authorizer(ALLOW_DAEMON=CONDOR).refusal(Level.DAEMON, visitor)
    assert "alice@example.org from 10.0.0.1" in reason
    assert "no entry of ALLOW_DAEMON" in reason
    assert "DENY_READ names it" in authorizer(ALLOW_READ="*", DENY_READ="alice@*").refusal(
        Level.READ, visitor
    )


def test_the_names_to_look_up_are_those_that_are_names():
    """Patterns, addresses and networks need no name service."""
    settings = {
        "ALLOW_DAEMON": "cm1.example.org, 10.0.0.1, *.example.org, a@b/cm2.example.org, c@d",
        "DENY_READ": "h",
    }
    assert host_names(settings.get) == {"cm1.example.org", "cm2.example.org", "h"}


SPLITS = [
    ("host", ("*", "host")),
    ("u@d", ("u@d", "*")),
    ("u@d/h", ("u@d", "h")),
    ("*/h", ("*", "h")),
    ("u/10.0.0.0/8", ("u", "10.0.0.0/8")),
    ("10.0.0.0/8", ("*", "10.0.0.0/8")),
    ("*", ("*", "*")),
]


@pytest.mark.parametrize(("text", "expected"), SPLITS)
def test_an_entry_is_split_as_htcondor_splits_it(text, expected):
    """Slashes and the at sign decide what is the user and what is the host."""
    assert split_entry(text) == expected


NAMES = st.text(alphabet="ab@.*/", max_size=8)


@given(allow=NAMES, user=st.text(alphabet="ab@.", max_size=8))
def test_any_entry_is_read_or_reported(allow, user):
    """Whatever an ALLOW_ list holds, the answer is an answer."""
    authorizer(ALLOW_DAEMON=allow).refusal(Level.DAEMON, Visitor(user, "10.0.0.1"))
