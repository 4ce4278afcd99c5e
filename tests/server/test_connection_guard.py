"""Whoever holds most connections makes room for new ones, and the others lose none."""

from __future__ import annotations

import contextlib
import os
import socket

from collections.abc import Iterator

import pytest

from prometheus_client import CollectorRegistry

from tokenauthority.server.connection_guard import ConnectionGuard, _Connection, _superfluous


LIMIT = 400
"""Half of it is above all other files of a process that runs tests."""


class Listener:
    """A listener that accepts, as gRPC does, and lets connections be."""

    def __init__(self, stack: contextlib.ExitStack) -> None:
        self._stack = stack
        self._socket = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=LIMIT))
        self.port: int = self._socket.getsockname()[1]

    def connect(self, source: str, count: int = 1) -> list[socket.socket]:
        """So many connections from *source*, at its end; the other ends stay open."""
        found: list[socket.socket] = []
        while len(found) < count:
            line = socket.create_connection(("127.0.0.1", self.port), 5, source_address=(source, 0))
            self._stack.enter_context(line)
            self._stack.enter_context(self._socket.accept()[0])
            # The kernel may choose the port number of the listener at another address. Then both ends, which only
            # a test has in one process, are connections of that port.
            if line.getsockname()[1] == self.port:
                line.shutdown(socket.SHUT_RDWR)
            else:
                found.append(line)
        return found


@pytest.fixture
def listener() -> Iterator[Listener]:
    """One that the test's end closes."""
    with contextlib.ExitStack() as stack:
        yield Listener(stack)


def open_files() -> int:
    """How many files this process has open."""
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - the number of names is wanted, and no paths


def ended(lines: list[socket.socket]) -> list[bool]:
    """Which of them have been closed at the other end."""
    found = []
    for line in lines:
        line.setblocking(False)  # noqa: FBT003 - the method has no name for it
        try:
            found.append(line.recv(1) == b"")
        except BlockingIOError:
            found.append(False)
    return found


async def test_closes_connections_of_whoever_has_most(listener: Listener) -> None:
    """Down to half of the limit; known callers keep theirs, and it is counted."""
    registry = CollectorRegistry()
    guard = ConnectionGuard([listener.port], LIMIT, registry)
    known = listener.connect("127.0.0.2", 3) + listener.connect("127.0.0.4")
    crowd = listener.connect("127.0.0.3", 350)
    await guard.look()
    assert guard.pause() < 0.25
    files = open_files()
    await guard.look()

    # The look itself leaves none open.
    assert files == open_files()
    assert not any(ended(known))
    assert 154 == sum(ended(crowd))
    assert 154 == registry.get_sample_value("tokenauthority_crowding_connections_closed_total")


def test_those_that_were_idle_for_longest_go_first() -> None:
    """Of those of whoever has most."""
    crowd = [_Connection(number, 1, ("127.0.0.3", number), idle) for number, idle in enumerate((5, 900, 0, 70, 300))]
    known = _Connection(9, 1, ("127.0.0.2", 9), 90_000)

    assert [900, 300] == [connection.idle for connection in _superfluous([known, *crowd], 4)]


async def test_lets_a_calm_server_be(listener: Listener) -> None:
    """An address may have half of all while nobody else comes."""
    guard = ConnectionGuard([listener.port], LIMIT, CollectorRegistry())
    crowd = listener.connect("127.0.0.3", 200)
    await guard.look()

    assert not any(ended(crowd))
    assert 0.25 == guard.pause()


async def test_lets_connections_of_other_ports_be(listener: Listener) -> None:
    """Those of HTTP have a rule of their own, and those to the store are nobody's."""
    guard = ConnectionGuard([1], LIMIT, CollectorRegistry())
    crowd = listener.connect("127.0.0.3", 350)
    await guard.look()

    assert not any(ended(crowd))
