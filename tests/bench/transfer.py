"""Measures copies: `python -m tests.bench.transfer [--sizes 1M,100M,1G] [--runs 3] [--folder PLACE]`.

Each size goes through two real transferers on loopback, in clear and encrypted, from the daemon's word to a file that is
synced and verified, and beside it through what is at hand: a plain socket copy with SHA-256 on both ends (the measure of
promise R4: at least half its rate), the same without a digest, rsync and socat. All in one run, because machines differ and
so do moments. Then 1 KB is appended to the largest file again and again (R3: less than 1 MB moves, and less than 50 ms of
CPU on each side).
"""

import argparse
import contextlib
import hashlib
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.transferer.copies import Pair, connected, file_entry

BLOCK_BYTES = 1 << 20
APPENDS = 10
UNITS = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}

SENDER = """
import hashlib, socket, sys
connection, digest = socket.socket(fileno=int(sys.argv[1])), hashlib.sha256()
with open(sys.argv[2], "rb") as file:
    while block := file.read(1 << 20):
        if sys.argv[3] == "1":
            digest.update(block)
        connection.sendall(block)
"""
RECEIVER = """
import hashlib, os, socket, sys
connection, digest = socket.socket(fileno=int(sys.argv[1])), hashlib.sha256()
buffer = memoryview(bytearray(1 << 20))
with open(sys.argv[2], "wb") as file:
    while count := connection.recv_into(buffer):
        if sys.argv[3] == "1":
            digest.update(buffer[:count])
        file.write(buffer[:count])
    file.flush()
    os.fsync(file.fileno())
"""


def cpu_seconds(pid: int) -> float:
    """Return the processor time that a process has used, user and system."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_bytes(pid: int) -> int:
    """Return the most memory that a process has had."""
    line = next(x for x in Path(f"/proc/{pid}/status").read_text().splitlines() if x.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


@contextlib.contextmanager
def pair(target: Path, *, is_encrypted: bool) -> Iterator[Pair]:
    """Two transferers that wait for their first version."""
    both = Pair.start(
        is_encrypted=is_encrypted,
        files=[str(target)],
        takes_tails=True,
        stall_seconds=60,
        lifetime_seconds=3600,
        up={"lifetime_seconds": 3600, "stall_seconds": 60},
    )
    try:
        yield both
    finally:
        both.close()


def ours(source: Path, target: Path, *, is_encrypted: bool) -> tuple[float, str]:
    """Copy with our transferers; return the seconds and a remark."""
    with pair(target, is_encrypted=is_encrypted) as both:
        began = time.monotonic()
        received = both.copy({}, [file_entry(source)], have=[], seconds=600)
        seconds = time.monotonic() - began
        most = max(resident_bytes(one.process.pid) for one in (both.up, both.down))
        cpu = [cpu_seconds(one.process.pid) for one in (both.up, both.down)]
        Path(received["entries"][0]["temporary"]).rename(target)
    return seconds, f"{most >> 20} MiB resident, CPU {cpu[0]:.2f} s up, {cpu[1]:.2f} s down"


def plain(source: Path, target: Path, *, has_digest: bool) -> tuple[float, str]:
    """Copy through a socket with thirty lines of Python, in two processes as well."""
    one, other = connected()
    began = time.monotonic()
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", program, str(end.fileno()), str(path), str(int(has_digest))],
            pass_fds=[end.fileno()],
        )
        for program, end, path in ((SENDER, one, source), (RECEIVER, other, target))
    ]
    one.close()
    other.close()
    assert [process.wait() for process in processes] == [0, 0]
    return time.monotonic() - began, ""


def rsync(source: Path, target: Path) -> tuple[float, str]:
    """Copy with rsync, whole files, no network."""
    began = time.monotonic()
    subprocess.run(["rsync", "--whole-file", "--fsync", source, target], check=True)
    return time.monotonic() - began, "no digest, no network"


def socat(source: Path, target: Path) -> tuple[float, str]:
    """Copy with socat over loopback."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    began = time.monotonic()
    listening = subprocess.Popen(
        ["socat", "-u", "-b", "1048576", f"TCP-LISTEN:{port},bind=127.0.0.1,reuseaddr", f"CREATE:{target}"]
    )
    address = f"TCP:127.0.0.1:{port},retry=100,interval=0.01"
    subprocess.run(["socat", "-u", "-b", "1048576", f"OPEN:{source}", address], check=True)
    assert listening.wait() == 0
    return time.monotonic() - began, "no digest, no sync"


def ways() -> dict[str, Callable[[Path, Path], tuple[float, str]]]:
    """Return every way of copying that this machine has, by name."""
    found: dict[str, Callable[[Path, Path], tuple[float, str]]] = {
        "transferer, clear": lambda source, target: ours(source, target, is_encrypted=False),
        "transferer, AES": lambda source, target: ours(source, target, is_encrypted=True),
        "plain socket, SHA-256": lambda source, target: plain(source, target, has_digest=True),
        "plain socket": lambda source, target: plain(source, target, has_digest=False),
    }
    found |= {"rsync": rsync} if shutil.which("rsync") else {}
    return found | ({"socat": socat} if shutil.which("socat") else {})


def make(path: Path, size: int) -> None:
    """Write a file that does not compress."""
    with path.open("wb") as file:
        for start in range(0, size, BLOCK_BYTES):
            file.write(os.urandom(min(BLOCK_BYTES, size - start)))
        file.flush()
        os.fsync(file.fileno())


def copies(folder: Path, size: int, runs: int) -> None:
    """Print what each way takes for one size."""
    source, target = folder / "source", folder / "target"
    make(source, size)
    expected = digest(source)
    taken: dict[str, list[float]] = {name: [] for name in ways()}
    remarks = {}
    # In turn, so that what else the machine does meets all of them.
    for name, copy in [*ways().items()] * runs:
        target.unlink(missing_ok=True)
        seconds, remarks[name] = copy(source, target)
        taken[name].append(seconds)
        assert digest(target) == expected, f"{name} made another file"
    mebibytes = size >> 20
    for name, all_seconds in taken.items():
        rate = mebibytes / statistics.median(all_seconds)
        shown = "/".join(f"{seconds:.3f}" for seconds in sorted(all_seconds))
        print(f"{mebibytes:6} MiB  {name:22} {rate:8.0f} MiB/s  {shown} s  {remarks[name]}", flush=True)
    measure = statistics.median(taken["plain socket, SHA-256"])
    for name in ("transferer, clear", "transferer, AES"):
        share = measure / statistics.median(taken[name])
        print(f"{mebibytes:6} MiB  {name} has {share:.2f} of the measure's rate (R4: 0.5 at 1 GiB)")


def digest(path: Path) -> bytes:
    """Return the SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


def appends(folder: Path, *, is_encrypted: bool) -> None:
    """Print what appending 1 KB to the file in place costs, after the first version went through."""
    source, target = folder / "source", folder / "target"
    target.unlink(missing_ok=True)
    with pair(target, is_encrypted=is_encrypted) as both:
        _, _, have = grow(both, source, target, [])
        seconds, moved = [], []
        before = [cpu_seconds(one.process.pid) for one in (both.up, both.down)]
        for _ in range(APPENDS):
            with source.open("ab") as file:
                file.write(os.urandom(1000))
            taken, bytes_moved, have = grow(both, source, target, have)
            seconds.append(taken)
            moved.append(bytes_moved)
        after = [cpu_seconds(one.process.pid) for one in (both.up, both.down)]
    assert digest(source) == digest(target)
    cpu = [(end - start) / APPENDS * 1000 for start, end in zip(before, after, strict=True)]
    way = "AES" if is_encrypted else "clear"
    print(
        f"1 KB on {source.stat().st_size >> 20} MiB, {way}: {statistics.median(seconds) * 1000:.1f} ms,"
        f" {max(moved)} bytes of content, CPU {cpu[0]:.1f} ms up and {cpu[1]:.1f} ms down (R3: 1 MB, 50 ms)"
    )


def grow(both: Pair, source: Path, target: Path, have: list[dict]) -> tuple[float, int, list[dict]]:
    """Bring the copy up to date as the daemons do.

    Returns:
        The seconds to the receipt, the bytes that moved, and what the daemon knows to have now.
    """
    began = time.monotonic()
    entry = both.copy({}, [file_entry(source, is_append=bool(have))], have=have, seconds=600)["entries"][0]
    temporary = Path(entry["temporary"])
    if entry["from_bytes"]:
        with target.open("ab") as file:
            file.write(temporary.read_bytes())
        temporary.unlink()
    else:
        temporary.rename(target)
    moved = both.installed()["bytes"]
    return time.monotonic() - began, moved, [{name: entry[name] for name in ("name", "bytes", "sha256")}]


def main() -> None:
    """Run the measurements and print a line for each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", default="1M,100M,1G", help="such as 1M,100M,1G")
    parser.add_argument("--runs", type=int, default=3, help="copies of each kind; medians count")
    parser.add_argument("--folder", type=Path, default=None, help="on which disk")
    arguments = parser.parse_args()
    sizes = [int(text[:-1]) * UNITS[text[-1]] for text in arguments.sizes.split(",")]
    with tempfile.TemporaryDirectory(dir=arguments.folder) as name:
        for size in sizes:
            copies(Path(name), size, arguments.runs)
        for is_encrypted in (False, True):
            appends(Path(name), is_encrypted=is_encrypted)


if __name__ == "__main__":
    main()
