"""`hadctl switchover`, `pause` and `resume`: what an operator changes in a running pool.

Each shows the table first, asks, sends one request at level ADMINISTRATOR, and then waits until the members themselves
say that it came true: the new leader's controllee runs, or every member that answers is (no longer) paused. A request
that was accepted and did not come true in time is exit status 1, and the last word is what the members said then.

Exit status: 0 done, 1 refused, cancelled or not done in time, 2 wrong usage or no usable configuration.
"""

import argparse
from collections.abc import Callable

import attrs
import trio

from daemoncore.cedar.classad import ClassAd
from daemoncore.cedar.commands import Command
from daemoncore.client import Client
from daemoncore.config import ConfigurationError
from had.ctl import tables, verdict
from had.ctl.ask import Reply, RequestError, request
from had.ctl.changing import (
    PATIENCE_SECONDS,
    POLL_SECONDS,
    PlanError,
    change_arguments,
    ended,
    operator_name,
    say,
)
from had.ctl.configured import Configured, read_configured, report_unusable, source_arguments
from had.ctl.confirmation import is_confirmed
from had.ctl.durations import duration_argument
from had.ctl.naming import NamingError, entry_named
from had.ctl.pool import Pool


@attrs.frozen
class Plan:
    """A change that can be made.

    Attributes:
        question: what the operator is asked.
        command: the request.
        values: the request's ad, beside who asks and why.
        recipients: who may be sent it, the first that replies does it.
        has_come_true: whether the members say that it is done.
        within_seconds: how long that may take.
        done: what to say then.
    """

    question: str
    command: Command
    values: dict[str, str | float]
    recipients: tuple[str, ...]
    has_come_true: Callable[[Pool], bool]
    within_seconds: float
    done: Callable[[Pool], str]


def add_arguments(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Declare the three verbs."""
    parents = [source_arguments(), change_arguments()]
    switchover = subparsers.add_parser(
        "switchover", parents=parents, help="move leadership to another member, without an overlap"
    )
    switchover.add_argument("--to", metavar="NODE", help="its entry or host (default: the next in HAD_LIST)")
    switchover.set_defaults(run=run, plan=plan_switchover)
    pause = subparsers.add_parser(
        "pause", parents=parents, help="switch automatic failover off in the whole pool"
    )
    pause.add_argument(
        "--for",
        dest="seconds",
        type=duration_argument,
        metavar="TIME",
        help="resume by itself after that time, like 30m or 2h (default: until `hadctl resume`)",
    )
    pause.set_defaults(run=run, plan=plan_pause)
    resume = subparsers.add_parser("resume", parents=parents, help="end a pause, and a switchover's hold")
    resume.set_defaults(run=run, plan=plan_resume)


def run(arguments: argparse.Namespace) -> int:
    """Carry out one of the verbs and return its exit status."""
    try:
        configured = read_configured(arguments)
    except ConfigurationError as error:
        return report_unusable(error)
    return ended(lambda: _change(arguments, configured))


def _change(arguments: argparse.Namespace, configured: Configured) -> int:
    pool = configured.ask_once()
    print(tables.status_text(pool), flush=True)
    plan: Plan = arguments.plan(arguments, pool, configured)
    if arguments.dry_run:
        say(f"{plan.question} Nothing was done (--dry-run).")
        return 0
    if not is_confirmed(plan.question, is_yes=arguments.yes):
        say("nothing was done")
        return 1
    return trio.run(_carry_out, plan, arguments.reason, configured)


def plan_switchover(arguments: argparse.Namespace, pool: Pool, configured: Configured) -> Plan:
    """Plan to move leadership.

    Raises:
        PlanError: there is no leader that can be asked, or the target cannot lead.
    """
    leader = pool.leader
    if leader is None or leader not in pool.statuses:
        raise PlanError(f"there is no leader to ask: {verdict.problems(pool)[0]}")
    target = _target(arguments.to, pool, leader)

    def has_come_true(now: Pool) -> bool:
        new = now.leader
        if new is None or new == leader or (target is not None and new != target):
            return False
        status = now.statuses.get(new)
        return status is not None and verdict.is_led(status)

    name = pool.statuses[leader].controllee.name
    return Plan(
        question=f"Move leadership from {leader} to {target or 'the next member that can lead'}?",
        command=Command.HAD_SWITCHOVER,
        values={"To": target or ""},
        recipients=(leader,),
        has_come_true=has_come_true,
        within_seconds=_handover_seconds(configured),
        done=lambda now: f"{now.leader} leads and its {name} runs",
    )


def _target(name: str | None, pool: Pool, leader: str) -> str | None:
    if name is None:
        return None
    try:
        target = entry_named(name, pool.members)
    except NamingError as error:
        raise PlanError(str(error), status=2) from error
    if target == leader:
        raise PlanError(f"{target} leads already", status=0)
    status = pool.statuses.get(target)
    if status is not None and status.replica.is_ready is False:
        raise PlanError(
            f"{target} is not ready to take over: {status.replica.waiting or 'its state is behind'}"
        )
    return target


def plan_pause(arguments: argparse.Namespace, pool: Pool, configured: Configured) -> Plan:
    """Plan to switch automatic failover off."""
    length = "until it is resumed" if arguments.seconds is None else f"for {arguments.seconds:g} s"
    earlier = {status.paused for status in pool.statuses.values()}

    def has_come_true(now: Pool) -> bool:
        # An earlier pause is replaced, so seeing some pause is not enough.
        pauses = {status.paused for status in now.statuses.values()}
        return bool(pauses) and not pauses & {*earlier, None}

    return Plan(
        question=f"Pause automatic failover in the whole pool {length}?",
        command=Command.HAD_PAUSE,
        values={} if arguments.seconds is None else {"Seconds": float(arguments.seconds)},
        recipients=_anybody(pool),
        has_come_true=has_come_true,
        within_seconds=2 * configured.connection_timeout_seconds + PATIENCE_SECONDS,
        done=lambda now: f"automatic failover is paused on {_count(now)}",
    )


def plan_resume(_arguments: argparse.Namespace, pool: Pool, configured: Configured) -> Plan:
    """Plan to end a pause or a hold."""
    return Plan(
        question="End every pause and hold?",
        command=Command.HAD_RESUME,
        values={},
        recipients=_anybody(pool),
        has_come_true=_is_free_and_led,
        within_seconds=_handover_seconds(configured),
        done=lambda now: f"nothing is paused or held on {_count(now)}, and {now.leader} leads",
    )


def _handover_seconds(configured: Configured) -> float:
    """How long a handover may take: the stop, the flush of what was written last, and the start."""
    stops = 2 if configured.is_replicating else 1
    stop_seconds = stops * configured.stop_timeout_seconds
    return stop_seconds + 2 * configured.connection_timeout_seconds + PATIENCE_SECONDS


def _is_free_and_led(pool: Pool) -> bool:
    """Whether nothing is paused or held any more, and a primary that was held has what is its own."""
    statuses = pool.statuses.values()
    if any(status.paused is not None or status.hold is not None for status in statuses):
        return False
    primary = next((s for s in statuses if s.primary and s.abstains_seconds is None), None)
    return any(verdict.is_led(s) and (primary is None or s is primary) for s in statuses)


def _anybody(pool: Pool) -> tuple[str, ...]:
    """Return who may be asked, the leader first."""
    if not pool.statuses:
        raise PlanError(f"nobody can be asked: {'; '.join(verdict.problems(pool))}")
    return tuple(sorted(pool.statuses, key=lambda entry: entry != pool.leader))


def _count(pool: Pool) -> str:
    return f"{len(pool.statuses)} of {len(pool.everyone)} members"


async def _carry_out(plan: Plan, reason: str, configured: Configured) -> int:
    caller = configured.caller()
    began = trio.current_time()
    reply = await _send(plan, reason, configured, caller)
    if not reply.is_accepted:
        say(f"refused: {reply.text}")
        return 1
    say(f"accepted: {reply.text}")
    while True:
        pool = await configured.ask(caller)
        elapsed = trio.current_time() - began
        if plan.has_come_true(pool):
            print(tables.status_text(pool), flush=True)
            say(f"done after {elapsed:.1f} s: {plan.done(pool)}")
            return 0
        if elapsed >= plan.within_seconds:
            said = verdict.sentence(pool, verdict.problems(pool))
            say(f"it was accepted, and is not done after {elapsed:.0f} s. {said}")
            return 1
        await trio.sleep(POLL_SECONDS)


async def _send(plan: Plan, reason: str, configured: Configured, caller: Client) -> Reply:
    """Send the request to the first recipient that replies."""
    ad = ClassAd({**plan.values, "Reason": reason, "By": operator_name()})
    trouble: RequestError | None = None
    for entry in plan.recipients:
        try:
            return await request(configured.target(entry), plan.command, ad, caller)
        except RequestError as error:
            trouble = trouble or error
    assert trouble is not None, "a plan has a recipient"
    raise trouble
