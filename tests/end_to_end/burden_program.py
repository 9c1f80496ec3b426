"""One part of a burden on a machine; `burden.py` starts as many as it needs.

    burden_program.py burn                  keep one core busy
    burden_program.py hog BYTES             fill so much memory, and dirty all of it again and again
    burden_program.py write FILE BYTES      write so much, again and again, and wait for the disk every 4 MiB

Each ends by itself when its parent is gone, so that nothing is left to burden the machine.
"""

import mmap
import os
import sys

PAGE_BYTES = 4096
BLOCK_BYTES = 1 << 20
BLOCKS_A_SYNC = 4


def burn():
    """Compute."""
    while True:
        for _ in range(1_000_000):
            pass
        yield


def hog(size):
    """Dirty every page; give a quarter back each round, so that the kernel has to find pages for it again."""
    memory = mmap.mmap(-1, size, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    pages = size // PAGE_BYTES
    quarter = pages // 4 * PAGE_BYTES
    while True:
        for round_number in range(4):
            memory[::PAGE_BYTES] = bytes([round_number]) * pages
            memory.madvise(mmap.MADV_DONTNEED, round_number * quarter, quarter)
            yield


def write(path, size):
    """Write blocks and sync them."""
    block = os.urandom(BLOCK_BYTES)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
    while True:
        for number in range(size // BLOCK_BYTES):
            os.pwrite(descriptor, block, number * BLOCK_BYTES)
            if number % BLOCKS_A_SYNC == BLOCKS_A_SYNC - 1:
                os.fsync(descriptor)
                yield


def main():
    """Be a burden for as long as the parent lives."""
    # The memory that a burden takes must never be anybody else's: it is the first to go.
    with open("/proc/self/oom_score_adj", "w") as file:  # noqa: PTH123 -- pathlib is not needed for one line
        file.write("1000")
    parent = os.getppid()
    match sys.argv[1:]:
        case ["burn"]:
            rounds = burn()
        case ["hog", size]:
            rounds = hog(int(size))
        case ["write", path, size]:
            rounds = write(path, int(size))
        case _:
            sys.exit(__doc__)
    for _ in rounds:
        if os.getppid() != parent:
            return


if __name__ == "__main__":
    main()
