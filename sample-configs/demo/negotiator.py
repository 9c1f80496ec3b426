"""The demo's negotiator: an honest stand-in for the one daemon of which a pool wants exactly one.

It runs under `had` as HTCondor's condor_negotiator would, and does in small what that one does: each cycle it
charges users for the slots they hold, lets jobs end, and matches waiting jobs to free slots, the most deserving user
first. The jobs are made up (a seeded generator: the same seed tells the same story); the accounting is real. It lives in
HTCondor's format in the file that `had` names in HAD_STATE_FILE, each cycle is one durable transaction there, and
what a reader sees on stdout as `cycle=12 epoch=257 matched=3 users=4 used=61` is on the disk already; `used` is the sum of
all users' seconds.

Fencing: HAD_EPOCH is the number of the leadership that started this process, HAD_EPOCH_FILE holds the present one
of this node. Right before each commit the file is read. A larger number is the same leadership under a new name (two
halves of a pool met and this one stayed) and is taken over. A smaller one, or none where there was one, says
that the leadership which started us is over: nothing more is written and the process ends with status 1.

Signals: SIGTERM, SIGINT and SIGQUIT are looked at between two cycles only, so a commit is never cut, and a stop takes
no longer than one. Exit status: 0 asked to stop, 1 fenced or failed, 2 unusable arguments or state file.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from pathlib import Path

from accountant import HALF_LIFE_SECONDS, Accountant, usage_table
from classad_log import MAXIMUM_BYTES, ClassAdLog, CorruptLogError, parse

STOP_SIGNALS = {signal.SIGTERM, signal.SIGINT, signal.SIGQUIT}

#: The users, and how many jobs each submits in a cycle at most.
USERS = {"alice@demo": 3, "bob@demo": 2, "carol@demo": 1, "dave@demo": 1}

#: The slots of four made-up machines, and their weights: how many cores each counts for.
SLOTS = {
    f"slot{slot}@node{machine}@<10.0.0.{machine}:9618>": float(slot)
    for machine in range(1, 5)
    for slot in range(1, 3)
}

#: A job ends in any one cycle with this chance out of a hundred, so it runs for five cycles on average.
JOB_ENDS_PERCENT = 20

#: Users do not submit for ever into a full pool: this many of one user's jobs wait at most.
WAITING_LIMIT = 20


class FencedError(Exception):
    """The leadership that started this process is over."""


class Dice:
    """A small seeded generator (SplitMix64); the standard one costs more to import than our whole start."""

    def __init__(self, seed: int) -> None:
        self._state = seed

    def below(self, limit: int) -> int:
        """Return an integer from 0 to `limit` - 1."""
        self._state = (self._state + 0x9E3779B97F4A7C15) % 2**64
        mixed = (self._state ^ self._state >> 30) * 0xBF58476D1CE4E5B9 % 2**64
        mixed = (mixed ^ mixed >> 27) * 0x94D049BB133111EB % 2**64
        return (mixed ^ mixed >> 31) % limit


class Fence:
    """The right to write, as `had` grants it: `epoch` is the fencing token at present."""

    def __init__(self, epoch: int, path: Path | None) -> None:
        self.epoch = epoch
        self._path = path
        self._has_been_seen = False

    def check(self) -> None:
        """Take over a larger epoch from the file.

        Raises:
            FencedError: the file holds a smaller epoch, or none any more. A file that is not there *yet* is no word.
        """
        if self._path is None:
            return
        try:
            present = int(self._path.read_text("ascii"))
        except (OSError, ValueError) as problem:
            if not self._has_been_seen:
                return
            raise FencedError(
                f"{self._path} no longer holds an epoch ({problem}); ours was {self.epoch}"
            ) from None
        self._has_been_seen = True
        if present < self.epoch:
            raise FencedError(f"{self._path} holds epoch {present}, which is before ours, {self.epoch}")
        self.epoch = present


class Pool:
    """The made-up part: jobs that wait (in memory, for queues are a schedd's business) and slots to run them."""

    def __init__(self, accountant: Accountant, dice: Dice) -> None:
        self._accountant = accountant
        self._dice = dice
        self._waiting = dict.fromkeys(USERS, 0)

    def cycle(self, now: int) -> int:
        """Do one negotiation cycle at `now`, whole seconds since 1970; return how many jobs were matched."""
        self._accountant.update_priorities(now)
        for slot in self._accountant.matches:
            if slot not in SLOTS or self._dice.below(100) < JOB_ENDS_PERCENT:
                self._accountant.remove_match(slot, now)
        for user, most in USERS.items():
            self._accountant.add_customer(user)
            submitted = self._dice.below(most + 1)
            self._waiting[user] = min(self._waiting[user] + submitted, WAITING_LIMIT)
        return self._match(now)

    def _match(self, now: int) -> int:
        """Give each free slot to the user with waiting jobs whose priority, times what he would hold, is smallest."""
        held = self._accountant.matches
        matched = 0
        for slot, weight in SLOTS.items():
            candidates = [user for user, count in self._waiting.items() if count]
            if slot in held or not candidates:
                continue
            user = min(candidates, key=self._price)
            self._waiting[user] -= 1
            self._accountant.add_match(user, slot, weight, now)
            matched += 1
        return matched

    def _price(self, user: str) -> float:
        return self._accountant.effective_priority(user) * (self._accountant.held_by(user) + 1)


def arguments(words: list[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="negotiator.py", description="The demo's negotiator.", allow_abbrev=False
    )
    parser.add_argument("state_file", nargs="?", type=Path, help="the ClassAd log (default: $HAD_STATE_FILE)")
    parser.add_argument(
        "--period", type=float, default=1.0, metavar="SECONDS", help="time between two cycles"
    )
    parser.add_argument(
        "--seed", type=int, default=1, metavar="NUMBER", help="which story the made-up jobs tell"
    )
    parser.add_argument(
        "--half-life", type=float, default=HALF_LIFE_SECONDS, metavar="SECONDS", help="of a priority"
    )
    parser.add_argument(
        "--maximum-bytes", type=int, default=MAXIMUM_BYTES, help="a log beyond this is rewritten"
    )
    parser.add_argument("--fail-after", type=float, metavar="SECONDS", help="break: exit 1 after this time")
    parser.add_argument("--print", action="store_true", help="print the usage in the state file, and exit")
    options = parser.parse_args(words)
    if options.state_file is None:
        if not os.environ.get("HAD_STATE_FILE"):
            parser.error("no state file: give it as the argument or in HAD_STATE_FILE")
        options.state_file = Path(os.environ["HAD_STATE_FILE"])
    for name in ("period", "half_life", "maximum_bytes"):
        if not getattr(options, name) > 0:
            parser.error(f"--{name.replace('_', '-')} must be more than 0 (got {getattr(options, name)})")
    if not os.environ.get("HAD_EPOCH", "0").isdecimal():
        parser.error(f"HAD_EPOCH must be a whole number (got {os.environ['HAD_EPOCH']!r})")
    return options


def negotiate(options: argparse.Namespace) -> int:
    """Run cycles until told to stop or fenced; return the exit status."""
    started = time.monotonic()
    breaks = float("inf") if options.fail_after is None else started + options.fail_after
    epoch_file = os.environ.get("HAD_EPOCH_FILE")
    fence = Fence(int(os.environ.get("HAD_EPOCH", "0")), Path(epoch_file) if epoch_file else None)
    fence.check()
    options.state_file.parent.mkdir(parents=True, exist_ok=True)
    log = ClassAdLog(options.state_file, int(time.time()), options.maximum_bytes)
    accountant = Accountant(log, options.half_life)
    pool = Pool(accountant, Dice(options.seed))
    say(
        f"started node={os.environ.get('HAD_NODE', '-')} epoch={fence.epoch} state={os.environ.get('HAD_STATE', '-')}"
        f" users={len(accountant.customers)} used={accountant.used_seconds:.0f} dropped_bytes={log.contents.dropped_bytes} file={options.state_file}"
    )
    cycle = 0
    while True:
        cycle += 1
        matched = pool.cycle(int(time.time()))
        fence.check()
        log.commit(f"epoch={fence.epoch} cycle={cycle}")
        say(
            f"cycle={cycle} epoch={fence.epoch} matched={matched} users={len(accountant.customers)}"
            f" used={accountant.used_seconds:.0f}"
        )
        # A cycle that came late (a suspended machine) is skipped, not made up for.
        elapsed = time.monotonic() - started
        next_cycle = started + (elapsed // options.period + 1) * options.period
        received = wait_for_stop(min(next_cycle, breaks))
        if received is not None:
            say(f"stopped cycle={cycle} epoch={fence.epoch} signal={received.name}")
            return 0
        if time.monotonic() >= breaks:
            say(f"failed cycle={cycle} epoch={fence.epoch}: told to, by --fail-after {options.fail_after}")
            return 1


def wait_for_stop(until: float) -> signal.Signals | None:
    """Sleep until `until`, by the monotonic clock; return the signal that asks us to stop, if one came."""
    received = signal.sigtimedwait(STOP_SIGNALS, max(until - time.monotonic(), 0.0))
    return signal.Signals(received.si_signo) if received else None


def say(line: str) -> None:
    """Write one line of the log at once, and in one piece: the log may have other writers."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main(words: list[str]) -> int:
    """Do what the command line says; return the exit status."""
    # From here on a stop signal waits until the loop asks for it. SIGHUP (reconfigure) has nothing to tell us.
    signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    options = arguments(words)
    try:
        if options.print:
            print("\n".join(usage_table(parse(options.state_file.read_bytes()).ads)))
            return 0
        return negotiate(options)
    except FencedError as reason:
        print(f"negotiator.py: fenced, nothing more is written: {reason}", file=sys.stderr)
        return 1
    except CorruptLogError as reason:
        print(f"negotiator.py: {options.state_file}: {reason}", file=sys.stderr)
        return 2
    except OSError as reason:
        print(f"negotiator.py: {options.state_file}: {reason}", file=sys.stderr)
        return 2 if options.print else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
