"""Lengths of time as people write them: `90`, `90s`, `30m`, `2h`, `1d`, and joined, `1h30m`."""

import argparse
import re

_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_PART = re.compile(r"(\d+(?:\.\d+)?)([smhdw]?)")


def duration_argument(text: str) -> float:
    """Return the seconds that a length of time has, for argparse.

    Raises:
        argparse.ArgumentTypeError: it is no length of time, or none at all.
    """
    compact = text.strip().lower().replace(" ", "")
    parts = _PART.findall(compact)
    is_whole = "".join(number + unit for number, unit in parts) == compact and bool(parts)
    # A bare number is seconds; next to another part it could mean anything.
    is_plain = len(parts) == 1 or all(unit for _, unit in parts)
    seconds = sum(float(number) * _SECONDS[unit] for number, unit in parts)
    if not (is_whole and is_plain and seconds > 0):
        raise argparse.ArgumentTypeError(f"must be a length of time like 90s, 30m, 2h or 1h30m (got {text})")
    return seconds
