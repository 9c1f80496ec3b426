"""What the election daemon takes from its configuration: one frozen value, checked as a whole.

`settings_from` is a function of a configuration and of what the network says; it reports every problem at once.
After it nothing in the daemon reads a knob, resolves a name or guesses a default. `compare` says what a new
configuration asks of a running daemon.
"""

import enum
import os
from collections.abc import Mapping
from pathlib import Path

import attrs

from daemoncore.address import Address
from daemoncore.collectors import Advertising, name_of_had, read_advertising
from daemoncore.config import Configuration, ConfigurationError, Problem, load
from daemoncore.log import LogSettings
from daemoncore.membership import (
    HOST_NETWORK,
    Examination,
    Member,
    Network,
    address_of,
    check_lists,
    find_self,
    read_members,
)
from daemoncore.places import had_dir, read_log, read_owner, socket_folder
from daemoncore.policy_check import check_policy
from daemoncore.shared_settings import shared_hash
from had.control_settings import Control, read_control
from had.custody_events import CustodySettings
from had.election_settings import ElectionSettings
from had.own_collectors import find_own_collectors
from had.state_settings import StateSettings, check_replication, read_state

MAXIMUM_VOTERS = 50
"""The record on disk names the electorate, and has 4 KB for all that it holds."""


STARVED_TIMEOUT_SECONDS = 0.5
"""Below this T a machine with more work than cores moves leadership without a fault; measured, see docs/benchmarks.md."""


class Change(enum.Enum):
    """What a new configuration asks of a running daemon."""

    UNCHANGED = "unchanged"
    #: Taken up while everything goes on; the controllee keeps its pid.
    SOFT = "soft"
    #: The controllee is stopped and the election starts over.
    HARD = "hard"


@attrs.frozen
class Settings:
    """Everything that the election daemon does by configuration; times in seconds.

    Attributes:
        me: this node's own entry.
        members: HAD_LIST, best first.
        witnesses: HAD_WITNESS_LIST.
        connection_timeout_seconds: T.
        use_primary: whether the first member leads whenever it is up.
        require_majority: HAD_REQUIRE_MAJORITY.
        control: the controllee, and how it is started and stopped.
        clock_drift: fraction by which two clocks may run apart.
        restart_window_seconds: HAD_DAEMON_RESTART_WINDOW.
        backoff_constant_seconds: MASTER_HAD_BACKOFF_CONSTANT or the generic one; its siblings follow.
        had_dir: folder of durable files; the daemon claims a subfolder of it.
        owner: uid and gid of what is made here; None leaves them.
        http_address: where the read-only HTTP listens.
        http_port: its port; None is off.
        log: where the log goes and how it looks.
        on_change: HAD_ON_CHANGE split into arguments; empty is none.
        state: the controllee's state, and who looks after it.
        socket_folder: DAEMON_SOCKET_DIR.
        hang_seconds: HAD_NOT_RESPONDING_TIMEOUT.
        advertising: which collectors are told, how often, and under which name.
        own_collectors: those of them on this host, as they are spelled, where a negotiator of ours is to ask them first.
        shared_hash: 48 bits over the settings that all members must agree on.
        warnings: what was odd and did not prevent the start, those of the configuration included.
    """

    me: Member
    members: tuple[Member, ...]
    witnesses: tuple[Member, ...]
    connection_timeout_seconds: float
    use_primary: bool
    require_majority: bool
    control: Control
    clock_drift: float
    restart_window_seconds: float
    backoff_constant_seconds: float
    backoff_factor: float
    backoff_ceiling_seconds: float
    recover_seconds: float
    had_dir: Path
    owner: tuple[int, int] | None
    http_address: str
    http_port: int | None
    log: LogSettings
    on_change: tuple[str, ...]
    state: StateSettings
    socket_folder: Path
    hang_seconds: float
    advertising: Advertising
    own_collectors: tuple[str, ...]
    shared_hash: int
    warnings: tuple[Problem, ...] = attrs.field(eq=False)

    @property
    def is_witness(self) -> bool:
        """Whether this node votes and never leads."""
        return self.me in self.witnesses

    def address_of(self, name: str) -> Address:
        """Return a member's whole address, its name behind a shared port included."""
        return address_of(name, (*self.members, *self.witnesses), self.me)

    @property
    def replica(self) -> Address:
        """The address of this node's own replica, the entry of REPLICATION_LIST in its place."""
        return next(replica for member, replica in self.state.replicas if member == self.me.name)

    def custody(self) -> CustodySettings:
        """Return the part that the custody of the state works with."""
        election = self.election()
        return self.state.custody(election.timeout_seconds, election.condor_interval_seconds)

    def election(self, version: str = "") -> ElectionSettings:
        """Return the part that the state machine works with."""
        everyone = (*self.members, *self.witnesses)
        return ElectionSettings(
            me=self.me.name,
            members=tuple(member.name for member in self.members),
            controllee=self.control.controllee,
            timeout_seconds=self.connection_timeout_seconds,
            use_primary=self.use_primary,
            witnesses=tuple(member.name for member in self.witnesses),
            clock_drift=self.clock_drift,
            require_majority=self.require_majority,
            stop_timeout_seconds=self.control.stop_timeout_seconds,
            restart_window_seconds=self.restart_window_seconds,
            backoff_constant_seconds=self.backoff_constant_seconds,
            backoff_factor=self.backoff_factor,
            backoff_ceiling_seconds=self.backoff_ceiling_seconds,
            recover_seconds=self.recover_seconds,
            shared_hash=self.shared_hash,
            version=version,
            has_replica=self.state.use_replication and not self.is_witness,
            labels=tuple((member.name, member.entry) for member in everyone),
        )


def load_settings(
    path: str | None,
    *,
    local_name: str | None = None,
    port: int | None = None,
    is_terminal: bool = False,
    environment: Mapping[str, str],
) -> Settings:
    """Read this host's configuration and return the settings.

    Args:
        path: the root file, or None to look for it.
        local_name: `-local-name`.
        port: `-p`.
        is_terminal: `-t`.
        environment: the process environment.

    Raises:
        ConfigurationError: with everything that is wrong.
    """
    configuration = load(path, local_name=local_name, environment=environment)
    return settings_from(
        configuration, HOST_NETWORK, port=port, is_terminal=is_terminal, environment=environment
    )


def settings_from(
    configuration: Configuration,
    network: Network,
    *,
    port: int | None = None,
    is_terminal: bool = False,
    environment: Mapping[str, str] | None = None,
) -> Settings:
    """Return the settings of a configuration.

    Args:
        configuration: what the files say.
        network: what the host's network says.
        port: the port that the daemon was told to listen on (`-p`).
        is_terminal: whether the log goes to standard error (`-t`).
        environment: the process environment, for the parent's marks and XDG_STATE_HOME.

    Raises:
        ConfigurationError: with everything that is wrong.
    """
    examination = Examination(configuration, network)
    settings = examine(examination, port=port, is_terminal=is_terminal, environment=environment or {})
    if examination.problems or settings is None:
        raise ConfigurationError(examination.problems)
    return settings


def examine(
    examination: Examination,
    *,
    port: int | None = None,
    is_terminal: bool = False,
    environment: Mapping[str, str],
) -> Settings | None:
    """Apply every rule; problems and warnings are left in the examination. None when no settings come out."""
    members = read_members("HAD_LIST", examination)
    witnesses = read_members("HAD_WITNESS_LIST", examination)
    replicas = read_members("REPLICATION_LIST", examination)
    if not examination.items("HAD_LIST"):
        examination.refuse("HAD_LIST", "must name the members of the election (it is not set)")
    check_lists(members, witnesses, examination)
    check_replication(members, replicas, examination)
    _check_timeout(examination)
    _check_majority(members, witnesses, examination)
    check_policy((*members, *witnesses), examination)
    # With a broken list a second complaint about our own entry would only confuse.
    me = None if examination.problems else find_self((*members, *witnesses), port, examination)
    control = read_control(examination, environment, is_witness=me in witnesses)
    state = read_state(examination, members, replicas, control)
    owner = read_owner(examination)
    log = read_log(examination, "HAD", owner, is_terminal=is_terminal)
    if me is None or control is None or log is None or examination.problems:
        return None
    hashed = shared_hash(examination.configuration, members, witnesses, replicas)
    folder = had_dir(examination.configuration, environment, is_root=os.geteuid() == 0)
    return _settings(examination, (me, members, witnesses), control, state, owner, log, hashed, folder)


def _settings(
    examination: Examination,
    who: tuple[Member, tuple[Member, ...], tuple[Member, ...]],
    control: Control,
    state: StateSettings,
    owner: tuple[int, int] | None,
    log: LogSettings,
    hashed: int,
    folder: Path,
) -> Settings:
    """Put what the rules found beside what is only copied."""
    configuration = examination.configuration
    me, members, witnesses = who
    name = name_of_had(examination, me, (*members, *witnesses), owner)
    advertising = read_advertising(examination, "HAD_UPDATE_INTERVAL", name)
    return Settings(
        me=me,
        members=members,
        witnesses=witnesses,
        connection_timeout_seconds=_number(configuration, "HAD_CONNECTION_TIMEOUT"),
        use_primary=bool(configuration.get("HAD_USE_PRIMARY")),
        require_majority=bool(configuration.get("HAD_REQUIRE_MAJORITY")),
        control=control,
        clock_drift=_number(configuration, "HAD_CLOCK_DRIFT"),
        restart_window_seconds=_number(configuration, "HAD_DAEMON_RESTART_WINDOW"),
        backoff_constant_seconds=_own_or_generic(configuration, "BACKOFF_CONSTANT"),
        backoff_factor=_own_or_generic(configuration, "BACKOFF_FACTOR"),
        backoff_ceiling_seconds=_own_or_generic(configuration, "BACKOFF_CEILING"),
        recover_seconds=_own_or_generic(configuration, "RECOVER_FACTOR"),
        had_dir=folder,
        owner=owner,
        http_address=configuration.text("HAD_HTTP_ADDRESS") or "127.0.0.1",
        http_port=_port(configuration),
        log=log,
        on_change=control.on_change,
        state=state,
        socket_folder=socket_folder(configuration),
        hang_seconds=_number(configuration, "HAD_NOT_RESPONDING_TIMEOUT"),
        advertising=advertising,
        own_collectors=find_own_collectors(control, advertising.collectors, examination.network),
        shared_hash=hashed,
        warnings=(*configuration.warnings, *examination.warnings),
    )


def compare(old: Settings, new: Settings) -> Change:
    """Return what going from one to the other asks for.

    Hard are only the controllee, HAD_USE_PRIMARY and our own entry (hard case 9; HTCondor also stops the
    controllee when another member of the list changes).
    """
    if old == new:
        return Change.UNCHANGED
    is_hard = (
        old.control.controllee.casefold() != new.control.controllee.casefold()
        or old.use_primary != new.use_primary
        or old.me.numeric != new.me.numeric
        or old.is_witness != new.is_witness
    )
    return Change.HARD if is_hard else Change.SOFT


def needs_restart(old: Settings, new: Settings) -> tuple[str, ...]:
    """Return the knobs whose change only a restart of the daemon takes up."""
    pairs = {
        "HAD_LIST (own address)": (old.me.numeric, new.me.numeric),
        "HAD_REQUIRE_MAJORITY": (old.require_majority, new.require_majority),
        "HAD_CONTROL": (old.control.kind, new.control.kind),
        "HAD_DIR": (old.had_dir, new.had_dir),
        "CONDOR_IDS": (old.owner, new.owner),
        "HAD_USE_REPLICATION": (old.state.use_replication, new.state.use_replication),
        "HAD_HTTP_ADDRESS": (old.http_address, new.http_address),
        "DAEMON_SOCKET_DIR": (old.socket_folder, new.socket_folder),
        "HAD_HTTP_PORT": (old.http_port, new.http_port),
    }
    return tuple(name for name, (before, after) in pairs.items() if before != after)


def _check_timeout(examination: Examination) -> None:
    """Warn of a T that only an idle machine keeps."""
    seconds = examination.configuration.get("HAD_CONNECTION_TIMEOUT")
    if isinstance(seconds, int | float) and seconds < STARVED_TIMEOUT_SECONDS:
        examination.warn(
            "HAD_CONNECTION_TIMEOUT",
            "is so short that leadership may move without a fault while this machine is busy;"
            f" make it at least {STARVED_TIMEOUT_SECONDS:g} seconds (got {seconds:g})",
        )


def _check_majority(
    members: tuple[Member, ...], witnesses: tuple[Member, ...], examination: Examination
) -> None:
    """Refuse more voters than a record on disk has room for, and warn of a pool that survives nothing."""
    if not examination.configuration.get("HAD_REQUIRE_MAJORITY"):
        return
    count = len(members) + len(witnesses)
    if count > MAXIMUM_VOTERS:
        examination.refuse(
            "HAD_REQUIRE_MAJORITY",
            f"allows at most {MAXIMUM_VOTERS} members in HAD_LIST and HAD_WITNESS_LIST (got {count})",
        )
    if count == 2:
        examination.warn(
            "HAD_REQUIRE_MAJORITY", "needs both of two members, so either's failure ends all; add a witness"
        )


def _number(configuration: Configuration, name: str) -> float:
    value = configuration.get(name)
    assert isinstance(value, int | float), name
    return float(value)


def _own_or_generic(configuration: Configuration, suffix: str) -> float:
    own = configuration.get(f"MASTER_HAD_{suffix}")
    generic = f"MASTER_{suffix}"
    return float(own) if isinstance(own, int | float) else _number(configuration, generic)


def _port(configuration: Configuration) -> int | None:
    value = configuration.get("HAD_HTTP_PORT")
    return value if isinstance(value, int) else None
