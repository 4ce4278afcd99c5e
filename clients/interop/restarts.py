"""Servers of the one store that a test stops and starts, behind one address as a load balancer has it."""

from __future__ import annotations

import contextlib

from collections.abc import Iterator

import attrs

from clients.interop.world import World
from tests.support.authority import eventually
from tests.support.cable import Cable, cable_to
from tests.support.production import Server


@attrs.define
class Service:
    """One address, and the server that serves there now."""

    world: World
    server: Server
    cable: Cable

    @property
    def address(self) -> str:
        """Where clients call, whichever server serves."""
        return f"localhost:{self.cable.port}"

    def replace(self, following: Server) -> Server:
        """Lead new connections to another server, then ask the one before to stop, and return that one."""
        before, self.server = self.server, following
        self.cable.lead_to(_port(following))
        before.process.terminate()
        return before


@contextlib.contextmanager
def service(world: World) -> Iterator[Service]:
    """A server of its own, which serves the store of all."""
    server = world.start()
    with cable_to(_port(server)) as cable:
        made = Service(world, server, cable)
        try:
            yield made
        finally:
            assert 0 == made.server.stop()


def tokens_made(server: Server) -> int:
    """How many GenerateToken calls a server has recorded."""
    return server.audit_path.read_bytes().count(b"/GenerateToken")


def wait_for_calls(server: Server, calls: int) -> None:
    """Wait until a server has recorded so many more."""
    before = tokens_made(server)
    eventually(lambda: tokens_made(server) >= before + calls, "the server is not called")


def _port(server: Server) -> int:
    return int(server.address.rpartition(":")[2])
