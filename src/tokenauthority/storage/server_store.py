"""State how a store has the records of running servers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from tokenauthority.domain.server_record import ServerRecord


class ServerStore(Protocol):
    """The servers that use the store."""

    async def report_server(self, record: ServerRecord) -> Sequence[ServerRecord]:
        """Store or renew the record of a server, delete those that count no more, and return the others by id."""

    async def remove_server(self, server_id: str) -> None:
        """Delete the record of a server that stops."""
