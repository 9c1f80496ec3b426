"""The demo's negotiator, run as a program: what it promises to `had`, to a reader of its file, and to a crash."""

import os
import re
import select
import signal
import time
from pathlib import Path

import pytest
from classad_log import parse
from negotiator import SLOTS, USERS, Dice, Fence, FencedError, arguments

pytestmark = pytest.mark.timed

INTEGER = r"-?\d+"
REAL = r"-?\d+\.\d{6}"
CUSTOMER_ATTRIBUTES = {
    "Priority": REAL,
    "PriorityFactor": REAL,
    "ResourcesUsed": INTEGER,
    "WeightedResourcesUsed": REAL,
    "HierWeightedResourcesUsed": REAL,
    "UnchargedTime": INTEGER,
    "WeightedUnchargedTime": REAL,
    "AccumulatedUsage": REAL,
    "WeightedAccumulatedUsage": REAL,
    "BeginUsageTime": INTEGER,
    "LastUsageTime": INTEGER,
}
RESOURCE_ATTRIBUTES = {"RemoteUser": r'"[^"\\ ]+"', "SlotWeight": REAL, "StartTime": INTEGER}
KEY = r"(?:Accountant\.|Customer\.[^\s@]+@\S+|Resource\.\S+@<[^<>\s]+>)"
#: Every line that HTCondor's accountant may write, without the newline (format: HTCondor's log.h and Accountant.cpp).
LINE = re.compile(
    "|".join(
        [
            rf"101 {KEY} \* \*",
            rf"102 {KEY}",
            r"103 Accountant\. LastUpdateTime \d+",
            *(rf"103 Customer\.\S+ {name} {value}" for name, value in CUSTOMER_ATTRIBUTES.items()),
            *(rf"103 Resource\.\S+ {name} {value}" for name, value in RESOURCE_ATTRIBUTES.items()),
            r"105 ",
            r"106 (?:#[^\n]*)?",
        ]
    )
)
FIRST_LINE = re.compile(r"107 \d+ CreationTimestamp \d+")


def test_every_line_of_the_file_is_one_that_htcondor_writes(start):
    """Two runs leave nothing in the file but lines that HTCondor's accountant writes, each transaction closed."""
    for _ in range(2):
        negotiator = start("--period", "0.02")
        negotiator.read_cycles(30)
        assert negotiator.end(signal.SIGTERM)[0] == 0
        text = negotiator.state_file.read_text()
        assert text.endswith("\n")
        first, *lines = text.removesuffix("\n").split("\n")
        assert FIRST_LINE.fullmatch(first)
        assert [line for line in lines if not LINE.fullmatch(line)] == []
        marks = [line[:3] for line in lines if line[:3] in {"105", "106"}]
        assert marks == ["105", "106"] * (len(marks) // 2)
        assert len(marks) >= 60
        used = {line.split(" ")[2] for line in lines if line.startswith("103 ")}
        assert used == {"LastUpdateTime", *CUSTOMER_ATTRIBUTES, *RESOURCE_ATTRIBUTES}
    assert negotiator.state_file.stat().st_mode & 0o777 == 0o600


def test_counts_agree_with_the_slots(start):
    """At every commit, a user's ResourcesUsed is the number and weight of the Resource records in his name."""
    negotiator = start("--period", "0.01")
    negotiator.read_cycles(40)
    negotiator.end(signal.SIGTERM)
    raw = negotiator.state_file.read_bytes()
    cuts = [found.end() for found in re.finditer(rb"^106 .*\n", raw, re.MULTILINE)]
    assert len(cuts) >= 40
    for cut in cuts:
        ads = parse(raw[:cut]).ads
        for user in USERS:
            held = [
                ad
                for key, ad in ads.items()
                if key.startswith("Resource.") and ad["RemoteUser"] == f'"{user}"'
            ]
            customer = ads[f"Customer.{user}"]
            assert int(customer["ResourcesUsed"]) == len(held)
            assert float(customer["WeightedResourcesUsed"]) == sum(float(ad["SlotWeight"]) for ad in held)
        assert {key.removeprefix("Resource.") for key in ads if key.startswith("Resource.")} <= set(SLOTS)


def test_a_cycle_says_its_epoch_and_only_what_is_on_the_disk(start):
    """A cycle's line carries its number, epoch and counts, and its transaction is in the file by then."""
    negotiator = start("--period", "0.05", HAD_EPOCH="385")
    for expected in range(1, 6):
        [(cycle, epoch, matched, users)] = negotiator.read_cycles(1)
        assert (cycle, epoch, users) == (expected, 385, len(USERS))
        assert 0 <= matched <= len(SLOTS)
        recorded_epoch, recorded_cycle = negotiator.last_cycle()
        assert recorded_epoch == 385
        assert recorded_cycle >= cycle


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT])
def test_a_stop_signal_loses_nothing(start, stop):
    """Asked to stop, it ends with status 0 long before its next cycle, its last cycle in a file with no loose end."""
    negotiator = start("--period", "60")
    [(cycle, *_)] = negotiator.read_cycles(1)
    asked = time.monotonic()
    status, stdout, stderr = negotiator.end(stop)
    assert time.monotonic() - asked < 5
    assert (status, stderr) == (0, "")
    assert stdout == f"stopped cycle={cycle} epoch=257 signal={stop.name}\n"
    assert negotiator.last_cycle() == (257, cycle)
    assert parse(negotiator.state_file.read_bytes()).dropped_bytes == 0


def test_sighup_does_not_end_it(start):
    """A reconfiguration of the pool, which reaches controllees as SIGHUP, leaves it running."""
    negotiator = start("--period", "0.05")
    negotiator.read_cycles(1)
    negotiator.process.send_signal(signal.SIGHUP)
    assert [cycle for cycle, *_ in negotiator.read_cycles(3)] == [2, 3, 4]


def test_sigkill_loses_nothing_that_was_said(start):
    """Killed at random moments, it goes on each time from a file that holds every cycle it had reported."""
    used = 0.0
    for _ in range(5):
        negotiator = start("--period", "0.001", "--maximum-bytes", "20000")
        negotiator.read_cycles(25)
        negotiator.process.kill()
        stdout = negotiator.process.communicate(timeout=20)[0]
        said = max(negotiator.said_last(stdout), 25)
        contents = parse(negotiator.state_file.read_bytes())
        if contents.transactions:
            assert negotiator.last_cycle()[1] >= said
        now_used = sum(float(contents.ads[f"Customer.{user}"]["AccumulatedUsage"]) for user in USERS)
        assert now_used >= used
        used = now_used


def test_usage_goes_on_after_a_restart(start):
    """The next leader charges for the slots that were held, from the last update of the one before."""
    first = start("--period", "60")
    first.read_cycles(1)
    first.end(signal.SIGTERM)
    # What a pool does in an hour, put into the file: the last update was an hour ago.
    text = first.state_file.read_text()
    [updated] = re.findall(r"LastUpdateTime (\d+)", text)
    first.state_file.write_text(text.replace(updated, str(int(updated) - 3600)))
    held = {user: int(parse(text.encode()).ads[f"Customer.{user}"]["ResourcesUsed"]) for user in USERS}
    second = start("--period", "60", HAD_EPOCH="385")
    second.read_cycles(1)
    second.end(signal.SIGTERM)
    ads = parse(second.state_file.read_bytes()).ads
    assert sum(held.values()) > 0
    for user, count in held.items():
        seconds = float(ads[f"Customer.{user}"]["AccumulatedUsage"])
        assert 3600 * count <= seconds < 3660 * count or seconds == count == 0


def test_the_log_is_rewritten_above_its_size(start):
    """A log that grows beyond --maximum-bytes is rewritten under way: a new inode, and the epoch's cycles go on."""
    negotiator = start("--period", "0.005", "--maximum-bytes", "15000")
    negotiator.read_cycles(1)
    inodes = set()
    for _ in range(80):
        negotiator.read_cycles(1)
        status = negotiator.state_file.stat()
        inodes.add(status.st_ino)
        assert status.st_size < 40_000
    assert len(inodes) > 1
    assert negotiator.end(signal.SIGTERM)[0] == 0
    sequence = int(negotiator.state_file.read_text().split(" ")[1])
    assert sequence > 2
    assert not list(negotiator.state_file.parent.glob("*.tmp"))


def test_a_larger_epoch_in_the_file_is_taken_over(start, tmp_path):
    """When the leadership takes a new epoch, the same process goes on under it."""
    epoch_file = tmp_path / "epoch"
    epoch_file.write_text("257\n")
    negotiator = start("--period", "0.02", HAD_EPOCH_FILE=str(epoch_file))
    assert negotiator.read_cycles(1)[0][1] == 257
    replacement = tmp_path / "epoch.new"
    replacement.write_text("513\n")
    replacement.replace(epoch_file)
    # One cycle may be past its check already; the pipe may hold a few more lines.
    deadline = time.monotonic() + 20
    while negotiator.read_cycles(1)[0][1] != 513:
        assert time.monotonic() < deadline
    assert negotiator.read_cycles(1)[0][1] == 513
    assert negotiator.last_cycle()[0] == 513


@pytest.mark.parametrize("text", ["129\n", "", None])
def test_it_stops_writing_when_its_leadership_is_over(start, tmp_path, text):
    """A smaller epoch, or none any more, ends it with status 1 and a reason, and the file is as it was."""
    epoch_file = tmp_path / "epoch"
    epoch_file.write_text("257\n")
    negotiator = start("--period", "0.3", HAD_EPOCH_FILE=str(epoch_file))
    negotiator.read_cycles(1)
    before = negotiator.state_file.read_bytes()
    if text is None:
        epoch_file.unlink()
    else:
        epoch_file.write_text(text)
    status, stdout, stderr = negotiator.end()
    assert (status, stdout) == (1, "")
    assert stderr.startswith("negotiator.py: fenced, nothing more is written: ")
    assert "257" in stderr
    assert negotiator.state_file.read_bytes() == before


def test_a_fenced_start_touches_no_file(start, tmp_path):
    """Started under an epoch that is over already, it does not even make the state file."""
    epoch_file = tmp_path / "epoch"
    epoch_file.write_text("129\n")
    negotiator = start(HAD_EPOCH_FILE=str(epoch_file))
    assert negotiator.end()[0] == 1
    assert not negotiator.state_file.exists()


def test_an_epoch_file_that_is_not_there_yet_is_no_word(tmp_path):
    """Before the file was ever read its absence fences nobody; afterwards it does."""
    fence = Fence(257, tmp_path / "epoch")
    fence.check()
    (tmp_path / "epoch").write_text("257\n")
    fence.check()
    (tmp_path / "epoch").unlink()
    with pytest.raises(FencedError, match="no longer holds an epoch"):
        fence.check()
    assert fence.epoch == 257


def test_fail_after_breaks_it(start):
    """With --fail-after it ends with status 1 after that time and says why."""
    begun = time.monotonic()
    status, stdout, _ = start("--period", "60", "--fail-after", "0.2").end()
    assert time.monotonic() - begun > 0.2
    assert status == 1
    assert stdout.endswith("failed cycle=1 epoch=257: told to, by --fail-after 0.2\n")


def test_print_shows_a_table(start):
    """--print shows each user's usage, and a total that is their sum, and leaves a running log alone."""
    negotiator = start("--period", "60")
    negotiator.read_cycles(1)
    before = negotiator.state_file.stat()
    status, stdout, stderr = start("--print").end()
    assert (status, stderr) == (0, "")
    heading, *rows, total = [line.split() for line in stdout.splitlines()]
    assert heading[0] == "user"
    assert [row[0] for row in rows] == sorted(USERS)
    assert int(total[1]) == sum(int(row[2]) for row in rows) > 0
    after = negotiator.state_file.stat()
    assert (after.st_ino, after.st_size, after.st_mtime_ns) == (
        before.st_ino,
        before.st_size,
        before.st_mtime_ns,
    )


def test_print_of_no_file_is_refused(start):
    """--print of a file that does not exist ends with status 2 and names it."""
    negotiator = start("--print")
    status, stdout, stderr = negotiator.end()
    assert (status, stdout) == (2, "")
    assert str(negotiator.state_file) in stderr


def test_a_damaged_file_is_refused_and_kept(start, tmp_path):
    """Damage before a finished transaction ends it with status 2 and the line's number, and the file stays."""
    damaged = "107 1 CreationTimestamp 1\n105 \n103 nonsense\n106 \n"
    (tmp_path / "Accountantnew.log").write_text(damaged)
    negotiator = start()
    status, _, stderr = negotiator.end()
    assert status == 2
    assert "Accountantnew.log: line 3 is no record" in stderr
    assert negotiator.state_file.read_text() == damaged


def test_a_disk_that_fills_ends_it_with_a_loadable_file(start):
    """When a commit cannot be written it ends with status 1, and the file still holds the cycles it reported."""
    # A file may not grow beyond 12 KiB: the write that would is cut short or refused, as on a full disk.
    negotiator = start("--period", "0.001", before=["bash", "-c", 'ulimit -f 12; exec "$@"', "-"])
    status, stdout, stderr = negotiator.end()
    assert status == 1
    assert "File too large" in stderr
    said = negotiator.said_last(stdout)
    assert negotiator.last_cycle() == (257, said)
    contents = parse(negotiator.state_file.read_bytes())
    assert contents.transactions == said > 5
    assert contents.dropped_bytes > 0


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--period", "0"], "--period must be more than 0"),
        (["--half-life", "-1"], "--half-life must be more than 0"),
        ([], "no state file"),
    ],
)
def test_unusable_arguments_are_refused(monkeypatch, capsys, words, complaint):
    """A wrong argument ends it with status 2 and names the value and the rule."""
    monkeypatch.delenv("HAD_STATE_FILE", raising=False)
    with pytest.raises(SystemExit) as ended:
        arguments([*(["state"] if words else []), *words])
    assert ended.value.code == 2
    assert complaint in capsys.readouterr().err


def test_the_argument_wins_over_the_environment(monkeypatch):
    """A state file on the command line is used in place of HAD_STATE_FILE."""
    monkeypatch.setenv("HAD_STATE_FILE", "/nowhere/environment")
    assert arguments([]).state_file == Path("/nowhere/environment")
    assert arguments(["argument"]).state_file == Path("argument")


def test_the_same_seed_tells_the_same_story(start, tmp_path):
    """Two runs with one seed match the same numbers of jobs; another seed matches others."""
    stories = {}
    for name, seed in (("a", "7"), ("b", "7"), ("c", "8")):
        negotiator = start(str(tmp_path / name), "--period", "0.01", "--seed", seed)
        stories[name] = [matched for _, _, matched, _ in negotiator.read_cycles(8)]
        negotiator.end(signal.SIGTERM)
    assert stories["a"] == stories["b"] != stories["c"]


def test_the_dice_are_splitmix64():
    """The generator gives the published first numbers of SplitMix64 for the seed 1234567."""
    dice = Dice(1234567)
    assert [dice.below(2**64) for _ in range(3)] == [
        6457827717110365317,
        3203168211198807973,
        9817491932198370423,
    ]


def test_it_waits_without_working(start):
    """Between two cycles it sleeps: nothing arrives on stdout, and it uses no processor time to speak of."""
    negotiator = start("--period", "60")
    negotiator.read_cycles(1)
    used_before = sum(os.times()[2:4])
    readable, _, _ = select.select([negotiator.process.stdout], [], [], 0.3)
    assert readable == []
    assert negotiator.end(signal.SIGTERM)[0] == 0
    # All children of this test process that ended since: this one, start included.
    assert sum(os.times()[2:4]) - used_before < 0.25
