"""What every daemon of the pool tells Prometheus, and the registry that holds a daemon's families.

One registry per daemon, so that two daemons in one process (a test, the demo) do not share numbers. Every
legal combination of labels stands at 0 from the start: an alert on a rate must not miss the first event.

A scrape reads numbers that are already in memory. It touches no disk, no lock and no peer.
"""

import platform
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from prometheus_client import CollectorRegistry, disable_created_metrics, generate_latest

from daemoncore.families import Families, Family, Kind

#: What `render` gives, for the header of the answer (Prometheus text format).
CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

#: The label of requests for paths that do not exist or could not be understood.
OTHER_ROUTE: Final = "other"

#: Whose sessions: those of whoever called us, and those of the calls that we made.
SESSION_SIDES: Final = ("server", "client")

#: Why a collector could not be told (`daemoncore.client.CallFailed.kind`).
COLLECTOR_REASONS: Final = ("timeout", "refused", "unreachable", "reset", "denied", "protocol")

#: What a known path answers: found, told its methods, refused a method, failed, not now.
ROUTE_CODES: Final = ("200", "204", "405", "500", "503")

#: What is answered before a path is known, or when there is none.
OTHER_CODES: Final = ("204", "400", "404", "405", "408", "413", "431", "503")

FAMILIES: Final = (
    Family(
        "had_build_info",
        Kind.INFO,
        "Versions of the running daemon; the value is always 1.",
        ("daemon",),
        facts=("python_version", "revision", "version"),
    ),
    Family("had_start_timestamp_seconds", Kind.GAUGE, "Unix time at which the daemon started.", ("daemon",)),
    Family(
        "had_ready",
        Kind.GAUGE,
        "1 once the daemon has loaded its configuration, bound its port and finished start-up, else 0.",
        ("daemon",),
    ),
    Family(
        "had_config_last_reload_successful",
        Kind.GAUGE,
        "1 if the last attempt to load the configuration succeeded, else 0.",
        ("daemon",),
    ),
    Family(
        "had_config_last_reload_success_timestamp_seconds",
        Kind.GAUGE,
        "Unix time of the last successful configuration load.",
        ("daemon",),
    ),
    Family(
        "had_config_shared_hash",
        Kind.GAUGE,
        "48-bit hash of the settings that must be identical on every peer.",
        ("daemon",),
    ),
    Family(
        "had_log_lines_lost_total",
        Kind.COUNTER,
        "Lines that could not be written to the log file.",
        ("daemon",),
    ),
    Family(
        "had_sessions",
        Kind.GAUGE,
        "Security sessions kept in memory, each of which spares a later command its login.",
        ("daemon", "side"),
    ),
    Family(
        "had_collector_up",
        Kind.GAUGE,
        "1 if the collector has the daemon's ad on a connection that is open, else 0.",
        ("collector", "daemon"),
    ),
    Family(
        "had_collector_updates_total",
        Kind.COUNTER,
        "Ads sent to the collector.",
        ("collector", "daemon"),
    ),
    Family(
        "had_collector_failures_total",
        Kind.COUNTER,
        "Tries to reach the collector that ended without an ad sent, or too soon after it, by reason.",
        ("collector", "daemon", "reason"),
    ),
    Family(
        "had_http_requests_total",
        Kind.COUNTER,
        "HTTP requests served, by route and status code.",
        ("code", "route"),
    ),
)


class DaemonMetrics:
    """The families that all daemons have; a daemon registers its own in `registry`."""

    def __init__(
        self, daemon: str, *, version: str, revision: str, start_time: float, routes: Iterable[str]
    ) -> None:
        """Register the families.

        Args:
            daemon: label value, `had` or `replication`.
            version: of the program.
            revision: of its source, empty when unknown.
            start_time: Unix time in seconds.
            routes: the paths that the HTTP server knows.
        """
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = CollectorRegistry()
        self._daemon = daemon
        self._families = Families(self.registry, FAMILIES)
        self._lost_before = 0
        for family in FAMILIES:
            if family.labels == ("daemon",):
                self._families.allow(family.name, [daemon])
        self._families.allow("had_sessions", [daemon], SESSION_SIDES)
        self._families.allow("had_http_requests_total", ROUTE_CODES, list(routes))
        self._families.allow("had_http_requests_total", OTHER_CODES, [OTHER_ROUTE])
        facts = {"python_version": platform.python_version(), "revision": revision, "version": version}
        self._families.set_info("had_build_info", [daemon], facts)
        self._families.gauge("had_start_timestamp_seconds", daemon).set(start_time)

    def readiness(self, is_ready: bool) -> None:
        """Start-up is finished, or the daemon is going away."""
        self._families.gauge("had_ready", self._daemon).set(is_ready)

    def configuration_loaded(self, now: float, shared_hash: int) -> None:
        """A configuration was loaded at Unix time `now`; the hash covers what peers must share."""
        self._families.gauge("had_config_last_reload_successful", self._daemon).set(1)
        self._families.gauge("had_config_last_reload_success_timestamp_seconds", self._daemon).set(now)
        self._families.gauge("had_config_shared_hash", self._daemon).set(shared_hash)

    def configuration_refused(self) -> None:
        """An attempt to load the configuration failed; the former one stays in force."""
        self._families.gauge("had_config_last_reload_successful", self._daemon).set(0)

    def log_lines_lost(self, total: int) -> None:
        """So many lines are missing in the log file since the start (`DaemonLog.lost_count`)."""
        lost = self._families.counter("had_log_lines_lost_total", self._daemon)
        lost.inc(max(0, total - self._lost_before))
        self._lost_before = total

    def watch_sessions(self, of_server: Callable[[], int], of_client: Callable[[], int]) -> None:
        """These say, whenever a scrape asks, how many sessions are kept."""
        for side, count in zip(SESSION_SIDES, (of_server, of_client), strict=True):
            self._families.gauge("had_sessions", self._daemon, side).set_function(count)

    def collectors_changed(self, collectors: Sequence[str]) -> None:
        """These are the entries of COLLECTOR_HOST now; numbers of those that left are dropped."""
        self._families.forget("collector", lambda entry: entry not in collectors)
        for name in ("had_collector_up", "had_collector_updates_total"):
            self._families.allow(name, collectors, [self._daemon])
        self._families.allow("had_collector_failures_total", collectors, [self._daemon], COLLECTOR_REASONS)

    def collector_up(self, collector: str, is_up: bool) -> None:
        """The collector has this daemon's ad on an open connection, or has not."""
        if self._families.is_allowed("had_collector_up", collector, self._daemon):
            self._families.gauge("had_collector_up", collector, self._daemon).set(is_up)

    def collector_updated(self, collector: str) -> None:
        """An ad was sent."""
        if self._families.is_allowed("had_collector_updates_total", collector, self._daemon):
            self._families.counter("had_collector_updates_total", collector, self._daemon).inc()

    def collector_failed(self, collector: str, reason: str) -> None:
        """A try failed (reasons: `COLLECTOR_REASONS`)."""
        if self._families.is_allowed("had_collector_failures_total", collector, self._daemon, reason):
            self._families.counter("had_collector_failures_total", collector, self._daemon, reason).inc()

    def http_request(self, route: str, code: int) -> None:
        """A request was answered; what is no legal combination counts as `other`, to bound the labels."""
        name = "had_http_requests_total"
        labels = (str(code), route)
        if not self._families.is_allowed(name, *labels):
            labels = (str(code) if str(code) in OTHER_CODES else "400", OTHER_ROUTE)
        self._families.counter(name, *labels).inc()

    def render(self) -> bytes:
        """Give all families in Prometheus' text format."""
        return generate_latest(self.registry)
