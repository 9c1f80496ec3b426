"""One controllee in the guard's hands: what an order to stop means to one that is frozen, in its lease and after it."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def story(file, late_seconds):
    """Freeze a controllee whose lease is an hour long and order its stop so much later; return its wait status."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.had.ward_story", str(file), str(late_seconds)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        check=True,
        timeout=60,
    )
    told = json.loads(done.stdout)
    assert told["reports"] == ["Started", "Exited"]
    return told["status"]


def test_a_late_stop_lets_no_frozen_controllee_run_on(tmp_path):
    """A host was frozen past the lease and its daemon wakes first: its order kills, since SIGCONT would be a beat more."""
    file = tmp_path / "told"
    status = story(file, 3600)
    assert os.WIFSIGNALED(status)
    assert os.WTERMSIG(status) == signal.SIGKILL
    assert file.read_text() == "ready"


def test_a_stop_in_time_continues_a_stopped_controllee(tmp_path):
    """Within the lease a controllee that was stopped is told to end, and can."""
    file = tmp_path / "told"
    assert os.waitstatus_to_exitcode(story(file, 1)) == 0
    assert file.read_text() == "told"
