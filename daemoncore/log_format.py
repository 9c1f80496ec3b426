"""How one log line reads: HTCondor's header, the event's constant name, and its fields.

Values come from peers and operators as well as from us, so whatever could end a line or pass for another
field is quoted and escaped: one event is one line, always.
"""

import json
import math
import os
import time
from collections.abc import Mapping
from typing import Final

from daemoncore.log_levels import Level

#: HTCondor's default of DEBUG_TIME_FORMAT.
DEFAULT_TIME_FORMAT: Final = "%m/%d/%y %H:%M:%S"

#: A longer value is cut: a peer must not fill the log with one message.
VALUE_LIMIT_CHARACTERS: Final = 1000


def render(event: str, fields: Mapping[str, object]) -> str:
    """Give the line's text: the event and ` key=value` for each field, in their order."""
    return event + "".join(f" {name}={render_value(value)}" for name, value in fields.items())


def render_value(value: object) -> str:
    """Give one value: bare when it is plain, in double quotes with JSON's escapes when it is not.

    None is `none`, booleans are `true` and `false`, floats have at most six digits, sequences are joined
    by commas.
    """
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:.6g}" if math.isfinite(value) else str(value)
    if isinstance(value, (list, tuple, set, frozenset)):
        return _quoted(",".join(str(one) for one in value))
    return _quoted(str(value))


def _quoted(text: str) -> str:
    """Quote what is not plain; the journal of a terminal sees no control character."""
    if len(text) > VALUE_LIMIT_CHARACTERS:
        text = text[:VALUE_LIMIT_CHARACTERS] + "..."
    is_plain = bool(text) and text.isprintable() and not any(character in ' "=\\' for character in text)
    if is_plain:
        return text
    return json.dumps(text, ensure_ascii=not text.isprintable())


def header(now: float, level: Level, parts: frozenset[str], *, time_format: str = DEFAULT_TIME_FORMAT) -> str:
    """Give the beginning of a line, with its trailing blank.

    Args:
        now: Unix time in seconds; local time is shown.
        level: the line's category.
        parts: what the debug flags ask for (`DebugFlags.header`).
        time_format: DEBUG_TIME_FORMAT, for strftime.
    """
    # Milliseconds are rounded before the split, so that .9996 does not become .1000.
    seconds, milliseconds = divmod(round(now * 1000), 1000)
    if "sub_second" not in parts:
        seconds = int(now)
    stamp = str(seconds) if "timestamp" in parts else time.strftime(time_format, time.localtime(seconds))
    pieces = [f"{stamp}.{milliseconds:03d}" if "sub_second" in parts else stamp]
    if "descriptors" in parts:
        pieces.append(f"(fd:{_lowest_free_descriptor()})")
    if "pid" in parts:
        pieces.append(f"(pid:{os.getpid()})")
    if "category" in parts:
        pieces.append(f"({_category_shown(level)})")
    return " ".join(pieces) + " "


def _category_shown(level: Level) -> str:
    """Name the category as HTCondor does, which shows D_STATUS as D_ALWAYS."""
    category = "D_ALWAYS" if level.category == "D_STATUS" else level.category
    return f"{category}:{level.verbosity}" if level.verbosity > 1 else category


def _lowest_free_descriptor() -> int:
    """Give the lowest descriptor that is not open, which creeps up when descriptors leak."""
    descriptor = os.open("/", os.O_RDONLY | os.O_DIRECTORY)
    os.close(descriptor)
    return descriptor
