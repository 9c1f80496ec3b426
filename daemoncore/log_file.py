"""One log file as HTCondor's daemons keep it: rotated by size or age, and never a reason to stop.

The rules are those of HTCondor's `dprintf.cpp` and `log_rotate.cpp` (25.x), so that the tools and habits
of a pool's operators work unchanged: the length is checked before each write; `MaxLog = ...` and `Saving
log file to ...` end the old file, `Now in new log file ...` begins the new one; with one kept file it is
`<log>.old`, with several they carry a time stamp, and the oldest of too many becomes `<log>.old`.

Where HTCondor's daemon exits (a folder that is gone, a full disk), ours goes on: lines go to the fallback,
the loss is counted, opening is tried again every few seconds, and the first line of the file that works
again says what is missing.
"""

import contextlib
import errno as errno_names
import os
import re
import stat
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import attrs

from daemoncore.append_file import open_to_append

#: How long a log that failed is left alone before it is tried again, in seconds.
RETRY_SECONDS: Final = 5.0

_SIZES: Final = {"B": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
_TIMES: Final = {"S": 1, "M": 60, "H": 3600, "D": 86400, "W": 7 * 86400}
_LIMIT: Final = re.compile(r"\s*(\d+)\s*([A-Za-z]*)\s*")
_ROTATED_SUFFIX: Final = re.compile(r"old|\d{8}T\d{6}")


@attrs.frozen
class RotationLimit:
    """When a log is rotated: at so many bytes, or after so many seconds; 0 means never."""

    amount: int
    is_time: bool = False

    @classmethod
    def parse(cls, text: str) -> "RotationLimit":
        """Read the value of MAX_<SUBSYS>_LOG: `640000`, `10 Mb`, `1 day`, `90 min`.

        A lone `M` is megabytes and a lone `m` minutes, as in HTCondor's `dprintf_parse_log_size`.

        Raises:
            ValueError: it is neither a size nor a time.
        """
        match = _LIMIT.fullmatch(text)
        if match is None:
            raise ValueError(
                f"must be a whole number of bytes or a time, such as 10 Mb or 1 day (got {text!r})"
            )
        number, unit = int(match[1]), match[2]
        letter = unit[:1].upper()
        is_minutes = letter == "M" and (
            unit == "m" or (unit[1:2].upper() == "I" and unit[2:3].upper() != "B")
        )
        if not unit:
            return cls(number)
        if is_minutes or letter in "SHDW":
            return cls(number * _TIMES[letter], is_time=True)
        if letter not in _SIZES or (letter == "M" and unit[1:2].upper() not in {"", "B", "I"}):
            raise ValueError(f"must end in a unit such as Kb, Mb, Gb, min, hours or days (got {text!r})")
        return cls(number * _SIZES[letter])


class LogFile:
    """Appends whole lines to one file of this process; no method raises for a fault of the disk."""

    def __init__(
        self,
        path: Path,
        *,
        limit: RotationLimit,
        kept_count: int = 1,
        is_truncated: bool = False,
        owner: tuple[int, int] | None = None,
        fallback: Callable[[bytes], None],
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Open the log; a failure to do so is told to the fallback and tried again later.

        Args:
            path: the file.
            limit: when to rotate.
            kept_count: rotated files to keep (MAX_NUM_<SUBSYS>_LOG).
            is_truncated: begin with an empty file (TRUNC_<SUBSYS>_LOG_ON_OPEN).
            owner: user and group ids that a new file is given, if we may; None leaves them.
            fallback: takes the lines that the file could not.
            clock: Unix time in seconds.
        """
        self._path = path
        self._owner = owner
        self._limit = limit
        self._kept_count = kept_count
        self._fallback = fallback
        self._clock = clock
        self._descriptor: int | None = None
        self._began = 0.0
        self._retry_at = 0.0
        self._rotate_at = 0.0
        self._failure: str | None = None
        self._missing_count = 0
        self._is_line_torn = False
        self.lost_count = 0
        try:
            self._open(os.O_TRUNC if is_truncated else 0)
        except OSError as error:
            self._fail(error, "")

    @property
    def failure(self) -> str | None:
        """What keeps lines out of the file now, None while it works."""
        return self._failure

    def write(self, header: str, text: str) -> None:
        """Append one line, rotating first when it is due.

        Args:
            header: the line's beginning (the time), used for notices of our own as well.
            text: the rest, without a line end.
        """
        line = _encoded(header + text)
        now = self._clock()
        if self._descriptor is None and 0 <= self._retry_at - now <= RETRY_SECONDS:
            self._lose(line)
            return
        try:
            self._reopen_if_moved()
            self._rotate_if_due(header, now)
            self._tell_recovery(header)
            self._append(line)
        except OSError as error:
            self._fail(error, header)
            self._lose(line)

    def touch(self) -> None:
        """Change the file's ctime and not its mtime: a sign of life while there is nothing to say.

        HTCondor does it every TOUCH_LOG_INTERVAL seconds.
        """
        if self._descriptor is not None:
            with contextlib.suppress(OSError):
                os.fchmod(self._descriptor, stat.S_IMODE(os.fstat(self._descriptor).st_mode))

    def close(self) -> None:
        """Close the file."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _open(self, flags: int = 0) -> None:
        """Open for appending; the age of a log that is already there counts from its last change."""
        self._descriptor = open_to_append(self._path, self._owner, flags=flags)
        status = os.fstat(self._descriptor)
        self._began = status.st_mtime if status.st_size else self._clock()

    def _reopen_if_moved(self) -> None:
        """Follow the name when somebody else (logrotate, an operator) moved or deleted the file."""
        if self._descriptor is not None:
            held = os.fstat(self._descriptor)
            with contextlib.suppress(FileNotFoundError):
                named = self._path.stat()
                if (named.st_dev, named.st_ino) == (held.st_dev, held.st_ino):
                    return
            self.close()
        self._open()

    def _rotate_if_due(self, header: str, now: float) -> None:
        """Rotate when the limit is reached, with HTCondor's three notices."""
        assert self._descriptor is not None
        if not self._limit.amount or 0 <= self._rotate_at - now <= RETRY_SECONDS:
            return
        stamp = now
        if self._limit.is_time:
            # Boundaries are multiples of the period since 1970, in UTC, as HTCondor's quantizeTimestamp.
            stamp = self._began - self._began % self._limit.amount
            length = int(now - now % self._limit.amount - stamp)
        else:
            length = os.fstat(self._descriptor).st_size
        if length < self._limit.amount:
            return
        unit = "sec" if self._limit.is_time else "bytes"
        old = self._rotated_name(stamp)
        # The name first: a folder that cannot be written must cost the rotation only, not the lines.
        try:
            self._path.rename(old)
        except OSError as error:
            self._rotate_at = now + RETRY_SECONDS
            self._fallback(_encoded(f'{header}log_not_rotated path={self._path} reason="{error.strerror}"'))
            return
        self._append(_encoded(f"{header}MaxLog = {self._limit.amount} {unit}, length = {length}"))
        self._append(_encoded(f'{header}Saving log file to "{old}"'))
        self.close()
        self._open()
        self._began = now
        self._append(_encoded(f"{header}Now in new log file {self._path}"))
        self._remove_oldest()

    def _rotated_name(self, stamp: float) -> Path:
        suffix = "old" if self._kept_count <= 1 else time.strftime("%Y%m%dT%H%M%S", time.localtime(stamp))
        return self._path.with_name(f"{self._path.name}.{suffix}")

    def _remove_oldest(self) -> None:
        """Rename the oldest of too many rotated files to `.old`, which drops the one before it."""
        prefix = f"{self._path.name}."
        rotated = sorted(
            entry
            for entry in self._path.parent.iterdir()
            if entry.name.startswith(prefix) and _ROTATED_SUFFIX.fullmatch(entry.name.removeprefix(prefix))
        )
        old = self._path.with_name(f"{prefix}old")
        while self._kept_count >= 1 and len(rotated) > self._kept_count and rotated[0] != old:
            rotated.pop(0).rename(old)
            if old not in rotated:
                rotated.append(old)

    def _append(self, line: bytes) -> None:
        """Append a whole line; a part that was written before a failure is ended when writing works again."""
        assert self._descriptor is not None
        if self._is_line_torn:
            line = b"\n" + line
        view = memoryview(line)
        while view:
            written = os.write(self._descriptor, view)
            self._is_line_torn = view[written - 1] != ord("\n")
            view = view[written:]

    def _tell_recovery(self, header: str) -> None:
        """Begin again with what is missing."""
        if self._failure is None:
            return
        text = f'log_writable_again path={self._path} missing_lines={self._missing_count} reason="{self._failure}"'
        self._append(_encoded(header + text))
        self._failure, self._missing_count = None, 0

    def _fail(self, error: OSError, header: str) -> None:
        """Leave the file alone for a while; the first failure of a row is told to the fallback."""
        name = errno_names.errorcode.get(error.errno or 0, str(error.errno))
        reason = f"{error.strerror or error} ({name})"
        self.close()
        self._retry_at = self._clock() + RETRY_SECONDS
        if self._failure is None:
            self._fallback(_encoded(f'{header}log_not_writable path={self._path} reason="{reason}"'))
        self._failure = reason

    def _lose(self, line: bytes) -> None:
        self.lost_count += 1
        self._missing_count += 1
        self._fallback(line)


def _encoded(line: str) -> bytes:
    return line.encode("utf-8", "backslashreplace") + b"\n"
