"""Write small files whole or not at all, also where the machine stops in between, and open those of an operator."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO


def replace_file(path: Path, data: bytes, *, like: os.stat_result | None = None) -> None:
    """Put *data* in place of the file *path*, which an OSError leaves as it was. One process at a time may do that.

    The file has the owner and the mode of *like*; default: those of a new file of this process, mode 0600.
    """
    # Always the same name, so that processes that were killed leave no more than one such file.
    new = path.with_name(f"{path.name}.new")
    _write_durably(new, data)
    if like is not None:
        os.chown(new, like.st_uid, like.st_gid)
        new.chmod(stat.S_IMODE(like.st_mode))
    new.rename(path)
    sync_directory(path.parent)


@contextmanager
def sole_writer(directory: Path) -> Iterator[None]:
    """Let no other process write in *directory* that asks for the same; raise BlockingIOError if one does."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)


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


def exposed_mode(path: Path, *, secret: bool = True) -> str:
    """Return the mode of *path* if other users can read or write it, such as `0644`; else, and without a file, nothing.

    They may read what is not *secret*.

    The group counts as others, unless it is by the group alone that this process reads the file.
    """
    try:
        status = path.stat()
    except OSError:
        return ""
    by_group = status.st_uid != os.geteuid() and status.st_gid in {os.getegid(), *os.getgroups()}
    others = stat.S_IWOTH | stat.S_IWGRP
    if secret:
        others |= stat.S_IROTH | (0 if by_group else stat.S_IRGRP)
    return f"{stat.S_IMODE(status.st_mode):04o}" if status.st_mode & others else ""


def signature_of(status: os.stat_result) -> tuple[int, ...]:
    """Return what differs when a file was written or replaced: its time, size, inode and device."""
    return (status.st_mtime_ns, status.st_size, status.st_ino, status.st_dev)


def _write_durably(path: Path, data: bytes) -> None:
    # What has the name already is left by a process that was killed, or is a link that somebody else has made.
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
