"""Durable files: small files that are replaced whole, and directories whose names survive a crash."""

from __future__ import annotations

import contextlib
import os

from pathlib import Path


def write_whole(path: Path, data: bytes) -> None:
    """Replace the file *path* by *data* (mode 0600), whole or not at all, also if the machine stops meanwhile.

    Raises:
        OSError: The file cannot be written, and is unchanged.
    """
    new = path.with_name(f"{path.name}.new")
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    new.rename(path)
    sync_directory(path.parent)


def sync_directory(directory: Path) -> None:
    """Make the names in *directory* durable, where the file system can.

    Raises:
        OSError: There is no such directory.
    """
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with contextlib.suppress(OSError):
            os.fsync(descriptor)
    finally:
        os.close(descriptor)
