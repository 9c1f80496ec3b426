"""The pages of the election daemon: what each path answers, made from what the driver knows at that moment.

    /          the status page, for people
    /health    200 while the daemon's loop turns
    /leader    200 only if this node leads and its controllee runs, for load balancers
    /metrics   for Prometheus
    /ready     200 once start-up is finished
    /status    the status document, for scripts

A 503 says why in its body. Nothing here can change anything. `daemoncore.pages` has those that every daemon has.
"""

import time
from collections.abc import Callable
from typing import Final

import attrs

from daemoncore.http import Handler, Request, Response
from daemoncore.pages import Pages, html_page, json_page
from had import page
from had.status import Status

#: Every path, in the order of the manual.
ROUTES: Final = ("/", "/health", "/leader", "/metrics", "/ready", "/status")


@attrs.frozen
class Web:
    """Answers the paths of `ROUTES`; each callable reads memory and returns at once."""

    status: Callable[[], Status]
    pages: Pages
    #: Unix time.
    clock: Callable[[], float] = time.time

    def routes(self) -> dict[str, Handler]:
        """Give the handlers by path."""
        own = {"/": self._page, "/leader": self._leader, "/status": self._status}
        handlers = own | self.pages.routes()
        return {path: handlers[path] for path in ROUTES}

    def _page(self, _: Request) -> Response:
        return html_page(page.render(self.status(), self.clock()))

    def _leader(self, _: Request) -> Response:
        status = self.status()
        controllee = status.controllee
        if status.state != "leader":
            leads = "no leader is known" if status.leader is None else f"{status.leader} leads"
            return Response.text(503, f"{status.node} does not lead (state {status.state}): {leads}")
        if controllee.state != "running":
            return Response.text(503, f"{status.node} leads, but its {controllee.name} is {controllee.state}")
        return Response.text(200, f"{status.node} leads and its {controllee.name} runs")

    def _status(self, _: Request) -> Response:
        return json_page(self.status().to_text())
