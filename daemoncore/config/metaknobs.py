"""The templates behind `use CATEGORY : NAME(arguments)`.

Only what touches our table is here: every SECURITY template, because skipping one would change who may command us; the
roles; the experimental HAD ones; and the few features that change who may configure a daemon. Other features
and policies are other daemons' business and are noted, not refused. The settings are those of HTCondor 25.14
(param_info.in, section of the metaknobs).
"""

import re
from collections.abc import Iterator

import attrs

SECURITY = "SECURITY"
#: Categories that exist; anything else after `use` is a mistake.
CATEGORIES = ("ROLE", "FEATURE", "POLICY", SECURITY, "EXPERIMENTAL")

_STRONG = (
    "SEC_DEFAULT_ENCRYPTION = required",
    "SEC_DEFAULT_INTEGRITY = required",
    "SEC_DEFAULT_AUTHENTICATION = required",
)
_IDTOKENS = (
    "use SECURITY : recommended",
    "SEC_READ_AUTHENTICATION_METHODS = $(SEC_DEFAULT_AUTHENTICATION_METHODS),ANONYMOUS",
    "SEC_CLIENT_AUTHENTICATION_METHODS = $(SEC_DEFAULT_AUTHENTICATION_METHODS),ANONYMOUS",
    "TRUST_DOMAIN = $(CONDOR_HOST)",
)
_OPEN_TO_ALL = ("ALLOW_WRITE = *", "ALLOW_READ = *")

_SECURITY: dict[str, tuple[str, ...]] = {
    "HOST_BASED": (
        "ALLOW_ADMINISTRATOR = $(CONDOR_HOST)",
        "ALLOW_READ = *",
        "ALLOW_WRITE = $(FULL_HOSTNAME) $(IPV4_ADDRESS) $(IPV6_ADDRESS)",
        "ALLOW_DAEMON = $(FULL_HOSTNAME) $(IPV4_ADDRESS) $(IPV6_ADDRESS)",
        "ALLOW_NEGOTIATOR = $(CONDOR_HOST)",
        "ALLOW_NEGOTIATOR_SCHEDD = $(ALLOW_NEGOTIATOR) $(FLOCK_NEGOTIATOR_HOSTS)",
        "ALLOW_WRITE_COLLECTOR = $(ALLOW_WRITE) $(FLOCK_FROM)",
        "ALLOW_WRITE_STARTD = $(ALLOW_WRITE) $(FLOCK_FROM)",
        "ALLOW_READ_COLLECTOR = $(ALLOW_READ) $(FLOCK_FROM)",
        "ALLOW_READ_STARTD = $(ALLOW_READ) $(FLOCK_FROM)",
        "LEGACY_ALLOW_SEMANTICS = TRUE",
    ),
    "WITH_AUTHENTICATION": (
        "SEC_DEFAULT_AUTHENTICATION = required",
        "SEC_DEFAULT_INTEGRITY = required",
    ),
    "STRONG": _STRONG,
    "USER_BASED": (
        "if $(CondorIsAdmin)",
        "authuser = condor",
        "else",
        "authuser = $(USERNAME)",
        "endif",
        "use SECURITY : recommended($(authuser))",
        "if ! $(CondorIsAdmin)",
        "ALLOW_WRITE = $(authuser)@$(UID_DOMAIN)",
        "endif",
    ),
    "RECOMMENDED_V9_0": (
        "SECURITY_MODEL = 9.0",
        "use SECURITY : STRONG",
        "SEC_READ_AUTHENTICATION = OPTIONAL",
        "SEC_READ_ENCRYPTION = OPTIONAL",
        "SEC_READ_INTEGRITY = OPTIONAL",
        "ALLOW_ADMINISTRATOR = $(1:condor)@* condor_pool@* $(2:root@*) $(3+)",
        "ALLOW_DAEMON = $(1:condor)@*  condor_pool@*",
        "ALLOW_NEGOTIATOR = $(1:condor)@* condor_pool@*",
        *_OPEN_TO_ALL,
    ),
    "RECOMMENDED_V24_0": (
        "SECURITY_MODEL = 24.0",
        "use SECURITY : STRONG",
        "SEC_READ_AUTHENTICATION = OPTIONAL",
        "SEC_CLIENT_AUTHENTICATION = OPTIONAL",
        "ALLOW_ADMINISTRATOR = $(1:condor)@* condor@password $(2:root@*) $(3+)",
        "ALLOW_DAEMON = $(1:condor)@*  condor@password",
        "ALLOW_NEGOTIATOR = $(1:condor)@* condor@password",
        *_OPEN_TO_ALL,
    ),
    "RECOMMENDED": ("use SECURITY : recommended_v24_0($(1+))",),
    "GET_HTCONDOR_IDTOKENS": _IDTOKENS,
    "FIPS": ("FIPS = True", "use SECURITY : STRONG", "SEC_DEFAULT_CRYPTO_METHODS = AES,3DES"),
}
_ROLE: dict[str, tuple[str, ...]] = {
    "PERSONAL": (
        "CONDOR_HOST = 127.0.0.1",
        "COLLECTOR_HOST = $(CONDOR_HOST):0",
        "DAEMON_LIST = MASTER COLLECTOR NEGOTIATOR STARTD SCHEDD",
    ),
    "EXECUTE": ("DAEMON_LIST = $(DAEMON_LIST) STARTD",),
    "SUBMIT": ("DAEMON_LIST = $(DAEMON_LIST) SCHEDD",),
    "CENTRALMANAGER": ("DAEMON_LIST = $(DAEMON_LIST) COLLECTOR NEGOTIATOR",),
    "GET_HTCONDOR_CENTRAL_MANAGER": ("use SECURITY : get_htcondor_idtokens", "use ROLE : CentralManager"),
    "GET_HTCONDOR_SUBMIT": ("use SECURITY : get_htcondor_idtokens", "use ROLE : Submit"),
    "GET_HTCONDOR_EXECUTE": ("use SECURITY : get_htcondor_idtokens", "use ROLE : Execute"),
}
_FEATURE: dict[str, tuple[str, ...]] = {
    "REMOTE_RUNTIME_CONFIG": (
        "ENABLE_RUNTIME_CONFIG = True",
        "ALLOW_CONFIG = $(ALLOW_ADMINISTRATOR)",
        "if $(0#)",
        "SETTABLE_ATTRS_CONFIG = $(SETTABLE_ATTRS_CONFIG) $(0)",
        "endif",
    ),
    "REMOTE_CONFIG": (
        "ENABLE_PERSISTENT_CONFIG = True",
        "PERSISTENT_CONFIG_DIR = $(SPOOL)",
        "use FEATURE : REMOTE_RUNTIME_CONFIG($(0))",
    ),
}
_EXPERIMENTAL: dict[str, tuple[str, ...]] = {
    "HAD": (
        "DAEMON_LIST = $(DAEMON_LIST) HAD REPLICATION",
        "HAD_USE_REPLICATION = TRUE",
        "MASTER_HAD_BACKOFF_CONSTANT = 360",
    ),
    "HADSHAREDPORT": (
        "use EXPERIMENTAL : HADReplication($(1), $(2), $(SHARED_PORT_PORT), $(SHARED_PORT_PORT))",
    ),
    "HADFIXEDPORT": (
        "HAD_ARGS = -p $(3)",
        "REPLICATION_ARGS = -p $(4)",
        "use EXPERIMENTAL : HADReplication($(1), $(2), $(3), $(4))",
    ),
    "HADREPLICATION": (
        "HAD_LIST = $(HAD_LIST) $(2):$(3)",
        "REPLICATION_LIST = $(REPLICATION_LIST) $(2):$(4)",
        "HAD_CONTROLLEE = $(1)",
        "MASTER_$(1)_CONTROLLER = HAD",
    ),
}
_TEMPLATES = {
    SECURITY: _SECURITY,
    "ROLE": _ROLE,
    "FEATURE": _FEATURE,
    "POLICY": {},
    "EXPERIMENTAL": _EXPERIMENTAL,
}
#: `$(1)`, `$(1?)`, `$(1+)`, `$(0#)`, `$(1:default)`, `$(2+:default)`; a default may hold references itself.
_ARGUMENT = re.compile(r"\$\((?P<index>\d)(?P<kind>[?#+]?)(?::(?P<default>(?:[^()]|\([^)]*\))*))?\)")


@attrs.frozen
class Item:
    """One name after `use CATEGORY :`, with the text between its parentheses."""

    name: str
    arguments: str = ""


def has_metaknob(category: str, name: str = "") -> bool:
    """Whether a category, or one of its templates, is known here."""
    templates = _TEMPLATES.get(category.strip().upper())
    return templates is not None and (not name or name.strip().upper() in templates)


def template(category: str, item: Item) -> str | None:
    """Return the lines that an item stands for, its arguments filled in; None when it is not known here."""
    lines = _TEMPLATES[category.upper()].get(item.name.upper())
    return None if lines is None else fill("\n".join(lines), item.arguments)


def split_items(text: str) -> Iterator[Item]:
    """Split `NAME, NAME(arguments) NAME` at commas and blanks outside of parentheses."""
    position = 0
    while True:
        found = re.compile(r"[\s,]*([^\s,(]+)\s*").match(text, position)
        if found is None:
            return
        position = found.end()
        arguments = ""
        if text[position : position + 1] == "(":
            end = _closing(text, position)
            arguments = text[position + 1 : end]
            position = end + 1
        yield Item(found[1], arguments)


def _closing(text: str, start: int) -> int:
    """The place of the parenthesis that closes the one at `start`; the end of the text when there is none."""
    depth = 0
    for position in range(start, len(text)):
        depth += {"(": 1, ")": -1}.get(text[position], 0)
        if depth == 0:
            return position
    return len(text)


def fill(text: str, arguments: str) -> str:
    """Replace the numbered arguments of a template; other macros stay for later."""
    parts = [part.strip() for part in arguments.split(",")] if arguments.strip() else []

    def value(found: re.Match[str]) -> str:
        index, kind, default = int(found["index"]), found["kind"], found["default"] or ""
        if index == 0:
            return str(len(parts)) if kind == "#" else arguments.strip()
        single = parts[index - 1] if index <= len(parts) else ""
        if kind == "?":
            return "1" if single else "0"
        if kind in {"+", "#"}:
            return ",".join(arguments.split(",")[index - 1 :]).strip() or default
        return single if index <= len(parts) else default

    # A default may be a reference itself; arguments that hold references must not feed the loop for ever.
    for _round in range(5):
        text = _ARGUMENT.sub(value, text)
    return text
