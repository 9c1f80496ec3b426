"""Gives back to the kernel what only the start of a daemon needed, and spares the collector what stays.

A start reads every module and the whole configuration, and leaves holes in the C library's heap that are resident for as
long as the daemon lives: about a megabyte of each daemon's fifty.

What a start leaves is forty thousand objects that stay for good. A full collection that looks at all of them computes for
some ten milliseconds, and a machine with more work than cores makes a quarter of a second of that, in which no heartbeat
leaves.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc


def give_back() -> None:
    """Let go of garbage and of free memory; takes some ten milliseconds, so not in the middle of work."""
    gc.collect()
    gc.freeze()
    # glibc has it (malloc_trim(3)), others need it not.
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(ctypes.c_size_t(0))
