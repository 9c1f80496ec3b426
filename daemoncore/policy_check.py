"""Whether a configuration says at all who may command this daemon (hard case 5).

An election that anybody on the network may join is a way to stop a pool. So a member off loopback without any
security setting is refused, with the lines to add. Host lists as the manual's sample has them are enough to start;
where a modern HTCondor would still refuse the members' messages, the missing line is named.
"""

import re
from collections.abc import Sequence

from daemoncore.membership import Examination, Member
from daemoncore.security import has_security_policy

#: The old host lists, which say who may command a daemon although no modern setting does.
_HOST_LIST = re.compile(r"HOST(ALLOW|DENY)_(?!READ|CLIENT)[A-Z_]+")
#: Settings that let the members' messages pass: they are commands of the DAEMON level.
_ADMITS_MEMBERS = r"(HOST)?ALLOW_(DAEMON|WRITE)(_{})?|SEC_(DEFAULT|DAEMON)_AUTHENTICATION"

#: What is proposed to a pool without any policy.
PROPOSAL = (
    "add ALLOW_DAEMON = condor@* condor_pool@* and SEC_DEFAULT_AUTHENTICATION = REQUIRED"
    " with a signing key (use SECURITY : recommended does both), or host lists like ALLOW_DAEMON = $(COLLECTOR_HOST)"
)


def check_policy(everyone: Sequence[Member], examination: Examination, *, subsystem: str = "HAD") -> None:
    """Refuse an open election, and warn of one whose members a modern pool would turn away.

    Args:
        everyone: who is to speak to this daemon.
        examination: gets the problems.
        subsystem: `HAD` or `REPLICATION`; its list is the one that is refused.
    """
    names = _set_names(examination)
    admits_members = re.compile(_ADMITS_MEMBERS.format(subsystem))
    has_policy = has_security_policy(examination.configuration.text)
    has_host_lists = any(_HOST_LIST.fullmatch(name) for name in names)
    remote = [member for member in everyone if not member.numeric.is_loopback]
    if remote and not (has_policy or has_host_lists):
        who = f"has a member off this host ({remote[0].entry}) and nothing says who may command it"
        examination.refuse(f"{subsystem}_LIST", f"{who}; {PROPOSAL}")
    if (has_policy or has_host_lists) and not any(admits_members.fullmatch(name) for name in names):
        examination.warn(
            "ALLOW_DAEMON",
            "is not set, and HTCondor 9 or later refuses the members' messages without it;"
            " add ALLOW_DAEMON = $(COLLECTOR_HOST), or better a security policy",
        )
    if remote:
        _warn_of_loopback_names(everyone, examination, f"{subsystem}_LIST")


def _set_names(examination: Examination) -> list[str]:
    """The names that are set to something, upper-case, without prefixes."""
    configuration = examination.configuration
    bare = (name.upper().rpartition(".")[2] for name in configuration)
    return [name for name in bare if configuration.text(name)]


def _warn_of_loopback_names(everyone: Sequence[Member], examination: Examination, knob: str) -> None:
    """A hosts file that maps a host's own name to 127.0.1.1 makes it unreachable for the others."""
    for member in everyone:
        if member.numeric.is_loopback and not member.address.is_numeric:
            examination.warn(
                knob,
                f"names {member.address.host}, which is {member.numeric.host} here; other members cannot reach that",
            )
