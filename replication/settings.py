"""What the replication daemon takes from its configuration: one frozen value, checked as a whole.

`settings_from` is a function of a configuration and of what the network and the file system say; it reports every
problem at once. After it nothing in the daemon reads a knob, resolves a name or guesses a default.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import attrs

from daemoncore.address import Address
from daemoncore.collectors import Advertising, name_of_replication, read_advertising
from daemoncore.config import Configuration, ConfigurationError, Problem
from daemoncore.log import LogSettings
from daemoncore.membership import (
    Examination,
    Member,
    Network,
    address_of,
    check_lists,
    compare_lists,
    find_self,
    read_members,
)
from daemoncore.places import had_dir, read_log, read_owner, socket_folder
from daemoncore.policy_check import check_policy
from daemoncore.shared_settings import shared_hash
from daemoncore.state_files import state_paths
from replication.replica_settings import ReplicaSettings
from replication.transfer_terms import TRANSFERER

MAXIMUM_UPLOADS = 16
"""So many transferers may send at once; more replicas than this take turns."""

_CONDORS_TRANSFERER = "condor_transferer"


@attrs.frozen
class Settings:
    """Everything that the replication daemon does by configuration; times in seconds.

    Attributes:
        me: this node's own entry of REPLICATION_LIST.
        members: REPLICATION_LIST, in the order of HAD_LIST.
        connection_timeout_seconds: T.
        interval_seconds: REPLICATION_INTERVAL, the longest time between two looks at the state.
        lifetime_seconds: MAX_TRANSFER_LIFETIME.
        joining_seconds: NEWLY_JOINED_WAITING_VERSION_INTERVAL.
        stop_timeout_seconds: HAD_CONTROLLEE_STOP_TIMEOUT, which also bounds a flush.
        paths: STATE_FILE, one file or several, or the one folder.
        is_folder: whether it is a folder.
        spool: SPOOL, where HTCondor looks for `Version`; None where there is none.
        keep_conflicts: REPLICATION_KEEP_CONFLICTS.
        is_merging: REPLICATION_MERGE = accountant.
        half_life_seconds: PRIORITY_HALFLIFE, by which the Accountant's priorities decay.
        transferer: the program that copies, with its first arguments.
        is_fips: HAD_FIPS_MODE; without it a real peer may send an MD5.
        had_dir: folder of durable files; the daemon claims a subfolder of it.
        owner: uid and gid of what is made here; None leaves them.
        http_address: where the read-only HTTP listens.
        http_port: its port; None is off.
        log: where the log goes and how it looks.
        socket_folder: DAEMON_SOCKET_DIR.
        hang_seconds: REPLICATION_NOT_RESPONDING_TIMEOUT.
        advertising: which collectors are told, how often, and under which name.
        shared_hash: 48 bits over the settings that all members must agree on.
        warnings: what was odd and did not prevent the start, those of the configuration included.
    """

    me: Member
    members: tuple[Member, ...]
    connection_timeout_seconds: float
    interval_seconds: float
    lifetime_seconds: float
    joining_seconds: float
    stop_timeout_seconds: float
    paths: tuple[Path, ...]
    is_folder: bool
    spool: Path | None
    keep_conflicts: int
    is_merging: bool
    half_life_seconds: float
    transferer: tuple[str, ...]
    is_fips: bool
    had_dir: Path
    owner: tuple[int, int] | None
    http_address: str
    http_port: int | None
    log: LogSettings
    socket_folder: Path
    hang_seconds: float
    advertising: Advertising
    shared_hash: int
    warnings: tuple[Problem, ...] = attrs.field(eq=False)

    def address_of(self, name: str) -> Address:
        """Return a replica's whole address, its name behind a shared port included."""
        return address_of(name, self.members, self.me)

    def replica(self) -> ReplicaSettings:
        """Return the part that the machine works with."""
        return ReplicaSettings(
            me=self.me.name,
            members=tuple(member.name for member in self.members),
            timeout_seconds=self.connection_timeout_seconds,
            lifetime_seconds=self.lifetime_seconds,
            joining_seconds=self.joining_seconds,
            maximum_uploads=MAXIMUM_UPLOADS,
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
        environment: the process environment, for XDG_STATE_HOME.

    Raises:
        ConfigurationError: with everything that is wrong.
    """
    examination = Examination(configuration, network)
    lists = _Lists(
        read_members("HAD_LIST", examination),
        read_members("REPLICATION_LIST", examination),
        read_members("HAD_WITNESS_LIST", examination),
    )
    _check_lists(lists, examination)
    me = None if examination.problems else _find_me(lists, port, examination)
    state = _read_state(examination)
    transferer = _read_transferer(examination)
    spool = _read_spool(examination)
    owner = read_owner(examination)
    log = read_log(examination, "REPLICATION", owner, is_terminal=is_terminal)
    if me is None or log is None or examination.problems:
        raise ConfigurationError(examination.problems)
    folder = had_dir(configuration, environment or {}, is_root=os.geteuid() == 0)
    return _settings(examination, (me, lists), state, (spool, owner, folder), transferer, log)


@attrs.frozen
class _Lists:
    members: tuple[Member, ...]
    replicas: tuple[Member, ...]
    witnesses: tuple[Member, ...]


def _settings(
    examination: Examination,
    who: tuple[Member, _Lists],
    state: tuple[tuple[Path, ...], bool],
    places: tuple[Path | None, tuple[int, int] | None, Path],
    transferer: tuple[str, ...],
    log: LogSettings,
) -> Settings:
    """Put what the rules found beside what is only copied."""
    configuration = examination.configuration
    (me, lists), (paths, is_folder), (spool, owner, folder) = who, state, places
    name = name_of_replication(examination, me, lists.replicas)
    return Settings(
        me=me,
        members=lists.replicas,
        connection_timeout_seconds=_number(configuration, "HAD_CONNECTION_TIMEOUT"),
        interval_seconds=_number(configuration, "REPLICATION_INTERVAL"),
        lifetime_seconds=_number(configuration, "MAX_TRANSFER_LIFETIME"),
        joining_seconds=_number(configuration, "NEWLY_JOINED_WAITING_VERSION_INTERVAL"),
        stop_timeout_seconds=_number(configuration, "HAD_CONTROLLEE_STOP_TIMEOUT"),
        paths=paths,
        is_folder=is_folder,
        spool=spool,
        keep_conflicts=int(_number(configuration, "REPLICATION_KEEP_CONFLICTS")),
        is_merging=(configuration.text("REPLICATION_MERGE") or "").casefold() == "accountant",
        half_life_seconds=_number(configuration, "PRIORITY_HALFLIFE"),
        transferer=transferer,
        is_fips=_number(configuration, "HAD_FIPS_MODE") != 0,
        had_dir=folder,
        owner=owner,
        http_address=configuration.text("HAD_HTTP_ADDRESS") or "127.0.0.1",
        http_port=_port(configuration),
        log=log,
        socket_folder=socket_folder(configuration),
        hang_seconds=_number(configuration, "REPLICATION_NOT_RESPONDING_TIMEOUT"),
        advertising=read_advertising(examination, "REPLICATION_UPDATE_INTERVAL", name),
        shared_hash=shared_hash(configuration, lists.members, lists.witnesses, lists.replicas),
        warnings=(*configuration.warnings, *examination.warnings),
    )


def needs_restart(old: Settings, new: Settings) -> tuple[str, ...]:
    """Return the knobs whose change only a restart of the daemon takes up."""
    pairs = {
        "REPLICATION_LIST (own address)": (old.me.numeric, new.me.numeric),
        "STATE_FILE": ((old.paths, old.is_folder), (new.paths, new.is_folder)),
        "SPOOL": (old.spool, new.spool),
        "HAD_DIR": (old.had_dir, new.had_dir),
        "CONDOR_IDS": (old.owner, new.owner),
        "HAD_HTTP_ADDRESS": (old.http_address, new.http_address),
        "DAEMON_SOCKET_DIR": (old.socket_folder, new.socket_folder),
        "REPLICATION_HTTP_PORT": (old.http_port, new.http_port),
    }
    return tuple(name for name, (before, after) in pairs.items() if before != after)


# --- who we are -------------------------------------------------------------------------------------------------


def _check_lists(lists: _Lists, examination: Examination) -> None:
    members, replicas = lists.members, lists.replicas
    for knob, found in (("HAD_LIST", members), ("REPLICATION_LIST", replicas)):
        if not examination.items(knob):
            examination.refuse(knob, "must name the members (it is not set)")
        elif not found:
            return
    check_lists(members, lists.witnesses, examination)
    if len({replica.numeric for replica in replicas}) != len(replicas):
        examination.refuse("REPLICATION_LIST", "must name each replica once")
    # Entries that were refused as addresses would only show up here a second time.
    differences = [] if examination.problems else compare_lists(members, replicas)
    if differences:
        examination.refuse(
            "REPLICATION_LIST", f"must name the hosts of HAD_LIST in the same order: {'; '.join(differences)}"
        )
    check_policy(replicas, examination, subsystem="REPLICATION")


def _find_me(lists: _Lists, port: int | None, examination: Examination) -> Member | None:
    """Return this node's entry: at the place of HAD_SELF's, else the one that this host and `-p` can be."""
    if examination.configuration.text("HAD_SELF") is None:
        return find_self(lists.replicas, port, examination, knob="REPLICATION_LIST")
    elected = find_self(lists.members, None, examination)
    if elected is None:
        return None
    me = lists.replicas[lists.members.index(elected)]
    if port is not None and port != me.numeric.port:
        examination.refuse(
            "REPLICATION_LIST",
            f"has {me.entry} at the place of HAD_SELF, but the daemon was told to listen on port {port}",
        )
    return me


# --- what is replicated, and how --------------------------------------------------------------------------------


def _read_state(examination: Examination) -> tuple[tuple[Path, ...], bool]:
    """Return the files, or the folder, of STATE_FILE."""
    items = state_paths(examination.configuration)
    paths = tuple(Path(item) for item in items)
    folders = [path for item, path in zip(items, paths, strict=True) if item.endswith("/") or path.is_dir()]
    if not paths:
        examination.refuse("STATE_FILE", "must name what is replicated, a file, several, or a folder")
    if folders and len(paths) > 1:
        examination.refuse("STATE_FILE", f"must be files, or one folder alone (got {' '.join(items)})")
    if len(set(paths)) != len(paths):
        examination.refuse("STATE_FILE", f"must name each file once (got {' '.join(items)})")
    for path in paths:
        if not path.is_absolute():
            examination.refuse("STATE_FILE", f"must be given with an absolute path (got {path})")
        elif not path.parent.is_dir():
            examination.refuse("STATE_FILE", f"is {path}, but there is no folder {path.parent}")
    return paths, bool(folders)


def _read_spool(examination: Examination) -> Path | None:
    """Return SPOOL; a default that does not exist is none, for a pool without HTCondor."""
    configuration = examination.configuration
    text = configuration.text("SPOOL")
    if text is None:
        return None
    if Path(text).is_dir():
        return Path(text)
    if configuration.is_set("SPOOL"):
        examination.refuse("SPOOL", f"must be a folder that exists (got {text})")
    return None


def _read_transferer(examination: Examination) -> tuple[str, ...]:
    """Return the program that copies: ours, wherever TRANSFERER says it is installed."""
    configuration = examination.configuration
    text = configuration.text("TRANSFERER")
    if not configuration.is_set("TRANSFERER") or text is None:
        return TRANSFERER
    path = Path(text)
    if path.name == _CONDORS_TRANSFERER:
        examination.warn("TRANSFERER", f"is {path}, which this daemon cannot use; it takes its own")
        return TRANSFERER
    if not (path.is_absolute() and os.access(path, os.X_OK)):
        examination.refuse("TRANSFERER", f"must be the path of had-transferer (got {path})")
    return (str(path),)


def _number(configuration: Configuration, name: str) -> float:
    value = configuration.get(name)
    assert isinstance(value, int | float), name
    return float(value)


def _port(configuration: Configuration) -> int | None:
    value = configuration.get("REPLICATION_HTTP_PORT")
    return value if isinstance(value, int) else None
