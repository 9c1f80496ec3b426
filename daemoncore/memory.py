"""Gives back to the kernel what only the start of a daemon needed.

A start reads every module and the whole configuration, and leaves holes in the C library's heap that are resident for as
long as the daemon lives: about a megabyte of each daemon's fifty.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc


def give_back() -> None:
    """Let go of garbage and of free memory; takes some ten milliseconds, so not in the middle of work."""
    gc.collect()
    # glibc has it (malloc_trim(3)), others need it not.
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(ctypes.c_size_t(0))
