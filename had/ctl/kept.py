"""The kept states of a whole pool: which there are, which one an operator means, and which of them to merge.

A conflict is named by its version and its bytes, so members on the same side of a partition keep the same one under the
same name. It is then one kept state with several holders. And one side's followers may have kept an earlier version of
what its leader kept. Whoever merged both would charge that usage twice; so only states are merged that are part of no
other.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import attrs

from had.ctl.replica_status import Conflict
from had.ctl.replicas import Replicas


class ChoiceError(ValueError):
    """No kept state, or more than one, goes by that name, or it is not fit for what was asked."""


@attrs.frozen
class Kept:
    """One kept state.

    Attributes:
        copies: what each holder says of it.
        pending: what waits to be done with it at the next stop of the controllee, `merge` or `restore`; else None.
        failure: why a leader that had borrowed it could not merge or restore it; None if nothing went wrong.
    """

    copies: dict[str, Conflict]
    pending: str | None = None
    failure: str | None = None

    @property
    def conflict(self) -> Conflict:
        """What the first holder says of it."""
        return next(iter(self.copies.values()))

    @property
    def id(self) -> str:
        """Its name."""
        return self.conflict.id

    @property
    def holders(self) -> tuple[str, ...]:
        """The entries of those who keep it."""
        return tuple(self.copies)

    @property
    def merged_into(self) -> str | None:
        """The version that some holder knows to hold what it held."""
        return next((one.merged_into for one in self.copies.values() if one.merged_into), None)

    @property
    def exported_to(self) -> str | None:
        """Where some holder has written it out to."""
        return next((one.exported_to for one in self.copies.values() if one.exported_to), None)

    @property
    def is_settled(self) -> bool:
        """Whether people have taken what they wanted of it, wherever it is kept."""
        return any(one.is_settled for one in self.copies.values())

    def is_part_of(self, other: Kept) -> bool:
        """Whether the other one is a later state of the same history."""
        own, later = self.conflict.version, other.conflict.version
        return own.point != later.point and later.has(own.point)


def kept_states(replicas: Replicas, node: str | None = None) -> list[Kept]:
    """Return what all replicas keep, or that one, the oldest first."""
    copies: dict[str, dict[str, Conflict]] = {}
    pending: dict[str, str] = {}
    failures: dict[str, str] = {}
    for entry, status in replicas.statuses.items():
        pending |= {one.id: one.act for one in status.pending if one.act is not None}
        failures |= {one.id: one.failure for one in status.pending if one.failure is not None}
        if node in (None, entry):
            for conflict in status.conflicts:
                copies.setdefault(conflict.id, {})[entry] = conflict
    found = [Kept(holders, pending.get(name), failures.get(name)) for name, holders in copies.items()]
    return sorted(found, key=lambda one: one.conflict.kept_at or 0.0)


def named(name: str, kept: Sequence[Kept]) -> Kept:
    """Return the kept state that a name or the beginning of one means.

    Raises:
        ChoiceError: none or several; the sentence lists the choices.
    """
    found = [one for one in kept if one.id == name] or [one for one in kept if one.id.startswith(name)]
    if len(found) == 1:
        return found[0]
    if found and name:
        raise ChoiceError(f"{name} could be {' or '.join(one.id for one in found)}; write more of it")
    known = ", ".join(one.id for one in kept) or "none"
    raise ChoiceError(f"{name or 'nothing'} is no kept state; those that are kept: {known}")


def to_restore(name: str, kept: Sequence[Kept]) -> Kept:
    """Return the kept state that a name means, if it is not in what the leader holds already.

    Raises:
        ChoiceError: it is, or the name is in doubt.
    """
    one = named(name, kept)
    if one.merged_into is not None:
        raise ChoiceError(f"{one.id} is in version {one.merged_into} already; nothing is taken from it twice")
    return one


def to_merge(names: Iterable[str], kept: Sequence[Kept]) -> tuple[list[Kept], list[str]]:
    """Return the kept states to merge, and sentences about those that were left out or need a second look.

    Args:
        names: those that are asked for; none means all that were not merged yet.
        kept: all of them.

    Raises:
        ChoiceError: a name is in doubt, was merged already, or nothing is left to merge.
    """
    asked = list({one.id: one for one in (to_restore(name, kept) for name in names)}.values())
    if asked:
        return asked, [
            _overlap(one, later) for one in asked for later in kept if _is_double(one, later, asked)
        ]
    open_ones = [one for one in kept if one.merged_into is None]
    chosen = [one for one in open_ones if not any(_is_double(one, later, open_ones) for later in kept)]
    if not chosen:
        raise ChoiceError("there is nothing to merge: no state is kept that was not merged yet")
    left_out = [
        f"{one.id} is left out: it is part of {later.id}"
        for one in open_ones
        for later in kept
        if _is_double(one, later, open_ones)
    ]
    return chosen, left_out


def _is_double(one: Kept, later: Kept, chosen: Sequence[Kept]) -> bool:
    """Whether merging `one` would take in what `later` has brought, or will bring."""
    return one.is_part_of(later) and (later.merged_into is not None or later in chosen)


def _overlap(one: Kept, later: Kept) -> str:
    done = f"was merged into {later.merged_into}" if later.merged_into else "is merged too"
    return (
        f"{one.id} is by its version part of {later.id}, which {done}: usage would be charged twice,"
        " unless the file was changed by hand"
    )
