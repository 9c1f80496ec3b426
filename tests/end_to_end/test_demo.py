"""`hadctl demo`, what `make demo` runs, from beginning to end."""

import os
import re
import signal
import socket
import subprocess
import sys
import time

import pytest

from had.ctl.demo.place import MARK, PORTS
from tests.end_to_end.node import ROOT
from tests.had.living import MARK as LIVING_MARK
from tests.had.living import living, new_mark

pytestmark = pytest.mark.timed


@pytest.fixture
def demo(tmp_path):
    """A function that runs the demo's verb in a folder whose name has a blank; nothing survives the test."""
    folder, mark = tmp_path / "a folder", new_mark()
    folder.mkdir()
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "KEEP": "", LIVING_MARK: mark}

    def start(*words, **more):
        argv = [sys.executable, "-m", "had.ctl", "demo", *words]
        return subprocess.Popen(
            argv,
            cwd=folder,
            env=environment | more,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(*words, **more):
        with start(*words, **more) as process:
            out, err = process.communicate(timeout=150)
        return process.returncode, out, err

    run.start, run.folder, run.living = start, folder / "demo", lambda: living(mark) - {os.getpid()}
    yield run
    for pid in run.living():
        os.kill(pid, signal.SIGKILL)


def wait_gone(demo):
    """Wait until nothing of the demo lives; the guards end by themselves."""
    deadline = time.monotonic() + 5
    while demo.living():
        assert time.monotonic() < deadline, demo.living()
        time.sleep(0.02)


def test_the_demo_keeps_its_promises_and_clears_up(demo):
    """Every act is played, every measurement is within its promise, and nothing is left."""
    status, out, err = demo()
    assert (status, err) == (0, ""), out + err
    table = out.split("PROMISE")[1]
    rows = [line.split("  ")[0] for line in table.splitlines() if re.match(r"[PR]\d", line)]
    assert sorted(set(rows)) == ["P1", "P1-P7", "P2", "P3", "P4", "P5", "P6", "P7", "R1", "R2"]
    assert " NO " not in table
    assert "Everything happened as promised." in out
    assert re.search(r"the common ancestor is \d+\.\d+", out), out
    assert re.search(r"what was kept added [1-9]\d* s, .*: everything once\.", out), out
    assert not demo.folder.exists()
    wait_gone(demo)


def test_a_kept_pool_can_be_looked_at_and_stopped(demo):
    """KEEP=1 leaves the pool running; a second demo keeps off; --stop ends it."""
    status, out, err = demo(KEEP="1")
    assert (status, err) == (0, ""), out + err
    (look,) = re.findall(r"^  (hadctl status --watch -c .*)$", out, flags=re.MULTILINE)
    configuration = look.partition(" -c ")[2].strip("'")
    argv = [sys.executable, "-m", "had.ctl", "status", "-c", configuration]
    seen = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (seen.returncode, "The pool is in order" in seen.stderr) == (0, True), seen.stderr
    assert (demo.folder / "127.0.0.1:21450" / "log" / "HADLog").stat().st_size > 0
    status, _, err = demo()
    assert (status, "a demo still runs in" in err) == (2, True)
    status, out, _ = demo("--stop")
    assert (status, out.startswith("6 daemons stopped")) == (0, True)
    assert not demo.folder.exists()
    wait_gone(demo)
    assert demo("--stop")[1] == "no demo runs here\n"


@pytest.mark.parametrize("act", ["Starting", "dies"])
def test_ctrl_c_clears_up(demo, act):
    """Interrupted at the start, or while a manager is frozen, the demo leaves no process and no file."""
    with demo.start() as process:
        for line in process.stdout:
            if act in line:
                break
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=20)
    assert (process.returncode, "ended early" in err) == (1, True), err
    assert not demo.folder.exists()
    wait_gone(demo)


def test_a_folder_that_is_not_ours_is_left_alone(demo):
    """A folder of that name that no demo made is neither used nor removed."""
    demo.folder.mkdir()
    (demo.folder / "thesis.tex").write_text("chapter 1")
    status, _, err = demo()
    assert (status, "no demo made it" in err) == (2, True)
    assert (demo.folder / "thesis.tex").read_text() == "chapter 1"
    assert not (demo.folder / MARK).exists()


def test_a_port_in_use_is_told(demo):
    """A port that somebody else has is named, and nothing is started."""
    with socket.create_server(("127.0.0.2", PORTS[0])):
        status, out, err = demo()
    assert (status, out) == (2, "")
    assert f"127.0.0.2:{PORTS[0]} cannot be used (Address already in use)" in err
    assert not demo.folder.exists()
