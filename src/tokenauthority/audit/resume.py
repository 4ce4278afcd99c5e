"""Where a log that is opened goes on: decided from what is in its file and in its head file, or refused."""

from __future__ import annotations

import secrets

from typing import TYPE_CHECKING

import attrs
import msgspec

from tokenauthority.audit.chain import DamagedLineError, Link, Position, digest, read
from tokenauthority.audit.checkpoint import ENDS, HeadFile, last_checkpoint
from tokenauthority.audit.errors import AuditLogError


if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tokenauthority.audit.checkpoint import Checkpoint
    from tokenauthority.audit.file import Opened
    from tokenauthority.audit.keys import AuditKey


@attrs.frozen
class Resumption:
    """The log's id and the place where it goes on.

    `anchor` tells what the head file said: `matched`, `absent`, or `none` for a new log, which has none yet.
    """

    log_id: str
    position: Position
    anchor: str


def require_key(path: Path, key_file: Path) -> None:
    """Refuse a log at *path* whose checkpoints were signed by a key that is gone; a new one would hide that.

    Raises:
        AuditLogError: it is gone.
        DamagedLineError: the head file holds no checkpoint.
        OSError: a file cannot be read.
    """
    # In this order, as a server that starts at the same moment makes the key before the log.
    head = HeadFile(path).read()
    is_there = path.is_file() and path.stat().st_size > 0
    try:
        key_file.stat()
    except FileNotFoundError:
        signed = head[1] if head else last_checkpoint(path) if is_there else None
    except OSError:
        return  # whoever opens it says why that cannot be done
    else:
        return
    if signed is not None:
        raise AuditLogError(
            f"the audit key {key_file} is gone, and the log {path} was signed by {signed.key_id}: put it back,"
            " or move the log and its head file aside to begin a new one"
        )


class _Named(msgspec.Struct):
    log_id: str


def resume(
    path: Path,
    opened: Opened,
    anchor: tuple[bytes, Checkpoint] | None,
    key: AuditKey,
    find: Callable[[int], bytes | None],
) -> Resumption:
    """Where the log *path* goes on. *anchor* is its head file; *find* gives the file's line of a number.

    Raises:
        AuditLogError: lines are missing or are no records; going on would hide that.
    """
    if anchor is not None and anchor[1].key_id == key.key_id and not anchor[1].is_signed_by(key.public):
        raise AuditLogError(f"the signature in {path}.head does not hold")
    if opened.first is None or opened.last is None:
        return _new(path, anchor)
    first, last = _link(path, "first", opened.first), _link(path, "last", opened.last)
    try:
        log_id = msgspec.json.decode(opened.first, type=_Named).log_id
    except (msgspec.MsgspecError, RecursionError):
        raise AuditLogError(f"the first line of the audit log {path} does not begin a file of a log") from None
    if anchor is not None:
        _require(path, *anchor, log_id=log_id, first=first, last=last, find=find)
    return Resumption(log_id, Position(last.seq, digest(opened.last)), "absent" if anchor is None else "matched")


def _new(path: Path, anchor: tuple[bytes, Checkpoint] | None) -> Resumption:
    if anchor is None:
        return Resumption(secrets.token_hex(16), Position(), "none")
    line, checkpoint = anchor
    if checkpoint.reason not in ENDS:
        raise AuditLogError(
            f"the audit log {path} is gone or empty, but by {path.name}.head it has at least {checkpoint.seq} records."
            " Put it back; or, to begin a new log, move the head file away"
        )
    return Resumption(checkpoint.log_id, Position(checkpoint.seq, digest(line)), "matched")


def _link(path: Path, which: str, line: bytes) -> Link:
    try:
        return read(line)
    except DamagedLineError as error:
        raise AuditLogError(
            f"the {which} line of the audit log {path} is no record: {error}."
            " See `tokenauthority audit verify`; or, to begin a new log, move the file and its head file away"
        ) from error


def _require(
    path: Path,
    line: bytes,
    checkpoint: Checkpoint,
    *,
    log_id: str,
    first: Link,
    last: Link,
    find: Callable[[int], bytes | None],
) -> None:
    """Refuse a file that lacks the line of its last checkpoint: its tail was cut off or written anew."""
    if checkpoint.log_id != log_id:
        raise AuditLogError(f"{path.name}.head belongs to another log than the audit log {path}")
    if checkpoint.seq < first.seq:
        return  # the server was killed after it had begun this file and before its first checkpoint was kept
    if checkpoint.seq > last.seq:
        raise AuditLogError(
            f"the audit log {path} ends with record {last.seq}, but by {path.name}.head it has at least"
            f" {checkpoint.seq}: its end was cut off. Put the records back; or, to begin a new log, move both away"
        )
    try:
        found = find(checkpoint.seq)
    except DamagedLineError:
        found = None
    if found != line:
        raise AuditLogError(
            f"record {checkpoint.seq} of the audit log {path} is not the checkpoint in {path.name}.head: the log was"
            " changed. See `tokenauthority audit verify`; or, to begin a new log, move both away"
        )
