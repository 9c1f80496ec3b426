"""Shifts the wall clock of a Python program by the seconds in the file that $SHIFTED_CLOCK names, whenever it is read.

A test puts this folder on PYTHONPATH of a daemon; Python imports a module of this name at start. Nothing else is touched:
the clocks that count up (CLOCK_MONOTONIC, CLOCK_BOOTTIME) are not changed by stepping a real wall clock either.
"""

import os
import time

_true_time = time.time


def _shifted_time():
    try:
        with open(os.environ["SHIFTED_CLOCK"]) as file:  # noqa: PTH123 -- pathlib is not imported this early
            return _true_time() + float(file.read())
    except (OSError, ValueError):
        return _true_time()


if "SHIFTED_CLOCK" in os.environ:
    time.time = _shifted_time
