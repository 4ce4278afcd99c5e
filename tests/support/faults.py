"""A store that waits or fails, and an audit log that cannot be written, when a test says so."""

from __future__ import annotations

import asyncio
import threading

from collections.abc import Collection, Sequence
from pathlib import Path

from tests.support.authority import WAIT, RunningAuthority
from tests.support.memory_store import MemoryStore
from tokenauthority.domain.change import Change, Cursor
from tokenauthority.domain.errors import UnavailableError
from tokenauthority.domain.project import Project
from tokenauthority.domain.session import StoredSession


def break_audit_log(path: Path) -> None:
    """Delete the log's file and put a directory in its place, so that none can be made."""
    path.unlink()
    path.mkdir()


class FaultyStore(MemoryStore):
    """ListProjects and reads of sessions wait while the gate is shut, and raise `failure` when there is one."""

    def __init__(self) -> None:
        super().__init__()
        self.failure: Exception | None = None
        self.unreadable = False
        self._open = asyncio.Event()
        self._open.set()
        self._arrived = threading.Semaphore(0)

    def shut(self) -> None:
        """Let nobody through from now on."""
        self._open.clear()

    def wait_until_held(self, calls: int = 1) -> None:
        """Return once so many more *calls* stand before the gate."""
        for _ in range(calls):
            assert self._arrived.acquire(timeout=WAIT), "no call came to the gate"

    def open(self) -> None:
        """Let everybody through; to be called on the event loop that uses the store."""
        self._open.set()

    def release(self, authority: RunningAuthority) -> None:
        """Let everybody through, from any thread."""
        authority.loop.call_soon_threadsafe(self.open)

    async def list_projects(self, *, after: int, limit: int, only: Collection[str] | None) -> Sequence[Project]:
        """See `Store`."""
        await self._pass()
        return await super().list_projects(after=after, limit=limit, only=only)

    async def get_session(self, session_id: str) -> StoredSession | None:
        """See `Store`."""
        await self._pass()
        return await super().get_session(session_id)

    async def changes_after(self, cursor: Cursor, limit: int) -> Sequence[Change]:
        """See `Store`."""
        if self.unreadable:
            raise UnavailableError.store()
        if self.failure is not None:
            raise self.failure
        return await super().changes_after(cursor, limit)

    async def _pass(self) -> None:
        if not self._open.is_set():
            self._arrived.release()
            await self._open.wait()
        if self.failure is not None:
            raise self.failure
