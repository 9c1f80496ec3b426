"""What operators want of kept conflicts, and the merging that nobody has to ask for (REPLICATION_MERGE).

An operator's request is one ad (REPLICATION_CONFLICT): look, export, drop, plan, schedule or cancel. What is merged or
restored is done by the replica that leads, at the next stop of its controllee; a conflict that another node keeps is
fetched from there first. So is the ancestor that a merge starts from, from whichever node keeps it: often neither the
leader nor the holder of the conflict began the leadership that grew from it.

All of it that touches the disk runs on the store's thread, behind what the machine has asked for.
"""

from __future__ import annotations

import json
import math
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, Final, Protocol, TypeVar

import trio

from daemoncore.cedar.classad import ClassAd
from daemoncore.durable import DurableError
from daemoncore.event_log import Tell
from replication.archive import ArchiveError, Copy
from replication.conflicts import document
from replication.copy_fetch import Fetched, FetchError
from replication.leftovers import removed
from replication.manifest import Held
from replication.replica import Replica
from replication.replica_settings import Member
from replication.revising import Act, Reviser, RevisionError
from replication.version import common_ancestor

LOOK_SECONDS: Final = 1.0
"""How often a leader with REPLICATION_MERGE looks for conflicts that it should fetch."""

FETCH_SECONDS: Final = 60.0
"""A conflict that is not here by then is not fetched at present."""

RETRY_SECONDS: Final = 60.0
"""What could not be fetched, or not be written down, is tried again after so long."""

HOPELESS_LIMIT: Final = 1024
"""Conflicts of which it is remembered that they cannot be merged; of more the oldest are tried, and told, again."""

Result = TypeVar("Result")
Reply = tuple[bool, str, str | None]
"""Whether it was done, a sentence, and a JSON document if there is one."""


class Shelf(Protocol):
    """The disk side: `replication.store`."""

    @property
    def reviser(self) -> Reviser:
        """What merges and restores."""

    @property
    def borrowing_folder(self) -> Path:
        """Where what is fetched may be put for a moment."""

    async def perform(self, act: Callable[[], Result]) -> Result:
        """Do something on the store's thread, in its turn."""

    def export_conflict(self, identifier: str, folder: Path) -> None:
        """Write a conflict of this node into a new folder; on the store's thread."""

    def drop_conflict(self, identifier: str) -> None:
        """Remove a conflict of this node; on the store's thread."""

    def borrow(self, fetched: Fetched, *, is_ancestor: bool) -> Copy:
        """Keep what was fetched; on the store's thread."""

    async def read_archives(self) -> None:
        """Look at the archives again and tell the machine."""


class ConflictCommands:
    """Answers operators, and merges by itself where it is told to.

    Args:
        shelf: the disk side.
        fetch_copy: fetches a kept copy from a replica.
        replica: the machine, None before there is one.
        find: the member that an operator means.
        is_merging: REPLICATION_MERGE.
        tell: the log.
    """

    def __init__(
        self,
        shelf: Shelf,
        fetch_copy: Callable[[Member, Mapping[str, str | int], Path], Awaitable[Fetched]],
        *,
        replica: Callable[[], Replica | None],
        find: Callable[[str], Member | None],
        is_merging: Callable[[], bool],
        tell: Tell,
    ) -> None:
        self._shelf = shelf
        self._fetch_copy = fetch_copy
        self._replica = replica
        self._find = find
        self._is_merging = is_merging
        self._tell = tell
        self._fetching = trio.Lock()
        #: What cannot be merged, until when, while this leadership lasts.
        self._hopeless: dict[str, float] = {}
        self._leadership: int | None = None

    # --- operators --------------------------------------------------------------------------------------------

    async def answer(self, ad: ClassAd, by: str) -> Reply:
        """Do what an operator wants."""
        act, identifier = ad.get_string("Act", ""), ad.get_string("Identifier", "")
        try:
            reply = await self._act(act, identifier, ad, by)
        except (ArchiveError, DurableError, RevisionError, FetchError) as error:
            reply = False, str(error), None
        if act not in {"show", "plan"}:
            self._tell(
                "command_received", command=f"conflict {act}", by=by, accepted=reply[0], answer=reply[1]
            )
        return reply

    async def _act(self, act: str, identifier: str, ad: ClassAd, by: str) -> Reply:
        shelf = self._shelf
        if self._replica() is None:
            return False, "this daemon is still reading its state", None
        match act:
            case "show":
                found = await shelf.perform(lambda: self._known(identifier))
                return True, "", json.dumps(document(found))
            case "export":
                folder = Path(ad.get_string("Folder", ""))
                if not folder.is_absolute():
                    return False, f"the folder must be an absolute path (got {folder})", None
                await shelf.perform(lambda: shelf.export_conflict(identifier, folder))
                await shelf.read_archives()
                return True, f"{identifier} was written to {folder}", None
            case "drop":
                await shelf.perform(lambda: shelf.drop_conflict(identifier))
                await shelf.read_archives()
                return True, f"{identifier} is gone", None
            case "cancel":
                await shelf.perform(lambda: shelf.reviser.cancel(identifier))
                await shelf.read_archives()
                return True, f"{identifier} waits no more", None
            case "plan" | "schedule":
                return await self._revise(act, identifier, ad, by)
        return False, f"there is nothing that is called {act!r:.40}", None

    def _known(self, identifier: str) -> Copy:
        found = self._shelf.reviser.find(identifier)
        if found is None:
            raise ArchiveError(f"no conflict {identifier!r:.80} is kept here")
        return found[1]

    async def _revise(self, act: str, identifier: str, ad: ClassAd, by: str) -> Reply:
        """Plan a merge or a restore, or have it done at the next stop of the controllee."""
        held = self._led()
        if held is None:
            return False, "this node does not lead; only the leader's state can be merged into", None
        kind, holder = ad.get_string("Kind", ""), self._find(ad.get_string("Holder", ""))
        if kind not in {"merge", "restore"}:
            return False, f"a conflict is merged or restored (got {kind!r:.40})", None
        if holder is None:
            return False, f"{ad.get_string('Holder', '')!r:.80} is no member of REPLICATION_LIST", None
        await self._borrow(holder, identifier)
        reviser, chosen = self._shelf.reviser, Act(kind)
        if act == "plan":
            plan = await self._shelf.perform(lambda: reviser.plan(held, identifier, chosen))
            return True, "", json.dumps(plan)
        await self._shelf.perform(lambda: reviser.schedule(identifier, chosen, by))
        await self._shelf.read_archives()
        return True, f"{identifier} is to be {kind}d at the next stop of the controllee", None

    def _led(self) -> Held | None:
        """What this node leads with; None if it does not."""
        replica = self._replica()
        return replica.ledger.held if replica is not None and replica.is_leading else None

    # --- fetching ---------------------------------------------------------------------------------------------

    async def _borrow(self, holder: Member, identifier: str) -> None:
        """Have a conflict here, and the ancestor that it shares with what is held, if somebody keeps that.

        Raises:
            FetchError: the conflict did not come.
        """
        replica, shelf = self._replica(), self._shelf
        assert replica is not None, "only a leader borrows"
        async with self._fetching:
            found = await shelf.perform(lambda: shelf.reviser.find(identifier))
            is_mine = holder == replica.settings.me
            if found is None and is_mine:
                raise ArchiveError(f"no conflict {identifier!r:.80} is kept here")
            if found is None:
                conflict = await self._fetch(holder, "conflicts", identifier)
            else:
                conflict = found[1]
            for part in await shelf.perform(lambda: shelf.reviser.lacks(identifier)):
                # If nobody has it the conflict is not merged, and the reason said then.
                await self._fetch_from_anybody(replica, holder, "conflicts", part)
            held = replica.ledger.held
            if held is None or await shelf.perform(lambda: shelf.reviser.has_base(held, conflict)):
                return
            point = common_ancestor(held.version, conflict.version)
            if point is not None:
                failures = await self._fetch_from_anybody(replica, holder, "ancestors", str(point))
                if failures:
                    # Nobody keeps it any more: the merge says that it has none.
                    self._tell("ancestor_not_found", point=str(point), text="; ".join(failures))

    async def _fetch_from_anybody(
        self, replica: Replica, holder: Member, archive: str, identifier: str
    ) -> list[str]:
        """Ask the holder of the conflict first, then everybody else who is there; return why it did not come, if so."""
        others = [peer.member for peer in replica.peers.values() if peer.is_alive(replica.now)]
        asked = [*([holder] if holder in others else []), *(one for one in others if one != holder)]
        failures = []
        for member in asked:
            try:
                await self._fetch(member, archive, identifier)
            except FetchError as error:
                failures.append(f"{member}: {error}")
            else:
                return []
        return failures

    async def _fetch(self, holder: Member, archive: str, identifier: str) -> Copy:
        asking = {"ReplicationArchive": archive, "ReplicationIdentifier": identifier}
        folder = self._shelf.borrowing_folder
        # A fetch that was given up may have been through after all.
        await self._shelf.perform(lambda: removed(folder))
        with trio.move_on_after(FETCH_SECONDS) as patience:
            fetched = await self._fetch_copy(holder, asking, folder)
        if patience.cancelled_caught:
            raise FetchError(f"{identifier} did not come within {FETCH_SECONDS:g} s")
        is_ancestor = archive == "ancestors"
        if is_ancestor and str(fetched.version.point) != identifier:
            # A merge would start from it: taken for what it is not, it would charge usage twice, or never.
            await self._shelf.perform(lambda: removed(fetched.folder))
            raise FetchError(f"{fetched.version.point} came instead")
        return await self._shelf.perform(lambda: self._shelf.borrow(fetched, is_ancestor=is_ancestor))

    # --- REPLICATION_MERGE ------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Schedule every conflict that can be merged, wherever it is kept, while this node leads and is told to."""
        while True:
            await trio.sleep(LOOK_SECONDS)
            held = self._led()
            if self._is_merging() and held is not None:
                self._hope_again(held.version.gid)
                for holder, identifier in self._candidates():
                    await self._merge_by_itself(holder, identifier)

    def _hope_again(self, leadership: int) -> None:
        """Forget what could not be merged: into another history perhaps it can, and perhaps by now it can be fetched."""
        if leadership != self._leadership:
            self._leadership = leadership
            self._hopeless.clear()
        now = trio.current_time()
        self._hopeless = {one: until for one, until in self._hopeless.items() if now < until}

    def _give_up(self, identifier: str, until: float) -> None:
        self._hopeless[identifier] = until
        while len(self._hopeless) > HOPELESS_LIMIT:
            del self._hopeless[next(iter(self._hopeless))]

    def _candidates(self) -> list[tuple[Member, str]]:
        """Every conflict that is known of and not dealt with."""
        replica = self._replica()
        assert replica is not None, "it leads"
        own, merged = replica.revisions.reported
        found = [(replica.settings.me, identifier) for identifier in own]
        for peer in replica.peers.values():
            if peer.report is not None and peer.is_alive(replica.now):
                found += [(peer.member, identifier) for identifier in peer.report.conflicts]
        return [(m, i) for m, i in found if i not in self._hopeless and i not in merged]

    async def _merge_by_itself(self, holder: Member, identifier: str) -> None:
        """Schedule one conflict, or say why it cannot be: once if it never will, each minute if it may."""
        shelf = self._shelf
        try:
            known = await shelf.perform(lambda: shelf.reviser.find(identifier))
            if known is not None and _is_dealt_with(known[1]):
                return
            await self._borrow(holder, identifier)
            await self._schedule_by_itself(holder, identifier)
        except (ArchiveError, DurableError, RevisionError, FetchError) as error:
            is_passing = isinstance(error, DurableError | FetchError)
            self._give_up(identifier, trio.current_time() + RETRY_SECONDS if is_passing else math.inf)
            self._tell("merge_not_possible", id=identifier, peer=holder, text=str(error))

    async def _schedule_by_itself(self, holder: Member, identifier: str) -> None:
        """Schedule one conflict if it has an ancestor; without one people have to decide."""
        shelf, held = self._shelf, self._led()
        copy = await shelf.perform(lambda: self._known(identifier))
        if held is None or _is_dealt_with(copy):
            return
        plan: dict[str, Any] = await shelf.perform(lambda: shelf.reviser.plan(held, identifier, Act.MERGE))
        if plan["base"] is None:
            raise RevisionError("no common ancestor is kept; hadctl conflicts merge shows what would be lost")
        await shelf.perform(lambda: shelf.reviser.schedule(identifier, Act.MERGE, "REPLICATION_MERGE"))
        await shelf.read_archives()
        self._tell("merge_scheduled", id=identifier, peer=holder)


def _is_dealt_with(copy: Copy) -> bool:
    """Whether a conflict waits to be merged or restored here, or was merged."""
    return bool(copy.notes.get("scheduled") or copy.notes.get("merged_into"))
