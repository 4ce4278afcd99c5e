"""Write small files whole or not at all, with mode 0600, also where the machine stops in between."""

from __future__ import annotations

import contextlib
import os

from pathlib import Path


def replace_file(path: Path, data: bytes) -> None:
    """Put *data* in place of the file *path*, which an OSError leaves as it was. One process at a time may do that."""
    # Always the same name, so that processes that were killed leave no more than one such file.
    new = path.with_name(f"{path.name}.new")
    _write_durably(new, data)
    new.rename(path)
    sync_directory(path.parent)


def create_file(path: Path, data: bytes) -> None:
    """Make the file *path* and its directory (mode 0700), unless another process has made the file by now."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    own = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        _write_durably(own, data)
        with contextlib.suppress(FileExistsError):
            path.hardlink_to(own)
    finally:
        own.unlink(missing_ok=True)
    sync_directory(path.parent)


def sync_directory(directory: Path) -> None:
    """Make the names in *directory* durable; a file system that cannot is left to itself."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with contextlib.suppress(OSError):
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write_durably(path: Path, data: bytes) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
