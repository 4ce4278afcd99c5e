"""Connect httpcore to a server that may send only so many bytes, whose name is looked up in a thread of our own."""

from __future__ import annotations

import socket
import ssl

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any, Final

import anyio
import anyio.abc
import httpcore

from anyio.streams.tls import TLSAttribute, TLSStream

from tokenauthority.threads import BlockingPool


_CHUNK: Final = 1024
"""Bytes that are parsed at once: the event loop does nothing else meanwhile."""

_FAILURES: Final = (anyio.BrokenResourceError, anyio.ClosedResourceError, anyio.EndOfStream, OSError)


class AnswerTooLongError(Exception):
    """The server has sent more than an answer may have."""


class BoundedNetwork(httpcore.AsyncNetworkBackend):
    """Connections that receive at most *max_bytes*, as the network counts them.

    So interim responses (1xx) and headers are included, and all of TLS: handshakes, tickets, records without content.

    asyncio looks names up in threads that a process waits for when it ends. *thread* is of the kind that it leaves.
    """

    def __init__(self, max_bytes: int, thread: BlockingPool) -> None:
        self._max_bytes = max_bytes
        self._thread = thread

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Connect to the first address of *host* that answers; each has its share of *timeout*."""
        found = await self._thread.run(partial(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM))
        addresses = [str(place[0]) for *_, place in found]
        each = None if timeout is None else timeout / len(addresses)
        for last, address in enumerate(addresses, start=1 - len(addresses)):
            try:
                with _translated(httpcore.ConnectTimeout, httpcore.ConnectError), anyio.fail_after(each):
                    stream = await anyio.connect_tcp(address, port, local_host=local_address)
            except (httpcore.ConnectError, httpcore.ConnectTimeout):
                if not last:
                    raise
            else:
                return _Stream(_BoundedBytes(stream, self._max_bytes))
        raise httpcore.ConnectError(f"{host} has no address")

    async def sleep(self, seconds: float) -> None:
        """Pause between two attempts."""
        await anyio.sleep(seconds)


class _BoundedBytes(anyio.abc.ByteStream):
    """What the network delivers, below TLS."""

    def __init__(self, stream: anyio.abc.ByteStream, left: int) -> None:
        self._stream = stream
        self._left = left

    async def receive(self, max_bytes: int = _CHUNK) -> bytes:
        data = await self._stream.receive(min(max_bytes, _CHUNK))
        self._left -= len(data)
        if self._left < 0:
            raise AnswerTooLongError("the server sends too much")
        return data

    async def send(self, item: bytes) -> None:
        await self._stream.send(item)

    async def send_eof(self) -> None:
        await self._stream.send_eof()

    async def aclose(self) -> None:
        await self._stream.aclose()

    @property
    def extra_attributes(self) -> Mapping[Any, Callable[[], Any]]:
        return self._stream.extra_attributes


class _Stream(httpcore.AsyncNetworkStream):
    """A stream of anyio as httpcore uses it, with the errors of httpcore."""

    def __init__(self, stream: anyio.abc.ByteStream) -> None:
        self._stream = stream

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        with _translated(httpcore.ReadTimeout, httpcore.ReadError), anyio.fail_after(timeout):
            try:
                return await self._stream.receive(min(max_bytes, _CHUNK))
            except anyio.EndOfStream:
                return b""

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        with _translated(httpcore.WriteTimeout, httpcore.WriteError), anyio.fail_after(timeout):
            await self._stream.send(buffer)

    async def aclose(self) -> None:
        await self._stream.aclose()

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.AsyncNetworkStream:
        try:
            with _translated(httpcore.ConnectTimeout, httpcore.ConnectError), anyio.fail_after(timeout):
                # Servers end connections without close_notify; the length of an answer says whether it is whole.
                return _Stream(
                    await TLSStream.wrap(
                        self._stream,
                        server_side=False,
                        hostname=server_hostname,
                        ssl_context=ssl_context,
                        standard_compatible=False,
                    )
                )
        except BaseException:
            await self.aclose()
            raise

    def get_extra_info(self, info: str) -> Any:
        return self._stream.extra(TLSAttribute.ssl_object, None) if info == "ssl_object" else None  # noqa: S610 - the rule is about SQL in Django's `extra`; anyio's `extra` returns an attribute of the stream


@contextmanager
def _translated(late: type[Exception], failed: type[Exception]) -> Iterator[None]:
    """Raise *late* for a timeout, and *failed* for any other failure of the network or of TLS."""
    try:
        yield
    except TimeoutError as error:
        raise late(str(error)) from error
    except _FAILURES as error:
        raise failed(str(error)) from error
