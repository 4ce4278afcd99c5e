"""Runs the HTTP face by uvicorn on the event loop that is there, without its own signal handlers."""

from __future__ import annotations

import asyncio
import contextlib
import socket

from typing import TYPE_CHECKING, Final

import uvicorn


if TYPE_CHECKING:
    from collections.abc import Iterator

    from starlette.applications import Starlette


_STOP_TIMEOUT: Final = 5


class _Uvicorn(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals alone: the authority stops both of its servers itself, gRPC first."""
        yield


class HttpServer:
    """Serves *app* at *address* (host and port; port 0 picks a free one)."""

    def __init__(self, app: Starlette, address: str) -> None:
        self._address = address
        self._socket: socket.socket | None = None
        self._task: asyncio.Task[None] | None = None
        self._server = _Uvicorn(
            uvicorn.Config(
                app,
                log_config=None,
                access_log=False,
                server_header=False,
                lifespan="off",
                limit_concurrency=256,
                timeout_keep_alive=30,
                timeout_graceful_shutdown=_STOP_TIMEOUT,
                h11_max_incomplete_event_size=16 * 1024,
            )
        )

    def bind(self) -> str:
        """Take the address; answers it with the port that was given.

        Raises:
            OSError: it cannot be listened on.
        """
        host, _, port = self._address.rpartition(":")
        try:
            family = socket.AF_INET6 if host.startswith("[") else socket.AF_INET
            self._socket = socket.create_server((host.strip("[]"), int(port)), family=family, backlog=128)
        except OSError as error:
            raise OSError(f"cannot listen on {self._address}: {error.strerror}") from error
        return f"{host}:{self._socket.getsockname()[1]}"

    async def start(self) -> None:
        """Serve from now on."""
        if self._socket is not None:
            self._task = asyncio.create_task(self._server.serve(sockets=[self._socket]))

    async def stop(self) -> None:
        """Finish what is being answered, for at most 5 seconds."""
        self._server.should_exit = True
        if self._task is not None:
            await self._task
        if self._socket is not None:
            self._socket.close()
