"""The daemon's log: HTCondor's looks, constant event names, and fields that a program can read.

A line is a header as HTCondor's `dprintf` writes it (src/condor_utils/dprintf.cpp, 25.x), the constant
name of what happened, and `key=value` fields:

    11/22/26 05:12:01 leader_changed leader=127.0.0.1:9620 epoch=385 reason="the leader was silent"

All of it rides on the standard library's `logging`, so that the lines of other libraries come out in the
same place. The parts: `log_levels` decides what is shown, `log_format` how it reads, `log_repeats` how
often, `log_file` where it lies, `log_thread` who waits for the disk. Logging never stops a daemon, and never
waits for a reader.
"""

import logging
import os
import select
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Final

import attrs

from daemoncore.log_file import LogFile, RotationLimit
from daemoncore.log_format import DEFAULT_TIME_FORMAT, header, render
from daemoncore.log_levels import ALWAYS, ERROR, FULLDEBUG, WARNING, DebugFlags, Level
from daemoncore.log_repeats import RepeatLimiter
from daemoncore.log_thread import LogThread

STDERR: Final = 2

#: HTCondor's default of MAX_DEFAULT_LOG.
DEFAULT_LIMIT: Final = RotationLimit(10 << 20)

#: Nothing beyond what is always shown.
NO_FLAGS: Final = DebugFlags()

#: A daemon that ends gives the disk of its log so long for the last lines.
CLOSE_SECONDS: Final = 1.0

_LEVEL: Final = "daemon_log_level"
_FIELDS: Final = "daemon_log_fields"


class LogSettingsError(ValueError):
    """A knob of the log has a value that means nothing; the text names knob and value."""


@attrs.frozen
class LogSettings:
    """Where the log goes and how it looks."""

    #: None is standard error (`-t`).
    path: Path | None = None
    flags: DebugFlags = NO_FLAGS
    time_format: str = DEFAULT_TIME_FORMAT
    limit: RotationLimit = DEFAULT_LIMIT
    kept_count: int = 1
    is_truncated: bool = False
    #: User and group ids that root gives the file; None leaves them.
    owner: tuple[int, int] | None = None

    @classmethod
    def from_knobs(
        cls, text: Callable[[str], str | None], subsystem: str, *, is_terminal: bool = False
    ) -> "LogSettings":
        """Read the knobs of one daemon's log.

        Args:
            text: gives the expanded value of a knob, None when it is not set.
            subsystem: `HAD` or `REPLICATION`.
            is_terminal: `-t`: log to standard error whatever <SUBSYSTEM>_LOG says.

        Raises:
            LogSettingsError: naming knob and value.
        """
        path = text(f"{subsystem}_LOG")
        maximum = f"MAX_{subsystem}_LOG"
        own = text(f"{subsystem}_DEBUG")
        flags = DebugFlags.parse(text("ALL_DEBUG"), text("DEFAULT_DEBUG") if own is None else own)
        if _is_true(text("LOGS_USE_TIMESTAMP")):
            flags = attrs.evolve(flags, header=flags.header | {"timestamp"})
        return cls(
            path=None if is_terminal or not path else Path(path),
            flags=flags,
            time_format=(text("DEBUG_TIME_FORMAT") or DEFAULT_TIME_FORMAT).strip('"'),
            limit=_limit(maximum, text(maximum))
            or _limit("MAX_DEFAULT_LOG", text("MAX_DEFAULT_LOG"))
            or DEFAULT_LIMIT,
            kept_count=_count(f"MAX_NUM_{subsystem}_LOG", text(f"MAX_NUM_{subsystem}_LOG")),
            is_truncated=_is_true(text(f"TRUNC_{subsystem}_LOG_ON_OPEN")),
        )


def _is_true(text: str | None) -> bool:
    return (text or "").strip().lower() in {"true", "yes", "t", "y", "1"}


def _limit(knob: str, text: str | None) -> RotationLimit | None:
    if not text:
        return None
    try:
        return RotationLimit.parse(text)
    except ValueError as error:
        raise LogSettingsError(f"{knob} {error}") from None


def _count(knob: str, text: str | None) -> int:
    if not text:
        return 1
    if not text.strip().isdecimal():
        raise LogSettingsError(f"{knob} must be a whole number, 0 or more (got {text!r})")
    return int(text)


def log_event(logger: logging.Logger, level: Level, event: str, /, **fields: object) -> None:
    """Log that `event` happened.

    Args:
        logger: any logger below the one that a `DaemonLog` serves.
        level: the category, from `log_levels`.
        event: a constant name, in snake case; docs/reference lists it.
        **fields: what a reader needs, rendered in this order.
    """
    if logger.isEnabledFor(level.number):
        logger.log(level.number, "%s", event, extra={_LEVEL: level, _FIELDS: fields}, stacklevel=2)


def journal_prefix(level_number: int) -> str:
    """Give systemd's priority mark (sd-daemon(3)) for a standard-library level."""
    if level_number >= logging.ERROR:
        return "<3>"
    if level_number >= logging.WARNING:
        return "<4>"
    return "<6>" if level_number >= logging.INFO else "<7>"


def is_journal(environment: Mapping[str, str], descriptor: int = STDERR) -> bool:
    """Say whether `descriptor` goes straight to the journal: JOURNAL_STREAM names its device and inode."""
    try:
        status = os.fstat(descriptor)
    except OSError:
        return False
    return environment.get("JOURNAL_STREAM") == f"{status.st_dev}:{status.st_ino}"


def write_without_waiting(descriptor: int, line: bytes) -> bool:
    """Write `line` if that needs no waiting for a reader; False when it was dropped.

    Standard error may be a pipe whose reader has stopped. A pipe that polls writable takes PIPE_BUF bytes
    at once (pipe(7)), so a long line is cut to that.
    """
    if len(line) > select.PIPE_BUF:
        line = line[: select.PIPE_BUF - 4] + b"...\n"
    poll = select.poll()
    poll.register(descriptor, select.POLLOUT)
    try:
        ready = poll.poll(0)
        if not ready or not ready[0][1] & select.POLLOUT:
            return False
        os.write(descriptor, line)
    except OSError:
        return False
    return True


class DaemonLog(logging.Handler):
    """The one handler of a daemon: a file, or standard error.

    Attributes:
        dropped_count: lines that reached neither the file nor standard error.
    """

    def __init__(
        self,
        settings: LogSettings,
        *,
        environment: Mapping[str, str],
        descriptor: int = STDERR,
        clock: Callable[[], float] = time.time,
        limiter: RepeatLimiter | None = None,
        has_thread: bool = False,
    ) -> None:
        """Open the log.

        Args:
            settings: where and how.
            environment: the process's, for JOURNAL_STREAM.
            descriptor: standard error, or what stands for it.
            clock: Unix time in seconds.
            limiter: None is the usual one.
            has_thread: a thread writes the file, so that a disk that stands still does not stop whoever logs.
        """
        super().__init__()
        self._has_thread = has_thread
        self._descriptor = descriptor
        self._clock = clock
        self._limiter = limiter or RepeatLimiter()
        self._is_journal = is_journal(environment, descriptor)
        self.dropped_count = 0
        self._former_lost_count = 0
        self._settings = settings
        self._file = self._opened(settings, is_truncated=settings.is_truncated)

    @property
    def lost_count(self) -> int:
        """Lines that are missing in the log file since the start (most of them went to standard error)."""
        return self._former_lost_count + (self._file.lost_count if self._file else 0)

    @property
    def failure(self) -> str | None:
        """What keeps lines out of the file now, None while it works."""
        return self._file.failure if self._file else None

    @property
    def lowest_number(self) -> int:
        """The standard-library level that the served logger should have."""
        return self._settings.flags.lowest_number

    def reconfigure(self, settings: LogSettings) -> None:
        """Take new settings; the file is opened anew only when what concerns it changed."""
        before, self._settings = self._settings, settings
        is_same_file = (before.path, before.limit, before.kept_count) == (
            settings.path,
            settings.limit,
            settings.kept_count,
        )
        if not is_same_file:
            self._close_file()
            self._file = self._opened(settings, is_truncated=False)

    def _opened(self, settings: LogSettings, *, is_truncated: bool) -> LogFile | LogThread | None:
        """Open the file that the settings name, if they name one."""
        if settings.path is None:
            return None
        open_file = partial(
            LogFile,
            settings.path,
            limit=settings.limit,
            kept_count=settings.kept_count,
            is_truncated=is_truncated,
            owner=settings.owner,
            fallback=self._to_stderr,
            clock=self._clock,
        )
        return LogThread(open_file, self._to_stderr) if self._has_thread else open_file()

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record; never raises for a fault of disk or pipe."""
        level, text = _level_and_text(record)
        if not self._settings.flags.is_shown(level):
            return
        now = time.monotonic()
        self._write_summaries(self._limiter.overdue(now))
        if self._limiter.admit(text, now):
            self._write(level, text)

    def tick(self) -> None:
        """Do what is due without a line: tell repeats that are over, give the file its sign of life."""
        self._write_summaries(self._limiter.overdue(time.monotonic()))
        if self._file:
            self._file.touch()

    def close(self) -> None:
        """Tell the repeats that were counted and close the file."""
        self._write_summaries(self._limiter.drain())
        self._close_file(CLOSE_SECONDS)
        super().close()

    def _close_file(self, wait_seconds: float = 0.0) -> None:
        if self._file:
            self._former_lost_count += self._file.lost_count
            self._file.close(wait_seconds) if isinstance(self._file, LogThread) else self._file.close()
            self._file = None

    def _write_summaries(self, texts: Iterator[str]) -> None:
        for text in texts:
            self._write(ALWAYS, text)

    def _write(self, level: Level, text: str) -> None:
        """Write one line to where the log is."""
        now = self._clock()
        flags = self._settings.flags
        beginning = header(now, level, flags.header, time_format=self._settings.time_format)
        if self._file:
            self._file.write(beginning, text)
        else:
            prefix = journal_prefix(level.number) if self._is_journal else ""
            self._to_stderr((prefix + beginning + text + "\n").encode("utf-8", "backslashreplace"))

    def _to_stderr(self, line: bytes) -> None:
        if not write_without_waiting(self._descriptor, line):
            self.dropped_count += 1


def _level_and_text(record: logging.LogRecord) -> tuple[Level, str]:
    """Read an event of ours, or what another library logged."""
    level = getattr(record, _LEVEL, None)
    if isinstance(level, Level):
        return level, render(str(record.getMessage()), getattr(record, _FIELDS))
    fields: dict[str, object] = {"logger": record.name, "text": record.getMessage()}
    if record.exc_info and record.exc_info[1] is not None:
        fields["exception"] = repr(record.exc_info[1])
    text = render("library_message", fields)
    if record.levelno >= logging.ERROR:
        return ERROR, text
    if record.levelno >= logging.WARNING:
        return WARNING, text
    return FULLDEBUG, text


def serve_logger(name: str, log: DaemonLog) -> logging.Logger:
    """Make `log` the one handler of the logger `name` and of all below it; for start-up and reconfiguration.

    `name` is empty for the root: then lines of other libraries are kept too.
    """
    logger = logging.getLogger(name)
    for handler in list(logger.handlers):
        logger.removeHandler(handler)
    logger.addHandler(log)
    logger.setLevel(log.lowest_number)
    logger.propagate = False
    return logger
