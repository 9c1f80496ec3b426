"""A real process is killed at every system call of a real commit, and one complete pair is left."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from replication.disk import RealDisk
from replication.journal import encode_held
from replication.pair import Pair
from tests.replication.test_pair import (
    NEW,
    NUMBER,
    OLD,
    SHAPES,
    STARTS,
    check_one_complete_pair,
    contents_of,
    held_of,
    is_stopped,
    places_of,
    put,
    stage,
)

ROOT = Path(__file__).parents[2]
STRACE = shutil.which("strace")

pytestmark = pytest.mark.skipif(
    STRACE is None, reason="strace is not installed: it kills at a given system call"
)


@pytest.fixture(scope="module")
def server():
    """A process that commits in forked children, on request."""
    command = [sys.executable, "-m", "tests.replication.committing"]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        yield process
        process.stdin.close()


def prepared(root, shape):
    """A node on the real file system with the old pair, and the new state staged."""
    names, is_folder, old, new = SHAPES[shape]
    for folder in ("state", "spool", "had"):
        (root / folder).mkdir(parents=True)
    places = places_of(root, names, is_folder)
    put(RealDisk(), places.paths, is_folder, old, lambda path, data: path.write_bytes(data))
    Pair(places).note(held_of(OLD, old))
    stage(RealDisk(), places, new, STARTS.get(shape), lambda path, data: path.write_bytes(data))
    (root / "held").write_bytes(encode_held(held_of(NEW, new)))
    return places


def traced(server, root, shape, *options):
    """Let a child commit under strace with these options; its exit status, negative if a signal ended it."""
    names, is_folder, _, _ = SHAPES[shape]
    starts = json.dumps(STARTS.get(shape, ()), separators=(",", ":"))
    request = [str(root), str(NUMBER), "folder" if is_folder else "file", ",".join(names), starts]
    server.stdin.write((" ".join(request) + "\n").encode())
    server.stdin.flush()
    child = server.stdout.readline().decode().strip()
    with subprocess.Popen([STRACE, "-p", child, *options], stderr=subprocess.PIPE) as strace:
        answer = strace.stderr.readline()
        os.kill(int(child), signal.SIGUSR1)
        status = int(server.stdout.readline())
        strace.stderr.read()
    if b"attached" not in answer:
        pytest.skip(f"strace may not attach here: {answer.decode().strip()}")
    return status


def calls_of(trace):
    """The commit's system calls in order, each with how many of its name there were by then."""
    # Waiting for the signal may or may not have begun, and memory is got when Python likes.
    others = {"rt_sigtimedwait", "brk", "mmap", "munmap", "mremap", "madvise"}
    names = [name for name in re.findall(r"^(\w+)\(", trace, re.MULTILINE) if name not in others]
    return [(name, names[: place + 1].count(name)) for place, name in enumerate(names)]


@pytest.mark.parametrize("shape", ["one file", "several files", "a folder", "a tail among others"])
def test_a_commit_killed_at_any_system_call_leaves_one_complete_pair(server, tmp_path, shape):
    """The recovery of the next process finds the old pair or the new one, and both are found at some call."""
    _, _, old, new = SHAPES[shape]
    places = prepared(tmp_path / "whole", shape)
    trace = tmp_path / "trace"
    assert traced(server, tmp_path / "whole", shape, "-o", trace) == 0
    assert contents_of(RealDisk(), places) == new
    calls = calls_of(trace.read_text())
    assert {"fsync", "pwrite64", "unlink", "openat"} <= {name for name, _ in calls}
    seen = []
    for place, (name, count) in enumerate(calls[: calls.index(("exit_group", 1))]):
        root = tmp_path / str(place)
        places = prepared(root, shape)
        inject = f"inject={name}:signal=KILL:when={count}"
        assert traced(server, root, shape, "-o", "/dev/null", "-e", inject) == -signal.SIGKILL
        Pair(places).recover(is_controllee_running=is_stopped)
        seen.append(check_one_complete_pair(RealDisk(), places, old, new))
    assert seen == sorted(seen), "from some call on it is the new one, and never the old one again"
    assert set(seen) == {False, True}
