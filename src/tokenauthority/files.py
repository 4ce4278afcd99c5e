"""Write small files whole or not at all, also where the machine stops in between, and open those of an operator."""

from __future__ import annotations

import contextlib
import errno
import os
import stat

from pathlib import Path
from typing import IO


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


def open_regular(path: Path) -> IO[bytes]:
    """Open *path* for reading; OSError if it is no regular file: opening a FIFO would wait for its writer, for ever."""
    file = os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb")
    if stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        return file
    file.close()
    raise OSError(errno.EINVAL, "it is not a regular file", str(path))


def signature_of(status: os.stat_result) -> tuple[int, ...]:
    """Return what differs when a file was written or replaced: its time, size, inode and device."""
    return (status.st_mtime_ns, status.st_size, status.st_ino, status.st_dev)


def _write_durably(path: Path, data: bytes) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
