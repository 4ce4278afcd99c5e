"""The open file of an audit log: grows by whole commits, notices when it is not the file of its name any more.

Its methods block and belong on one thread at a time.
"""

from __future__ import annotations

import fcntl
import os
import stat

from datetime import UTC, datetime
from hashlib import sha256
from typing import TYPE_CHECKING, Final

import attrs

from tokenauthority.audit import tail
from tokenauthority.audit.disk import Disk, sync_directory
from tokenauthority.audit.errors import AuditLogError, LostFileError, NotRenamedError


if TYPE_CHECKING:
    from pathlib import Path


_FLAGS: Final = os.O_RDWR | os.O_APPEND | os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK
_CHUNK: Final = 1_048_576


@attrs.frozen
class Aside:
    """Bytes at the end of a log that are no whole line, and the file in which they are kept."""

    file: str
    bytes: int
    sha256: str


@attrs.frozen
class Opened:
    """What was in the file at the start. The lines are without newline, and None where there is no line."""

    first: bytes | None
    last: bytes | None
    aside: Aside | None


@attrs.frozen
class Salvaged:
    """What a failed commit left: *kept* are whole lines of it, cut off, which the next commit must begin with.

    `missing` counts bytes of earlier commits that somebody cut off.
    """

    kept: bytes = b""
    aside: Aside | None = None
    missing: int = 0


class LogFile:
    """The file at *path*; every write and sync goes through *disk*. `size` counts the bytes of whole commits."""

    def __init__(self, path: Path, disk: Disk) -> None:
        self.path = path
        self.size = 0
        self._disk = disk
        self._fd = -1
        self._attempted = b""

    def open(self) -> Opened:
        """Open the file for this process alone, made with mode 0600 where there is none; a torn end is put aside.

        Raises:
            AuditLogError: another process has it, or it is no regular file.
            DamagedLineError: its first or last line is longer than any record.
            OSError: it cannot be opened, read or written.
        """
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._fd = self._open_locked()
        size = os.fstat(self._fd).st_size
        self.size = tail.whole_length(self._fd, size)
        aside = self._put_aside(self.size, size)
        if not self.size:
            return Opened(None, None, aside)
        return Opened(tail.first_line(self._fd, self.size), tail.last_line(self._fd, self.size), aside)

    def find(self, seq: int) -> bytes | None:
        """The line with that number, without newline; see `tail.find_line`."""
        return tail.find_line(self._fd, self.size, seq)

    def commit(self, data: bytes, *, durable: bool) -> bool:
        """Append whole lines; when it returns they are in the file, and on the disk if *durable*.

        Returns:
            Whether the file has another name by now, so that the log must go on in a new one.

        Raises:
            LostFileError: the file was deleted, replaced or changed; nothing was written.
            OSError: any part of *data* may be in the file; `salvage` must come next.
        """
        moved = self.moved()
        self._attempted = data
        rest = memoryview(data)
        while rest:
            rest = rest[self._disk.write(self._fd, rest) :]
        if durable:
            self._disk.sync(self._fd)
        self.size += len(data)
        self._attempted = b""
        return moved

    def moved(self) -> bool:
        """Whether the file, still as it was left, has another name by now, and its old name is free or an empty file.

        Raises:
            LostFileError: it was deleted, replaced or changed by somebody else.
        """
        here = os.fstat(self._fd)
        if not here.st_nlink:
            raise LostFileError("the file was deleted")
        if here.st_size != self.size:
            raise LostFileError(f"the file has {here.st_size} bytes, but {self.size} were written to it")
        try:
            there = self.path.stat()
        except FileNotFoundError:
            return True
        if os.path.samestat(here, there):
            return False
        if there.st_size or not stat.S_ISREG(there.st_mode):
            raise LostFileError("the file was replaced by another")
        return True

    def go_on(self, archive: Path | None) -> None:
        """Give the file the name *archive*, unless somebody else has moved it, and go on in a new, empty one.

        Raises:
            NotRenamedError: the file could not get that name and is as it was.
            OSError: that cannot be done; `salvage` must come next.
        """
        if archive is not None:
            if archive.exists():
                raise FileExistsError(f"{archive} is there already")
            try:
                self.path.rename(archive)
            except OSError as error:
                raise NotRenamedError(*error.args) from error
        self._adopt(self._open_empty())

    def salvage(self) -> Salvaged:
        """Make the log fit to be written again after a failure, if it can be.

        Raises:
            OSError: it cannot yet.
        """
        try:
            there = self.path.stat()
        except FileNotFoundError:
            there = None
        here = os.fstat(self._fd)
        if there is not None and os.path.samestat(here, there):
            return self._salvage_same(here.st_size)
        if here.st_nlink and here.st_size > self.size:
            # Where it was moved to, it should end with its last commit.
            os.ftruncate(self._fd, self.size)
        if there is not None and there.st_size:
            # Locked, as it could be the live log of another server.
            other = self._open_locked()
            try:
                self.path.rename(self._beside("replaced"))
            finally:
                os.close(other)
        self._adopt(self._open_empty())
        return Salvaged()

    def close(self) -> None:
        """Close it, which lets another process have it."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _salvage_same(self, size: int) -> Salvaged:
        if size < self.size:
            missing, whole = self.size - size, tail.whole_length(self._fd, size)
            aside = self._put_aside(whole, size)
            self.size, self._attempted = whole, b""
            return Salvaged(aside=aside, missing=missing)
        left = os.pread(self._fd, min(size - self.size, len(self._attempted) + 1), self.size)
        kept = left[: left.rfind(b"\n") + 1] if self._attempted.startswith(left) else b""
        aside = self._put_aside(self.size + len(kept), size)
        # Also the whole lines are written again: after a failed fsync nobody knows whether they are on the disk.
        os.ftruncate(self._fd, self.size)
        self._attempted = b""
        return Salvaged(kept=kept, aside=aside)

    def _adopt(self, descriptor: int) -> None:
        self.close()
        self._fd, self.size, self._attempted = descriptor, 0, b""

    def _open_empty(self) -> int:
        descriptor = self._open_locked()
        if os.fstat(descriptor).st_size:
            os.close(descriptor)
            raise LostFileError("the file was replaced by another")
        return descriptor

    def _open_locked(self) -> int:
        descriptor = os.open(self.path, _FLAGS | os.O_CREAT, 0o600)
        try:
            self._lock(descriptor)
            sync_directory(self.path.parent)
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor

    def _lock(self, descriptor: int) -> None:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise AuditLogError(f"the audit log {self.path} is not a regular file")
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise AuditLogError(f"the audit log {self.path} is in use by another server") from None
        if not os.path.samestat(os.fstat(descriptor), self.path.stat()):
            raise AuditLogError(f"the audit log {self.path} is just being moved by another server")

    def _put_aside(self, begin: int, end: int) -> Aside | None:
        """Keep the bytes from *begin* to *end*, where the file ends, in a file of their own, and cut them off."""
        if begin == end:
            return None
        path = self._beside(f"torn-{begin}")
        try:
            digest = self._copy(begin, end, path)
        except OSError:
            # Else a full disk would gather one half copy with each attempt.
            path.unlink(missing_ok=True)
            raise
        os.ftruncate(self._fd, begin)
        return Aside(path.name, end - begin, digest)

    def _copy(self, begin: int, end: int, path: Path) -> str:
        hasher = sha256()
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb") as file:
            for offset in range(begin, end, _CHUNK):
                part = os.pread(self._fd, min(_CHUNK, end - offset), offset)
                hasher.update(part)
                file.write(part)
            file.flush()
            os.fsync(file.fileno())
        return hasher.hexdigest()

    def _beside(self, what: str) -> Path:
        return self.path.with_name(f"{self.path.name}.{what}-{datetime.now(UTC):%Y%m%dT%H%M%S.%fZ}")
