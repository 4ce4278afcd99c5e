"""Records that wait for one commit: how many, of how many bytes, and since when."""

from __future__ import annotations

import asyncio

import attrs
import msgspec

from tokenauthority.clocks import monotonic
from tokenauthority.domain.errors import UnavailableError


@attrs.frozen(kw_only=True)
class Backlog:
    """What waits for the disk: lines, their size in bytes, and the age of the oldest in seconds (0 if none waits)."""

    lines: int
    size: int
    age: float


class _PendingLine(msgspec.Struct):
    kind: str
    body: bytes
    committed: asyncio.Future[None]


class Batch:
    """Lines that are committed together. `size` is that in bytes, and `since` when the first one came; see `add`."""

    def __init__(self) -> None:
        self._lines: list[_PendingLine] = []
        self.size = 0
        self.since = 0.0

    def __len__(self) -> int:
        return len(self._lines)

    @property
    def lines(self) -> list[tuple[str, bytes]]:
        """The kind and the body of each line."""
        return [(each.kind, each.body) for each in self._lines]

    def add(self, kind: str, body: bytes) -> asyncio.Future[None]:
        """Add a line; the future ends with the commit. `since` is by the monotonic clock."""
        if not self._lines:
            self.since = monotonic()
        committed = asyncio.get_running_loop().create_future()
        self._lines.append(_PendingLine(kind, body, committed))
        self.size += len(body)
        return committed

    def settle(self) -> None:
        """Let the answers of the lines leave."""
        for each in self._lines:
            if not each.committed.done():
                each.committed.set_result(None)

    def fail(self, cause: Exception) -> None:
        """Fail all lines that wait."""
        for each in self._lines:
            if not each.committed.done():
                failure = UnavailableError.audit()
                failure.__cause__ = cause
                each.committed.set_exception(failure)


def backlog_of(*batches: Batch) -> Backlog:
    """Return what waits in *batches* now."""
    waiting = [batch for batch in batches if len(batch)]
    return Backlog(
        lines=sum(map(len, waiting)),
        size=sum(batch.size for batch in waiting),
        age=max((monotonic() - batch.since for batch in waiting), default=0.0),
    )
