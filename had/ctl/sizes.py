"""Sizes, rates and times that are left, as people read them."""

_UNITS = ("B", "kB", "MB", "GB", "TB")


def size_words(count: float) -> str:
    """Show a number of bytes with three digits and a decimal unit, like `1.25 MB`."""
    size, unit = float(count), 0
    # 999.5 would show as 1e+03.
    while size >= 999.5 and unit < len(_UNITS) - 1:
        size, unit = size / 1000, unit + 1
    if unit == 0:
        return f"{count:.0f} B"
    return f"{size:.0f} {_UNITS[unit]}" if size >= 999.5 else f"{size:.3g} {_UNITS[unit]}"


def rate_words(bytes_per_second: float) -> str:
    """Show a rate, like `118 MB/s`."""
    return f"{size_words(bytes_per_second)}/s"


def time_words(seconds: float) -> str:
    """Show a length of time, like `0.4 s`, `83 s`, `5 min` or `3.2 h`."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
