"""Where a daemon's files are and whom they belong to: HAD_DIR, the log, CONDOR_IDS.

The defaults depend on whether root started the daemon, as a pool does, or somebody for a trial.
"""

import os
from collections.abc import Mapping
from pathlib import Path

import attrs

from daemoncore.config import Configuration
from daemoncore.log import LogSettings, LogSettingsError
from daemoncore.membership import Examination

_known_owners: dict[str, tuple[int, int]] = {}
"""Who owned a SPOOL when it was last asked: one that is away for a moment, at a reload, has not changed hands."""


def had_dir(configuration: Configuration, environment: Mapping[str, str], *, is_root: bool) -> Path:
    """Return HAD_DIR or its default (hard case 24).

    Root: $(LOCAL_DIR)/had, else /var/lib/had. Anybody else: the same below a LOCAL_DIR that was set, else
    $XDG_STATE_HOME/had, since the home of the user `condor` is not theirs.
    """
    chosen = configuration.text("HAD_DIR")
    if chosen:
        return Path(chosen)
    local_dir = configuration.text("LOCAL_DIR")
    if local_dir and (is_root or configuration.is_set("LOCAL_DIR")):
        return Path(local_dir) / "had"
    if is_root:
        return Path("/var/lib/had")
    state_home = environment.get("XDG_STATE_HOME") or f"{environment.get('HOME') or Path.home()}/.local/state"
    return Path(state_home) / "had"


def read_owner(examination: Examination) -> tuple[int, int] | None:
    """Return whom the files of a daemon belong to that root started: CONDOR_IDS, else the owner of SPOOL (hard case 24).

    So a real daemon of HTCondor's, which writes as that user, finds its log and the state usable after a rollback. None
    leaves files as they are made, or CONDOR_IDS was refused.
    """
    text = examination.configuration.text("CONDOR_IDS")
    if text is None:
        return _owner_of_spool(examination.configuration) if os.geteuid() == 0 else None
    uid, dot, gid = text.strip().partition(".")
    if dot and uid.isdecimal() and gid.isdecimal():
        return int(uid), int(gid)
    examination.refuse("CONDOR_IDS", f"must be uid.gid, two numbers (got {text})")
    return None


def _owner_of_spool(configuration: Configuration) -> tuple[int, int] | None:
    spool = configuration.text("SPOOL")
    if not spool:
        return None
    try:
        found = Path(spool).stat()
    except OSError:
        return _known_owners.get(spool)
    _known_owners[spool] = owner = (found.st_uid, found.st_gid)
    return owner


def read_log(
    examination: Examination, subsystem: str, owner: tuple[int, int] | None, *, is_terminal: bool
) -> LogSettings | None:
    """Return where the log goes, or refuse and return None; standard error when no place was ever set.

    Args:
        examination: gets the problems.
        subsystem: `HAD` or `REPLICATION`, which its settings are named after.
        owner: user and group ids of the file.
        is_terminal: whether it goes to standard error whatever is set (`-t`).
    """
    configuration = examination.configuration
    # Without any LOCAL_DIR the default would be /log/HADLog, a place that nobody meant.
    is_placed = configuration.text("LOCAL_DIR") or any(
        configuration.is_set(knob) for knob in ("LOG", f"{subsystem}_LOG")
    )
    try:
        settings = LogSettings.from_knobs(
            configuration.text, subsystem, is_terminal=is_terminal or not is_placed
        )
        return attrs.evolve(settings, owner=owner)
    except LogSettingsError as error:
        knob, _blank, message = str(error).partition(" ")
        examination.refuse(knob, message)
        return None


def socket_folder(configuration: Configuration) -> Path:
    """Return DAEMON_SOCKET_DIR, where a shared port server looks for daemons (shared_port_endpoint.cpp)."""
    text = configuration.text("DAEMON_SOCKET_DIR") or "auto"
    lock = configuration.text("LOCK")
    assert lock is not None, "LOCK has a default"
    return Path(lock) / "daemon_sock" if text == "auto" else Path(text)
