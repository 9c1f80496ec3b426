"""`hadctl conflicts merge` and `conflicts restore`: bring a kept state back into what the leader holds.

Both happen on the leader, in its replica, while its controllee is stopped. So: the leader's daemon computes what would come
of it and the table of users is shown (`--dry-run` ends here), the operator is asked, the daemon notes it down, and had's
leader is asked to restart its controllee in place, unless it may wait for the next stop (`--at-next-stop`). Then the verb
waits until the daemons themselves say that it came true: the kept state is merged, and a new controllee runs.

Exit status: 0 done or scheduled, 1 refused, cancelled or not done in time, 2 wrong usage or no usable configuration.
"""

import argparse
import json
from collections.abc import Sequence

import trio

from daemoncore.cedar.classad import ClassAd
from daemoncore.cedar.commands import Command
from daemoncore.client import Client
from had.ctl import documents, report, tables
from had.ctl.ask import RequestError, request
from had.ctl.changing import (
    PATIENCE_SECONDS,
    POLL_SECONDS,
    PlanError,
    change_arguments,
    operator_name,
    say,
)
from had.ctl.configured import Configured
from had.ctl.confirmation import is_confirmed
from had.ctl.conflict_requests import conflict_request, copy_seconds, replica_named
from had.ctl.kept import ChoiceError, Kept, kept_states, to_merge, to_restore
from had.ctl.merge_goal import Goal, Leading, Task, leading_of
from had.ctl.merge_plan import plan_from, plan_sentences, plan_table
from had.ctl.pool import Pool
from had.ctl.replica_tables import KEPT_COLUMNS, kept_rows

#: The leader's daemon may have to fetch the kept state and its ancestor from another member first, a minute for each.
PLAN_SECONDS = 125.0


def add_arguments(
    verbs: "argparse._SubParsersAction[argparse.ArgumentParser]", common: Sequence[argparse.ArgumentParser]
) -> None:
    """Declare the two sub-verbs of `conflicts`."""
    parents = [*common, change_arguments()]
    merge = verbs.add_parser(
        "merge", parents=parents, help="add what kept Accountant logs counted to what the leader holds"
    )
    merge.add_argument("ids", nargs="*", metavar="ID", help="identifiers (default: all that were not merged)")
    restore = verbs.add_parser(
        "restore", parents=parents, help="put a kept state in the place of the leader's"
    )
    restore.add_argument("ids", nargs=1, metavar="ID", help="its identifier, or a unique beginning of it")
    for verb, kind in ((merge, "merge"), (restore, "restore")):
        verb.add_argument(
            "--at-next-stop",
            action="store_true",
            help="do not restart the controllee: wait for the next switchover or restart",
        )
        verb.add_argument("--json", action="store_true", help="print the plan as JSON instead of tables")
        verb.set_defaults(act=run, kind=kind)


def run(arguments: argparse.Namespace, configured: Configured) -> int:
    """Carry out one of the two and return its exit status."""
    pool, leading, tasks = trio.run(_prepare, arguments, configured)
    _show(tasks, leading, is_json=arguments.json)
    question = _question(tasks, leading, is_waiting=arguments.at_next_stop)
    if arguments.dry_run:
        say(f"{question} Nothing was done (--dry-run).")
        return 0
    member = None if arguments.at_next_stop else leading.checked_member(pool)
    if not is_confirmed(question, is_yes=arguments.yes):
        say("nothing was done")
        return 1
    return trio.run(_carry_out, Goal(tuple(tasks), leading, member, pool), arguments, configured)


async def _prepare(arguments: argparse.Namespace, configured: Configured) -> tuple[Pool, Leading, list[Task]]:
    """Find out what is meant, and let the leader's daemon plan it.

    Raises:
        PlanError: it cannot be done.
        RequestError: the leader's daemon does not reply.
    """
    caller = configured.caller()
    node = replica_named(arguments.node, configured)
    pool = await configured.ask_all(caller)
    leading = leading_of(pool)
    assert pool.replicas is not None, "read_replicated has them asked"
    kept = kept_states(pool.replicas, node)
    try:
        if arguments.kind == "merge":
            chosen, remarks = to_merge(arguments.ids, kept)
        else:
            chosen, remarks = [to_restore(arguments.ids[0], kept)], []
    except ChoiceError as error:
        raise PlanError(str(error), status=2 if arguments.ids else 1) from error
    for remark in remarks:
        say(remark)
    return pool, leading, [await _planned(one, arguments.kind, leading, configured, caller) for one in chosen]


async def _planned(kept: Kept, kind: str, leading: Leading, configured: Configured, caller: Client) -> Task:
    holder = leading.entry if leading.entry in kept.holders else kept.holders[0]
    seconds = PLAN_SECONDS + 2 * copy_seconds(kept.conflict.bytes)
    values = {"Kind": kind, "Holder": holder}
    reply = await conflict_request(configured, leading.entry, "plan", kept.id, caller, values, seconds)
    if not reply.is_accepted:
        raise PlanError(f"{leading.entry} cannot {kind} {kept.id}: {reply.text}")
    try:
        document = documents.parse_object(reply.document)
        return Task(kept, holder, kind, plan_from(document), document)
    except documents.DocumentError as error:
        raise PlanError(f"{leading.entry} sent no plan for {kept.id}: {error}") from error


def _show(tasks: Sequence[Task], leading: Leading, *, is_json: bool) -> None:
    if is_json:
        plans = [{"id": one.kept.id, "node": one.holder, "plan": one.document} for one in tasks]
        print(json.dumps({"schema": report.SCHEMA, "leader": leading.entry, "plans": plans}, indent=2))
        return
    print(tables.render(KEPT_COLUMNS, kept_rows(one.kept for one in tasks)), flush=True)
    if len(tasks) > 1:
        say("each of the tables that follow shows one of them by itself")
    for one in tasks:
        if one.plan.rows:
            print(f"\n{plan_table(one.plan)}", flush=True)
        for sentence in plan_sentences(one.plan, one.kept.id, leading.entry):
            say(sentence)


def _question(tasks: Sequence[Task], leading: Leading, *, is_waiting: bool) -> str:
    names = ", ".join(one.kept.id for one in tasks)
    if tasks[0].kind == "merge":
        what = f"Merge {names} into the state that {leading.entry} holds"
    else:
        what = f"Put {names} in the place of the state that {leading.entry} holds"
    when = (
        f"when its {leading.controllee} stops next"
        if is_waiting
        else f"and restart its {leading.controllee} now"
    )
    return f"{what}, {when}?"


async def _carry_out(goal: Goal, arguments: argparse.Namespace, configured: Configured) -> int:
    caller = configured.caller()
    began = trio.current_time()
    await _schedule(goal, arguments.reason, configured, caller)
    entry, controllee = goal.leading.entry, goal.leading.controllee
    if goal.member is None:
        say(
            f"scheduled on {entry}: it is done when the {controllee} stops next; `hadctl conflicts cancel` takes it back"
        )
        return 0
    ad = ClassAd({"Reason": arguments.reason, "By": operator_name()})
    try:
        reply = await request(configured.target(goal.member), Command.HAD_RESTART, ad, caller)
    except RequestError as error:
        raise PlanError(f"{error}. {_left(goal)}") from error
    if not reply.is_accepted:
        raise PlanError(f"{goal.member} did not restart its {controllee}: {reply.text}. {_left(goal)}")
    say(f"accepted: {reply.text}")
    sizes = sum(one.kept.conflict.bytes for one in goal.tasks) + goal.leading.size_bytes
    within_seconds = 2 * (configured.stop_timeout_seconds + configured.connection_timeout_seconds)
    within_seconds += PATIENCE_SECONDS + copy_seconds(sizes)
    return await _wait(goal, configured, caller, began, within_seconds, is_json=arguments.json)


def _left(goal: Goal) -> str:
    """Say what becomes of it when the restart is not granted."""
    names = " and ".join(one.kept.id for one in goal.tasks)
    return (
        f"What was to be done with {names} waits for the next stop of the {goal.leading.controllee};"
        " `hadctl conflicts cancel` takes it back"
    )


async def _schedule(goal: Goal, reason: str, configured: Configured, caller: Client) -> None:
    """Let the leader's daemon note everything down; if it refuses one, take the others back."""
    entry = goal.leading.entry
    for place, task in enumerate(goal.tasks):
        values = {"Kind": task.kind, "Holder": task.holder, "Reason": reason}
        reply = await conflict_request(
            configured, entry, "schedule", task.kept.id, caller, values, PLAN_SECONDS
        )
        if reply.is_accepted:
            continue
        for earlier in goal.tasks[:place]:
            await conflict_request(configured, entry, "cancel", earlier.kept.id, caller)
        raise PlanError(f"{entry} cannot {task.kind} {task.kept.id}: {reply.text}. Nothing was done")


async def _wait(
    goal: Goal,
    configured: Configured,
    caller: Client,
    began: float,
    within_seconds: float,
    *,
    is_json: bool,
) -> int:
    """Wait for the true end state, and tell what is waited for whenever that changes."""
    told = ""
    while True:
        pool = await configured.ask_all(caller)
        awaited, elapsed = goal.awaited(pool), trio.current_time() - began
        if awaited is None:
            if not is_json:
                print(f"\n{tables.status_text(pool)}", flush=True)
            say(f"done after {elapsed:.1f} s: {goal.outcome(pool)}")
            return 0
        if elapsed >= within_seconds:
            raise PlanError(
                f"it was scheduled and the restart accepted, and it is not done after {elapsed:.0f} s: {awaited}."
                f" The log of {goal.leading.entry} says why; `hadctl conflicts list` shows what still waits"
            )
        if awaited != told:
            say(f"waiting: {awaited}")
            told = awaited
        await trio.sleep(POLL_SECONDS)
