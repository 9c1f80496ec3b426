"""A daemon's life: signals, reloads, readiness, and how it ends."""

import os
import signal
import threading

import pytest
import trio
import trio.testing

from daemoncore import boottime
from daemoncore.config import ConfigurationError, Problem
from daemoncore.config.problems import Source
from daemoncore.early_signals import EarlySignals
from daemoncore.life import LOG_TICK_SECONDS, Life
from daemoncore.metrics import DaemonMetrics
from daemoncore.startup import StartError

PATIENCE_SECONDS = 10.0


class Log:
    """Counts what becomes of it."""

    lost_count = 3

    def __init__(self):
        self.ticks = 0
        self.is_closed = False

    def tick(self):
        """Show that the daemon lives."""
        self.ticks += 1

    def close(self):
        """End."""
        self.is_closed = True


class Daemon:
    """A daemon that keeps what its life has it do."""

    def __init__(self):
        self.lines = []
        self.stops = []
        self.taken = []
        self.log = Log()
        self.early_signals = EarlySignals()
        self.metrics = DaemonMetrics("had", version="0.1.0", revision="", start_time=1.0, routes=("/",))
        self.news = trio.Event()
        self.load = lambda: "a configuration"
        self.life = Life(
            "had",
            load=lambda: self.load(),  # noqa: PLW0108 -- tests replace it
            take=self.take,
            stop=self.stop,
            tell=self.tell,
            log=self.log,
            metrics=self.metrics,
            environment={},
            early_signals=self.early_signals,
            inheritance=None,
            client=lambda: pytest.fail("nobody is to be told"),
            hang_seconds=lambda: 1.0,
            last_turn=boottime.now,
            health_limit_seconds=lambda: 5.0,
        )

    def take(self, loaded):
        """Keep a configuration."""
        self.taken.append(loaded)
        self.news.set()

    def stop(self, is_fast):
        """Keep an order to stop."""
        self.stops.append(is_fast)
        self.news.set()

    def tell(self, event, **fields):
        """Keep a line."""
        self.lines.append((event, fields))
        if event == "configuration_refused":
            self.news.set()

    async def until_news(self):
        """Wait until something was done."""
        with trio.fail_after(PATIENCE_SECONDS):
            await self.news.wait()
        self.news = trio.Event()


@pytest.fixture
def daemon():
    """A daemon that has not begun to live."""
    return Daemon()


def living(daemon, story):
    """A `serve` that runs the life beside a story, and ends with it."""

    async def serve():
        async with trio.open_nursery() as nursery:
            nursery.start_soon(daemon.life.run)
            await story()
            nursery.cancel_scope.cancel()

    return serve


@pytest.mark.parametrize(
    ("number", "is_fast"), [(signal.SIGTERM, False), (signal.SIGINT, False), (signal.SIGQUIT, True)]
)
async def test_signals_stop_it(daemon, number, is_fast):
    """Whoever asks by a signal gets the kind of stop that the signal means; the log is closed behind the end."""

    async def story():
        os.kill(os.getpid(), number)
        await daemon.until_news()
        assert not daemon.log.is_closed

    await daemon.life.live(living(daemon, story))
    assert daemon.stops == [is_fast]
    assert daemon.lines == [("stop_requested", {"fast": is_fast})]
    assert daemon.log.is_closed


async def test_signals_from_before_its_birth_are_obeyed(daemon):
    """What came while the configuration was first read is not lost."""
    daemon.early_signals.begin()
    daemon.early_signals._take(signal.SIGQUIT, None)
    await daemon.life.live(living(daemon, daemon.until_news))
    assert daemon.stops == [True]


async def test_sighup_has_the_configuration_read_on_a_thread(daemon):
    """A name server that takes its time does not hold the daemon up."""
    threads = []

    def load():
        threads.append(threading.current_thread())
        return "another"

    daemon.load = load

    async def story():
        os.kill(os.getpid(), signal.SIGHUP)
        await daemon.until_news()

    await daemon.life.live(living(daemon, story))
    assert daemon.taken == ["another"]
    assert threads[0] is not threading.current_thread()


async def test_a_configuration_that_cannot_be_is_told_and_the_next_one_taken(daemon):
    """Every problem has its line; the daemon goes on, and reads again when asked again."""

    def refuse():
        raise ConfigurationError([Problem(Source("had.toml"), "one"), Problem(Source("had.toml"), "two")])

    async def story():
        daemon.load = refuse
        daemon.life.reload()
        await daemon.until_news()
        assert [event for event, _ in daemon.lines] == ["configuration_refused"] * 2
        assert b'had_config_last_reload_successful{daemon="had"} 0.0' in daemon.life.scrape()
        daemon.load = lambda: "a good one"
        daemon.life.reload()
        await daemon.until_news()

    await daemon.life.live(living(daemon, story))
    assert daemon.taken == ["a good one"]


async def test_a_mistake_while_reading_ends_no_daemon(daemon):
    """What nobody foresaw is told as a configuration that cannot be taken up."""

    def fail():
        raise KeyError("x")

    async def story():
        daemon.load = fail
        daemon.life.reload()
        await daemon.until_news()

    await daemon.life.live(living(daemon, story))
    assert daemon.lines == [("configuration_refused", {"problem": "it cannot be taken up: KeyError('x')"})]


async def test_a_stop_does_not_wait_for_a_reading(daemon):
    """A reading that hangs is left behind."""
    begun, is_over = threading.Event(), threading.Event()

    def hang():
        begun.set()
        is_over.wait(PATIENCE_SECONDS)

    async def story():
        daemon.load = hang
        daemon.life.reload()
        await trio.to_thread.run_sync(begun.wait, PATIENCE_SECONDS)

    await daemon.life.live(living(daemon, story))
    was_over = is_over.is_set()
    is_over.set()
    assert not was_over
    assert daemon.taken == []


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (StartError("the port is taken"), ("start_refused", {"error": "the port is taken"})),
        (
            ExceptionGroup("a nursery's", [ExceptionGroup("another's", [StartError("the disk failed")])]),
            ("start_refused", {"error": "the disk failed"}),
        ),
        (KeyError("x"), ("had_crashed", {"error": "KeyError('x')"})),
    ],
)
async def test_a_bad_end_is_told(daemon, error, line):
    """Its last line says why, before the log is closed."""

    async def serve():
        raise error

    with pytest.raises(type(error)):
        await daemon.life.live(serve)
    assert daemon.lines == [line]
    assert daemon.log.is_closed


async def test_an_idle_log_shows_that_its_daemon_lives(daemon, autojump_clock):
    """It is touched each minute."""

    async def story():
        await trio.sleep(2.5 * LOG_TICK_SECONDS)

    await daemon.life.live(living(daemon, story))
    assert daemon.log.ticks == 2


def test_readiness_is_told_everywhere(daemon):
    """It is starting, then it is ready, for /ready and for /metrics."""
    assert daemon.life.why_not_ready() == "starting"
    assert b'had_ready{daemon="had"} 0.0' in daemon.life.scrape()
    daemon.life.ready("takes part")
    assert daemon.life.why_not_ready() is None
    scrape = daemon.life.scrape()
    assert b'had_ready{daemon="had"} 1.0' in scrape
    assert b'had_log_lines_lost_total{daemon="had"} 3.0' in scrape
