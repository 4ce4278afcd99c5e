"""The HTTP face cannot be kept from everybody by connections that say nothing, or never end."""

from __future__ import annotations

import contextlib
import socket
import ssl

from collections.abc import AsyncIterator, Iterator

import anyio.to_thread
import attrs
import httpx
import pytest
import trustme

from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from tests.support.authority import WAIT
from tests.support.background import supervised
from tokenauthority.server.background import BackgroundTask
from tokenauthority.server.http import HttpLimits, HttpServer


NEVER = 1000.0
REQUEST = b"GET /livez HTTP/1.1\r\nhost: x\r\n"


async def _livez(_: object) -> PlainTextResponse:
    return PlainTextResponse("ok\n")


@contextlib.asynccontextmanager
async def serving(limits: HttpLimits, tls: ssl.SSLContext | None = None) -> AsyncIterator[str]:
    """The address of a server with *limits*."""
    server = HttpServer(Starlette(routes=[Route("/livez", _livez)]), "127.0.0.1:0", tls, limits)
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
    limits = HttpLimits(connections=4, first_request=0.2, connection_age=NEVER)
    async with serving(limits) as address:

        def occupy() -> int:
            with contextlib.ExitStack() as stack:
                taken = [stack.enter_context(connected(address, sent)) for _ in range(4)]
                for connection in taken:
                    read_to_end(connection)
                return httpx.get(f"http://{address}/livez").status_code

        assert 200 == await anyio.to_thread.run_sync(occupy)


@pytest.mark.parametrize("then", [b"", REQUEST], ids=["idle", "half a request"])
async def test_a_connection_ends_however_it_is_used(then: bytes) -> None:
    """After its answer it may stay for a while, and not for ever."""
    limits = HttpLimits(first_request=0.2, connection_age=0.4)
    async with serving(limits) as address:

        def use() -> bytes:
            with connected(address, REQUEST + b"\r\n", then) as connection:
                return read_to_end(connection)

        answer = await anyio.to_thread.run_sync(use)

    assert answer.startswith(b"HTTP/1.1 200 OK")
    assert answer.endswith(b"ok\n")


async def test_a_request_sets_the_first_limit_aside() -> None:
    """A connection that has asked once is kept for the next time."""
    limits = HttpLimits(first_request=0.2, connection_age=NEVER)
    async with serving(limits) as address:

        def use() -> list[int]:
            with httpx.Client(base_url=f"http://{address}") as client, connected(address) as silent:
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
    async with serving(HttpLimits(first_request=0.2), context) as address:

        def wait() -> bytes:
            with connected(address) as connection:
                return read_to_end(connection)

        assert b"" == await anyio.to_thread.run_sync(wait)


def test_the_limits_have_a_default() -> None:
    """Those of docs/how-to/monitor.md."""
    assert (256, 5.0, 60.0) == attrs.astuple(HttpLimits())
