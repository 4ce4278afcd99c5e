"""Find a project by the id of a secret: tokens of LiveKit's own SDKs name nothing else of it."""

from __future__ import annotations

from typing import Final

from alembic import op


revision: Final = "0007"
down_revision: Final = "0006"


def upgrade() -> None:
    """Add the index."""
    op.create_index("ix_project_credentials_credential_id", "project_credentials", ["credential_id"])
