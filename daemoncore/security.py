"""The security settings of a daemon, read from its configuration and typed.

For each level SEC_<LEVEL>_AUTHENTICATION, _ENCRYPTION, _INTEGRITY, _NEGOTIATION, _AUTHENTICATION_METHODS and
_CRYPTO_METHODS count, else those of SEC_DEFAULT; what we dial out with is the level CLIENT. The defaults are those of
HTCondor 25: everything OPTIONAL, negotiation PREFERRED, methods FS and TOKEN. Methods that this program does not speak
are left out, and a setting that leaves none of them where one is required is an error that names it.

A configuration without any policy is for one machine only: `loopback_policy` closes it to everybody but the account
that the daemon runs as, root and condor, who prove themselves by FS.
"""

import os
import pwd
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import attrs

from daemoncore.authorization import AddressesOf, AuthorizationError, Authorizer, Get, Level, settings_of
from daemoncore.cedar.handshake import Ourselves
from daemoncore.cedar.policy import AES, SecurityPolicy, Wish, canonical_method, method_named, split_list
from daemoncore.cedar.sessions import Session
from daemoncore.credentials import Complain, Credentials, CredentialSettings

#: Seconds that a session lives by default, for daemons and for tools (condor_secman.cpp).
DAEMON_SESSION_SECONDS: Final = 86400
TOOL_SESSION_SECONDS: Final = 60
_SESSION_LEASE_SECONDS: Final = 3600
#: HTCondor's default, which it calls FS,IDTOKENS as well (param_info.in).
_DEFAULT_METHODS: Final = "FS,TOKEN"
_ETC: Final = Path("/etc/condor")
_FEATURES: Final = ("AUTHENTICATION", "ENCRYPTION", "INTEGRITY", "NEGOTIATION")
#: Settings that would refuse tokens by an expression that nobody here can evaluate.
_REVOCATIONS: Final = ("SEC_TOKEN_REVOCATION_EXPR", "SEC_TOKEN_BLACKLIST_EXPR")


class SecurityError(ValueError):
    """The security settings contradict themselves or ask for what does not exist; `problems` has a sentence for each."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = tuple(problems)


@attrs.frozen
class Security:
    """All that a daemon needs to know in order to speak, and to decide who may speak to it."""

    ourselves: Ourselves
    policies: Mapping[Level, SecurityPolicy]
    authorizer: Authorizer
    credentials: Credentials
    #: Methods in the settings that this program does not speak.
    unknown_methods: tuple[str, ...] = ()
    #: The session of all daemons that one condor_master started, if it started us: no method of login is needed on it.
    family: Session | None = attrs.field(default=None, repr=False)

    @property
    def client_policy(self) -> SecurityPolicy:
        """What we want of connections that we open."""
        return self.policies[Level.CLIENT]

    def speaking_from(self, command_address: str) -> "Security":
        """Return the same settings for a daemon that takes commands at this address string, `<ip:port>`."""
        return attrs.evolve(self, ourselves=attrs.evolve(self.ourselves, command_address=command_address))


def read_security(
    get: Get,
    *,
    subsystem: str = "HAD",
    is_tool: bool = False,
    addresses_of: AddressesOf = lambda _name: (),
    complain: Complain | None = None,
) -> Security:
    """Return the typed security settings of a configuration.

    Args:
        get: gives the value of a setting, or None when it is not set.
        subsystem: the daemon's name.
        is_tool: whether this is a program that ends soon, whose sessions need not last.
        addresses_of: gives the addresses of host names in the lists; `authorization.host_names` says which to look up.
        complain: hears of key and token files that are passed over.

    Raises:
        SecurityError: every setting that cannot be, in one go.
    """
    reader = _Reader(get, subsystem, is_tool)
    policies = {level: reader.policy(level) for level in Level}
    credentials = Credentials(reader.credentials(), *([complain] if complain else []))
    authorizer = Authorizer({})
    try:
        authorizer = Authorizer.from_settings(get, subsystem=subsystem, addresses_of=addresses_of)
    except AuthorizationError as error:
        reader.problems.append(str(error))
    reader.problems += [
        f"{name} is set, and this program cannot evaluate it; revoke tokens by replacing their signing key"
        for name in _REVOCATIONS
        if reader.text(name)
    ]
    if reader.problems:
        raise SecurityError(list(dict.fromkeys(reader.problems)))
    ourselves = Ourselves(
        subsystem=subsystem,
        process=os.getpid(),
        trust_domain=credentials.settings.trust_domain,
        issuer_keys=credentials.signing_key_names(),
    )
    return Security(ourselves, policies, authorizer, credentials, tuple(sorted(reader.unknown_methods)))


def has_security_policy(get: Get) -> bool:
    """Say whether a configuration says anything about who may speak to a daemon, or how.

    ALLOW_CLIENT and the lists of READ do not count: they have no say in who commands us.
    """
    levels = [level.value for level in Level if level not in (Level.ALLOW, Level.CLIENT, Level.READ)]
    names = [f"SEC_{level}_{feature}" for level in (*levels, "DEFAULT") for feature in _FEATURES]
    names += [f"ALLOW_{level}" for level in (*levels, "DEFAULT")]
    return any((get(name) or "").strip() for name in names)


def loopback_policy(get: Get) -> Get:
    """Return settings for daemons that meet on one machine only, for a configuration without any policy."""
    domain = _user_domain(get)
    users = dict.fromkeys(["root", "condor", _account()])
    allowed = " ".join(f"{user}@{domain}/127.0.0.0/8 {user}@{domain}/::1" for user in users)
    defaults = {f"SEC_DEFAULT_{feature}": "REQUIRED" for feature in _FEATURES} | {
        "SEC_DEFAULT_AUTHENTICATION_METHODS": "FS",
        "ALLOW_DAEMON": allowed,
        "ALLOW_ADMINISTRATOR": allowed,
    }

    def get_with_defaults(name: str) -> str | None:
        return defaults.get(name.upper()) or get(name)

    return get_with_defaults


@attrs.define
class _Reader:
    """Reads one configuration and collects what is wrong with it."""

    get: Get
    subsystem: str
    is_tool: bool
    problems: list[str] = attrs.field(factory=list)
    unknown_methods: set[str] = attrs.field(factory=set)

    def text(self, name: str, default: str = "") -> str:
        return (self.get(name) or "").strip() or default

    def policy(self, level: Level) -> SecurityPolicy:
        features = {feature: self._wish(level, feature) for feature in _FEATURES}
        if level is Level.ALLOW:
            features["AUTHENTICATION"] = min(features["AUTHENTICATION"], Wish.OPTIONAL)
        authentication = self._depend(level, features, "AUTHENTICATION", ("ENCRYPTION", "INTEGRITY"))
        self._depend(level, features, "NEGOTIATION", ("AUTHENTICATION", "ENCRYPTION", "INTEGRITY"))
        methods = self._methods(level, is_required=authentication is Wish.REQUIRED)
        crypto = tuple(
            name.upper()
            for name in split_list(self._sec(level, "CRYPTO_METHODS", AES)[1])
            if name.upper() == AES
        )
        return SecurityPolicy(
            negotiation=features["NEGOTIATION"],
            authentication=features["AUTHENTICATION"] if methods else Wish.NEVER,
            encryption=features["ENCRYPTION"],
            integrity=features["INTEGRITY"],
            methods=methods,
            crypto_methods=crypto or (AES,),
            session_duration_seconds=self._seconds(
                level, "SESSION_DURATION", TOOL_SESSION_SECONDS if self.is_tool else DAEMON_SESSION_SECONDS
            ),
            session_lease_seconds=self._seconds(level, "SESSION_LEASE", _SESSION_LEASE_SECONDS),
        )

    def _sec(self, level: Level, what: str, default: str) -> tuple[str, str]:
        for name in settings_of(level, f"SEC_{{}}_{what}", "", is_legacy=False):
            if value := self.text(name):
                return name, value
        return f"SEC_DEFAULT_{what}", default

    def _wish(self, level: Level, feature: str) -> Wish:
        default = Wish.PREFERRED if feature == "NEGOTIATION" else Wish.OPTIONAL
        name, value = self._sec(level, feature, default.name)
        # HTCondor looks at the first letter, and stops at any other; YES and NO of old are among those it knows.
        found = {
            "R": Wish.REQUIRED,
            "Y": Wish.REQUIRED,
            "P": Wish.PREFERRED,
            "O": Wish.OPTIONAL,
            "N": Wish.NEVER,
        }
        wish = found.get(value[:1].upper())
        if wish is None:
            self.problems.append(f"{name} must be REQUIRED, PREFERRED, OPTIONAL or NEVER (got {value})")
        return default if wish is None else wish

    def _depend(self, level: Level, features: dict[str, Wish], first: str, others: tuple[str, ...]) -> Wish:
        """Without `first` the others cannot be (condor_secman.cpp, ReconcileSecurityDependency)."""
        if features[first] is Wish.NEVER:
            for other in others:
                if features[other] is Wish.REQUIRED:
                    self.problems.append(
                        f"{self._sec(level, other, '')[0]} is REQUIRED, but {self._sec(level, first, '')[0]} is NEVER"
                    )
                features[other] = Wish.NEVER
        return features[first]

    def _methods(self, level: Level, *, is_required: bool) -> tuple[str, ...]:
        name, value = self._sec(level, "AUTHENTICATION_METHODS", _DEFAULT_METHODS)
        wanted = [canonical_method(method) for method in split_list(value)]
        methods = tuple(dict.fromkeys(method for method in wanted if method_named(method)))
        self.unknown_methods |= set(wanted) - set(methods)
        if is_required and not methods:
            self.problems.append(
                f"{name} names none of FS, IDTOKENS, PASSWORD and CLAIMTOBE (got {value}), but authentication is required"
            )
        return methods

    def _seconds(self, level: Level, what: str, default: int) -> int:
        for name in settings_of(level, f"SEC_{self.subsystem}_{{}}_{what}", "", is_legacy=False):
            if value := self.text(name):
                return self._integer(name, value, default)
        return self._integer(*self._sec(level, what, str(default)), default)

    def _integer(self, name: str, value: str, default: int) -> int:
        if value.isascii() and value.isdigit():
            return int(value)
        self.problems.append(f"{name} must be a number of seconds (got {value})")
        return default

    def credentials(self) -> CredentialSettings:
        domain = _user_domain(self.get)
        directory = Path(self.text("SEC_PASSWORD_DIRECTORY", str(_ETC / "passwords.d")))
        password = Path(self.text("SEC_PASSWORD_FILE", str(directory / "POOL")))
        age = self.text("SEC_TOKEN_MAX_AGE")
        return CredentialSettings(
            user_domain=domain,
            trust_domain=self.text("TRUST_DOMAIN", domain),
            token_directories=self._token_directories(),
            password_directory=directory,
            pool_key_file=Path(self.text("SEC_TOKEN_POOL_SIGNING_KEY_FILE", str(password))),
            password_file=password,
            claimed_user=self.text("SEC_CLAIMTOBE_USER"),
            maximum_token_age_seconds=self._integer("SEC_TOKEN_MAX_AGE", age, 0) if age else None,
            folder_parent=self.text("FS_LOCAL_DIR", "/tmp").rstrip("/"),  # noqa: S108 -- see CredentialSettings
            maps_root_to_condor=self.text("FS_ROOT_TO_CONDOR", "true").lower() in ("true", "t", "yes", "1"),
        )

    def _token_directories(self) -> tuple[Path, ...]:
        # A user's own tokens come first, then those of the host; root has none of its own (find_user_file).
        named = self.text("SEC_TOKEN_DIRECTORY")
        system = Path(self.text("SEC_TOKEN_SYSTEM_DIRECTORY", str(_ETC / "tokens.d")))
        if named:
            return (Path(named).expanduser(),)
        own = Path("~/.condor/tokens.d").expanduser()
        return (own,) if os.geteuid() != 0 and os.access(own, os.R_OK | os.X_OK) else (system,)


def _user_domain(get: Get) -> str:
    return (get("UID_DOMAIN") or "").strip() or socket.gethostname()


def _account() -> str:
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())
