"""How the controllee is started and stopped, as the configuration says it.

HAD_CONTROLLEE is a name. With HAD_CONTROL = spawn the knob of that name is the program, and with `master` it is the program
that condor_master starts; with `command` three commands take its place.

Exactly one of condor_master and this daemon may start the controllee, and DAEMON_LIST says whether condor_master does.
So with `master` it must be in that list, with HAD as its controller; otherwise it must not be there.
"""

import contextlib
import enum
import os
import re
import shutil
from collections.abc import Mapping

import attrs

from daemoncore.config.arguments import split_arguments, split_environment
from daemoncore.membership import Examination

#: condor_master marks the daemons that it starts with this variable.
MASTER_MARK = "CONDOR_INHERIT"


class ControlKind(enum.Enum):
    """Who starts and stops the controllee."""

    #: This daemon, through its guard.
    SPAWN = "spawn"
    #: Commands of the user's.
    COMMAND = "command"
    #: condor_master, at our word.
    MASTER = "master"
    #: Nobody: a witness has no controllee.
    NONE = "none"


_WITH_PROGRAM = frozenset({ControlKind.SPAWN, ControlKind.MASTER})


@attrs.frozen
class Control:
    """The controllee and its reins.

    Attributes:
        controllee: its name.
        kind: who starts and stops it.
        argv: program and arguments, for SPAWN and MASTER.
        environment: variables that it gets beyond the daemon's.
        start_command: HAD_START_COMMAND, split; for COMMAND, like its siblings.
        stop_command: HAD_STOP_COMMAND, split.
        check_command: HAD_CHECK_COMMAND, split; empty when nothing checks.
        stop_timeout_seconds: from SIGTERM to SIGKILL.
        log_path: where its output goes; empty is the daemon's standard error.
        disaster_argv: what HAD_MISSING_STATE = disaster starts in its place; empty if nothing is named.
        on_change: HAD_ON_CHANGE, split; empty is none.
        master_address_file: MASTER_ADDRESS_FILE, for MASTER.
    """

    controllee: str
    kind: ControlKind
    argv: tuple[str, ...]
    environment: Mapping[str, str]
    start_command: tuple[str, ...]
    stop_command: tuple[str, ...]
    check_command: tuple[str, ...]
    stop_timeout_seconds: float
    log_path: str
    disaster_argv: tuple[str, ...]
    on_change: tuple[str, ...]
    master_address_file: str = ""


def read_control(
    examination: Examination, environment: Mapping[str, str], *, is_witness: bool = False
) -> Control | None:
    """Return the controllee's settings, or refuse and return None.

    Args:
        examination: the configuration; gets the problems.
        environment: the process environment, which tells whether condor_master started us.
        is_witness: whether this node never leads, so that nothing needs to be set.
    """
    configuration = examination.configuration
    controllee = configuration.text("HAD_CONTROLLEE") or "negotiator"
    if not re.fullmatch(r"[A-Za-z0-9_]+", controllee):
        examination.refuse("HAD_CONTROLLEE", f"must be one word of letters, digits and _ (got {controllee})")
        return None
    kind = ControlKind.NONE if is_witness else _kind(controllee, examination, environment)
    upper = controllee.upper()
    stop_timeout = configuration.get("HAD_CONTROLLEE_STOP_TIMEOUT")
    assert isinstance(stop_timeout, float)
    commands = {name: _split(f"HAD_{name}_COMMAND", examination) for name in ("START", "STOP", "CHECK")}
    control = Control(
        controllee=controllee,
        kind=kind,
        argv=_argv(upper, examination) if kind in _WITH_PROGRAM else (),
        environment=_environment(f"{upper}_ENVIRONMENT", examination),
        start_command=commands["START"],
        stop_command=commands["STOP"],
        check_command=commands["CHECK"],
        stop_timeout_seconds=stop_timeout,
        log_path=configuration.text(f"{upper}_LOG") or "",
        disaster_argv=_split(f"{upper}_DISASTER", examination),
        on_change=_split("HAD_ON_CHANGE", examination),
        master_address_file=configuration.text("MASTER_ADDRESS_FILE") or "",
    )
    if kind is ControlKind.COMMAND:
        _require_commands(control, examination)
    if kind is not ControlKind.NONE:
        _check_master(control, examination)
    return control


def _kind(controllee: str, examination: Examination, environment: Mapping[str, str]) -> ControlKind:
    chosen = str(examination.configuration.get("HAD_CONTROL"))
    if chosen != "auto":
        return ControlKind(chosen)
    # A check by hand is not started by condor_master, and speaks of the daemon that will be.
    is_child = bool(environment.get(MASTER_MARK)) or {"HAD", controllee.upper()} <= _masters_daemons(
        examination
    )
    return ControlKind.MASTER if is_child else ControlKind.SPAWN


def _masters_daemons(examination: Examination) -> set[str]:
    """DAEMON_LIST, if this configuration is condor_master's too."""
    if not examination.configuration.is_set("DAEMON_LIST"):
        return set()
    return {item.lstrip("+").upper() for item in examination.items("DAEMON_LIST")}


def _check_master(control: Control, examination: Examination) -> None:
    """See that just one of condor_master and this daemon starts the controllee."""
    upper, daemons = control.controllee.upper(), _masters_daemons(examination)
    if not daemons:
        return
    if control.kind is not ControlKind.MASTER:
        if {"HAD", upper} <= daemons:
            examination.refuse(
                "DAEMON_LIST",
                f"must not contain {upper}, which had starts itself (HAD_CONTROL is {control.kind.value}):"
                " condor_master would start a second one",
            )
        return
    if upper not in daemons:
        examination.refuse(
            "DAEMON_LIST",
            f"must contain {upper}, which condor_master is to start (HAD_CONTROL is master); or let HAD_CONTROL be spawn",
        )
    controller = f"MASTER_{upper}_CONTROLLER"
    if (examination.configuration.text(controller) or "").upper() != "HAD":
        examination.warn(controller, f"must be HAD, or condor_master starts {upper} by itself, whoever leads")
    for other in sorted(daemons - {upper}):
        if _is_twin(control, other, examination):
            examination.warn(
                upper,
                f"is the program of {other} too, which could be taken for it and ended:"
                f" set -local-name in {upper}_ARGS or {other}_ARGS",
            )


def _is_twin(control: Control, other: str, examination: Examination) -> bool:
    """Whether another daemon's process looks like the controllee's (`had/household.py`)."""
    program = examination.configuration.text(other)
    if not control.argv or not program or os.path.realpath(program) != os.path.realpath(control.argv[0]):
        return False
    with contextlib.suppress(ValueError):
        theirs = split_arguments(examination.configuration.text(f"{other}_ARGS") or "")
        ours = control.argv[1:]
        starts = range(len(theirs) - len(ours) + 1)
        is_same = any(theirs[start : start + len(ours)] == ours for start in starts)
        return is_same and "-local-name" not in {*theirs, *ours}
    return False


def _argv(name: str, examination: Examination) -> tuple[str, ...]:
    program = examination.configuration.text(name)
    if program is None:
        examination.refuse(
            name, "must be the program of HAD_CONTROLLEE (it is not set), or HAD_CONTROL = command"
        )
        return ()
    if shutil.which(program) is None:
        reason = "is not executable" if os.path.exists(program) else "does not exist"  # noqa: PTH110  a name too
        examination.warn(name, f"names {program}, which {reason} on this host")
    return (program, *_split(f"{name}_ARGS", examination))


def _split(name: str, examination: Examination) -> tuple[str, ...]:
    text = examination.configuration.text(name)
    if text is None:
        return ()
    try:
        return split_arguments(text)
    except ValueError as error:
        examination.refuse(name, f"cannot be split into arguments: {error}")
        return ()


def _environment(name: str, examination: Examination) -> Mapping[str, str]:
    text = examination.configuration.text(name)
    if text is None:
        return {}
    try:
        return split_environment(text)
    except ValueError as error:
        examination.refuse(name, f"cannot be split into variables: {error}")
        return {}


def _require_commands(control: Control, examination: Examination) -> None:
    for name, command in (("START", control.start_command), ("STOP", control.stop_command)):
        if not command:
            examination.refuse(f"HAD_{name}_COMMAND", "must be set, since HAD_CONTROL is command")
