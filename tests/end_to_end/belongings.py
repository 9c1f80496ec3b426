"""What a process holds of its machine: memory, descriptors, threads, children; and what lies in a folder."""

import os
from pathlib import Path

import attrs

from daemoncore.process import children


@attrs.frozen
class Belongings:
    """What one process holds at one moment. Memory is in MB (10^6 bytes)."""

    rss_mb: float
    pss_mb: float
    descriptors: int
    threads: int
    #: Processes that descend from it, dead ones left out.
    descendants: int
    #: Processes that descend from it, are dead, and were not waited for.
    zombies: int


def belongings(pid):
    """Look at a living process.

    Raises:
        OSError: there is none.
    """
    memory = _fields(f"/proc/{pid}/smaps_rollup")
    states = [_state(child) for child in descendants(pid)]
    return Belongings(
        rss_mb=memory["Rss"] * 1024 / 1e6,
        pss_mb=memory["Pss"] * 1024 / 1e6,
        descriptors=_count(f"/proc/{pid}/fd"),
        threads=_count(f"/proc/{pid}/task"),
        descendants=sum(state not in "Z?" for state in states),
        zombies=states.count("Z"),
    )


def descendants(pid):
    """Return every process that descends from one, zombies included."""
    found, waiting = [], [pid]
    while waiting:
        below = children(waiting.pop())
        found += below
        waiting += below
    return found


def _count(folder):
    return len(list(Path(folder).iterdir()))


def _fields(path):
    """Return the numbers of a file with lines like `Rss:  47000 kB`."""
    lines = (line.partition(":") for line in Path(path).read_text().splitlines()[1:])
    return {name: int(rest.split()[0]) for name, _, rest in lines}


def _state(pid):
    """Return the letter of a process's state, `?` if it is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return "?"


def files_and_bytes(folder):
    """Return how many files lie in and below a folder, and how many bytes they have together."""
    count = total = 0
    for root, _, names in os.walk(folder):
        for name in names:
            try:
                total += Path(root, name).stat().st_size
            except FileNotFoundError:
                continue
            count += 1
    return count, total
