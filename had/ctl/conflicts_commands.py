"""`hadctl conflicts`: the states that lost, kept by the members: listed, looked at, exported, dropped.

Merging and restoring, which change what the leader holds, are in `had.ctl.merge_commands`. A kept state goes by its
identifier or a unique beginning of it. `list` reads every member's status; everything else is asked of the member that keeps
the state, at level ADMINISTRATOR.

Exit status: 0 done, 1 refused, cancelled, not done or a member could not be asked, 2 wrong usage or no usable
configuration.
"""

import argparse
import json
from collections.abc import Callable
from pathlib import PurePosixPath
from typing import Any

import trio

from daemoncore.config import ConfigurationError
from had.ctl import documents, merge_commands, report, tables
from had.ctl.ask import REQUEST_SECONDS
from had.ctl.changing import PATIENCE_SECONDS, POLL_SECONDS, PlanError, consent_arguments, ended, say
from had.ctl.configured import (
    Configured,
    json_argument,
    read_replicated,
    report_unusable,
    source_arguments,
)
from had.ctl.confirmation import is_confirmed
from had.ctl.conflict_requests import conflict_request, copy_seconds, replica_named
from had.ctl.kept import ChoiceError, Kept, kept_states, named
from had.ctl.replica_status import Conflict
from had.ctl.replica_tables import KEPT_COLUMNS, conflict_text, kept_rows
from had.ctl.replicas import Replicas

Act = Callable[[argparse.Namespace, Configured], int]


def add_arguments(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Declare the verb `conflicts` and its sub-verbs."""
    parser = subparsers.add_parser(
        "conflicts", help="look at diverged states that are kept, and merge or restore them"
    )
    parser.set_defaults(run=run)
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    common = [source_arguments(), _node_argument()]
    consent = consent_arguments()
    listing = verbs.add_parser("list", parents=common, help="list what all members keep")
    json_argument(listing)
    listing.set_defaults(act=run_list)
    show = verbs.add_parser("show", parents=common, help="show one kept state and its files")
    json_argument(show)
    show.set_defaults(act=run_show)
    export = verbs.add_parser("export", parents=common, help="write one out, on the host that keeps it")
    export.set_defaults(act=run_export)
    drop = verbs.add_parser(
        "drop", parents=[*common, consent], help="remove one for ever, wherever it is kept"
    )
    drop.set_defaults(act=run_drop)
    cancel = verbs.add_parser(
        "cancel", parents=[*common, consent], help="take back what waits for the next stop of the controllee"
    )
    cancel.set_defaults(act=run_cancel)
    for verb in (show, export, drop, cancel):
        verb.add_argument("id", metavar="ID", help="its identifier, or a unique beginning of it")
    export.add_argument("folder", metavar="FOLDER", help="absolute path of a folder that is not there yet")
    merge_commands.add_arguments(verbs, common)


def _node_argument() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--node", metavar="NODE", help="only what this member keeps: its entry or its host")
    return parser


def run(arguments: argparse.Namespace) -> int:
    """Carry out one of the verbs and return its exit status."""
    try:
        configured = read_replicated(arguments)
    except ConfigurationError as error:
        return report_unusable(error)
    act: Act = arguments.act
    return ended(lambda: act(arguments, configured))


def run_list(arguments: argparse.Namespace, configured: Configured) -> int:
    """List what is kept."""
    node = replica_named(arguments.node, configured)
    replicas = configured.ask_replicas_once()
    kept = kept_states(replicas, node)
    missing = [entry for entry in _asked(replicas, node) if entry not in replicas.statuses]
    missing = [entry for entry in missing if not replicas.is_condor(entry)]
    if arguments.json:
        listed = [_raw(replicas, one, entry) for one in kept for entry in one.holders]
        print(json.dumps({"schema": report.SCHEMA, "conflicts": listed, "missing": missing}, indent=2))
    else:
        print(tables.render(KEPT_COLUMNS, kept_rows(kept)), flush=True)
        say(_summary(kept))
    for entry in missing:
        say(f"{entry} could not be asked; what it keeps is missing")
    return 1 if missing else 0


def _asked(replicas: Replicas, node: str | None) -> tuple[str, ...]:
    return replicas.entries if node is None else (node,)


def _raw(replicas: Replicas, kept: Kept, entry: str) -> dict[str, Any]:
    """Return the document as its holder sent it, with who that is and what waits."""
    document = replicas.answers[entry].document or {}
    sent = next(one for one in document["conflicts"] if one["id"] == kept.id)
    return {**sent, "node": entry, "pending": kept.pending}


def _summary(kept: list[Kept]) -> str:
    if not kept:
        return "no diverged state is kept"
    is_many = len(kept) > 1
    count = f"{len(kept)} diverged states are kept" if is_many else "1 diverged state is kept"
    unsettled = sum(not one.is_settled for one in kept)
    if not unsettled:
        return f"{count}, exported or merged: when there are too many the oldest of these go"
    which = f"{unsettled} of them" if is_many else "it"
    return f"{count}; {which} {'were' if unsettled > 1 else 'was'} neither exported nor merged"


def run_show(arguments: argparse.Namespace, configured: Configured) -> int:
    """Show one."""
    kept, entry = _chosen(arguments, configured)
    reply = trio.run(lambda: conflict_request(configured, entry, "show", kept.id, configured.caller()))
    if not reply.is_accepted:
        raise PlanError(f"{entry} refused: {reply.text}")
    try:
        document = documents.parse_object(reply.document)
        conflict = documents.value_from(Conflict, document)
    except documents.DocumentError as error:
        raise PlanError(f"{entry} said something else than a kept state: {error}") from error
    if arguments.json:
        print(
            json.dumps(
                {"schema": report.SCHEMA, **document, "node": entry, "pending": kept.pending}, indent=2
            )
        )
    else:
        print(conflict_text(conflict, kept))
    return 0


def run_export(arguments: argparse.Namespace, configured: Configured) -> int:
    """Write one out."""
    folder = arguments.folder
    if not PurePosixPath(folder).is_absolute():
        raise PlanError(
            f"{folder} is relative; the folder is made by the daemon on its own host, so name it from / on",
            status=2,
        )
    kept, entry = _chosen(arguments, configured)
    seconds = REQUEST_SECONDS + copy_seconds(kept.conflict.bytes)
    caller = configured.caller()
    reply = trio.run(
        lambda: conflict_request(configured, entry, "export", kept.id, caller, {"Folder": folder}, seconds)
    )
    if not reply.is_accepted:
        raise PlanError(f"{entry} did not export {kept.id}: {reply.text}")
    say(f"done: {kept.id} is in {folder} on the host of {entry}")
    return 0


def run_drop(arguments: argparse.Namespace, configured: Configured) -> int:
    """Remove one for ever."""
    kept, _entry = _chosen(arguments, configured)
    print(tables.render(KEPT_COLUMNS, kept_rows([kept])), flush=True)
    loss = "" if kept.is_settled else " It was neither exported nor merged: what it holds is lost then."
    if not _is_wanted(arguments, f"Drop {kept.id} of {' and '.join(kept.holders)} for ever?{loss}"):
        return 1 if not arguments.dry_run else 0
    return trio.run(_drop, configured, kept)


async def _drop(configured: Configured, kept: Kept) -> int:
    caller = configured.caller()
    for entry in kept.holders:
        reply = await conflict_request(configured, entry, "drop", kept.id, caller)
        if not reply.is_accepted:
            raise PlanError(f"{entry} did not drop {kept.id}: {reply.text}")
    with trio.move_on_after(PATIENCE_SECONDS):
        while True:
            now = kept_states(await configured.ask_replicas(caller))
            if not any(one.id == kept.id and set(one.holders) & set(kept.holders) for one in now):
                say(f"done: {kept.id} is gone")
                return 0
            await trio.sleep(POLL_SECONDS)
    raise PlanError(f"{kept.id} was dropped, and is still listed after {PATIENCE_SECONDS:g} s")


def run_cancel(arguments: argparse.Namespace, configured: Configured) -> int:
    """Take back what was scheduled."""
    replicas = configured.ask_replicas_once()
    node = replica_named(arguments.node, configured)
    waiting = {
        one.id: entry
        for entry in _asked(replicas, node)
        if entry in replicas.statuses
        for one in replicas.statuses[entry].pending
    }
    found = [name for name in waiting if name == arguments.id] or [
        name for name in waiting if name.startswith(arguments.id)
    ]
    if len(found) != 1:
        known = ", ".join(waiting) or "none"
        raise PlanError(
            f"{arguments.id} does not name one of what waits for a stop of the controllee: {known}", 2
        )
    identifier, entry = found[0], waiting[found[0]]
    if not _is_wanted(arguments, f"Take back what {entry} was to do with {identifier}?"):
        return 1 if not arguments.dry_run else 0
    reply = trio.run(lambda: conflict_request(configured, entry, "cancel", identifier, configured.caller()))
    if not reply.is_accepted:
        raise PlanError(f"{entry} refused: {reply.text}")
    say(f"done: nothing waits for {identifier} any more; it stays kept")
    return 0


def _is_wanted(arguments: argparse.Namespace, question: str) -> bool:
    """Ask, unless it is a dry run."""
    if arguments.dry_run:
        say(f"{question} Nothing was done (--dry-run).")
        return False
    if is_confirmed(question, is_yes=arguments.yes):
        return True
    say("nothing was done")
    return False


def _chosen(arguments: argparse.Namespace, configured: Configured) -> tuple[Kept, str]:
    """Return the kept state that is meant, and the first who keeps it.

    Raises:
        PlanError: there is none, or more than one; exit status 2.
    """
    node = replica_named(arguments.node, configured)
    try:
        kept = named(arguments.id, kept_states(configured.ask_replicas_once(), node))
    except ChoiceError as error:
        raise PlanError(str(error), status=2) from error
    return kept, kept.holders[0]
