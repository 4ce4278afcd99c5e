"""State how a store deletes projects."""

from __future__ import annotations

from typing import Final, Protocol

from tokenauthority.domain.project import ProjectContents
from tokenauthority.domain.revocation import StoredRevocation


MAX_COUNTED: Final = 1_000_000
"""How many sessions, and revocations, `count_contents` counts."""


class ProjectDeletionStore(Protocol):
    """The deletion of projects: at once what makes tokens, and page by page what a project can have a million of."""

    async def count_contents(self, project_id: str) -> ProjectContents:
        """Count what `delete_project` would delete; `PROJECT_NOT_FOUND`."""

    async def delete_project(self, project_id: str, revocation: StoredRevocation) -> ProjectContents:
        """Delete a project with its credentials and roles, and store *revocation*, of kind PROJECT, in one transaction.

        `purge_deleted` deletes its sessions and its other revocations. Return what is deleted.

        Raises:
            NotFoundError: `PROJECT_NOT_FOUND`.
        """

    async def purge_deleted(self, limit: int) -> int:
        """Delete at most *limit* sessions and as many revocations of deleted projects, and return how many rows."""
