"""The scenario language: a story in commands, and what the pool did, in one file.

A file is a sequence of blocks. Each block is comment lines (`#`), command lines, a line of four dashes, and the
output; an empty line ends it. The commands of a block run one after another; everything that happens is printed in
order with its time, so reading the output is reading what an operator would have seen.

Commands:

    pool n1 n2 n3 timeout=2 primary      the first block; `w1` is a witness, `c2` a real condor_had in its place
    start [n1 ...]                       start daemons (all, without a name)
    run 3                                let three seconds pass
                                         `majority` is HAD_REQUIRE_MAJORITY
    host-death n1 / host-return n1       power off and on (`host-return n1 empty`: with an empty disk)
    kill n1 / restart n1                 SIGKILL of the daemon; start it again
    freeze n1 / thaw n1                  SIGSTOP and SIGCONT of the daemon
    stop n1                              SIGTERM of the daemon
    upgrade c1 / downgrade n1            condor_had is stopped and our daemon started in its place; the reverse
    die n1                               the controllee dies by itself
    break n1 0.1 / repair n1             every controllee dies so soon after its start; no longer
    cut n1 n2 / heal n1 n2               no packet passes; packets pass again
    partition n1 | n2 n3 / join          cut between the parts; heal all cuts
    mute n1 n2 / unmute n1 n2            messages from n1 to n2 are lost, the connection stands
    deny n1 n2 / allow n1 n2             n2 refuses n1's credentials, and no longer
    switchover n1 [n2]                   ask n1 to hand over (to n2)
    pause n1 [SECONDS] / resume n1       ask n1 to pause and resume automatic failover
    set n1 name=value ...                soft reconfiguration; `hard` as the last word makes it hard
    list n1 n1 n3                        n1 gets a new HAD_LIST
    disk n1 fails / hangs / works        writes of the record fail; get no answer; succeed again
    slow-stop n1 SECONDS                 the controllee takes so long to stop
    write n1 COUNT                       the controllee writes so many records (with `replicated` in the first block,
                                         which gives every host a replica)
    kill-replica n1 / restart-replica n1     SIGKILL of the replication daemon; start it again
    freeze-replica n1 / thaw-replica n1      SIGSTOP and SIGCONT of it
    status                               print how everybody stands

Between two possibilities of a replica nothing is drawn: a time is the middle one, and what is as likely as not happens.
The network has a fixed latency of 1 ms, a write takes 5 ms, a controllee 10 ms to start and 20 ms to stop, and all
clocks agree, so a scenario's output changes only when the machine does.
"""

from __future__ import annotations

from pathlib import Path

import attrs

from had import events
from tests.simulation.controllee import Habits
from tests.simulation.node import Node
from tests.simulation.options import Options
from tests.simulation.pool import Pool
from tests.simulation.replicated import ReplicatedPool
from tests.simulation.tandem_node import TandemNode
from tests.simulation.world import Violation

LATENCY = (0.001, 0.001)
DISK = (0.005, 0.005)
HABITS = Habits(start=(0.01, 0.01), stop=(0.02, 0.02))


@attrs.define
class Block:
    """Comments, commands and the output that was recorded."""

    comments: list[str]
    commands: list[str]
    output: list[str]


def parse(text: str) -> list[Block]:
    """Read a scenario file."""
    blocks: list[Block] = []
    for chunk in text.strip().split("\n\n"):
        lines = chunk.splitlines()
        where = lines.index("----") if "----" in lines else len(lines)
        comments = [line for line in lines[:where] if line.startswith("#")]
        commands = [line for line in lines[:where] if line and not line.startswith("#")]
        blocks.append(Block(comments, commands, lines[where + 1 :]))
    return blocks


def render(blocks: list[Block]) -> str:
    """Write a scenario file."""
    chunks = []
    for block in blocks:
        lines = [*block.comments, *block.commands]
        if block.commands:
            lines += ["----", *block.output]
        chunks.append("\n".join(lines))
    return "\n\n".join(chunks) + "\n"


def play(text: str) -> list[Block]:
    """Run a scenario and return its blocks with the output of this run."""
    stage: Stage | None = None
    played = []
    for block in parse(text):
        output: list[str] = []
        for command in block.commands:
            word, *rest = command.split()
            if word == "pool":
                stage = Stage(rest)
                output.append("ok")
                continue
            assert stage is not None, "a scenario begins with `pool`"
            output += stage.do(word, rest)
        played.append(Block(block.comments, block.commands, output))
    return played


def files() -> list[Path]:
    """Return the scenario files, in order."""
    return sorted(Path(__file__).parent.glob("*.txt"))


class Stage:
    """A pool and the commands that act on it."""

    def __init__(self, words: list[str]):
        names = [w for w in words if "=" not in w and w[0] in "ncw" and w[1:].isdigit()]
        values = dict(w.split("=") for w in words if "=" in w)
        candidates = [n for n in names if n[0] in "nc"]
        options = Options(
            candidates=len(candidates),
            witnesses=sum(n[0] == "w" for n in names),
            condors=tuple(i for i, n in enumerate(candidates) if n[0] == "c"),
            timeout_seconds=float(values.get("timeout", 2)),
            use_primary="primary" in words,
            majority="majority" in words,
            clock_drift=0.0,
            latency=LATENCY,
            disk_delay=DISK,
            stop_timeout_seconds=float(values.get("stop_timeout", 10)),
            restart_window_seconds=float(values.get("restart_window", 0)),
            backoff_constant_seconds=float(values.get("backoff", 9)),
            backoff_ceiling_seconds=3600.0,
            recover_seconds=float(values.get("recover", 300)),
        )
        self.pool = self._replicated(options) if "replicated" in words else Pool(options, seed=1)
        # A scenario shows what happens, also where two controllees are what must happen.
        self.pool.watch.settle_seconds = 1e12
        for node in self.pool.nodes:
            self._prepare(node)
        self._cuts: list[tuple[str, str]] = []
        self._printed = 0

    @staticmethod
    def _replicated(options: Options) -> ReplicatedPool:
        pool = ReplicatedPool(options, seed=1)
        # No dice: how often one part throws them must not change when another acts.
        pool.world.between = lambda low, high: (low + high) / 2
        pool.world.chance = lambda share: share >= 0.5
        pool.is_silent = True
        pool.keeper.transfers.seconds = (0.02, 0.02)
        for node in pool.nodes:
            node.replica.disk.delay = DISK
        return pool

    def do(self, word: str, rest: list[str]) -> list[str]:
        """Perform one command and return what happened."""
        act = getattr(self, "_" + word.replace("-", "_"), None)
        assert act is not None, f"the scenario language has no command {word!r}"
        try:
            said = act(*rest)
        except Violation as found:
            said = [f"VIOLATION: {found}"]
        lines = self.pool.world.lines
        new, self._printed = lines[self._printed :], len(lines)
        return [line.rstrip() for line in new] + list(said or [])

    def _node(self, label: str) -> Node:
        number = label[1:]
        return next(
            n
            for n in self.pool.everyone
            if n.label in {label, f"n{number}"} and (label[0] == "w") == (n.label[0] == "w")
        )

    def _name(self, label: str) -> str:
        return self._node(label).name

    # --- time and processes ---------------------------------------------------------------------------------------

    def _start(self, *labels: str) -> None:
        for node in [self._node(x) for x in labels] or self.pool.everyone:
            self.pool.world.after(0.0, node.start)
            if isinstance(node, TandemNode):
                self.pool.world.after(0.0, node.replica.start)
        self.pool.world.run_until(self.pool.world.now)

    def _run(self, seconds: str) -> None:
        self.pool.world.run_until(self.pool.world.now + float(seconds))

    def _host_death(self, label: str) -> None:
        self._node(label).host_death()

    def _host_return(self, label: str, disk: str = "kept") -> None:
        node = self._node(label)
        node.is_host_up = True
        if disk == "empty":
            node.disk.record = events.Record()
        self.pool.network.host_returned(node.name)
        node.start()
        if isinstance(node, TandemNode):
            node.replica.is_host_up = True
            node.replica.network.host_returned(node.name)
            node.replica.start()

    def _kill(self, label: str) -> None:
        self._node(label).kill()

    def _restart(self, label: str) -> None:
        self._node(label).start()

    def _freeze(self, label: str) -> None:
        self._node(label).freeze()

    def _thaw(self, label: str) -> None:
        self._node(label).thaw()

    def _stop(self, label: str) -> None:
        self._node(label).stop()

    def _upgrade(self, label: str) -> None:
        host = next(c for c in self.pool.condors if c.label == f"n{label[1:]}")
        self.pool.upgrade(host, self._prepare)

    def _downgrade(self, label: str) -> None:
        self.pool.downgrade(self._node(label))

    @staticmethod
    def _prepare(node: Node) -> None:
        node.guard.habits = HABITS

    # --- controllee and disk ----------------------------------------------------------------------------------------

    def _die(self, label: str) -> None:
        self._node(label).guard.die_by_itself()

    def _break(self, label: str, seconds: str) -> None:
        node = self._node(label)
        node.guard.habits = attrs.evolve(node.guard.habits, breaks=(float(seconds), float(seconds)))

    def _repair(self, label: str) -> None:
        self._node(label).guard.habits = HABITS

    def _slow_stop(self, label: str, seconds: str) -> None:
        node = self._node(label)
        node.guard.habits = attrs.evolve(node.guard.habits, stop=(float(seconds), float(seconds)))

    def _disk(self, label: str, how: str) -> None:
        node = self._node(label)
        if how == "works":
            node.mend_disk(DISK)
        elif how == "hangs":
            node.disk.delay = (1e9, 1e9)
        else:
            node.disk.failure = 1.0

    def _host(self, label: str) -> TandemNode:
        node = self._node(label)
        assert isinstance(node, TandemNode), "only `replicated` hosts have a state"
        return node

    def _write(self, label: str, count: str) -> None:
        for _ in range(int(count)):
            self._host(label).append()

    def _kill_replica(self, label: str) -> None:
        self._host(label).replica.kill()

    def _restart_replica(self, label: str) -> None:
        self._host(label).replica.start()

    def _freeze_replica(self, label: str) -> None:
        self._host(label).replica.freeze()

    def _thaw_replica(self, label: str) -> None:
        self._host(label).replica.thaw()

    # --- network ----------------------------------------------------------------------------------------------------

    def _cut(self, one: str, other: str) -> None:
        self._cuts.append((self._name(one), self._name(other)))
        self.pool.network.cut(*self._cuts[-1])

    def _heal(self, one: str, other: str) -> None:
        pair = self._name(one), self._name(other)
        self._cuts.remove(pair)
        self.pool.network.heal(*pair)

    def _partition(self, *words: str) -> None:
        where = words.index("|")
        for one in words[:where]:
            for other in words[where + 1 :]:
                self._cut(one, other)

    def _join(self) -> None:
        while self._cuts:
            self.pool.network.heal(*self._cuts.pop())

    def _mute(self, one: str, other: str) -> None:
        self.pool.network.mute(self._name(one), self._name(other))

    def _unmute(self, one: str, other: str) -> None:
        self.pool.network.unmute(self._name(one), self._name(other))

    def _deny(self, one: str, other: str) -> None:
        self.pool.network.deny(self._name(one), self._name(other))

    def _allow(self, one: str, other: str) -> None:
        self.pool.network.allow(self._name(one), self._name(other))

    # --- operators --------------------------------------------------------------------------------------------------

    def _switchover(self, label: str, to: str | None = None) -> None:
        target = self._name(to) if to else None
        request = events.SwitchoverRequested(self.pool.next_request(), target, "ann", "maintenance", 0.0)
        self._node(label).receive(request)

    def _pause(self, label: str, seconds: str | None = None) -> None:
        pause = events.Pause("ann", "maintenance", 0.0, None, float(seconds) if seconds else None)
        self._node(label).receive(events.PauseRequested(self.pool.next_request(), pause))

    def _resume(self, label: str) -> None:
        self._node(label).receive(events.ResumeRequested(self.pool.next_request()))

    def _set(self, label: str, *words: str) -> None:
        names = {
            "timeout": "timeout_seconds",
            "primary": "use_primary",
            "backoff": "backoff_constant_seconds",
        }
        values = dict(w.split("=") for w in words if "=" in w)
        node = self._node(label)
        changes = {names[k]: v == "true" if k == "primary" else float(v) for k, v in values.items()}
        node.reconfigure(attrs.evolve(node.settings, **changes), is_hard="hard" in words)

    def _list(self, label: str, *labels: str) -> None:
        node = self._node(label)
        members = tuple(self._name(x) for x in labels)
        node.reconfigure(attrs.evolve(node.settings, members=members))

    def _status(self) -> list[str]:
        return ["    " + (self._ours(n) if n.is_ours else self._condor(n)) for n in self.pool.everyone]

    def _ours(self, node: Node) -> str:
        if node.machine is None:
            return f"{node.label}: {'no daemon' if node.is_host_up else 'dead host'}"
        m = node.machine
        leader = (m.leader or "nobody").partition(":")[0]
        extra = f", controllee {node.guard.phase.value}" if node.guard.phase.value != "stopped" else ""
        extra += ", abstains" if m.abstains_seconds is not None else ""
        extra += ", paused" if m.is_paused else ""
        extra += f", {m.hold.member.partition(':')[0]} is held back" if m.hold else ""
        if m.settings.require_majority:
            extra += self._votes(node)
        return f"{node.label}: {m.state.value}, follows {leader}, epoch {m.epoch}{extra}"

    def _votes(self, node: Node) -> str:
        m, local = node.machine, node.clock.local(self.pool.world.now)
        granted = m.votes.voters(m, local)
        shown = " ".join(v.partition(":")[0] for v in granted)
        bond = m.votes.bond
        bound = f", bound to {bond.vote.member.partition(':')[0]}" if bond is not None else ""
        return bound + (f", votes of {shown} ({m.votes.needed(m)} needed)" if granted else "")

    def _condor(self, node: Node) -> str:
        running = ", negotiator running" if node.name in self.pool.watch.running else ""
        return f"{node.label}: condor_had {node.state.value}{running}"
