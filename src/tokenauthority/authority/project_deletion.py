"""Delete projects, and revoke all tokens that they have."""

from __future__ import annotations

import secrets

from collections.abc import Callable
from typing import Final

import attrs

from tokenauthority.authority.revocations import Revocations
from tokenauthority.authority.tenant_cache import TenantCache
from tokenauthority.domain.change import ChangeKind
from tokenauthority.domain.ids import REVOCATION_RANDOM_BYTES, make_revocation_id
from tokenauthority.domain.project import ProjectContents
from tokenauthority.domain.revocation import StoredRevocation, TargetKind
from tokenauthority.domain.times import Millis, whole_seconds
from tokenauthority.storage.project_deletion_store import ProjectDeletionStore


_PAGE: Final = 1000
_PAGES: Final = 10
"""Pages of sessions that a call deletes itself; a background task deletes the others."""


@attrs.frozen(eq=False, repr=False)
class ProjectDeletion:
    """The use case DeleteProject. It calls *wake* after a change that watchers should see soon."""

    _store: ProjectDeletionStore
    _tenants: TenantCache
    _revocations: Revocations
    _wake: Callable[[], None]

    async def count(self, project_id: str) -> ProjectContents:
        """Return what `delete` would delete; raise NotFoundError and UnavailableError."""
        return await self._store.count_contents(project_id)

    async def delete(self, project_id: str, now: Millis) -> ProjectContents:
        """Delete the project durably, and return what was deleted; raise NotFoundError and UnavailableError."""
        revocation = StoredRevocation(
            revocation_id=make_revocation_id(now, secrets.token_bytes(REVOCATION_RANDOM_BYTES)),
            project_id=project_id,
            kind=TargetKind.PROJECT,
            target="",
            issued_before=whole_seconds(now),
            comment="",
            create_time=now,
        )
        contents = await self._store.delete_project(project_id, revocation)
        self._tenants.invalidate(ChangeKind.PROJECT_DELETION, project_id, project_id)
        self._revocations.apply([revocation])
        self._wake()
        for _ in range(_PAGES):
            if not await self._store.purge_deleted(_PAGE):
                break
        return contents
