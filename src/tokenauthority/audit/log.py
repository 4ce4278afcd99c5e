"""Appends audit records as JSON lines, by structlog, to a file that only ever grows."""

from __future__ import annotations

import errno
import io
import os

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, Protocol

import msgspec
import structlog

from tokenauthority.context import AuditedToken, AuditRecord
from tokenauthority.domain.errors import UnavailableError


if TYPE_CHECKING:
    from pathlib import Path

    from _typeshed import ReadableBuffer


_TIME: Final = "%Y-%m-%dT%H:%M:%S."


class AuditLog(Protocol):
    """Where audit records go."""

    async def append(self, record: AuditRecord) -> None:
        """Keep *record*; when it returns, the answer may leave.

        Raises:
            UnavailableError: `AUDIT_UNAVAILABLE`, the record is not kept.
        """


class FileAuditLog:
    """One JSON line for each record, each by one write to a file opened for appending (mode 0600)."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._file = _WholeLines(descriptor, "a")
        # Without processors: they would cost more than everything else that a record needs.
        self._logger = structlog.BytesLogger(self._file)
        self._encoder = msgspec.json.Encoder()

    async def append(self, record: AuditRecord) -> None:
        """Write the line; see `AuditLog.append`."""
        try:
            self._logger.msg(self._encoder.encode(AuditLine.of(record)))
        except OSError as error:
            raise UnavailableError.audit() from error

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class _WholeLines(io.FileIO):
    """Writes a line whole or raises OSError; a line that follows a torn one starts on a line of its own."""

    _torn = False

    def write(self, line: ReadableBuffer, /) -> int:
        whole = b"\n" + bytes(line) if self._torn else bytes(line)
        # A disk that fills up takes a part of a line without an error.
        written = super().write(whole)
        self._torn = written < len(whole)
        if self._torn:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return written


class AuditLine(msgspec.Struct, omit_defaults=True, kw_only=True):
    """A record as its line holds it, in this order; what the RPC does not have is left out."""

    time: str
    request_id: str
    method: str
    action: str = ""
    caller: str = ""
    caller_kind: str = ""
    caller_identity: str = ""
    peer: str = ""
    user_agent: str = ""
    project_id: str = ""
    session_id: str = ""
    role: str = ""
    format: str = ""
    lifetime: int | None = None
    subject: str = ""
    object_id: str = ""
    token_ids: tuple[str, ...] = ()
    items: int | None = None
    tokens: tuple[AuditedToken, ...] = ()
    changes: tuple[str, ...] = ()
    code: str
    reason: str = ""
    duration_us: int

    @classmethod
    def of(cls, record: AuditRecord) -> AuditLine:
        """The line of *record*."""
        caller = record.caller
        return cls(
            time=datetime.fromtimestamp(record.time // 1000, UTC).strftime(_TIME) + f"{record.time % 1000:03}Z",
            request_id=record.request_id,
            method=record.method,
            action=record.action or "",
            caller=caller.name if caller else "",
            caller_kind=caller.kind if caller else "",
            caller_identity=caller.identity if caller else "",
            peer=record.peer,
            user_agent=record.user_agent,
            project_id=record.project_id,
            session_id=record.session_id,
            role=record.role,
            format=record.format,
            lifetime=record.lifetime,
            subject=record.subject,
            object_id=record.object_id,
            token_ids=record.token_ids,
            items=record.items,
            tokens=record.tokens,
            changes=record.changes,
            code=record.code,
            reason=record.reason,
            duration_us=record.duration_us,
        )
