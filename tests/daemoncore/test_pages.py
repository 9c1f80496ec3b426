"""The pages that every daemon has."""

import attrs
import pytest

from daemoncore.http import Request
from daemoncore.pages import Pages, health_limit_seconds, html_page, json_page


@attrs.define
class Daemon:
    """What the pages ask."""

    reason: str | None = None
    ago: float = 0.1
    limit: float = 5.0

    def get(self, path):
        """The status and the body of a page."""
        pages = Pages(lambda: b"had_ready 1\n", lambda: self.reason, lambda: self.ago, lambda: self.limit)
        response = pages.routes()[path](Request(path, {}))
        return response.status, response.body.decode()


def test_ready_is_503_with_the_reason_until_it_is():
    """Whoever waits for the daemon learns what it waits for."""
    daemon = Daemon(reason="starting")
    assert daemon.get("/ready") == (503, "not ready: starting\n")
    daemon.reason = None
    assert daemon.get("/ready") == (200, "ready\n")


def test_health_follows_the_age_of_the_last_turn():
    """A loop that is older than the limit is stuck, and the body says how old it is."""
    daemon = Daemon(ago=5.0)
    assert daemon.get("/health")[0] == 200
    daemon.ago = 5.1
    code, body = daemon.get("/health")
    assert code == 503
    assert "5.1 s (limit 5 s)" in body


def test_metrics_are_given_as_they_are():
    """The exposition is passed on."""
    assert Daemon().get("/metrics") == (200, "had_ready 1\n")


@pytest.mark.parametrize(("timeout_seconds", "limit"), [(0.05, 5.0), (2.5, 5.0), (10.0, 20.0)])
def test_the_limit_grows_with_a_long_timeout(timeout_seconds, limit):
    """It is two timeouts, but not below five seconds."""
    assert health_limit_seconds(timeout_seconds) == limit


def test_a_page_for_people_may_load_nothing():
    """Its policy names the inline style only, and what cannot be encoded does not break it."""
    response = html_page("<p>\udcff</p>")
    assert (response.status, response.body) == (200, b"<p>\\udcff</p>")
    assert dict(response.headers)["Content-Security-Policy"].startswith("default-src 'none'")


def test_a_document_is_one_line():
    """Scripts read it line by line."""
    assert json_page("{}").body == b"{}\n"
