"""The HTTP server: what it answers, what it refuses and why, and whom it outlasts."""

import math

import pytest
import trio
import trio.testing

from daemoncore.http import (
    HEADER_LIMIT_BYTES,
    AddressError,
    HttpServer,
    Response,
    listen,
)


class World:
    """A server over memory streams, and what it counted."""

    def __init__(self, nursery, **options):
        self.counted = []
        self.nursery = nursery
        self.server = HttpServer(
            {
                "/leader": lambda request: Response.text(503, f"no: {dict(request.query)}"),
                "/metrics": lambda _: Response(200, "text/plain", b"had_ready 1\n"),
                "/broken": lambda _: Response.text(200, {}["absent"]),
            },
            observer=lambda route, code: self.counted.append((route, code)),
            **options,
        )

    def connect(self):
        """Open a connection."""
        ours, theirs = trio.testing.memory_stream_pair()
        self.nursery.start_soon(self.server.handle_connection, theirs)
        return ours

    async def ask(self, data):
        """Send bytes, and give all that comes back until the server closes."""
        stream = self.connect()
        await stream.send_all(data)
        async with stream:
            return await drained(stream)


async def drained(stream):
    """Read to the end."""
    return b"".join([bytes(chunk) async for chunk in stream])


@pytest.fixture
def world(nursery):
    """A world for one test; its test asks for the clock that jumps."""
    return World(nursery)


def get(path, *headers, version="1.1", method="GET"):
    """The bytes of a request that closes afterwards."""
    lines = [f"{method} {path} HTTP/{version}", "Host: here", "Connection: close", *headers, "", ""]
    return "\r\n".join(lines).encode()


def parts(answer):
    """Status line, header lines as a dictionary, body."""
    head, _, body = answer.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    return first, dict(line.split(": ", 1) for line in lines), body


async def test_get_answers_with_the_handlers_bytes(world, autojump_clock):
    """A known path gives status, type, length and body, and is counted under its route."""
    first, headers, body = parts(await world.ask(get("/metrics")))
    assert first == "HTTP/1.1 200 OK"
    assert headers["Content-Type"] == "text/plain"
    assert headers["Content-Length"] == "12"
    assert headers["Cache-Control"] == "no-store"
    assert body == b"had_ready 1\n"
    assert world.counted == [("/metrics", 200)]


async def test_head_has_the_length_and_no_body(world, autojump_clock):
    """HEAD gives the header of GET."""
    _, headers, body = parts(await world.ask(get("/metrics", method="HEAD")))
    assert headers["Content-Length"] == "12"
    assert body == b""


async def test_options_lists_the_methods(world, autojump_clock):
    """OPTIONS answers 204 with Allow, for a path and for the server."""
    for path, route in (("/leader", "/leader"), ("*", "other")):
        first, headers, body = parts(await world.ask(get(path, method="OPTIONS")))
        assert first == "HTTP/1.1 204 No Content"
        assert headers["Allow"] == "GET, HEAD, OPTIONS"
        assert body == b""
        assert world.counted.pop() == (route, 204)


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "TRACE", "BREW"])
async def test_other_methods_are_refused_with_a_reason(world, autojump_clock, method):
    """Nothing that could change something is allowed."""
    first, headers, body = parts(await world.ask(get("/metrics", method=method)))
    assert first == "HTTP/1.1 405 Method Not Allowed"
    assert headers["Allow"] == "GET, HEAD, OPTIONS"
    assert b"changes nothing" in body


async def test_unknown_path_lists_the_known_ones(world, autojump_clock):
    """404 says what there is."""
    first, _, body = parts(await world.ask(get("/follower")))
    assert first == "HTTP/1.1 404 Not Found"
    assert body == b"no such page: /follower; there are: /broken /leader /metrics\n"
    assert world.counted == [("other", 404)]


async def test_http_1_0_is_welcome(world, autojump_clock):
    """A request without Host in HTTP/1.0 is answered, and the connection closes."""
    first, _, body = parts(await world.ask(b"GET /metrics HTTP/1.0\r\n\r\n"))
    assert " 200 " in first
    assert body == b"had_ready 1\n"


async def test_query_reaches_the_handler_and_reasons_reach_the_reader(world, autojump_clock):
    """The last value of each parameter is what a handler sees."""
    first, _, body = parts(await world.ask(get("http://here/leader?max_lag=6&max_lag=60&x=")))
    assert " 503 " in first
    assert body == b"no: {'max_lag': '60', 'x': ''}\n"


async def test_broken_handler_is_500_and_the_server_lives(world, autojump_clock):
    """An exception of a page is answered, and the next request works."""
    first, _, body = parts(await world.ask(get("/broken")))
    assert " 500 " in first
    assert b"KeyError('absent')" in body
    assert " 200 " in parts(await world.ask(get("/metrics")))[0]


async def test_connection_is_kept_for_more_requests(world, autojump_clock):
    """Several requests, also sent at once, are answered in order on one connection."""
    stream = world.connect()
    request = b"GET /metrics HTTP/1.1\r\nHost: here\r\n\r\n"
    await stream.send_all(request)
    first = await stream.receive_some()
    assert b"200" in first
    await trio.sleep(20)
    await stream.send_all(request + request + get("/leader"))
    rest = await drained(stream)
    assert rest.count(b"had_ready 1\n") == 2
    assert rest.count(b" 503 ") == 1
    assert len(world.counted) == 4


async def test_request_byte_by_byte_gives_the_same_answer(world, autojump_clock):
    """However the network cuts a request, the answer is the same."""
    whole = await world.ask(get("/metrics"))
    stream = world.connect()
    for byte in get("/metrics"):
        await stream.send_all(bytes([byte]))
    assert await drained(stream) == whole


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),
        (b"GET /metrics HTTP/1.1\r\n\r\n", 400),
        (b"GET /metrics HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
        (b"GET /metrics HTTP/1.1\r\nHost: a\r\nX: " + b"x" * HEADER_LIMIT_BYTES, 431),
    ],
)
async def test_bad_requests_are_told_what_is_wrong(world, autojump_clock, data, status):
    """What is no request, or too long a one, gets its status, a reason, and the end."""
    first, headers, body = parts(await world.ask(data))
    assert f" {status} " in first
    assert headers["Connection"] == "close"
    assert body.startswith(b"bad request: ")
    assert world.counted == [("other", status)]


async def test_body_ends_the_connection(world, autojump_clock):
    """A request with a body is answered by its header, and nothing after it is read as a request."""
    data = b"GET /metrics HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\nGET /leader HTTP/1.1\r\n"
    answer = await world.ask(data)
    assert answer.count(b"HTTP/1.1 ") == 1
    assert world.counted == [("/metrics", 200)]


async def test_slow_request_is_told_and_closed(world, autojump_clock):
    """A header that never ends costs the server its time limit and no more."""
    stream = world.connect()
    began = trio.current_time()
    await stream.send_all(b"GET /metrics HTTP/1.1\r\n")
    first, _, body = parts(await drained(stream))
    assert " 408 " in first
    assert body == b"the request was not complete, or its answer not taken, in 10 s\n"
    assert 10 <= trio.current_time() - began <= 11


async def test_idle_connection_is_closed_in_silence(world, autojump_clock):
    """A kept connection without a request ends after the idle time."""
    stream = world.connect()
    began = trio.current_time()
    assert await drained(stream) == b""
    assert math.isclose(trio.current_time() - began, 75)
    assert world.counted == []


async def test_reader_that_takes_nothing_is_dropped(nursery, autojump_clock):
    """An answer that nobody reads ends with the time limit, and is counted once."""
    world = World(nursery)
    ours, theirs = trio.testing.lockstep_stream_pair()
    nursery.start_soon(world.server.handle_connection, theirs)
    await ours.send_all(get("/metrics"))
    await trio.sleep(11)
    assert world.counted == [("/metrics", 200)]
    assert world.server._connection_count == 0


async def test_one_connection_too_many_is_told_so(nursery, autojump_clock):
    """Beyond the limit a connection gets 503 with the reason; when one ends there is room again."""
    world = World(nursery, connection_limit=2)
    first, second = world.connect(), world.connect()
    await trio.testing.wait_all_tasks_blocked()
    refused = parts(await world.ask(get("/metrics")))
    assert " 503 " in refused[0]
    assert refused[2] == b"too many connections: 2 are open already\n"
    await first.aclose()
    await trio.testing.wait_all_tasks_blocked()
    assert " 200 " in parts(await world.ask(get("/metrics")))[0]
    await second.aclose()


async def test_peer_that_vanishes_harms_nobody(world, autojump_clock):
    """A connection closed in the middle of a request leaves nothing behind."""
    for data in (b"", b"GET /met", get("/metrics")):
        stream = world.connect()
        if data:
            await stream.send_all(data)
        await stream.aclose()
    await trio.testing.wait_all_tasks_blocked()
    assert world.server._connection_count == 0


async def test_real_sockets_are_served(nursery):
    """Over TCP on loopback a request is answered, and an address in use names the knobs."""
    counted = []
    server = HttpServer(
        {"/": lambda _: Response.text(200, "here")}, observer=lambda *one: counted.append(one)
    )
    listeners = await listen("127.0.0.1", 0, knobs="HAD_HTTP_PORT and HAD_HTTP_ADDRESS")
    port = listeners[0].socket.getsockname()[1]
    nursery.start_soon(server.serve, listeners)
    stream = await trio.open_tcp_stream("127.0.0.1", port)
    await stream.send_all(get("/"))
    assert (await drained(stream)).endswith(b"here\n")
    await stream.aclose()
    expected = rf"HAD_HTTP_PORT and HAD_HTTP_ADDRESS: cannot listen on 127.0.0.1 port {port}: .*in use"
    with pytest.raises(AddressError, match=expected):
        await listen("127.0.0.1", port, knobs="HAD_HTTP_PORT and HAD_HTTP_ADDRESS")
    nursery.cancel_scope.cancel()
