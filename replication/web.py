"""The pages of the replication daemon: what each path answers, made from what is in memory at that moment.

    /                       the status page, for people
    /follower?max_lag=60    200 if this node's replica is that fresh, for whoever reads the state from it
    /health                 200 while the daemon's loop turns
    /metrics                for Prometheus
    /ready                  200 once start-up is finished
    /status                 the status document, for scripts

A 503 says why in its body. Nothing here can change anything. Who leads *and* runs its controllee is had's page /leader.
"""

import math
import time
from collections.abc import Callable
from typing import Final

import attrs

from daemoncore.http import Handler, Request, Response
from daemoncore.pages import Pages, html_page, json_page
from replication import page
from replication.status import Status
from replication.view import Freshness

#: Every path, in the order of the manual.
ROUTES: Final = ("/", "/follower", "/health", "/metrics", "/ready", "/status")

#: How far a replica may lag, where /follower is asked without `max_lag`.
MAX_LAG_SECONDS: Final = 60.0


@attrs.frozen
class Web:
    """Answers the paths of `ROUTES`; each callable reads memory and returns at once."""

    status: Callable[[], Status]
    freshness: Callable[[], Freshness]
    pages: Pages
    #: Unix time.
    clock: Callable[[], float] = time.time

    def routes(self) -> dict[str, Handler]:
        """Give the handlers by path."""
        own = {"/": self._page, "/follower": self._follower, "/status": self._status}
        return {path: {**own, **self.pages.routes()}[path] for path in ROUTES}

    def _page(self, _: Request) -> Response:
        return html_page(page.render(self.status(), self.clock()))

    def _follower(self, request: Request) -> Response:
        text = request.query.get("max_lag", f"{MAX_LAG_SECONDS:g}")
        limit = _seconds(text)
        if limit is None:
            return Response.text(400, f"max_lag must be a number of seconds, 0 or more (got {text[:40]!r})")
        fresh = self.freshness()
        if fresh.lag_seconds is None:
            return Response.text(503, f"how far this replica lags is not known: {fresh.reason}")
        is_fresh = fresh.lag_seconds <= limit
        text = f"this replica lags {fresh.lag_seconds:.1f} s at most (limit {limit:g} s): {fresh.reason}"
        return Response.text(200 if is_fresh else 503, text)

    def _status(self, _: Request) -> Response:
        return json_page(self.status().to_text())


def _seconds(text: str) -> float | None:
    try:
        seconds = float(text)
    except ValueError:
        return None
    return seconds if math.isfinite(seconds) and seconds >= 0 else None
