"""Decide where a log continues when a server opens it, from its file and its checkpoint file, or refuse it."""

from __future__ import annotations

import secrets

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import attrs

from tokenauthority.audit.chain import DamagedLineError, Position, hash_line, parse_file_start, parse_link
from tokenauthority.audit.checkpoint import FINAL_REASONS, Checkpoint, CheckpointFile, last_checkpoint
from tokenauthority.audit.errors import AuditLogError
from tokenauthority.audit.keys import AuditKey
from tokenauthority.audit.writing.log_file import LogFile, Opened


T = TypeVar("T")


@attrs.frozen
class Resumption:
    """The log's id and the position where it continues.

    `anchor` says what the checkpoint file showed: `matched`, `absent`, or `none` for a new log, which has none yet.
    """

    log_id: str
    position: Position
    anchor: str


def require_key(path: Path, key_file: Path) -> None:
    """Raise AuditLogError if the log at *path* was signed by a key that is gone: a new key would hide the loss."""
    # Read before the key: a server that starts at the same moment creates the key before the log.
    stored = CheckpointFile(path).read_checkpoint()
    has_lines = path.is_file() and path.stat().st_size > 0
    try:
        key_file.stat()
    except FileNotFoundError:
        signed = stored[1] if stored else last_checkpoint(path) if has_lines else None
    except OSError:
        return  # the caller, who opens the key next, reports why it cannot
    else:
        return
    if signed is not None:
        raise AuditLogError(
            f"the audit key {key_file} is gone, and the log {path} was signed by {signed.key_id}: put it back,"
            " or move the log and its checkpoint file (.head) away to begin a new one"
        )


def resume(file: LogFile, opened: Opened, key: AuditKey) -> Resumption:
    """Return where the log in *file* continues, which held *opened* and whose checkpoints *key* signs.

    Raises:
        AuditLogError: Lines are missing or damaged; a log that continued would hide that.
        DamagedLineError: The checkpoint file holds no checkpoint.
    """
    path, stored = file.path, CheckpointFile(file.path).read_checkpoint()
    if stored is not None and stored[1].key_id == key.key_id and not stored[1].is_signed_by(key.public):
        raise AuditLogError(f"the signature in {path}.head is invalid")
    if opened.first is None or opened.last is None:
        return _resume_empty(path, stored)
    start, last = _parse(path, "first", opened.first, parse_file_start), _parse(path, "last", opened.last, parse_link)
    position = Position(last.seq, hash_line(opened.last))
    if stored is None:
        return Resumption(start.log_id, position, "absent")
    line, checkpoint = stored
    if checkpoint.log_id != start.log_id:
        raise AuditLogError(f"{path.name}.head belongs to another log than the audit log {path}")
    # A server that was killed after it began this file has not written a checkpoint for it yet.
    if checkpoint.seq >= start.seq:
        _require_checkpoint(file, line, checkpoint, last.seq)
    return Resumption(start.log_id, position, "matched")


def _resume_empty(path: Path, stored: tuple[bytes, Checkpoint] | None) -> Resumption:
    if stored is None:
        return Resumption(secrets.token_hex(16), Position(), "none")
    line, checkpoint = stored
    if checkpoint.reason not in FINAL_REASONS:
        raise AuditLogError(
            f"the audit log {path} is gone or empty, but by {path.name}.head it has at least {checkpoint.seq} records."
            f" Put it back; or, to begin a new log, move {path.name}.head away"
        )
    return Resumption(checkpoint.log_id, Position(checkpoint.seq, hash_line(line)), "matched")


def _parse(path: Path, which: str, line: bytes, parse: Callable[[bytes], T]) -> T:
    try:
        return parse(line)
    except DamagedLineError as error:
        raise AuditLogError(
            f"the {which} line of the audit log {path} is not a valid record: {error}."
            f" See `tokenauthority audit verify`; or, to begin a new log, move the file and {path.name}.head away"
        ) from error


def _require_checkpoint(file: LogFile, line: bytes, checkpoint: Checkpoint, last: int) -> None:
    """Refuse a file that lacks the line of its last checkpoint: its end was cut off or rewritten."""
    head = f"{file.path.name}.head"
    if checkpoint.seq > last:
        raise AuditLogError(
            f"the audit log {file.path} ends with record {last}, but by {head} it has at least"
            f" {checkpoint.seq}: its end was cut off. Put the records back; or, to begin a new log, move both away"
        )
    try:
        found = file.find_line(checkpoint.seq)
    except DamagedLineError:
        found = None
    if found != line:
        raise AuditLogError(
            f"record {checkpoint.seq} of the audit log {file.path} is not the checkpoint in {head}: the log was"
            " changed. See `tokenauthority audit verify`; or, to begin a new log, move both away"
        )
