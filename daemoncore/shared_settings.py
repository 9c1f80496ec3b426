"""A number over everything that all members must agree on: where two differ, somebody's configuration is out of date."""

import hashlib

from daemoncore.config import Configuration, knobs
from daemoncore.membership import Member


def shared_hash(
    configuration: Configuration,
    members: tuple[Member, ...],
    witnesses: tuple[Member, ...],
    replicas: tuple[Member, ...],
) -> int:
    """Return 48 bits over everything that all members must agree on.

    Lists count as they are spelled, not as they resolve, since a host often knows itself by another number.
    """
    values: dict[str, object] = {
        "HAD_LIST": [str(member.address) for member in members],
        "HAD_WITNESS_LIST": [str(member.address) for member in witnesses],
        "REPLICATION_LIST": [str(member.address) for member in replicas],
        "HAD_CONTROLLEE": (configuration.text("HAD_CONTROLLEE") or "").casefold(),
    }
    for knob in knobs.all_rows():
        if knob.is_shared and knob.name not in values:
            values[knob.name] = configuration.get(knob.name)
    text = "\n".join(f"{name}={values[name]!r}" for name in sorted(values))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:6])
