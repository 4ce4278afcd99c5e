"""What a store raised, and what it appended to its changes."""

from __future__ import annotations

from collections.abc import Awaitable

import pytest

from tokenauthority.domain.change import ChangeKind, Cursor
from tokenauthority.domain.errors import (
    Reason,
    TokenAuthorityError,
)
from tokenauthority.storage.store import Store


async def refusal_of(call: Awaitable[object], kind: type[TokenAuthorityError]) -> Reason:
    """Return the reason of the error that *call* raises."""
    with pytest.raises(kind) as caught:
        await call
    return caught.value.reason


async def changes_of(store: Store, after: Cursor | None = None) -> list[tuple[ChangeKind, str, str]]:
    """Return kind, project and subject of each change after a cursor, without the first one of every store."""
    found = await store.changes_after(after or Cursor(), 1000)
    return [(c.kind, c.project_id, c.subject) for c in found if c.kind is not ChangeKind.STORE_CREATED]
