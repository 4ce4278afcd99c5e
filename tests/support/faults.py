"""An audit log that cannot be written."""

from __future__ import annotations

from pathlib import Path


def break_audit_log(path: Path) -> None:
    """Delete the log's file and put a directory in its place, so that none can be made."""
    path.unlink()
    path.mkdir()
