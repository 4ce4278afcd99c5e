"""The open file of an audit log: grows by whole commits and notices when somebody else moves or changes the file.

Its methods block; one thread at a time may call them. Each may raise an OSError.
"""

from __future__ import annotations

import fcntl
import os
import stat

from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Final

import attrs

from tokenauthority.audit.errors import AuditLogError, AuditLogInUseError, LostFileError, NotRenamedError
from tokenauthority.audit.writing import tail
from tokenauthority.files import sync_directory


_FLAGS: Final = os.O_RDWR | os.O_APPEND | os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK
_CHUNK: Final = 1_048_576


class Disk:
    """The two system calls of a commit. Tests replace them to count them or to let them fail."""

    def write(self, descriptor: int, data: memoryview) -> int:
        """Write as `os.write` does; return how many bytes were written, which may be fewer than all."""
        return os.write(descriptor, data)

    def sync(self, descriptor: int) -> None:
        """Return once everything that was written is on the disk; after an OSError some of it may not be."""
        os.fdatasync(descriptor)


@attrs.frozen
class Quarantined:
    """Bytes that were cut off the end of a log because they are not a whole line, and the file that has them now."""

    file: str
    bytes: int
    sha256: str


@attrs.frozen
class Opened:
    """What the file held at the start. The lines are without newline, and None where there is no line."""

    first: bytes | None
    last: bytes | None
    quarantined: Quarantined | None


@attrs.frozen
class Recovered:
    """What a failed commit left behind.

    Attributes:
        lines: Whole lines of the failed commit. They were cut off again; the next commit must begin with them.
        quarantined: Bytes that are not a whole line.
        missing: How many bytes of earlier commits somebody cut off.
    """

    lines: bytes = b""
    quarantined: Quarantined | None = None
    missing: int = 0


class LogFile:
    """The file at *path*; every write and sync goes through *disk*. `size` counts the bytes of whole commits."""

    def __init__(self, path: Path, disk: Disk) -> None:
        self.path = path
        self.size = 0
        self._disk = disk
        self._fd = -1
        self._attempted = b""

    def open_locked(self) -> Opened:
        """Open the file for this process alone, quarantine an incomplete last line, and return what is there.

        Where there is no file, create one with mode 0600.

        Raises:
            AuditLogError: Another process has the file, or it is not a regular file.
            DamagedLineError: The first or last line is longer than `MAX_LINE`.
        """
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._fd = self._open_descriptor()
        size = os.fstat(self._fd).st_size
        self.size = tail.whole_length(self._fd, size)
        quarantined = self._quarantine(self.size, size)
        if not self.size:
            return Opened(None, None, quarantined)
        return Opened(tail.first_line(self._fd, self.size), tail.last_line(self._fd, self.size), quarantined)

    def find_line(self, seq: int) -> bytes | None:
        """Return the line with the number *seq*; see `tail.find_line`."""
        return tail.find_line(self._fd, self.size, seq)

    def commit(self, data: bytes, *, durable: bool) -> bool:
        """Append *data*, whole lines; return once they are in the file, and on the disk if *durable*.

        Returns:
            Whether the file was renamed, so that the log must continue in a new file.

        Raises:
            LostFileError: The file was deleted, replaced or changed; nothing was written.
            OSError: Any part of *data* may be in the file; call `recover` next.
        """
        moved = self.was_moved()
        self._attempted = data
        rest = memoryview(data)
        while rest:
            rest = rest[self._disk.write(self._fd, rest) :]
        if durable:
            self._disk.sync(self._fd)
        self.size += len(data)
        self._attempted = b""
        return moved

    def was_moved(self) -> bool:
        """Return whether the file was renamed, and its old name is free or empty; raise LostFileError if it changed."""
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

    def rotate_to(self, archive: Path | None) -> None:
        """Rename the file to *archive*, unless somebody else has moved it (None), and continue in a new, empty file.

        Raises:
            NotRenamedError: The file could not be renamed and is unchanged.
            OSError: The new file cannot be opened; call `recover` next.
        """
        if archive is not None:
            if archive.exists():
                raise FileExistsError(f"{archive} is there already")
            try:
                self.path.rename(archive)
            except OSError as error:
                raise NotRenamedError(*error.args) from error
        self._begin_file()

    def recover(self) -> Recovered:
        """Make the log writable again after a failure, in the same file or in a new one."""
        try:
            there = self.path.stat()
        except FileNotFoundError:
            there = None
        here = os.fstat(self._fd)
        if there is not None and os.path.samestat(here, there):
            return self._recover_same(here.st_size)
        if here.st_nlink and here.st_size > self.size:
            # Under its new name the file should end with its last commit.
            os.ftruncate(self._fd, self.size)
        if there is not None and there.st_size:
            # The lock shows that this is not the live log of another server.
            other = self._open_descriptor()
            try:
                self.path.rename(self._companion("replaced"))
            finally:
                os.close(other)
        self._begin_file()
        return Recovered()

    def close(self) -> None:
        """Close the file, so that another process can open the log."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _recover_same(self, size: int) -> Recovered:
        if size < self.size:
            missing, whole = self.size - size, tail.whole_length(self._fd, size)
            quarantined = self._quarantine(whole, size)
            self.size, self._attempted = whole, b""
            return Recovered(quarantined=quarantined, missing=missing)
        left = os.pread(self._fd, min(size - self.size, len(self._attempted) + 1), self.size)
        lines = left[: left.rfind(b"\n") + 1] if self._attempted.startswith(left) else b""
        quarantined = self._quarantine(self.size + len(lines), size)
        # The whole lines are written again too: after a failed fsync nobody knows whether they are on the disk.
        os.ftruncate(self._fd, self.size)
        self._attempted = b""
        return Recovered(lines, quarantined)

    def _begin_file(self) -> None:
        descriptor = self._open_descriptor()
        if os.fstat(descriptor).st_size:
            os.close(descriptor)
            raise LostFileError("the file was replaced by another")
        self.close()
        self._fd, self.size, self._attempted = descriptor, 0, b""

    def _open_descriptor(self) -> int:
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
            raise AuditLogInUseError(f"the audit log {self.path} is in use by another server") from None
        if not os.path.samestat(os.fstat(descriptor), self.path.stat()):
            raise AuditLogError(f"another server is just moving the audit log {self.path}")

    def _quarantine(self, begin: int, end: int) -> Quarantined | None:
        """Move the bytes from *begin* to *end*, where the file ends, to a file of their own."""
        if begin == end:
            return None
        path = self._companion(f"torn-{begin}")
        try:
            digest = self._copy(begin, end, path)
        except OSError:
            # Else each attempt on a full disk would leave one more incomplete copy.
            path.unlink(missing_ok=True)
            raise
        os.ftruncate(self._fd, begin)
        return Quarantined(path.name, end - begin, digest)

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

    def _companion(self, kind: str) -> Path:
        return self.path.with_name(f"{self.path.name}.{kind}-{datetime.now(UTC):%Y%m%dT%H%M%S.%fZ}")
