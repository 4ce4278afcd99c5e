"""Bytes onto a disk: the calls that a commit consists of, and small files that are replaced whole."""

from __future__ import annotations

import contextlib
import os

from typing import TYPE_CHECKING


if TYPE_CHECKING:
    from pathlib import Path


class Disk:
    """The two calls that a commit consists of; a test puts others in their place to count them or let them fail."""

    def write(self, descriptor: int, data: memoryview) -> int:
        """As `os.write`: how many bytes were taken, which may be fewer.

        Raises:
            OSError: none were.
        """
        return os.write(descriptor, data)

    def sync(self, descriptor: int) -> None:
        """Return once everything that was written is on the disk.

        Raises:
            OSError: it may not be.
        """
        os.fdatasync(descriptor)


def write_whole(path: Path, data: bytes) -> None:
    """Put *data* in place of the file *path* (mode 0600): all of it or nothing, also if the machine stops meanwhile.

    Raises:
        OSError: it cannot be written; the file is as it was.
    """
    new = path.with_name(f"{path.name}.new")
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    new.rename(path)
    sync_directory(path.parent)


def sync_directory(directory: Path) -> None:
    """Make the names in *directory* durable; a file system that cannot is left to itself.

    Raises:
        OSError: there is no such directory.
    """
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with contextlib.suppress(OSError):
            os.fsync(descriptor)
    finally:
        os.close(descriptor)
