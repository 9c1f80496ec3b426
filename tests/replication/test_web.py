"""The pages of the replication daemon: the paths' answers, and the page for people."""

import html.parser
import json
import shutil
import subprocess

import attrs
import pytest
import trio

from daemoncore.http import HttpServer, Request, listen
from daemoncore.metrics import DaemonMetrics
from daemoncore.pages import Pages
from replication import page
from replication.metrics import ReplicationMetrics
from replication.status import Change, File, Replica, Transfer
from replication.view import Freshness
from replication.web import ROUTES, Web
from tests.replication.documents import (
    CONFLICT,
    EMPTY,
    FOLLOWING,
    LEADING,
    ME,
    OTHER,
    STATE,
    THIRD,
    TROUBLED,
)


class World:
    """The pages over values that a test sets."""

    def __init__(self):
        self.status = LEADING
        self.fresh = Freshness(0.0, "this node leads")
        self.common = DaemonMetrics(
            "replication", version="0.1.0", revision="", start_time=1.0, routes=ROUTES
        )
        pages = Pages(
            metrics=self.common.render,
            why_not_ready=lambda: None,
            last_turn_seconds=lambda: 0.1,
        )
        self.web = Web(
            status=lambda: self.status,
            freshness=lambda: self.fresh,
            pages=pages,
            clock=lambda: 1795324400.0,
        )

    def get(self, path, **query):
        """Answer one path."""
        response = self.web.routes()[path](Request(path, query))
        return response.status, response.body.decode()


@pytest.fixture
def world():
    """A leading node."""
    return World()


def test_routes_are_those_of_the_list(world):
    """The handlers and the documented list name the same paths, in one order."""
    assert tuple(world.web.routes()) == ROUTES


def test_status_is_the_document(world):
    """One line of JSON."""
    code, body = world.get("/status")
    assert (code, body[-1], body.count("\n")) == (200, "\n", 1)
    assert json.loads(body) == LEADING.to_json()


@pytest.mark.parametrize(
    ("lag_seconds", "asked", "code"),
    [
        (0.0, {}, 200),
        (59.9, {}, 200),
        (60.1, {}, 503),
        (60.1, {"max_lag": "61"}, 200),
        (0.1, {"max_lag": "0"}, 503),
        (0.0, {"max_lag": "0"}, 200),
    ],
)
def test_a_follower_is_200_while_it_is_that_fresh(world, lag_seconds, asked, code):
    """The limit is in the question, 60 seconds otherwise; the body says how far it lags, and why."""
    world.fresh = Freshness(lag_seconds, "it lacks a version of the leader's")
    limit = asked.get("max_lag", "60")
    text = f"this replica lags {lag_seconds:.1f} s at most (limit {limit} s): it lacks a version of the leader's\n"
    assert world.get("/follower", **asked) == (code, text)


def test_a_follower_of_whom_nobody_knows_is_not_fresh(world):
    """Whatever the limit is."""
    world.fresh = Freshness(None, "there is no state here")
    text = "how far this replica lags is not known: there is no state here\n"
    assert world.get("/follower", max_lag="1e9") == (503, text)


@pytest.mark.parametrize("asked", ["", "soon", "-1", "nan", "inf", "1" * 400])
def test_a_limit_that_is_no_number_is_the_askers_fault(world, asked):
    """It is neither yes nor no: 400, and the body says what was expected."""
    code, body = world.get("/follower", max_lag=asked)
    assert code == 400
    assert body.startswith("max_lag must be a number of seconds, 0 or more (got ")
    assert len(body) < 120


class Reader(html.parser.HTMLParser):
    """Checks that elements nest, and collects text and links."""

    VOID = frozenset({"meta", "link", "br", "img", "input"})

    def __init__(self):
        super().__init__()
        self.open = []
        self.words = []
        self.attributes = []

    def handle_starttag(self, tag, attributes):
        """Open an element."""
        self.attributes += [(tag, *one) for one in attributes]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        """Close the innermost element."""
        assert self.open.pop() == tag

    def handle_data(self, data):
        """Collect text."""
        if "style" not in self.open:
            self.words.append(data)


def read(status):
    """Read a page as a browser would."""
    reader = Reader()
    reader.feed(page.render(status, 1795324400.0))
    reader.close()
    assert reader.open == []
    return reader


def words(status):
    """Everything that a reader of the page sees."""
    return "".join(read(status).words)


@pytest.mark.parametrize("status", [LEADING, FOLLOWING, TROUBLED, EMPTY])
def test_page_nests_and_fetches_nothing(status):
    """The page is well formed, runs no script and refers to nothing outside."""
    reader = read(status)
    assert not {tag for tag, _, _ in reader.attributes} & {"script", "img", "link", "iframe"}
    links = [value for _, name, value in reader.attributes if name in {"href", "src"}]
    assert links == ["/status", "/metrics"]


@pytest.mark.parametrize(
    ("status", "sentence"),
    [
        (LEADING, "This node leads with version 513.17, 64.0 KiB."),
        (FOLLOWING, f"{ME} leads; this node holds the same, version 513.17, 64.0 KiB."),
        (attrs.evolve(FOLLOWING, version=None), f"{ME} leads; this node holds no state."),
        (EMPTY, "No leader is known; this node holds no state."),
        (
            attrs.evolve(FOLLOWING, replicas=(Replica(ME, state="alive"),)),
            f"{ME} leads; this node holds version 513.17, 64.0 KiB.",
        ),
    ],
)
def test_page_says_first_who_leads_and_what_is_held(status, sentence):
    """The headline is one sentence about the state on this node."""
    assert sentence in words(status)


def test_page_shows_what_somebody_should_look_at():
    """What is not watched, what is kept and what waits are notices; a settled conflict is none."""
    text = words(TROUBLED)
    assert "The state is not watched as it should be: inotify: no watches are left" in text
    assert "A diverged copy of the state is kept here that nobody has exported or merged." in text
    assert f"restore of {CONFLICT['id']} waits for the next stop of the controllee." in text
    assert "diverged copies of the state" not in text
    assert "merged into 513.2" in text
    assert "exported to /root/old" in text
    two = attrs.evolve(TROUBLED, conflicts=(CONFLICT, CONFLICT))
    assert "2 diverged copies of the state are kept here that nobody has exported or merged." in words(two)
    assert "diverged cop" not in words(LEADING)


def test_page_lists_replicas_transfers_and_files():
    """Each has its row, with numbers for people."""
    text = words(LEADING)
    for part in (OTHER, THIRD, "12.5 s", "4.0 KiB of 64.0 KiB", "20.0 KiB/s", "3 s", STATE, "385.12 130.4"):
        assert part in text
    assert text.index("had leads") < text.index("nothing newer is held elsewhere")


def test_page_of_a_large_folder_stays_short():
    """The first files are named, the others counted."""
    files = tuple(File(f"{number}", f"/jobs/{number}", 1) for number in range(500))
    text = words(attrs.evolve(LEADING, files=files, is_folder=True))
    assert "Further files480" in text.replace("\n", "")


@pytest.mark.parametrize(
    ("count", "shown"),
    [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (5 << 30, "5.0 GiB"), (1 << 60, "1048576.0 TiB")],
)
def test_sizes_are_for_people(count, shown):
    """One digit after the point, and a unit."""
    assert page.size(count) == shown


def test_page_escapes_what_others_chose():
    """A name or reason that looks like a tag is shown, not obeyed."""
    evil = "<script>alert(1)</script>\"'&"
    status = attrs.evolve(
        TROUBLED,
        node=evil,
        leader=evil,
        watching=evil,
        replicas=(Replica(evil, None, 1.0, evil, evil),),
        transfers=(Transfer(evil, evil, evil, None, 1, 1, 1.0, None, 0.0),),
        conflicts=({**CONFLICT, "id": evil, "reason": evil, "exported_to": evil},),
        files=(File(evil, evil, 1),),
        history=(Change(0.0, evil, evil, evil),),
    )
    reader = read(status)
    assert "script" not in {tag for tag, _, _ in reader.attributes}
    assert "".join(reader.words).count(evil) >= 15


def check_with_promtool(scrape):
    """Have promtool judge a scrape, where it is installed."""
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed (Debian package prometheus)")
    check = subprocess.run([promtool, "check", "metrics"], input=scrape, capture_output=True, check=False)
    assert (check.returncode, check.stdout + check.stderr) == (0, b"")


async def test_live_scrape_satisfies_promtool(world, nursery):
    """Over real TCP, /metrics counts its own requests, and promtool finds nothing to say about it."""
    ReplicationMetrics(world.common, me=ME, members=[ME, OTHER], files=[STATE])
    server = HttpServer(world.web.routes(), observer=world.common.http_request)
    listeners = await listen("127.0.0.1", 0, knobs="REPLICATION_HTTP_PORT")
    port = listeners[0].socket.getsockname()[1]
    nursery.start_soon(server.serve, listeners)

    async def ask(path):
        stream = await trio.open_tcp_stream("127.0.0.1", port)
        async with stream:
            await stream.send_all(f"GET {path} HTTP/1.0\r\n\r\n".encode())
            answer = b"".join([bytes(chunk) async for chunk in stream])
        return answer.partition(b"\r\n\r\n")[2]

    for path in (*ROUTES, "/leader", "/follower?max_lag=5", "/follower?max_lag=soon"):
        await ask(path)
    scrape = await ask("/metrics")
    nursery.cancel_scope.cancel()
    for line in (
        b'had_http_requests_total{code="200",route="/follower"} 2.0',
        b'had_http_requests_total{code="200",route="/metrics"} 1.0',
        b'had_http_requests_total{code="400",route="other"} 1.0',
        b'had_http_requests_total{code="404",route="other"} 1.0',
    ):
        assert line in scrape.splitlines()
    check_with_promtool(scrape)
