"""Serve HTTP by uvicorn on the running event loop, without uvicorn's signal handlers."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl

from collections.abc import Iterator
from typing import Final

import uvicorn

from starlette.applications import Starlette

from tokenauthority.config.settings import PREFIX
from tokenauthority.server.http_connection import ConnectionTimes, HttpConnection
from tokenauthority.server.http_places import HttpPlaces


_STOP_TIMEOUT: Final = 5


class _Uvicorn(uvicorn.Server):
    def __init__(
        self, config: uvicorn.Config, places: int, times: ConnectionTimes, tls: ssl.SSLContext | None, *, content: bool
    ) -> None:
        super().__init__(config)
        self._places = HttpPlaces(
            places, lambda: HttpConnection(self, times, content=content), tls, times.first_request
        )
        self._accepting: list[asyncio.Task[None]] = []

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Handle no signals: the authority stops its servers itself, gRPC first."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen as uvicorn would, but with our places: uvicorn answers 503 to all when there are too many."""
        self.servers = []
        self._accepting = [asyncio.create_task(self._places.accept(listener)) for listener in sockets or ()]
        self.started = True

    async def on_tick(self, counter: int) -> bool:
        """Return whether to stop; raise what has ended the acceptance of connections."""
        for task in self._accepting:
            if task.done():
                task.result()
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Accept no more, finish what is being answered, and close the rest."""
        for task in self._accepting:
            task.cancel()
        await super().shutdown(sockets)
        self._places.close()


class HttpServer:
    """Serves *app* at *address* (host and port; port 0 picks a free one), which *setting* chooses: `listen.`*name*.

    It serves over TLS where *tls* is given, to at most *places* connections at the same time. Requests may have
    *content*, or are refused if they have.
    """

    def __init__(
        self,
        name: str,
        app: Starlette,
        address: str,
        places: int,
        *,
        tls: ssl.SSLContext | None = None,
        times: ConnectionTimes | None = None,
        content: bool = False,
        setting: str = "",
    ) -> None:
        self.name = name
        self._setting = setting or f"{PREFIX}LISTEN__{name.upper()}=HOST:PORT"
        self._address = address
        self._socket: socket.socket | None = None
        config = uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            server_header=False,
            # The address of a client is that of its connection: limits and the audit log go by it.
            proxy_headers=False,
            lifespan="off",
            ws="none",
            timeout_keep_alive=30,
            timeout_graceful_shutdown=_STOP_TIMEOUT,
        )
        self._server = _Uvicorn(config, places, times or ConnectionTimes(), tls, content=content)

    def bind(self) -> str:
        """Bind the address, and return it with the port that it got; raise OSError if it cannot be listened on."""
        host, _, port = self._address.rpartition(":")
        try:
            family = socket.AF_INET6 if host.startswith("[") else socket.AF_INET
            self._socket = socket.create_server((host.strip("[]"), int(port)), family=family, backlog=128)
        except OSError as error:
            other = f"{self._setting} chooses another address"
            raise OSError(f"cannot listen on {self._address}: {error.strerror}; {other}") from error
        return f"{host}:{self._socket.getsockname()[1]}"

    async def serve(self) -> None:
        """Serve until cancelled, then finish what is being answered, for at most 5 seconds."""
        if self._socket is None:
            raise LookupError(f"the server of listen.{self.name} has no address")
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
