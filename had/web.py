"""The pages of the election daemon: what each path answers, made from what the driver knows at that moment.

    /          the status page, for people
    /health    200 while the daemon's loop turns
    /leader    200 only if this node leads and its controllee runs, for load balancers
    /metrics   for Prometheus
    /ready     200 once start-up is finished
    /status    the status document, for scripts

A 503 says why in its body. Nothing here can change anything.
"""

import time
from collections.abc import Callable
from typing import Final

import attrs

from daemoncore.http import Handler, Request, Response
from daemoncore.metrics import CONTENT_TYPE
from had import page
from had.status import Status

#: Every path, in the order of the manual.
ROUTES: Final = ("/", "/health", "/leader", "/metrics", "/ready", "/status")

#: After how many seconds without a turn the loop counts as stuck, if the timeout is not longer.
HEALTH_LIMIT_SECONDS: Final = 5.0


def health_limit_seconds(timeout_seconds: float) -> float:
    """How old the loop's last turn may be, for /health and for systemd's watchdog: it turns several times in each T."""
    return max(HEALTH_LIMIT_SECONDS, 2 * timeout_seconds)


@attrs.frozen
class Web:
    """Answers the paths of `ROUTES`; each callable reads memory and returns at once."""

    status: Callable[[], Status]
    #: The exposition for Prometheus.
    metrics: Callable[[], bytes]
    #: Why the daemon is not ready, None when it is.
    why_not_ready: Callable[[], str | None]
    #: Seconds since the driver's loop last turned.
    last_turn_seconds: Callable[[], float]
    #: How old the last turn may be.
    health_limit_seconds: Callable[[], float] = lambda: HEALTH_LIMIT_SECONDS
    #: Unix time.
    clock: Callable[[], float] = time.time

    def routes(self) -> dict[str, Handler]:
        """Give the handlers by path."""
        return {
            "/": self._page,
            "/health": self._health,
            "/leader": self._leader,
            "/metrics": self._metrics,
            "/ready": self._ready,
            "/status": self._status,
        }

    def _page(self, _: Request) -> Response:
        body = page.render(self.status(), self.clock()).encode("utf-8", "backslashreplace")
        policy = ("Content-Security-Policy", page.CONTENT_SECURITY_POLICY)
        return Response(200, "text/html; charset=utf-8", body, headers=(policy,))

    def _health(self, _: Request) -> Response:
        ago, limit = self.last_turn_seconds(), self.health_limit_seconds()
        if ago > limit:
            return Response.text(503, f"the daemon's loop has not turned for {ago:.1f} s (limit {limit:g} s)")
        return Response.text(200, "the daemon's loop turns")

    def _leader(self, _: Request) -> Response:
        status = self.status()
        controllee = status.controllee
        if status.state != "leader":
            leads = "no leader is known" if status.leader is None else f"{status.leader} leads"
            return Response.text(503, f"{status.node} does not lead (state {status.state}): {leads}")
        if controllee.state != "running":
            return Response.text(503, f"{status.node} leads, but its {controllee.name} is {controllee.state}")
        return Response.text(200, f"{status.node} leads and its {controllee.name} runs")

    def _metrics(self, _: Request) -> Response:
        return Response(200, CONTENT_TYPE, self.metrics())

    def _ready(self, _: Request) -> Response:
        reason = self.why_not_ready()
        return Response.text(200, "ready") if reason is None else Response.text(503, f"not ready: {reason}")

    def _status(self, _: Request) -> Response:
        return Response(200, "application/json", (self.status().to_text() + "\n").encode())
