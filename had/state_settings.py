"""What the configuration says of the controllee's state, and of the replication daemon that looks after it."""

from __future__ import annotations

import attrs

from daemoncore.address import Address
from daemoncore.membership import Examination, Member, compare_lists
from daemoncore.state_files import state_paths
from had.control_settings import Control, ControlKind
from had.custody_events import CustodySettings, MissingState
from had.state_place import StatePlace


@attrs.frozen
class StateSettings:
    """The state and its keeper; times in seconds.

    Attributes:
        place: STATE_FILE, which the controllee is told.
        use_replication: HAD_USE_REPLICATION: whether the replication daemon of this node looks after it.
        missing_state: HAD_MISSING_STATE.
        lifetime_seconds: MAX_TRANSFER_LIFETIME.
        replicas: each member of HAD_LIST, and the numeric address of the replica in its place of REPLICATION_LIST.
    """

    place: StatePlace
    use_replication: bool
    missing_state: MissingState
    lifetime_seconds: float
    replicas: tuple[tuple[str, Address], ...]

    def custody(self, timeout_seconds: float, condor_interval_seconds: float) -> CustodySettings:
        """Return the part that the custody of the state works with.

        Args:
            timeout_seconds: T.
            condor_interval_seconds: HTCondor's hadInterval.
        """
        return CustodySettings(
            timeout_seconds=timeout_seconds,
            lifetime_seconds=self.lifetime_seconds,
            condor_interval_seconds=condor_interval_seconds,
            missing_state=self.missing_state,
            replicas=tuple((member, str(replica)) for member, replica in self.replicas),
        )


def read_state(
    examination: Examination,
    members: tuple[Member, ...],
    replicas: tuple[Member, ...],
    control: Control | None,
) -> StateSettings:
    """Read it, or leave what is wrong in the examination.

    Args:
        examination: the configuration; gets the problems.
        members: HAD_LIST.
        replicas: REPLICATION_LIST.
        control: the controllee's settings; None if they were refused.
    """
    configuration = examination.configuration
    is_wanted = bool(configuration.get("HAD_USE_REPLICATION"))
    missing_state = MissingState(configuration.text("HAD_MISSING_STATE") or "start")
    lifetime = configuration.get("MAX_TRANSFER_LIFETIME")
    assert isinstance(lifetime, int | float)
    if control is not None and control.kind is not ControlKind.NONE:
        _check_missing_state(missing_state, examination, control, is_wanted=is_wanted)
    # A trailing slash only says that it is a folder.
    paths = tuple(item.rstrip("/") or "/" for item in state_paths(configuration))
    pairs = zip(members, replicas, strict=False)
    return StateSettings(
        StatePlace(paths),
        is_wanted,
        missing_state,
        float(lifetime),
        tuple((member.name, replica.numeric) for member, replica in pairs),
    )


def check_replication(
    members: tuple[Member, ...], replicas: tuple[Member, ...], examination: Examination
) -> None:
    """See that both lists name the same hosts in the same order."""
    is_wanted = bool(examination.configuration.get("HAD_USE_REPLICATION"))
    is_listed = bool(examination.items("REPLICATION_LIST"))
    if is_wanted and not is_listed:
        examination.refuse("REPLICATION_LIST", "must be set, since HAD_USE_REPLICATION is true")
        return
    # Entries that were refused as addresses would only show up here a second time.
    if not is_listed or examination.problems:
        return
    differences = compare_lists(members, replicas)
    if differences:
        note = examination.refuse if is_wanted else examination.warn
        note(
            "REPLICATION_LIST", f"must name the hosts of HAD_LIST in the same order: {'; '.join(differences)}"
        )


def _check_missing_state(
    missing_state: MissingState, examination: Examination, control: Control, *, is_wanted: bool
) -> None:
    """Refuse what nobody would do when the state is missing."""
    if missing_state is not MissingState.START and not is_wanted:
        examination.refuse(
            "HAD_MISSING_STATE",
            f"must be start unless HAD_USE_REPLICATION is true (got {missing_state.value})",
        )
    if missing_state is not MissingState.DISASTER:
        return
    name = f"{control.controllee.upper()}_DISASTER"
    if control.kind is not ControlKind.SPAWN:
        examination.refuse("HAD_MISSING_STATE", "can be disaster only with HAD_CONTROL = spawn")
    elif not control.disaster_argv:
        examination.refuse(name, "must be set, since HAD_MISSING_STATE is disaster")
