"""Connections that say nothing, or never end, do not keep everybody from the HTTP listener."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading

from collections.abc import AsyncIterator, Iterator

import anyio.to_thread
import attrs
import httpx
import pytest
import trustme

from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from tests.support.authority import NO_TRUST, WAIT
from tests.support.background import supervised
from tokenauthority.server import http_connection
from tokenauthority.server.background import BackgroundTask
from tokenauthority.server.http import HttpServer
from tokenauthority.server.http_connection import ConnectionTimes


NEVER = 1000.0
LONG = 64 * 1024 * 1024
REQUEST = b"GET /livez HTTP/1.1\r\nhost: x\r\n"


async def _livez(_: object) -> PlainTextResponse:
    return PlainTextResponse("ok\n")


class _Long:
    """Writes an answer that is too long for the buffers of the system; `ended` is set when it goes no further."""

    def __init__(self) -> None:
        self.ended = threading.Event()

    async def __call__(self, _scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for _ in range(2):
            await send({"type": "http.response.body", "body": b"x" * LONG, "more_body": True})
        self.ended.set()
        await send({"type": "http.response.body", "body": b"", "more_body": False})


@contextlib.asynccontextmanager
async def serving(
    *,
    places: int = 8,
    first_request: float = NEVER,
    age: float = NEVER,
    tls: ssl.SSLContext | None = None,
    content: bool = False,
    long: ASGIApp | None = None,
) -> AsyncIterator[str]:
    """The address of a server with these limits."""
    times = ConnectionTimes(first_request=first_request, age=age)
    app = Starlette(routes=[Route("/livez", _livez, methods=["GET", "POST"]), Route("/long", long or _livez)])
    server = HttpServer("ops", app, "127.0.0.1:0", places, tls=tls, times=times, content=content)
    address = server.bind()
    async with supervised(BackgroundTask(name="http", work=server.serve)):
        yield address
    server.close()


@contextlib.contextmanager
def connected(address: str, *sent: bytes) -> Iterator[socket.socket]:
    """A connection on which that was sent."""
    host, _, port = address.rpartition(":")
    with socket.create_connection((host, int(port)), timeout=WAIT) as made:
        for data in sent:
            made.sendall(data)
        yield made


def read_to_end(connection: socket.socket) -> bytes:
    """All that comes until the server closes; TimeoutError if it does not."""
    read = b""
    with contextlib.suppress(ConnectionError):
        while data := connection.recv(4096):
            read += data
    return read


@pytest.mark.parametrize(
    "sent",
    [b"", REQUEST, b"POST /livez HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\nx"],
    ids=["nothing", "head", "body"],
)
async def test_connections_without_a_request_shut_nobody_out(sent: bytes) -> None:
    """However many there are, they are closed, and the next one is answered."""
    async with serving(places=4, first_request=0.2) as address:

        def occupy() -> int:
            with contextlib.ExitStack() as stack:
                taken = [stack.enter_context(connected(address, sent)) for _ in range(4)]
                for connection in taken:
                    read_to_end(connection)
                return httpx.get(f"http://{address}/livez", verify=NO_TRUST).status_code

        assert 200 == await anyio.to_thread.run_sync(occupy)


@pytest.mark.parametrize("then", [b"", REQUEST], ids=["idle", "half a request"])
async def test_a_connection_ends_however_it_is_used(then: bytes) -> None:
    """After its answer it may stay for a while, and not for ever."""
    async with serving(first_request=0.2, age=0.4) as address:

        def use() -> bytes:
            with connected(address, REQUEST + b"\r\n", then) as connection:
                return read_to_end(connection)

        answer = await anyio.to_thread.run_sync(use)

    assert answer.startswith(b"HTTP/1.1 200 OK")
    assert answer.endswith(b"ok\n")


async def test_a_request_sets_the_first_limit_aside() -> None:
    """A connection that has asked once is kept for the next time."""
    async with serving(first_request=0.2) as address:

        def use() -> list[int]:
            with httpx.Client(base_url=f"http://{address}", verify=NO_TRUST) as client, connected(address) as silent:
                codes = [client.get("/livez").status_code]
                (kept,) = client._transport._pool.connections  # type: ignore[attr-defined]  # the pool has no public view of its connections
                # By then the limit has passed for the other one too.
                read_to_end(silent)
                codes.append(client.get("/livez").status_code)
                assert [kept] == client._transport._pool.connections  # type: ignore[attr-defined]  # as above
                return codes

        assert [200, 200] == await anyio.to_thread.run_sync(use)


async def test_a_tls_handshake_that_does_not_come_is_given_up() -> None:
    """Before it nothing of the request can be waited for."""
    certificate = trustme.CA().issue_cert("127.0.0.1")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    async with serving(first_request=0.2, tls=context) as address:

        def wait() -> bytes:
            with connected(address) as connection:
                return read_to_end(connection)

        assert b"" == await anyio.to_thread.run_sync(wait)


def test_the_times_have_a_default() -> None:
    """Those of docs/how-to/monitor.md."""
    assert (5.0, 60.0, 5.0) == attrs.astuple(ConnectionTimes())


@contextlib.contextmanager
def kept(address: str, source: str, count: int) -> Iterator[list[socket.socket]]:
    """So many connections from *source* that have asked once."""
    host, _, port = address.rpartition(":")
    with contextlib.ExitStack() as stack:
        held = []
        for _ in range(count):
            line = socket.create_connection((host, int(port)), WAIT, source_address=(source, 0))
            held.append(stack.enter_context(line))
            assert asked(line)
        yield held


def asked(line: socket.socket) -> bool:
    """Whether the server still answers on this connection."""
    read = b""
    with contextlib.suppress(ConnectionError):
        line.sendall(REQUEST + b"\r\n")
        while not read.endswith(b"ok\n") and (data := line.recv(4096)):
            read += data
    return read.startswith(b"HTTP/1.1 200 ")


async def test_whoever_holds_most_connections_makes_room_for_the_others() -> None:
    """Far more connections than places, from one address: a new one of any address is served, and old ones stay."""
    async with serving(places=8) as address:

        def crowd() -> tuple[list[bool], list[bool], int]:
            with kept(address, "127.0.0.1", 2) as known, kept(address, "127.0.0.3", 40) as crowding:
                code = httpx.get(f"http://{address}/livez", verify=NO_TRUST).status_code
                return [asked(line) for line in known], [asked(line) for line in crowding], code

        known, crowding, code = await anyio.to_thread.run_sync(crowd)

    assert ([True, True], 200) == (known, code)
    # The newest of those who hold most stay.
    assert not any(crowding[:-6])
    assert 4 <= sum(crowding[-6:]) <= 6


async def test_silent_connections_take_places_from_their_own_address_only() -> None:
    """Those that never end their TLS handshake count as well."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority = trustme.CA()
    authority.issue_cert("127.0.0.1").configure_cert(context)
    trust = ssl.create_default_context(cadata=authority.cert_pem.bytes().decode())
    async with serving(places=4, tls=context) as address:

        def crowd() -> tuple[int, int]:
            host, _, port = address.rpartition(":")
            with contextlib.ExitStack() as stack:
                lines = [
                    stack.enter_context(
                        socket.create_connection((host, int(port)), WAIT, source_address=("127.0.0.3", 0))
                    )
                    for _ in range(20)
                ]
                code = httpx.get(f"https://{address}/livez", verify=trust).status_code
                return code, sum(read_to_end(line) == b"" for line in lines[:16])

        assert (200, 16) == await anyio.to_thread.run_sync(crowd)


async def test_content_that_nobody_wants_is_read_for_a_while() -> None:
    """So that its client can read the answer; a client that never ends it loses the connection."""
    async with serving(first_request=0.2, content=True) as address:

        def use() -> bytes:
            with connected(address, b"POST /livez HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\nx") as connection:
                # Less than the time of a connection that waits for its next request.
                connection.settimeout(10)
                return read_to_end(connection)

        answer = await anyio.to_thread.run_sync(use)

    assert answer.startswith(b"HTTP/1.1 200 OK")


async def test_a_client_that_reads_nothing_loses_its_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    """And the memory of its answer is free."""
    monkeypatch.setattr(http_connection, "_UNREAD", 0.1)
    long = _Long()
    async with serving(long=long) as address:

        def use() -> bytes:
            with connected(address, b"GET /long HTTP/1.1\r\nhost: x\r\n\r\n") as connection:
                assert long.ended.wait(WAIT)
                return read_to_end(connection)

        assert len(await anyio.to_thread.run_sync(use)) < LONG
