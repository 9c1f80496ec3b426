"""The daemon's log as a whole: knobs to lines, the journal, and readers that have stopped."""

import logging
import os
import re

import pytest

from daemoncore.log import (
    DaemonLog,
    LogSettings,
    LogSettingsError,
    is_journal,
    log_event,
    serve_logger,
    write_without_waiting,
)
from daemoncore.log_file import RotationLimit
from daemoncore.log_levels import ALWAYS, ERROR, FULLDEBUG, NETWORK, WARNING, DebugFlags

LOGGER = "had_test_log"


@pytest.fixture
def pipe():
    """A pipe in place of standard error."""
    reader, writer = os.pipe()
    yield reader, writer
    os.close(reader)
    os.close(writer)


@pytest.fixture
def serve():
    """Serve the test's logger, and give it back."""
    logs = []

    def serve_one(settings, **options):
        log = DaemonLog(settings, environment=options.pop("environment", {}), **options)
        logs.append(log)
        return serve_logger(LOGGER, log)

    yield serve_one
    logger = logging.getLogger(LOGGER)
    for log in logs:
        logger.removeHandler(log)
        log.close()
    logger.propagate = True


def knobs(**values):
    """A configuration that has these knobs."""
    return values.get


def test_event_is_a_line_in_the_file(serve, tmp_path):
    """An event stands in the log with HTCondor's header, its name and its fields."""
    logger = serve(LogSettings(path=tmp_path / "HADLog"))
    log_event(logger, ALWAYS, "leader_changed", leader="127.0.0.1:9620", epoch=385, reason="no leader")
    assert re.fullmatch(
        r'\d\d/\d\d/\d\d \d\d:\d\d:\d\d leader_changed leader=127.0.0.1:9620 epoch=385 reason="no leader"\n',
        (tmp_path / "HADLog").read_text(),
    )


def test_flags_decide_what_is_shown(serve, tmp_path):
    """Categories that are off leave no line, and a reconfiguration turns them on."""
    settings = LogSettings(path=tmp_path / "HADLog")
    logger = serve(settings)
    log_event(logger, NETWORK, "packet_sent")
    log_event(logger, FULLDEBUG, "heartbeat")
    log_event(logger, ERROR, "disk_failed")
    (log,) = logger.handlers
    log.reconfigure(LogSettings(path=settings.path, flags=DebugFlags.parse("D_NETWORK D_CAT")))
    serve_logger(LOGGER, log)
    log_event(logger, NETWORK, "packet_sent")
    log_event(logger, FULLDEBUG, "heartbeat")
    lines = settings.path.read_text().splitlines()
    assert [line.split(" ", 2)[2] for line in lines] == ["disk_failed", "(D_NETWORK) packet_sent"]


def test_lines_of_other_libraries_are_one_line_each(serve, tmp_path):
    """What a library logs appears as an event with its text as a field, traceback named."""
    serve(LogSettings(path=tmp_path / "HADLog"))
    logger = logging.getLogger(f"{LOGGER}.trio")
    logger.info("not %s", "shown")
    try:
        int("two\nlines")
    except ValueError:
        logger.exception("it %s", "failed")
    (line,) = (tmp_path / "HADLog").read_text().splitlines()
    expected = f'library_message logger={LOGGER}.trio text="it failed" exception="ValueError('
    assert expected in line


def test_repeats_are_told_when_the_log_closes(serve, tmp_path):
    """Equal lines beyond the burst become one line that counts them."""
    logger = serve(LogSettings(path=tmp_path / "HADLog"))
    for _ in range(62):
        log_event(logger, WARNING, "peer_denied", peer="127.0.0.2:9620")
    logger.handlers[0].close()
    lines = (tmp_path / "HADLog").read_text().splitlines()
    assert len(lines) == 6
    assert lines[-1].endswith("peer_denied peer=127.0.0.2:9620 ... repeated 57 times")


@pytest.mark.parametrize(
    ("level", "prefix"), [(ALWAYS, "<6>"), (WARNING, "<4>"), (ERROR, "<3>"), (FULLDEBUG, "<7>")]
)
def test_the_journal_gets_priorities(serve, pipe, level, prefix):
    """Standard error that is the journal's stream gets sd-daemon's marks."""
    status = os.fstat(pipe[1])
    environment = {"JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino}"}
    settings = LogSettings(flags=DebugFlags.parse("D_FULLDEBUG"))
    logger = serve(settings, environment=environment, descriptor=pipe[1])
    log_event(logger, level, "started")
    assert re.fullmatch(rf"{prefix}\d\d/\d\d/\d\d \S+ started\n", os.read(pipe[0], 4096).decode())


def test_other_streams_get_no_priorities(pipe):
    """A JOURNAL_STREAM that names another stream (an inherited variable) is not believed."""
    assert not is_journal({"JOURNAL_STREAM": "1:2"}, pipe[1])
    assert not is_journal({}, pipe[1])
    assert not is_journal({"JOURNAL_STREAM": "1:2"}, 987654)


def test_stalled_reader_does_not_stop_the_daemon(serve, pipe):
    """A full pipe drops lines, counts them, and blocks nobody."""
    logger = serve(LogSettings(), descriptor=pipe[1])
    (log,) = logger.handlers
    for number in range(3000):
        log_event(logger, ALWAYS, "line", number=number, padding="x" * 100)
    assert log.dropped_count > 1000
    assert len(os.read(pipe[0], 1 << 20)) > 0


def test_closed_standard_error_is_survived(serve):
    """With standard error closed there is no place left, and still no exception."""
    reader, writer = os.pipe()
    os.close(reader)
    try:
        logger = serve(LogSettings(), descriptor=writer)
        log_event(logger, ALWAYS, "started")
        assert logger.handlers[0].dropped_count == 1
        assert not write_without_waiting(987654, b"line\n")
    finally:
        os.close(writer)


def test_long_line_is_cut_to_what_a_pipe_takes_at_once(pipe):
    """A line longer than PIPE_BUF is cut, with an end."""
    assert write_without_waiting(pipe[1], b"x" * 10000 + b"\n")
    line = os.read(pipe[0], 1 << 16)
    assert len(line) == 4096
    assert line.endswith(b"x...\n")


def test_unwritable_file_is_counted_over_reconfigurations(serve, tmp_path, pipe):
    """Lines that miss the file are counted for the metrics, and a new path does not forget them."""
    logger = serve(LogSettings(path=tmp_path / "absent" / "HADLog"), descriptor=pipe[1])
    (log,) = logger.handlers
    log_event(logger, ALWAYS, "started")
    assert log.lost_count == 1
    assert "ENOENT" in log.failure
    log.reconfigure(LogSettings(path=tmp_path / "HADLog"))
    log_event(logger, ALWAYS, "started")
    assert log.lost_count == 1
    assert log.failure is None
    assert b"log_not_writable" in os.read(pipe[0], 4096)


def test_tick_is_a_sign_of_life(serve, tmp_path):
    """A tick leaves the log's content alone."""
    logger = serve(LogSettings(path=tmp_path / "HADLog"))
    logger.handlers[0].tick()
    assert (tmp_path / "HADLog").read_text() == ""


def test_settings_come_from_htcondors_knobs(tmp_path):
    """Each knob of the log lands in its setting."""
    settings = LogSettings.from_knobs(
        knobs(
            HAD_LOG=str(tmp_path / "HADLog"),
            ALL_DEBUG="D_PID",
            HAD_DEBUG="D_FULLDEBUG",
            DEFAULT_DEBUG="D_NETWORK",
            MAX_HAD_LOG="1 day",
            MAX_NUM_HAD_LOG="3",
            TRUNC_HAD_LOG_ON_OPEN="true",
            LOGS_USE_TIMESTAMP="True",
            DEBUG_TIME_FORMAT='"%H:%M "',
        ),
        "HAD",
    )
    assert settings.path == tmp_path / "HADLog"
    assert settings.limit == RotationLimit(86400, is_time=True)
    assert settings.kept_count == 3
    assert settings.is_truncated
    assert settings.flags.header == {"pid", "timestamp"}
    assert settings.flags.is_shown(FULLDEBUG)
    assert not settings.flags.is_shown(NETWORK)
    assert settings.time_format == "%H:%M "


def test_defaults_are_htcondors():
    """Without knobs the log rotates at 10 Mb and keeps one; DEFAULT_DEBUG serves where HAD_DEBUG is unset."""
    settings = LogSettings.from_knobs(knobs(DEFAULT_DEBUG="D_NETWORK"), "HAD")
    assert settings.limit == RotationLimit(10 << 20)
    assert settings.kept_count == 1
    assert settings.path is None
    assert settings.flags.is_shown(NETWORK)
    assert LogSettings.from_knobs(knobs(MAX_DEFAULT_LOG="1 Mb"), "HAD").limit == RotationLimit(1 << 20)
    assert LogSettings.from_knobs(knobs(MAX_HAD_LOG="0"), "HAD").limit == RotationLimit(0)


def test_terminal_wins_over_the_file():
    """With -t the log goes to standard error whatever HAD_LOG says."""
    assert LogSettings.from_knobs(knobs(HAD_LOG="/var/log/HADLog"), "HAD", is_terminal=True).path is None


@pytest.mark.parametrize(
    ("name", "value"), [("MAX_HAD_LOG", "big"), ("MAX_NUM_HAD_LOG", "-1"), ("MAX_DEFAULT_LOG", "1 q")]
)
def test_meaningless_knobs_are_named(name, value):
    """An error says which knob and which value."""
    with pytest.raises(LogSettingsError, match=rf"^{name} .*{value}"):
        LogSettings.from_knobs(knobs(**{name: value}), "HAD")
