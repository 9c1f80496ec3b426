"""`hadctl follow`: the story of the pool as it goes on, a line for each change of leader or of a state machine.

Where `hadctl events` tells everything that the election's members say (processes, who hears whom, pauses), `follow` tells who
leads, every transition of the election and of the replication, replicas that stay behind, and states that are kept. It
runs until Ctrl-C, which is its normal end. Exit status: 0, or 2 no usable configuration.
"""

import argparse

from had.ctl import changes, following, replica_changes
from had.ctl.changes import Happening
from had.ctl.configured import source_arguments
from had.ctl.pool import Pool

#: What of the election is told; the rest is for `hadctl events`.
KINDS = {"transition", "answer"}


def add_arguments(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Declare the verb."""
    parser = subparsers.add_parser(
        "follow",
        parents=[source_arguments()],
        help="print who leads, and every transition of election and replication, as it happens",
    )
    following.following_arguments(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Print what happens until interrupted."""
    return following.run(arguments, between, with_replicas=True)


def between(before: Pool, after: Pool) -> list[Happening]:
    """Return what happened between two readings; who leads comes last, as what all the rest led to."""
    found = [one for one in changes.between(before, after) if one.kind in KINDS]
    if before.replicas is not None and after.replicas is not None:
        found += replica_changes.between(before.replicas, after.replicas)
    found.sort(key=lambda one: one.time)
    return [*found, *_leadership(before, after)]


def _leadership(before: Pool, after: Pool) -> list[Happening]:
    """Tell a change of the leader that all agree on."""
    if before.leader == after.leader:
        return []
    now = max((answer.received_at for answer in after.answers.values()), default=0.0)
    status = after.statuses.get(after.leader) if after.leader else None
    epoch = None if status is None else status.epoch
    details = (("leader", after.leader), ("before", before.leader), ("epoch", epoch))
    if after.leader is None:
        text = "leads no more, or not all agree on it; there is no other leader yet"
        return [Happening(now, before.leader or "", "leader", text, details)]
    number = "" if epoch is None else f" (epoch {epoch})"
    after_whom = f", after {before.leader}" if before.leader else ""
    return [Happening(now, after.leader, "leader", f"leads the pool{number}{after_whom}", details)]
