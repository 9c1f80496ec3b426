"""The verbs of replication against played daemons on real connections: words in, words and an exit status out."""

import argparse
import io
import json

import pytest
import trio

from had.ctl import follow_command, following, merge_commands, replication_command, watch
from had.ctl.__main__ import main
from had.ctl.changing import PlanError
from had.ctl.configured import read_configured
from had.ctl.merge_goal import Goal
from replication.status import Pending
from tests.had.ctl.played import PlayedPool
from tests.had.ctl.replicated import NOW, conflict

EARLY = conflict(kept_at=NOW - 90)
LATER = conflict(gid=642, clock=1, suffix="0a0b0c0d")
ROW = {
    "customer": "ann@example.org",
    "usage_seconds": [100.0, 160.0, 130.0, 190.0],
    "weighted_seconds": [100.0, 160.0, 130.0, 190.0],
    "priority": [1.0, 1.5, 1.2, 1.7],
    "notes": [],
}


@pytest.fixture
async def played(nursery, tmp_path):
    """A pool of two whose daemons are played; the second one keeps one state."""
    pool = PlayedPool()
    await pool.open(nursery, tmp_path)
    pool.conflicts[pool.replicas[1]] = [EARLY]
    pool.plan["rows"] = [ROW]
    return pool


@pytest.fixture
def hadctl(played, capsys):
    """Run hadctl on a thread while the daemons are played; return the exit status, the output and the words."""
    return lambda *words: run_hadctl(played, capsys, *words)


async def run_hadctl(played, capsys, *words):
    """Run hadctl with the configuration of a played pool."""
    argv = [*words, "-c", str(played.configuration)]
    status = await trio.to_thread.run_sync(main, argv)
    said = capsys.readouterr()
    return status, said.out, said.err


# --- reading --------------------------------------------------------------------------------------------------


async def test_status_in_order(played, hadctl):
    """All replicas are asked, the table shows them, and the sentence and the exit status say that all is well."""
    played.conflicts[played.replicas[1]] = []
    status, out, err = await hadctl("replication", "status")
    assert status == 0
    assert [line.split()[:3] for line in out.splitlines()[1:]] == [
        [played.replicas[0], "leader", "513.8"],
        [played.replicas[1], "backup", "513.8"],
    ]
    assert err.startswith(f"The replication is in order: {played.replicas[0]} leads with version 513.8")


async def test_status_not_in_order(hadctl):
    """A kept state that nobody has looked at is exit status 1; as JSON too, with the documents as they were sent."""
    status, _, err = await hadctl("replication", "status")
    assert (status, "hadctl conflicts list" in err) == (1, True)
    status, out, _ = await hadctl("replication", "status", "--json")
    document = json.loads(out)
    assert (status, document["in_order"], document["leader"]) == (1, False, next(iter(document["members"])))
    assert list(document["members"].values())[1]["conflicts"] == [EARLY]


async def test_watching(played, capsys):
    """With --watch the tables and the sentence come again and again, or one object a line."""
    screen = replication_command._screen(read_configured(words(played), {}))
    for is_json in (False, True):
        with watch._shower(screen, is_json=is_json) as show, trio.CancelScope() as scope:
            readings = []

            def seen(reading, show=show, readings=readings, scope=scope):
                show(reading)
                readings.append(reading)
                if len(readings) == 2:
                    scope.cancel()

            await watch._watch(screen, 0.01, seen)
    lines = capsys.readouterr().out.splitlines()
    assert sum(line.startswith("The replication is not in order") for line in lines) == 2
    assert sum(line.startswith("NODE") for line in lines) == 2
    assert [json.loads(line)["in_order"] for line in lines[-2:]] == [False, False]


async def test_the_pools_status_shows_replicas(played, hadctl):
    """`hadctl status` asks the replication daemons too, since HAD_USE_REPLICATION is true."""
    played.conflicts[played.replicas[1]] = []
    status, out, err = await hadctl("status")
    assert (status, err.endswith("their replicas are good.\n")) == (0, True), err
    assert [line.rstrip().endswith("in sync") for line in out.splitlines()] == [False, True, True]
    status, out, _ = await hadctl("status", "--json")
    assert json.loads(out)["replication"]["leader"] == played.replicas[0]


async def test_a_pool_without_replication_is_not_asked(played, hadctl):
    """With HAD_USE_REPLICATION false the replicas are nobody's concern, and the key says null."""
    text = played.configuration.read_text()
    played.configuration.write_text(text.replace("HAD_USE_REPLICATION = true", ""))
    status, out, _ = await hadctl("status")
    assert (status, "REPLICA" in out) == (0, False)
    assert json.loads((await hadctl("status", "--json"))[1])["replication"] is None


async def test_check_looks_at_the_replication(hadctl):
    """Its findings stand among the others."""
    status, out, _ = await hadctl("check", "--json")
    found = {(one["subject"], one["severity"]) for one in json.loads(out)["findings"]}
    assert status == 1
    assert {("conflicts", "warning"), ("lists", "ok"), ("sync", "ok"), ("replicas", "ok")} <= found


async def test_list(played, hadctl):
    """The kept states of all members, one row for each holder, and a sentence that says what is open."""
    played.conflicts[played.replicas[0]] = [EARLY, LATER | {"exported_to": "/x"}]
    status, out, err = await hadctl("conflicts", "list")
    assert status == 0
    assert [line.split()[:2] for line in out.splitlines()[1:]] == [
        [EARLY["id"], played.replicas[0]],
        [EARLY["id"], played.replicas[1]],
        [LATER["id"], played.replicas[0]],
    ]
    assert err == "hadctl: 2 diverged states are kept; 1 of them was neither exported nor merged\n"
    status, out, _ = await hadctl("conflicts", "list", "--json", "--node", played.replicas[1])
    assert json.loads(out) == {
        "schema": 1,
        "conflicts": [EARLY | {"node": played.replicas[1], "pending": None}],
        "missing": [],
    }


async def test_a_list_with_a_part_missing(played, hadctl):
    """Exit status 1, and the member that could not be asked is named."""
    text = played.configuration.read_text()
    played.configuration.write_text(text.replace(played.replicas[1], "127.0.0.1:1"))
    status, _, err = await hadctl("conflicts", "list")
    assert (status, "127.0.0.1:1 could not be asked; what it keeps is missing" in err) == (1, True)
    assert "no diverged state is kept" in err


async def test_show(played, hadctl):
    """One state in full, asked of the member that keeps it, by a beginning of its name."""
    status, out, _ = await hadctl("conflicts", "show", "385")
    assert (status, f"kept by     {played.replicas[1]}" in out) == (0, True)
    status, out, _ = await hadctl("conflicts", "show", "385", "--json")
    assert json.loads(out)["files"] == EARLY["files"]
    assert played.acts == [(played.replicas[1], "show", EARLY["id"])] * 2


async def test_names_and_nodes_that_are_none(played, hadctl):
    """A name or a member of nobody is wrong usage, and the choices are listed."""
    status, _, err = await hadctl("conflicts", "show", "7")
    assert (status, f"those that are kept: {EARLY['id']}" in err) == (2, True)
    status, _, err = await hadctl("conflicts", "show", "385", "--node", "10.9.8.7")
    assert (status, "is no member" in err) == (2, True)
    # The member's entry of HAD_LIST means the replica beside it, which keeps nothing.
    status, _, err = await hadctl("conflicts", "show", "385", "--node", played.entries[0])
    assert (status, "those that are kept: none" in err) == (2, True)


async def test_without_a_list_there_is_nobody_to_ask(hadctl, played):
    """A configuration without REPLICATION_LIST is exit status 2."""
    played.configuration.write_text("HAD_LIST = 127.0.0.1:9\n")
    for words in (("replication", "status"), ("conflicts", "list"), ("conflicts", "merge")):
        status, _, err = await hadctl(*words)
        assert (status, "REPLICATION_LIST must name the replication daemons" in err) == (2, True)


# --- taking out and away --------------------------------------------------------------------------------------


async def test_export(played, hadctl):
    """The holder is told the folder; a relative one is refused, since the daemon's place is not the operator's."""
    status, _, err = await hadctl("conflicts", "export", "385", "/var/tmp/x")
    assert (status, err) == (
        0,
        f"hadctl: done: {EARLY['id']} is in /var/tmp/x on the host of {played.replicas[1]}\n",
    )
    ((entry, act, ad),) = played.said
    assert (entry, act, ad.get_string("Folder")) == (played.replicas[1], "export", "/var/tmp/x")
    assert "@" in ad.get_string("By")
    status, _, err = await hadctl("conflicts", "export", "385", "here")
    assert (status, "here is relative" in err, len(played.said)) == (2, True, 1)
    played.refusals["export"] = "/var/tmp/x is there already"
    status, _, err = await hadctl("conflicts", "export", "385", "/var/tmp/x")
    assert (status, "did not export" in err, "is there already" in err) == (1, True, True)


async def test_drop(played, hadctl, monkeypatch):
    """It is asked for, with what would be lost; then every holder drops it, and it is gone."""
    played.conflicts[played.replicas[0]] = [EARLY]
    monkeypatch.setattr("sys.stdin", io.StringIO())
    assert (await hadctl("conflicts", "drop", "385"))[0] == 2
    status, out, err = await hadctl("conflicts", "drop", "385", "--dry-run")
    assert (status, played.said) == (0, [])
    assert "what it holds is lost then. Nothing was done (--dry-run)." in err
    assert EARLY["id"] in out
    status, _, err = await hadctl("conflicts", "drop", "385", "--yes")
    assert (status, f"done: {EARLY['id']} is gone" in err) == (0, True)
    assert played.acts == [(entry, "drop", EARLY["id"]) for entry in played.replicas]


async def test_a_drop_that_is_refused(played, hadctl):
    """The daemon's reason is told."""
    played.refusals["drop"] = "it is being merged"
    status, _, err = await hadctl("conflicts", "drop", "385", "--yes")
    assert (status, "it is being merged" in err) == (1, True)


async def test_cancel(played, hadctl):
    """What waits for the next stop is taken back from the leader, which has it scheduled."""
    status, _, err = await hadctl("conflicts", "cancel", "385", "--yes")
    assert (status, "what waits for a stop of the controllee: none" in err) == (2, True)
    played.pending = (Pending(EARLY["id"], "merge"),)
    assert (await hadctl("conflicts", "cancel", "385", "--dry-run"))[0] == 0
    status, _, err = await hadctl("conflicts", "cancel", "385", "--yes")
    assert (status, "it stays kept" in err, played.pending) == (0, True, ())
    assert played.acts == [(played.replicas[0], "cancel", EARLY["id"])]


# --- merging and restoring ------------------------------------------------------------------------------------


async def test_a_dry_run_changes_nothing(played, hadctl):
    """The leader plans, with the holder's entry; the table of users is shown, and nothing else is asked of anybody."""
    status, out, err = await hadctl("conflicts", "merge", "--dry-run")
    assert status == 0
    assert [line.split() for line in out.splitlines()[-2:]] == [
        ["ann@example.org", "100", "160", "130", "190", "1.50", "1.70", "-"],
        ["(all)", "100", "160", "130", "190", "-", "-", "-"],
    ]
    assert "Nothing was done (--dry-run)." in err
    ((entry, act, ad),) = played.said
    assert (entry, act, ad.get_string("Kind")) == (played.replicas[0], "plan", "merge")
    assert ad.get_string("Holder") == played.replicas[1]


async def test_the_plan_as_json(hadctl, played):
    """With --json standard output has the plans as they were sent, and nothing else."""
    status, out, _ = await hadctl("conflicts", "merge", "--dry-run", "--json")
    assert (status, json.loads(out)) == (
        0,
        {
            "schema": 1,
            "leader": played.replicas[0],
            "plans": [{"id": EARLY["id"], "node": played.replicas[1], "plan": played.plan}],
        },
    )


async def test_merge(played, hadctl):
    """The state is scheduled, the controllee restarted in place, and it is done when another one runs on the result."""
    status, out, err = await hadctl("conflicts", "merge", "385", "--yes", "--reason", "after the cut")
    assert status == 0, err
    leader = played.replicas[0]
    assert [(entry, act) for entry, act, _ in played.said] == [
        (leader, "plan"),
        (leader, "schedule"),
        (played.entries[0], "restart"),
    ]
    assert played.said[2][2].get_string("Reason") == "after the cut"
    assert "hadctl: accepted: restarting the controllee" in err
    assert f"waiting: {EARLY['id']} not merged yet, the negotiator of {played.entries[0]} is stopping" in err
    assert f"{EARLY['id']} merged into version 513.9, and the negotiator of {played.entries[0]} runs" in err
    assert "pid 4712" in out
    again = await hadctl("conflicts", "merge", "385", "--yes")
    assert (again[0], "is in version 513.9 already" in again[2]) == (2, True)
    nothing = await hadctl("conflicts", "merge", "--yes")
    assert (nothing[0], "nothing to merge" in nothing[2]) == (1, True)


async def test_restore(played, hadctl):
    """The same way with another act; the question says that the leader's state is replaced."""
    played.plan["rows"] = []
    status, _, err = await hadctl("conflicts", "restore", "385", "--dry-run")
    assert (status, f"in the place of the state that {played.replicas[0]} holds" in err) == (0, True)
    status, _, err = await hadctl("conflicts", "restore", "385", "--yes")
    assert (status, f"{EARLY['id']} restored as version 513.9" in err) == (0, True), err
    assert played.said[-2][2].get_string("Kind") == "restore"


async def test_the_leaders_own_copy_is_preferred(played, hadctl):
    """When several keep it, the leader need not fetch it."""
    played.conflicts[played.replicas[0]] = [EARLY]
    await hadctl("conflicts", "merge", "--dry-run")
    assert played.said[0][2].get_string("Holder") == played.replicas[0]


async def test_at_the_next_stop(played, hadctl):
    """Nothing is restarted: it is scheduled, and how to take it back is said."""
    status, _, err = await hadctl("conflicts", "merge", "--yes", "--at-next-stop")
    assert (status, "hadctl conflicts cancel" in err) == (0, True)
    assert [act for _, act, _ in played.said] == ["plan", "schedule"]
    assert played.pending == (Pending(EARLY["id"], "merge"),)


async def test_nothing_is_done_without_a_yes(played, hadctl, monkeypatch):
    """Without a terminal and --yes the plan is all that happens, and the exit status is 2."""
    monkeypatch.setattr("sys.stdin", io.StringIO())
    status, _, err = await hadctl("conflicts", "merge")
    assert (status, "--yes" in err) == (2, True)
    assert [act for _, act, _ in played.said] == ["plan"]


async def test_what_cannot_be_planned(played, hadctl):
    """The daemon's reason is told, and nothing is scheduled."""
    played.refusals["plan"] = "no Accountant's log"
    status, _, err = await hadctl("conflicts", "merge", "--yes")
    assert (status, f"{played.replicas[0]} cannot merge {EARLY['id']}: no Accountant's log" in err) == (
        1,
        True,
    )
    played.refusals.clear()
    played.plan["rows"] = "nonsense"
    status, _, err = await hadctl("conflicts", "merge", "--yes")
    assert (status, "sent no plan" in err) == (1, True)
    assert {act for _, act, _ in played.said} == {"plan"}


async def test_a_refused_schedule_takes_the_others_back(played, hadctl):
    """All or nothing: what was scheduled before the refusal is cancelled."""
    played.conflicts[played.replicas[1]] = [EARLY, LATER]
    played.refusals["schedule", LATER["id"]] = "the disk is full"
    status, _, err = await hadctl("conflicts", "merge", "--yes")
    assert (status, "the disk is full. Nothing was done" in err) == (1, True)
    assert (played.acts[-1][1:], played.pending) == (("cancel", EARLY["id"]), ())


async def test_a_refused_restart_leaves_it_waiting(played, hadctl):
    """What was scheduled stays so, which is said with how to take it back."""
    played.refusals["restart"] = "the controllee does not run at this moment"
    status, _, err = await hadctl("conflicts", "merge", "--yes")
    assert status == 1
    assert "did not restart its negotiator: the controllee does not run at this moment" in err
    assert "waits for the next stop of the negotiator; `hadctl conflicts cancel`" in err
    assert len(played.pending) == 1


async def test_a_had_that_does_not_know_the_restart(nursery, tmp_path, capsys):
    """An older had is told apart from a refusal, and what waits is said too."""
    pool = PlayedPool(knows_restart=False)
    await pool.open(nursery, tmp_path)
    pool.conflicts[pool.replicas[1]] = [EARLY]
    status, _, err = await run_hadctl(pool, capsys, "conflicts", "merge", "--yes")
    assert (status, "does not know the question" in err) == (1, True)
    assert "`hadctl conflicts cancel` takes it back" in err


async def test_a_merge_that_does_not_come_true(played):
    """The controllee was restarted and the state not merged: when the time is over that is said, with where to look."""
    configured = read_configured(words(played), {})
    asked = argparse.Namespace(kind="merge", ids=[], node=None)
    pool, leading, tasks = await merge_commands._prepare(asked, configured)
    goal = Goal(tuple(tasks), leading, leading.checked_member(pool), pool)
    played.is_willing, played.is_stopping = False, True
    missing = f"{EARLY['id']} not merged yet, the negotiator of {played.entries[0]} is running"
    with pytest.raises(
        PlanError, match=rf"not done after .*: {missing}\. The log of {played.replicas[0]} says why"
    ):
        await merge_commands._wait(
            goal, configured, configured.caller(), trio.current_time(), 0.4, is_json=False
        )


def words(played):
    """A command line that names a played pool."""
    return argparse.Namespace(config=str(played.configuration), local_name=None, timeout=None)


# --- following ------------------------------------------------------------------------------------------------


async def test_follow(played, capsys):
    """A state that is kept is one line as it happens, as JSON for programs."""
    configured = read_configured(words(played), {})
    readings = 0

    async def ask():
        nonlocal readings
        readings += 1
        if readings == 2:
            played.conflicts[played.replicas[0]] = [LATER]
        if readings == 4:
            scope.cancel()
        return await configured.ask_all()

    with trio.CancelScope() as scope:
        await following.follow(ask, 0.05, follow_command.between, is_json=True)
    said = capsys.readouterr()
    assert said.err == f"hadctl: {played.entries[0]} leads; waiting for events (Ctrl-C ends)\n"
    (line,) = said.out.splitlines()
    assert (json.loads(line)["kind"], json.loads(line)["id"]) == ("conflict", LATER["id"])
