"""Verify a log without its server: find and name the first changed, missing, reordered, doubled or cut-off line.

It cannot see changes to lines after the last checkpoint that it knows of, nor a log that somebody rewrote who has the
audit key.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from tokenauthority.audit.chain import GENESIS, DamagedLineError, Link, hash_line, parse_link
from tokenauthority.audit.checkpoint import Checkpoint, parse_checkpoint, unknown_key_text
from tokenauthority.audit.keys import key_id
from tokenauthority.audit.reading.files import FirstLineError, Line, LogFilePart, Progress, in_order, read_lines
from tokenauthority.audit.reading.report import BadLine, Report
from tokenauthority.domain.counts import counted


_TORN: Final = (
    "it is cut off in the middle: the server was killed or is writing it now (a restarted server quarantines it)"
)

_OPENING: Final = frozenset({"start", "continued", "recovered"})
"""Types of lines that are written together with a checkpoint and report failures.

Where a crash has cut that checkpoint off, the next line is such a line too. Whoever rewrites a log without the key must
leave the checkpoints out, and that shows.
"""

_MAX_REMARKS: Final = 100


class _TornLine(msgspec.Struct):
    file: str
    bytes: int


class _Incident(msgspec.Struct):
    """What a line reports of failures and of absent files."""

    cause: str = ""
    missing_bytes: int = 0
    torn: _TornLine | None = None
    anchor: str = ""


def verify_log(
    paths: Sequence[Path],
    *,
    keys: Iterable[Ed25519PublicKey] = (),
    trusted: Checkpoint | None = None,
    partial: bool = False,
    progress: Progress = lambda _: None,
) -> Report:
    """Verify the files of one log, in any order, and return what was found.

    With *keys*, one of them must have signed each checkpoint. With *trusted*, the log must hold that checkpoint. Unless
    *partial*, the files must begin with the log's first line. Raise as `read_lines` where one cannot be read.
    """
    verification = _Verification({key_id(key): key for key in keys}, trusted, partial=partial)
    try:
        verification.verify_files(in_order(paths), progress)
    except FirstLineError as error:
        verification.report.bad = BadLine(error.path, 1, str(error))
    except _BadLineError as error:
        verification.report.bad = error.bad
    return verification.report


class _BadLineError(Exception):
    def __init__(self, line: Line, reason: str, *, after: int = 0) -> None:
        super().__init__()
        self.bad = BadLine(line.path, line.number + after, reason)


class _Verification:
    def __init__(self, keys: Mapping[str, Ed25519PublicKey], trusted: Checkpoint | None, *, partial: bool) -> None:
        self.report = Report()
        self._keys = keys
        self._trusted = trusted
        self._partial = partial

    def verify_files(self, parts: Sequence[LogFilePart], progress: Progress) -> None:
        report = self.report
        report.files = tuple(part.path for part in parts)
        seq, prev, before, kind = 0, GENESIS, None, ""
        rest = read_lines(report.files, progress)
        for line in rest:
            link = self._parse(line)
            if before is None or line.number == 1:
                self._check_file(line, parts, first=before is None)
            if before is None:
                seq = report.first = link.seq
                # The hash of the line before is unknown where only later files are given.
                prev = link.prev if self._partial and seq > 1 else GENESIS
            elif link.seq != seq:
                raise _BadLineError(line, _misplaced(seq, link.seq))
            own = hash_line(line.content)
            if link.prev != prev:
                raise self._unchained(before, line, own, rest)
            if kind in _OPENING and link.type not in {"checkpoint", *_OPENING}:
                raise _BadLineError(line, f"it stands where the checkpoint of the {kind} line before it must stand")
            if link.type == "checkpoint":
                self._check_checkpoint(line, link)
            elif self._trusted is not None and seq == self._trusted.seq:
                raise _BadLineError(line, "it stands in the place of the trusted checkpoint")
            self._add_remark(line, link)
            report.kinds[link.type] += 1
            report.last = seq
            seq, prev, before, kind = seq + 1, own, line, link.type
        report.ended = True
        self._require_trusted(before)
        if self._keys and not report.signatures and report.bad is None:
            path, number = (None, 1) if before is None else (before.path, before.number + 1)
            report.bad = BadLine(path, number, "no checkpoint was found: nothing in the log is signed")

    def _parse(self, line: Line) -> Link:
        if not line.whole:
            raise _BadLineError(line, _TORN)
        try:
            return parse_link(line.content)
        except DamagedLineError as error:
            raise _BadLineError(line, str(error)) from error

    def _check_file(self, line: Line, parts: Sequence[LogFilePart], *, first: bool) -> None:
        part = next(part for part in parts if part.path == line.path)
        if first:
            self.report.log_id = part.log_id
            if part.first > 1 and not self._partial:
                raise _BadLineError(
                    line,
                    f"it is record {part.first}, and {_records(1, part.first - 1)} not in these files"
                    " (give their files too, or --partial)",
                )
            if self._trusted is not None and self._trusted.log_id != part.log_id:
                raise _BadLineError(line, "its log is another than that of the trusted checkpoint")
        elif part.log_id != self.report.log_id:
            raise _BadLineError(line, "its file belongs to another log than the files before")

    def _add_remark(self, line: Line, link: Link) -> None:
        if link.type not in _OPENING or len(self.report.remarks) >= _MAX_REMARKS:
            return
        try:
            incident = msgspec.json.decode(line.content, type=_Incident)
        except (msgspec.MsgspecError, RecursionError):
            raise _BadLineError(line, "it is not a record of an audit log") from None
        parts = []
        if incident.cause:
            parts.append(f"the log could not be written ({incident.cause})")
        if incident.missing_bytes:
            parts.append(f"{counted(incident.missing_bytes, 'byte')} had been cut off")
        if incident.torn is not None:
            parts.append(f"{counted(incident.torn.bytes, 'byte')} of an incomplete line moved to {incident.torn.file}")
        if incident.anchor == "absent":
            parts.append("its checkpoint file was gone: a tail that was cut off before this line would not show")
        if parts:
            self.report.remarks.append(f"{line.path}:{line.number}: {link.type}: " + "; ".join(parts))

    def _unchained(self, before: Line | None, line: Line, own: str, rest: Iterator[Line]) -> _BadLineError:
        """Return the error for the changed one of two neighbours, by the hash in the line after them."""
        if before is None:
            return _BadLineError(line, "it is the first record of a log, but names one before it")
        after = next(rest, None)
        try:
            confirmed = after is not None and after.whole and parse_link(after.content).prev == own
        except DamagedLineError:
            confirmed = False
        if confirmed or after is None:
            return _BadLineError(before, "it was changed: the record after it holds the hash of what it was")
        return _BadLineError(line, "it was changed: it does not hold the hash of the record before it")

    def _check_checkpoint(self, line: Line, link: Link) -> None:
        try:
            checkpoint = parse_checkpoint(line.content)
        except DamagedLineError as error:
            raise _BadLineError(line, str(error)) from error
        if (checkpoint.log_id, checkpoint.seq, checkpoint.chain_hash) != (self.report.log_id, link.seq, link.prev):
            raise _BadLineError(line, "it is a checkpoint of another place")
        if self._keys:
            key = self._keys.get(checkpoint.key_id)
            if key is None:
                raise _BadLineError(line, unknown_key_text(checkpoint, self._keys))
            if not checkpoint.is_signed_by(key):
                raise _BadLineError(line, self._forged_text())
            self.report.signatures += 1
        if self._trusted is not None and checkpoint.seq == self._trusted.seq:
            if checkpoint != self._trusted:
                raise _BadLineError(line, "it is another checkpoint than the trusted one for this place")
            self.report.holds_trusted = True
        self.report.checkpoint = checkpoint

    def _forged_text(self) -> str:
        valid = self.report.checkpoint
        since = f"record {valid.seq}, the last valid checkpoint" if valid else "the beginning"
        return f"its signature is invalid: somebody else wrote it, or what comes before it since {since}"

    def _require_trusted(self, last: Line | None) -> None:
        """Require, at the end, that the trusted checkpoint was found, unless it is older than the files."""
        trusted = self._trusted
        if trusted is None or self.report.holds_trusted or trusted.seq < self.report.first:
            return
        if last is None:
            self.report.bad = BadLine(None, 1, f"the log is empty, but its trusted checkpoint is record {trusted.seq}")
            return
        raise _BadLineError(
            last,
            f"the log ends with record {self.report.last}, but its trusted checkpoint is record {trusted.seq}:"
            f" {_records(self.report.last + 1, trusted.seq)} cut off, and maybe more, or in a file that was not given",
            after=1,
        )


def _misplaced(expected: int, found: int) -> str:
    if found > expected:
        return f"it is record {found} where {expected} must stand: {_records(expected, found - 1)} missing"
    return f"it is record {found} where {expected} must stand: it is doubled or out of its order"


def _records(first: int, last: int) -> str:
    return f"record {first} is" if first == last else f"records {first} to {last} are"
