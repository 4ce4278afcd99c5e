"""Leave room for new gRPC connections: whoever holds most of them loses those that have been idle for longest.

gRPC bounds all connections of a listener together. Then it refuses every new one, wherever it comes from, and does not
say who holds the others. So this module looks at the sockets of the process. It needs Linux.
"""

from __future__ import annotations

import os
import socket
import struct

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Final

import attrs
import structlog

from prometheus_client import CollectorRegistry, Counter

from tokenauthority.domain.origin import origin_of_host
from tokenauthority.domain.shares import excess
from tokenauthority.threads import BlockingPool


_FILES: Final = "/proc/self/fd"

_PAUSE, _PAUSE_UNDER_PRESSURE = 0.25, 0.1
"""Seconds between two looks: usually, and after a look that has closed connections."""

_TCP_INFO: Final = struct.Struct("=B43xI4xI")
"""Of the kernel's `struct tcp_info`: the state, and the milliseconds since data was last sent and last received."""

_ESTABLISHED: Final = 1

_INTERNET: Final = frozenset({socket.AF_INET, socket.AF_INET6})


@attrs.frozen
class _Connection:
    """A connection: its file, the port of its listener, the address of its client, and its idle time (ms)."""

    file: int
    port: int
    peer: tuple[object, ...]
    idle: int

    @property
    def origin(self) -> str:
        return origin_of_host(str(self.peer[0]))


class ConnectionGuard:
    """Watches the listeners at *ports*, each of which may have *limit* connections.

    Half of them may be in use. Beyond that, connections of the address (IPv6: of the /64) with most of them are closed,
    and never the last one of an address. The other half is for those that come until the next look.
    """

    def __init__(self, ports: Collection[int], limit: int, registry: CollectorRegistry) -> None:
        self._ports = frozenset(ports)
        self._most = limit // 2
        self._pool = BlockingPool("connections")
        self._pause = _PAUSE
        meaning = "gRPC connections that were closed because their address had more than others."
        self._closed = Counter("tokenauthority_crowding_connections_closed", meaning, registry=registry)
        self._logger = structlog.stdlib.get_logger(__name__)

    def pause(self) -> float:
        """Return the seconds until the next look."""
        return self._pause

    async def look(self) -> None:
        """Close the connections that are too many."""
        closed = await self._pool.run(self._trim)
        self._pause = _PAUSE_UNDER_PRESSURE if closed else _PAUSE
        for origin, count in closed.items():
            self._closed.inc(count)
            self._logger.warning("connections.closed", origin=origin, count=count)

    def _trim(self) -> dict[str, int]:
        """Close connections; return how many of each origin."""
        closed: dict[str, int] = {}
        # All files are more than the connections: a look that costs little, and nearly always the only one.
        if len(os.listdir(_FILES)) > self._most:  # noqa: PTH208 - only the number of names is wanted
            found = tuple(self._connections())
            for port in self._ports:
                for connection in _superfluous([one for one in found if one.port == port], self._most):
                    _close(connection)
                    closed[connection.origin] = closed.get(connection.origin, 0) + 1
        return closed

    def _connections(self) -> Iterator[_Connection]:
        for name in os.listdir(_FILES):  # noqa: PTH208 - thousands of names a second, and no paths are wanted
            # What is no socket, listens, or has been closed by now raises.
            with suppress(OSError), _second(int(name)) as line:
                if line.family in _INTERNET and (port := line.getsockname()[1]) in self._ports:
                    info = line.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO.size)
                    state, *idle = _TCP_INFO.unpack(info)
                    if state == _ESTABLISHED:
                        yield _Connection(int(name), port, line.getpeername(), min(idle))


@contextmanager
def _second(file: int) -> Iterator[socket.socket]:
    """Open a second descriptor of the socket *file*, which stays what it is meanwhile; raise OSError if it is none."""
    number = os.dup(file)
    try:
        line = socket.socket(fileno=number)
    except OSError:
        os.close(number)
        raise
    with line:
        yield line


def _superfluous(connections: Sequence[_Connection], most: int) -> Iterator[_Connection]:
    """Yield the connections to close, so that *most* are left."""
    held: dict[str, int] = {}
    for connection in connections:
        held[connection.origin] = held.get(connection.origin, 0) + 1
    leaving = excess(held, most, least=1)
    for connection in sorted(connections, key=lambda one: one.idle, reverse=True):
        if leaving.get(connection.origin, 0):
            leaving[connection.origin] -= 1
            yield connection


def _close(connection: _Connection) -> None:
    """End the connection as its client would; gRPC then closes its own file."""
    with suppress(OSError), _second(connection.file) as line:
        # By now the number may be that of another connection.
        if line.getpeername() == connection.peer:
            line.shutdown(socket.SHUT_RDWR)
