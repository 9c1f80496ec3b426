"""The pages that every daemon has, made from what is in its memory at that moment.

    /health    200 while the daemon's loop turns
    /metrics   for Prometheus
    /ready     200 once start-up is finished

A 503 says why in its body. Nothing here can change anything.
"""

from collections.abc import Callable
from typing import Final

import attrs

from daemoncore import page
from daemoncore.http import Handler, Request, Response
from daemoncore.metrics import CONTENT_TYPE

#: After how many seconds without a turn the loop counts as stuck, if the timeout is not longer.
HEALTH_LIMIT_SECONDS: Final = 5.0


def health_limit_seconds(timeout_seconds: float) -> float:
    """How old the loop's last turn may be, for /health and for systemd's watchdog: it turns several times in each T."""
    return max(HEALTH_LIMIT_SECONDS, 2 * timeout_seconds)


def html_page(text: str) -> Response:
    """Answer with a page for people, in which nothing but its own style may be loaded."""
    policy = ("Content-Security-Policy", page.CONTENT_SECURITY_POLICY)
    body = text.encode("utf-8", "backslashreplace")
    return Response(200, "text/html; charset=utf-8", body, headers=(policy,))


def json_page(text: str) -> Response:
    """Answer with a document for scripts, one line."""
    return Response(200, "application/json", (text + "\n").encode())


@attrs.frozen
class Pages:
    """Answers the paths above; each callable reads memory and returns at once."""

    #: The exposition for Prometheus.
    metrics: Callable[[], bytes]
    #: Why the daemon is not ready, None when it is.
    why_not_ready: Callable[[], str | None]
    #: Seconds since the daemon's loop last turned.
    last_turn_seconds: Callable[[], float]
    #: How old the last turn may be.
    health_limit_seconds: Callable[[], float] = lambda: HEALTH_LIMIT_SECONDS

    def routes(self) -> dict[str, Handler]:
        """Give the handlers by path."""
        return {"/health": self._health, "/metrics": self._metrics, "/ready": self._ready}

    def _health(self, _: Request) -> Response:
        ago, limit = self.last_turn_seconds(), self.health_limit_seconds()
        if ago > limit:
            return Response.text(503, f"the daemon's loop has not turned for {ago:.1f} s (limit {limit:g} s)")
        return Response.text(200, "the daemon's loop turns")

    def _metrics(self, _: Request) -> Response:
        return Response(200, CONTENT_TYPE, self.metrics())

    def _ready(self, _: Request) -> Response:
        reason = self.why_not_ready()
        return Response.text(200, "ready") if reason is None else Response.text(503, f"not ready: {reason}")
