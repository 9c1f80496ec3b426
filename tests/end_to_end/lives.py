"""When each controllee lived, from what `witness_controllee.py` wrote, and what follows: overlaps and gaps.

All times are CLOCK_BOOTTIME. A life that was killed ends with its last beat, at most one beat (5 ms) before its true end,
and later than that on a machine that kept it from running.
"""

from pathlib import Path

import attrs


@attrs.frozen
class Life:
    """One controllee, from its first instruction to its last known moment."""

    node: int
    pid: int
    epoch: int
    began: float
    ended: float
    #: It was told to stop and said so.
    has_stopped: bool

    @property
    def is_running(self):
        """Whether the process exists now, and is no zombie."""
        return not self.has_stopped and is_alive(self.pid)


def is_alive(pid):
    """Whether a process exists and is not a zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


class LivesFile:
    """What one node's controllees wrote; each look reads only what is new, so that looking often costs little."""

    def __init__(self, path, node):
        self._path = path
        self._node = node
        self._position = 0
        self._lives = []
        self._places = {}

    def read(self):
        """Return the lives so far, oldest first; a last line that is still being written waits for the next look."""
        if self._path.exists():
            with self._path.open() as file:
                file.seek(self._position)
                whole, end, _ = file.read().rpartition("\n")
            self._position += len(whole + end)
            for line in whole.splitlines():
                self._take(*line.split())
        return list(self._lives)

    def _take(self, word, pid, epoch, at):
        pid, epoch, at = int(pid), int(epoch), float(at)
        if word == "start":
            # A process's number may come round again: the last life with it is the one that goes on.
            self._places[pid] = len(self._lives)
            self._lives.append(Life(self._node, pid, epoch, at, at, has_stopped=False))
        else:
            place = self._places[pid]
            self._lives[place] = attrs.evolve(self._lives[place], ended=at, has_stopped=word == "stop")


def overlap_seconds(lives):
    """Return the longest time for which two controllees lived at once, on whatever node; 0.0 if there never were two."""
    ordered = sorted(lives, key=lambda life: life.began)
    longest, latest_end = 0.0, float("-inf")
    for life in ordered:
        longest = max(longest, min(latest_end, life.ended) - life.began)
        latest_end = max(latest_end, life.ended)
    return longest


def gap_seconds(before, after):
    """Return the time from the end of one life to the beginning of another."""
    return after.began - before.ended
