"""The pages of had: the status document's keys, the paths' answers, and the page for people."""

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
from had import page
from had.metrics import HadMetrics
from had.status import Change, Controllee, Hold, Majority, Paused, Peer, Status
from had.web import ROUTES, Web

#: The contract: every key of /status, lists as `[]`, written out here by hand.
TOP_KEYS = {
    *("schema", "node", "state", "leader", "epoch", "primary", "majority", "paused", "hold"),
    *("controllee", "peers", "history"),
    *("version", "time", "configuration", "abstains_seconds", "replica"),
}
CONTROLLEE_KEYS = {"name", "state", "pid", "restarts", "since"}
PEER_KEYS = {"address", "state", "last_heard_seconds", "follows", "version", "implementation"}
REPLICA_KEYS = {"state", "currency", "is_ready", "waiting"}
HISTORY_KEYS = {"time", "from", "to", "reason", "epoch"}

ME, OTHER = "127.0.0.1:9620", "127.0.0.2:9620"

LEADING = Status(
    node=ME,
    state="leader",
    leader=ME,
    epoch=385,
    primary=True,
    controllee=Controllee("negotiator", "running", 4711, 0, 1795324321.0),
    peers=(Peer(OTHER, "alive", 0.12, ME, "0.1.0", "ours"), Peer("127.0.0.3:9620")),
    history=(
        Change(1795324320.0, "pre", "passive", "every member was heard", 257),
        Change(1795324321.0, "passive", "election", "no leader is known", 257),
    ),
)
FOLLOWING = Status(node=OTHER, state="passive", leader=ME, controllee=Controllee("negotiator", "stopped"))
WITNESS = Status(node=OTHER, state="witness")


class World:
    """The pages over values that a test sets."""

    def __init__(self):
        self.status = LEADING
        self.reason = None
        self.ago = 0.1
        self.web = Web(
            status=lambda: self.status,
            pages=Pages(
                metrics=lambda: b"had_ready 1\n",
                why_not_ready=lambda: self.reason,
                last_turn_seconds=lambda: self.ago,
            ),
            clock=lambda: 1795324400.0,
        )

    def get(self, path):
        """Answer one path."""
        response = self.web.routes()[path](Request(path, {}))
        return response.status, response.body.decode()


@pytest.fixture
def world():
    """A leading node."""
    return World()


def test_routes_are_those_of_the_list(world):
    """The handlers and the documented list name the same paths."""
    assert tuple(world.web.routes()) == ROUTES


@pytest.mark.parametrize("status", [LEADING, FOLLOWING, WITNESS])
def test_every_key_is_always_present(world, status):
    """Whatever the state, the document has every key of the contract, and is valid JSON."""
    world.status = status
    code, body = world.get("/status")
    document = json.loads(body)
    assert code == 200
    assert set(document) == TOP_KEYS
    assert document["schema"] == 1
    assert set(document["controllee"]) == CONTROLLEE_KEYS
    assert set(document["replica"]) == REPLICA_KEYS
    assert all(set(peer) == PEER_KEYS for peer in document["peers"])
    assert all(set(change) == HISTORY_KEYS for change in document["history"])


def test_optional_parts_have_their_keys_when_present(world):
    """Majority, pause and hold are null or whole objects."""
    world.status = attrs.evolve(
        LEADING,
        majority=Majority(2, 3, 1.9, (ME,), ME),
        paused=Paused("root@cm1", "upgrade", 1795324300.0),
        hold=Hold(ME, "root@cm1", "disk", 1795324300.0),
    )
    document = json.loads(world.get("/status")[1])
    assert document["majority"] == {
        "needed": 2,
        "granted": 3,
        "lease_seconds": 1.9,
        "voters": [ME],
        "vote": ME,
    }
    assert document["paused"] == {
        "by": "root@cm1",
        "reason": "upgrade",
        "since": 1795324300.0,
        "until": None,
    }
    assert document["hold"] == {"node": ME, "by": "root@cm1", "reason": "disk", "since": 1795324300.0}
    assert document["history"][1]["from"] == "passive"


def test_a_witness_says_nulls(world):
    """A witness has no controllee and no votes of its own."""
    world.status = WITNESS
    document = json.loads(world.get("/status")[1])
    assert document["state"] == "witness"
    assert set(document["controllee"].values()) == {None}
    assert document["leader"] is None
    assert document["majority"] is None


@pytest.mark.parametrize(
    ("status", "code", "text"),
    [
        (LEADING, 200, f"{ME} leads and its negotiator runs"),
        (FOLLOWING, 503, f"{OTHER} does not lead (state passive): {ME} leads"),
        (WITNESS, 503, f"{OTHER} does not lead (state witness): no leader is known"),
        (
            attrs.evolve(LEADING, controllee=Controllee("negotiator", "backoff")),
            503,
            f"{ME} leads, but its negotiator is backoff",
        ),
        (attrs.evolve(LEADING, state="passive", leader=None), 503, f"{ME} does not lead (state passive)"),
    ],
)
def test_leader_is_200_only_with_leadership_and_controllee(world, status, code, text):
    """A load balancer sees the node that serves, and an operator reads why another does not."""
    world.status = status
    found, body = world.get("/leader")
    assert (found, body.startswith(text)) == (code, True)


def test_health_is_the_loops(world):
    """A loop that has not turned for the limit is not healthy, and the body says for how long."""
    assert world.get("/health") == (200, "the daemon's loop turns\n")
    world.ago = 7.25
    assert world.get("/health") == (503, "the daemon's loop has not turned for 7.2 s (limit 5 s)\n")


def test_ready_says_why_not(world):
    """Readiness is the daemon's own word."""
    assert world.get("/ready") == (200, "ready\n")
    world.reason = "the command port is not bound yet"
    assert world.get("/ready") == (503, "not ready: the command port is not bound yet\n")


def test_metrics_are_prometheus_text(world):
    """The exposition passes through with its content type."""
    response = world.web.routes()["/metrics"](Request("/metrics", {}))
    assert response.content_type == "text/plain; version=0.0.4; charset=utf-8"
    assert response.body == b"had_ready 1\n"


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


EVERYTHING = attrs.evolve(
    LEADING,
    majority=Majority(2, 3, 1.9, (ME,), ME),
    paused=Paused("root@cm1", "upgrade", 1795324300.0, 1795324900.0),
    hold=Hold(ME, "root@cm1", "disk", 1795324300.0),
)


@pytest.mark.parametrize("status", [LEADING, FOLLOWING, WITNESS, EVERYTHING])
def test_page_nests_and_fetches_nothing(status):
    """The page is well formed, runs no script and refers to nothing outside."""
    reader = read(status)
    assert not {tag for tag, _, _ in reader.attributes} & {"script", "img", "link", "iframe"}
    links = [value for _, name, value in reader.attributes if name in {"href", "src"}]
    assert links == ["/status", "/metrics"]
    assert "url(" not in page.render(status, 0.0)
    assert ("meta", "http-equiv", "refresh") in reader.attributes
    assert ("meta", "name", "viewport") in reader.attributes


@pytest.mark.parametrize(
    ("status", "sentence"),
    [
        (LEADING, "This node leads; its negotiator is running."),
        (FOLLOWING, f"{ME} leads; this node is passive."),
        (WITNESS, "No leader is known."),
    ],
)
def test_page_says_first_who_leads(status, sentence):
    """The headline is one sentence about the pool."""
    assert sentence in "".join(read(status).words)


def test_page_shows_what_operators_put_in_force():
    """Pause and hold are notices, with who, why and until when."""
    text = "".join(read(EVERYTHING).words)
    assert "Automatic failover is paused by root@cm1 since 2026-11-22 05:11:40 UTC, until" in text
    assert f"{ME} is held from leading by a switchover of root@cm1" in text
    assert "3 granted (127.0.0.1:9620), 2 needed" in text


def test_page_lists_members_and_the_newest_transition_first():
    """Members and history are tables."""
    text = "".join(read(LEADING).words)
    assert "0.1 s ago" in text
    assert text.index("no leader is known") < text.index("every member was heard")


def test_page_escapes_what_others_chose():
    """A reason or version that looks like a tag is shown, not obeyed."""
    evil = "<script>alert(1)</script>\"'&"
    status = attrs.evolve(
        LEADING,
        node=evil,
        paused=Paused(evil, evil, 0.0),
        hold=Hold(evil, evil, evil, 0.0),
        peers=(Peer(evil, evil, 1.0, evil, evil, evil),),
        history=(Change(0.0, evil, evil, evil, 1),),
        controllee=Controllee(evil, evil, 1, 1, 1.0),
    )
    reader = read(status)
    assert "script" not in {tag for tag, _, _ in reader.attributes}
    assert "".join(reader.words).count(evil) >= 12


def test_page_forbids_what_it_does_not_need(world):
    """The answer's policy allows the inline style and nothing else."""
    response = world.web.routes()["/"](Request("/", {}))
    assert response.content_type == "text/html; charset=utf-8"
    assert dict(response.headers)["Content-Security-Policy"].startswith("default-src 'none'")


def check_with_promtool(scrape):
    """Have promtool judge a scrape, where it is installed."""
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed (Debian package prometheus)")
    run = subprocess.run([promtool, "check", "metrics"], input=scrape, capture_output=True, check=False)
    assert (run.returncode, run.stdout + run.stderr) == (0, b"")


async def test_live_scrape_satisfies_promtool(world, nursery):
    """Over real TCP, /metrics counts its own requests, and promtool finds nothing to say about it."""
    common = DaemonMetrics("had", version="0.1.0", revision="", start_time=1.0, routes=ROUTES)
    HadMetrics(common, me=ME, members=[ME, OTHER], controllee="negotiator", now=1.0, boottime=float)
    pages = attrs.evolve(world.web.pages, metrics=common.render)
    world.web = attrs.evolve(world.web, pages=pages)
    server = HttpServer(world.web.routes(), observer=common.http_request)
    listeners = await listen("127.0.0.1", 0, knobs="HAD_HTTP_PORT")
    port = listeners[0].socket.getsockname()[1]
    nursery.start_soon(server.serve, listeners)

    async def ask(path):
        stream = await trio.open_tcp_stream("127.0.0.1", port)
        async with stream:
            await stream.send_all(f"GET {path} HTTP/1.0\r\n\r\n".encode())
            answer = b"".join([bytes(chunk) async for chunk in stream])
        return answer.partition(b"\r\n\r\n")[2]

    for path in (*ROUTES, "/follower"):
        await ask(path)
    scrape = await ask("/metrics")
    for line in (
        b'had_http_requests_total{code="200",route="/leader"} 1.0',
        b'had_http_requests_total{code="200",route="/metrics"} 1.0',
        b'had_http_requests_total{code="404",route="other"} 1.0',
    ):
        assert line in scrape.splitlines()
    nursery.cancel_scope.cancel()
    check_with_promtool(scrape)
