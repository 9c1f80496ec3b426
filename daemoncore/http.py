"""A read-only HTTP server for a few pages of one daemon: h11 for the protocol, trio for the sockets.

It answers GET, HEAD and OPTIONS, and nothing over HTTP changes anything. A handler is a plain function that
makes a `Response` from what is in memory; it may not wait. Every refusal has a body that says why.

The limits are the server's own, because it shares its loop with an election: so many connections (the next
one is told 503 and closed), so many bytes of header, so long for a request to arrive, so long between two.
A body is not wanted; one that comes all the same ends the connection.
"""

import http
from collections.abc import Callable, Mapping, Sequence
from typing import Final, TypeAlias
from urllib.parse import parse_qsl

import attrs
import h11
import trio

#: Header lines of one request. A browser sends about one KiB; a longer request is answered 431.
HEADER_LIMIT_BYTES: Final = 16 * 1024

#: Open connections. Prometheus, a load balancer and a few browsers need ten.
CONNECTION_LIMIT: Final = 64

#: From the first byte of a request to the end of its header, and for a reader to take the answer.
REQUEST_SECONDS: Final = 10.0

#: How long a kept-alive connection may be silent. Longer than Prometheus' usual scrape interval of 15 s.
IDLE_SECONDS: Final = 75.0

#: How long what follows a refused request is read and dropped.
LINGER_SECONDS: Final = 0.5

#: Methods that are answered.
METHODS: Final = ("GET", "HEAD", "OPTIONS")

#: The route that is counted for requests that match none.
OTHER_ROUTE: Final = "other"

_TEXT: Final = "text/plain; charset=utf-8"
_RECEIVE_BYTES: Final = 8192


class AddressError(Exception):
    """The server cannot listen where the configuration says; the text names the knobs and the reason."""


@attrs.frozen
class Request:
    """What a handler may want to know."""

    path: str
    #: The last value of each parameter after the question mark.
    query: Mapping[str, str]


@attrs.frozen
class Response:
    """What is answered."""

    status: int
    content_type: str
    body: bytes
    #: Further header lines, name and value.
    headers: tuple[tuple[str, str], ...] = ()

    @classmethod
    def text(cls, status: int, text: str) -> "Response":
        """Make a plain text answer of one line."""
        return cls(status, _TEXT, (text + "\n").encode())


#: Makes the answer for one path; it may not wait, and reads only what is in memory.
Handler: TypeAlias = Callable[[Request], Response]

#: Told of each answer: (route or `other`, status).
Observer: TypeAlias = Callable[[str, int], None]


async def listen(address: str, port: int, *, knobs: str) -> list[trio.SocketListener]:
    """Bind the server's address.

    Args:
        address: a numeric address; names are resolved when the configuration is loaded.
        port: TCP port, 0 for any free one.
        knobs: the knobs that gave them, for the error.

    Raises:
        AddressError: naming knobs, address and reason.
    """
    try:
        return await trio.open_tcp_listeners(port, host=address)
    except OSError as error:
        message = f"{knobs}: cannot listen on {address} port {port}: {error.strerror or error}"
        raise AddressError(message) from error


class HttpServer:
    """Serves a fixed mapping of paths to handlers."""

    def __init__(
        self,
        routes: Mapping[str, Handler],
        *,
        observer: Observer,
        server_name: str = "had",
        connection_limit: int = CONNECTION_LIMIT,
        request_seconds: float = REQUEST_SECONDS,
        idle_seconds: float = IDLE_SECONDS,
    ) -> None:
        self._routes = dict(routes)
        self._observer = observer
        self._server_name = server_name
        self._connection_limit = connection_limit
        self._request_seconds = request_seconds
        self._idle_seconds = idle_seconds
        self._connection_count = 0

    async def serve(self, listeners: Sequence[trio.abc.Listener[trio.SocketStream]]) -> None:
        """Serve until cancelled; the listeners are closed then."""
        await trio.serve_listeners(self.handle_connection, list(listeners))

    async def handle_connection(self, stream: trio.abc.Stream) -> None:
        """Serve one connection to its end; a peer's faults end here."""
        self._connection_count += 1
        try:
            async with stream:
                connection = _Connection(stream, self._server_name)
                if self._connection_count > self._connection_limit:
                    text = f"too many connections: {self._connection_limit} are open already"
                    await self._refuse(connection, Response.text(503, text))
                    return
                while await self._serve_one(connection):
                    connection.start_next()
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            # The peer went away, which is its right at any time.
            return
        finally:
            self._connection_count -= 1

    async def _serve_one(self, connection: "_Connection") -> bool:
        """Answer one request; say whether the connection is good for another."""
        try:
            event = await self._next_request(connection)
            if event is None:
                return False
            with trio.fail_after(self._request_seconds):
                route, response = self._answer(event)
                self._observer(route, response.status)
                await connection.send(response, is_head=event.method == b"HEAD")
                return await connection.is_reusable()
        except h11.RemoteProtocolError as error:
            status = error.error_status_hint
            await self._refuse(connection, Response.text(status, f"bad request: {error}"))
        except trio.TooSlowError:
            text = f"the request was not complete, or its answer not taken, in {self._request_seconds:g} s"
            await self._refuse(connection, Response.text(408, text))
        return False

    async def _next_request(self, connection: "_Connection") -> h11.Request | None:
        """Wait for a request to begin, then for its header to end; None when the peer has none for us."""
        with trio.move_on_after(self._idle_seconds) as idle:
            await connection.wait_for_data()
        if idle.cancelled_caught:
            return None
        with trio.fail_after(self._request_seconds):
            return await connection.next_request()

    async def _refuse(self, connection: "_Connection", response: Response) -> None:
        """Say why and close, unless an answer was begun already."""
        if not connection.can_answer:
            return
        self._observer(OTHER_ROUTE, response.status)
        with trio.move_on_after(self._request_seconds):
            await connection.send_last(response)

    def _answer(self, event: h11.Request) -> tuple[str, Response]:
        """Find the handler and let it answer; give the route for the counter."""
        method = event.method.decode("ascii", "replace")
        path, _, query = _without_host(event.target.decode("ascii", "replace")).partition("?")
        handler = self._routes.get(path)
        allow = (("Allow", ", ".join(METHODS)),)
        route = path if handler else OTHER_ROUTE
        if method == "OPTIONS" and (handler or path == "*"):
            return route, Response(204, _TEXT, b"", headers=allow)
        if handler is None:
            known = " ".join(sorted(self._routes))
            return route, Response.text(404, f"no such page: {path[:200]}; there are: {known}")
        if method not in METHODS:
            text = f"{method[:20]} is not allowed: this server only shows, it changes nothing"
            return route, attrs.evolve(Response.text(405, text), headers=allow)
        try:
            return route, handler(Request(path, dict(parse_qsl(query, keep_blank_values=True))))
        except Exception as error:  # noqa: BLE001 - a broken page must not end the daemon that elects
            return route, Response.text(500, f"this page failed: {error!r}")


class _Connection:
    """One connection's protocol state and stream."""

    def __init__(self, stream: trio.abc.Stream, server_name: str) -> None:
        self._stream = stream
        self._server_name = server_name
        self._protocol = h11.Connection(h11.SERVER, max_incomplete_event_size=HEADER_LIMIT_BYTES)

    def start_next(self) -> None:
        """Begin the next request on the same connection."""
        self._protocol.start_next_cycle()

    async def wait_for_data(self) -> None:
        """Wait until a part of a request, or the end, is here."""
        if not self._protocol.trailing_data[0]:
            await self._receive()

    async def next_request(self) -> h11.Request | None:
        """Give the next request, None when the peer closed."""
        while True:
            event = self._protocol.next_event()
            if event is h11.NEED_DATA:
                await self._receive()
            elif isinstance(event, h11.Request):
                return event
            else:
                return None

    async def _receive(self) -> None:
        self._protocol.receive_data(bytes(await self._stream.receive_some(_RECEIVE_BYTES)))

    async def send(self, response: Response, *, is_head: bool) -> None:
        """Send an answer; of a HEAD only its header."""
        headers = [
            ("Server", self._server_name),
            ("Content-Type", response.content_type),
            ("Cache-Control", "no-store"),
            ("X-Content-Type-Options", "nosniff"),
            *response.headers,
        ]
        if response.status != 204:
            headers.append(("Content-Length", str(len(response.body))))
        reason = http.HTTPStatus(response.status).phrase
        head = h11.Response(status_code=response.status, headers=headers, reason=reason)
        data = self._protocol.send(head) or b""
        if response.body and not is_head:
            data += self._protocol.send(h11.Data(data=response.body)) or b""
        data += self._protocol.send(h11.EndOfMessage()) or b""
        await self._stream.send_all(data)

    @property
    def can_answer(self) -> bool:
        """Whether no answer was begun yet on this cycle."""
        return self._protocol.our_state in {h11.IDLE, h11.SEND_RESPONSE}

    async def send_last(self, response: Response) -> None:
        """Send an answer after which the connection ends.

        What the peer is still sending is read for a moment: closing a socket with unread bytes resets it,
        and the reset may overtake the answer.
        """
        headers = (*response.headers, ("Connection", "close"))
        await self.send(attrs.evolve(response, headers=headers), is_head=False)
        with trio.move_on_after(LINGER_SECONDS):
            if isinstance(self._stream, trio.abc.HalfCloseableStream):
                await self._stream.send_eof()
            while await self._stream.receive_some(_RECEIVE_BYTES):
                pass

    async def is_reusable(self) -> bool:
        """Read the end of the request; say whether another may follow on this connection.

        Nothing that we serve wants a body, so a request that has one is the connection's last.
        """
        while self._protocol.their_state is h11.SEND_BODY:
            event = self._protocol.next_event()
            if not isinstance(event, h11.EndOfMessage):
                return False
        return self._protocol.our_state is h11.DONE and self._protocol.their_state is h11.DONE


def _without_host(target: str) -> str:
    """Give the path of a request's target, which may name scheme and host (RFC 9112 section 3.2.2)."""
    if not target.startswith("http://"):
        return target
    _, slash, path = target.removeprefix("http://").partition("/")
    return slash + path
