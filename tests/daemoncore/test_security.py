"""The security settings of a configuration: what they come to, and which cannot be."""

import pytest

from daemoncore.authorization import Level, Visitor
from daemoncore.cedar.policy import Wish
from daemoncore.security import SecurityError, has_security_policy, loopback_policy, read_security
from tests.daemoncore import command_ports

BAD_SETTINGS = [
    ({"SEC_DEFAULT_AUTHENTICATION": "MAYBE"}, "SEC_DEFAULT_AUTHENTICATION must be"),
    (
        {"SEC_DAEMON_AUTHENTICATION": "NEVER"},
        "SEC_DEFAULT_ENCRYPTION is REQUIRED, but SEC_DAEMON_AUTHENTICATION is NEVER",
    ),
    ({"SEC_DEFAULT_AUTHENTICATION_METHODS": "SSL"}, "names none of"),
    ({"SEC_DEFAULT_SESSION_DURATION": "a day"}, "SEC_DEFAULT_SESSION_DURATION must be a number"),
    ({"DENY_DAEMON": "+netgroup"}, "DENY_DAEMON"),
    ({"SEC_TOKEN_REVOCATION_EXPR": "true"}, "SEC_TOKEN_REVOCATION_EXPR"),
]


@pytest.mark.parametrize(("changes", "problem"), BAD_SETTINGS)
def test_settings_that_cannot_be_are_named(tmp_path, changes, problem):
    """Contradictions and unknown values are refused with the setting's name."""
    with pytest.raises(SecurityError) as caught:
        read_security(command_ports.settings(tmp_path, **changes).get)
    assert any(problem in sentence for sentence in caught.value.problems)


def test_all_problems_are_told_at_once(tmp_path):
    """Whoever mends settings sees every mistake in one go, each once."""
    with pytest.raises(SecurityError) as caught:
        read_security(command_ports.settings(tmp_path, SEC_DEFAULT_INTEGRITY="x", DENY_READ="+group").get)
    assert len(caught.value.problems) == 2


def test_the_defaults_are_those_of_htcondor_25():
    """Without settings everything is optional, negotiation preferred, by FS and tokens, for a day, and nobody is let in."""
    security = read_security({"UID_DOMAIN": "example.org"}.get)
    policy = security.policies[Level.DAEMON]
    assert (policy.authentication, policy.encryption, policy.integrity) == (Wish.OPTIONAL,) * 3
    assert policy.negotiation is Wish.PREFERRED
    assert policy.methods == ("FS", "TOKEN")
    assert (policy.session_duration_seconds, policy.session_lease_seconds) == (86400, 3600)
    assert security.credentials.settings.trust_domain == "example.org"
    assert security.authorizer.refusal(Level.DAEMON, Visitor("root@example.org", "127.0.0.1")) is not None


PRECEDENCE = [
    ({"SEC_DEFAULT_ENCRYPTION": "REQUIRED"}, Level.DAEMON, Wish.REQUIRED),
    (
        {"SEC_DEFAULT_ENCRYPTION": "REQUIRED", "SEC_DAEMON_ENCRYPTION": "optional"},
        Level.DAEMON,
        Wish.OPTIONAL,
    ),
    (
        {"SEC_DEFAULT_ENCRYPTION": "REQUIRED", "SEC_DAEMON_ENCRYPTION": "optional"},
        Level.CLIENT,
        Wish.REQUIRED,
    ),
    ({"SEC_DAEMON_ENCRYPTION": "REQUIRED"}, Level.ADVERTISE_MASTER, Wish.REQUIRED),
    ({"SEC_WRITE_ENCRYPTION": "REQUIRED"}, Level.DAEMON, Wish.OPTIONAL),
    ({"SEC_CLIENT_ENCRYPTION": "P"}, Level.CLIENT, Wish.PREFERRED),
    ({"SEC_DAEMON_AUTHENTICATION": "NEVER"}, Level.DAEMON, Wish.NEVER),
]


@pytest.mark.parametrize(("settings", "level", "expected"), PRECEDENCE)
def test_the_particular_setting_wins(settings, level, expected):
    """A level's own setting comes before the default; without authentication there is no encryption either."""
    assert read_security(({"UID_DOMAIN": "x"} | settings).get).policies[level].encryption is expected


def test_what_is_open_to_everybody_never_requires_a_login():
    """Commands of level ALLOW are taken from strangers whatever the default says."""
    settings = {"UID_DOMAIN": "x", "SEC_DEFAULT_AUTHENTICATION": "REQUIRED"}
    assert read_security(settings.get).policies[Level.ALLOW].authentication is Wish.OPTIONAL


def test_methods_that_do_not_exist_here_are_left_out_and_named():
    """All four names of identity tokens are one method; SSL and its like are reported."""
    settings = {"UID_DOMAIN": "x", "SEC_DEFAULT_AUTHENTICATION_METHODS": "SSL, idtokens, FS TOKEN,KERBEROS"}
    security = read_security(settings.get)
    assert security.policies[Level.DAEMON].methods == ("TOKEN", "FS")
    assert security.unknown_methods == ("KERBEROS", "SSL")


POLICIES = [
    ({}, False),
    ({"ALLOW_READ": "*"}, False),
    ({"ALLOW_CLIENT": "*"}, False),
    ({"ALLOW_DAEMON": " "}, False),
    ({"HOSTALLOW_WRITE": "*"}, False),
    ({"ALLOW_DAEMON": "condor@password"}, True),
    ({"ALLOW_DEFAULT": "*"}, True),
    ({"SEC_DEFAULT_AUTHENTICATION": "REQUIRED"}, True),
    ({"SEC_DAEMON_ENCRYPTION": "REQUIRED"}, True),
]


@pytest.mark.parametrize(("settings", "expected"), POLICIES)
def test_a_policy_is_what_says_who_may_command_us(settings, expected):
    """Lists of readers, of servers and of another age are no policy."""
    assert has_security_policy(settings.get) is expected


def test_the_loopback_policy_lets_in_this_account_from_this_host_only():
    """Without any policy one machine's daemons meet by FS: our account, root and condor, from loopback addresses."""
    security = read_security(loopback_policy({"UID_DOMAIN": "x"}.get))
    assert security.client_policy.methods == ("FS",)
    assert security.policies[Level.DAEMON].is_negotiation_required
    for level in (Level.DAEMON, Level.ADMINISTRATOR, Level.READ):
        assert security.authorizer.refusal(level, Visitor("root@x", "127.0.0.7")) is None
        assert security.authorizer.refusal(level, Visitor("root@x", "::1")) is None
        assert security.authorizer.refusal(level, Visitor("root@x", "192.0.2.1")) is not None
        assert security.authorizer.refusal(level, Visitor("mallory@x", "127.0.0.1")) is not None
        assert (
            security.authorizer.refusal(level, Visitor("unauthenticated@unmapped", "127.0.0.1")) is not None
        )
