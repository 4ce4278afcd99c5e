"""Accept the connections of one HTTP listener: each gets a place, and the one who holds most places pays for it."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl

from collections import Counter
from collections.abc import Callable
from typing import Final

from tokenauthority.domain.origin import origin_of_host
from tokenauthority.domain.shares import excess
from tokenauthority.server.http_connection import HttpConnection


_PAUSE: Final = 0.1
"""Seconds before the next try to accept, after the system refused: it has no descriptor or no memory to give."""


class HttpPlaces:
    """At most *places* connections at the same time, those within their TLS handshake included.

    A new connection always gets a place. If all are taken, the oldest connection is closed of the address (IPv6: /64)
    that has most. So whoever holds many connections shuts nobody out, neither from one address nor from many.
    """

    def __init__(
        self, places: int, connection: Callable[[], HttpConnection], tls: ssl.SSLContext | None, handshake: float
    ) -> None:
        """*handshake* is the time for a TLS handshake, in seconds."""
        self._places = places
        self._connection = connection
        self._tls = tls
        self._handshake = None if tls is None else handshake
        self._held: dict[asyncio.Task[None], str] = {}

    async def accept(self, listener: socket.socket) -> None:
        """Accept connections until cancelled."""
        loop = asyncio.get_running_loop()
        listener.settimeout(0)
        while True:
            try:
                line, address = await loop.sock_accept(listener)
            except OSError:
                await asyncio.sleep(_PAUSE)
                continue
            task = loop.create_task(self._serve(line))
            self._held[task] = origin_of_host(str(address[0]))
            task.add_done_callback(self._leave)
            # Until it has begun, to cancel it would leave the connection open.
            await asyncio.sleep(0)
            if len(self._held) > self._places:
                self._make_room()

    def close(self) -> None:
        """Close every connection."""
        for task in tuple(self._held):
            task.cancel()

    def _make_room(self) -> None:
        leaving = Counter(excess(Counter(self._held.values()), self._places))
        # In the order of their arrival.
        for task, origin in tuple(self._held.items()):
            if leaving[origin]:
                leaving[origin] -= 1
                del self._held[task]
                task.cancel()

    def _leave(self, task: asyncio.Task[None]) -> None:
        self._held.pop(task, None)
        if not task.cancelled() and (error := task.exception()) is not None:
            raise error

    async def _serve(self, line: socket.socket) -> None:
        """Serve the connection *line* to its end; to cancel this closes it."""
        connection, transport = self._connection(), None
        try:
            # uvloop returns the protocol of TLS beside the transport, and not ours.
            transport, _ = await asyncio.get_running_loop().connect_accepted_socket(
                lambda: connection, line, ssl=self._tls, ssl_handshake_timeout=self._handshake
            )
            await connection.lost.wait()
        except OSError:
            # The other end has left, or speaks no TLS.
            return
        finally:
            if transport is not None:
                transport.abort()
            with contextlib.suppress(OSError):
                # The transport of a handshake that was cancelled sees the end of the connection, and closes it.
                line.shutdown(socket.SHUT_RDWR)
