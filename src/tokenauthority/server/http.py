"""Serve HTTP by uvicorn on the running event loop, without uvicorn's signal handlers.

uvicorn bounds the number of connections but not their time, so a few hundred silent ones would exclude everybody else.
Here each connection has a time for its first request, and a longest age.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl

from collections.abc import Iterator
from typing import Final

import attrs
import uvicorn

from starlette.applications import Starlette
from uvicorn.protocols.http.h11_impl import H11Protocol


_STOP_TIMEOUT: Final = 5
_MAX_HEADERS: Final = 16 * 1024
"""Bytes of a request's head."""


@attrs.frozen(kw_only=True)
class HttpLimits:
    """The limits of the HTTP server; times are in seconds."""

    connections: int = 256
    """Connections from which on every request is answered 503."""
    first_request: float = 5.0
    """Time from the connection to the end of its first request. The TLS handshake has the same time before that."""
    connection_age: float = 60.0
    """Time after which a connection is closed, once its answer has been sent within `first_request`."""


class _Connection(H11Protocol):
    """One connection, closed by *limits*."""

    def __init__(self, server: uvicorn.Server, limits: HttpLimits) -> None:
        super().__init__(server.config, server.server_state, {})
        self._limits = limits
        self._timers: list[asyncio.TimerHandle] = []

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # uvicorn narrows asyncio's parameter in the same way
        super().connection_made(transport)
        self._timers = [
            self.loop.call_later(self._limits.first_request, transport.abort),
            self.loop.call_later(self._limits.connection_age, self._grow_old),
        ]

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.cycle is not None and not self.cycle.more_body:  # type: ignore[redundant-expr]  # None before the first request, which uvicorn's annotation leaves out
            self._timers[0].cancel()

    def connection_lost(self, exc: Exception | None) -> None:
        for timer in self._timers:
            timer.cancel()
        super().connection_lost(exc)

    def _grow_old(self) -> None:
        # A client that does not read its answer, or that stops within a later request, gets no more time than others.
        self._timers.append(self.loop.call_later(self._limits.first_request, self.transport.abort))
        self.shutdown()


class _Uvicorn(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, limits: HttpLimits, tls: ssl.SSLContext | None) -> None:
        super().__init__(config)
        self._limits = limits
        self._tls = tls

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Handle no signals: the authority stops both of its servers itself, gRPC first."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen as uvicorn would, but with our connections and a time limit for the TLS handshake."""
        loop = asyncio.get_running_loop()
        timeout = None if self._tls is None else self._limits.first_request
        self.servers = [
            await loop.create_server(
                lambda: _Connection(self, self._limits), sock=listener, ssl=self._tls, ssl_handshake_timeout=timeout
            )
            for listener in sockets or ()
        ]
        self.started = True


class HttpServer:
    """Serves *app* at *address* (host and port; port 0 picks a free one), over TLS where *tls* is given."""

    def __init__(
        self, app: Starlette, address: str, tls: ssl.SSLContext | None = None, limits: HttpLimits | None = None
    ) -> None:
        self._address = address
        self._socket: socket.socket | None = None
        limits = limits or HttpLimits()
        config = uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            server_header=False,
            lifespan="off",
            ws="none",
            limit_concurrency=limits.connections,
            timeout_keep_alive=30,
            timeout_graceful_shutdown=_STOP_TIMEOUT,
            h11_max_incomplete_event_size=_MAX_HEADERS,
        )
        self._server = _Uvicorn(config, limits, tls)

    def bind(self) -> str:
        """Bind the address, and return it with the port that it got; raise OSError if it cannot be listened on."""
        host, _, port = self._address.rpartition(":")
        try:
            family = socket.AF_INET6 if host.startswith("[") else socket.AF_INET
            self._socket = socket.create_server((host.strip("[]"), int(port)), family=family, backlog=128)
        except OSError as error:
            other = "TOKENAUTHORITY_LISTEN__HTTP=HOST:PORT chooses another address"
            raise OSError(f"cannot listen on {self._address}: {error.strerror}; {other}") from error
        return f"{host}:{self._socket.getsockname()[1]}"

    async def serve(self) -> None:
        """Serve until cancelled, then finish what is being answered, for at most 5 seconds."""
        if self._socket is None:
            raise LookupError("the HTTP server has no address")
        serving = asyncio.create_task(self._server.serve(sockets=[self._socket]))
        try:
            await asyncio.shield(serving)
        except asyncio.CancelledError:
            self._server.should_exit = True
            await serving
            raise

    def close(self) -> None:
        """Release the address."""
        if self._socket is not None:
            self._socket.close()
