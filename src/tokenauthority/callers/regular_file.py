"""Open the files that an operator names, without waiting for a writer, and notice when they change."""

from __future__ import annotations

import errno
import os
import stat

from pathlib import Path
from typing import IO


def open_regular(path: Path) -> IO[bytes]:
    """Open *path* for reading if it is a regular file: opening a FIFO would wait for its writer, for ever.

    Raises:
        OSError: the file cannot be opened, or is not a regular file.
    """
    file = os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb")
    if stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        return file
    file.close()
    raise OSError(errno.EINVAL, "it is not a regular file", str(path))


def signature_of(status: os.stat_result) -> tuple[int, ...]:
    """Return what differs when a file was written or replaced: its time, size, inode and device."""
    return (status.st_mtime_ns, status.st_size, status.st_ino, status.st_dev)
