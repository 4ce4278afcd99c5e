"""Checks a log without its server: finds any changed, dropped, reordered, doubled or cut-off line, and names the first.

What it cannot see: what happened to lines after the last checkpoint that it knows of, and a log that somebody who has
the audit key wrote anew.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

import attrs
import msgspec

from tokenauthority.audit.chain import GENESIS, DamagedLineError, Link, digest, read
from tokenauthority.audit.checkpoint import Checkpoint, parse_checkpoint, signed_by_another
from tokenauthority.audit.files import FirstLineError, Line, LogFilePart, in_order, lines
from tokenauthority.audit.keys import key_id


if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    from tokenauthority.audit.files import Progress


_TORN: Final = (
    "it is cut off in the middle: the server was killed or is writing it now (a restarted server puts it aside)"
)


_TELLING: Final = frozenset({"start", "continued", "recovered"})
_MAX_REMARKS: Final = 100


class _Torn(msgspec.Struct):
    file: str
    bytes: int


class _Told(msgspec.Struct):
    """What a line tells of troubles."""

    cause: str = ""
    missing_bytes: int = 0
    torn: _Torn | None = None
    anchor: str = ""


@attrs.frozen
class BadLine:
    """The first line that is not as it was written, or the place of one that is missing."""

    file: Path | None
    line: int
    reason: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.reason}" if self.file else self.reason


@attrs.define(kw_only=True)
class Report:
    """What was found up to `bad`, or to the end where it is None.

    `first` and `last` are numbers of lines, `kinds` counts them by type, `signatures` are those that were checked.
    `anchored` says that the log holds the checkpoint that it had to hold, `ended` that every line was read. `remarks`
    are what the log itself tells of its troubles: no sign that it was touched, and worth knowing.
    """

    log_id: str = ""
    files: tuple[Path, ...] = ()
    first: int = 0
    last: int = 0
    kinds: Counter[str] = attrs.Factory(Counter)
    signatures: int = 0
    checkpoint: Checkpoint | None = None
    anchored: bool = False
    ended: bool = False
    remarks: list[str] = attrs.Factory(list)
    bad: BadLine | None = None

    @property
    def uncovered(self) -> int:
        """Lines after the last checkpoint: chained, and not signed for yet."""
        return self.last - (self.checkpoint.seq if self.checkpoint else self.first - 1 if self.first else 0)


def verify(
    paths: Sequence[Path],
    *,
    keys: Iterable[Ed25519PublicKey] = (),
    anchor: Checkpoint | None = None,
    partial: bool = False,
    progress: Progress = lambda _: None,
) -> Report:
    """Check the files, which are those of one log in any order.

    With *keys*, every checkpoint must be signed by one of them. With *anchor*, the log must hold that checkpoint.
    Unless *partial*, the log must begin with its first line.

    Raises:
        OSError: a file cannot be read.
        EOFError: a compressed file is cut off.
    """
    checking = _Checking({key_id(key): key for key in keys}, anchor, partial=partial)
    try:
        checking.run(in_order(paths), progress)
    except FirstLineError as error:
        checking.report.bad = BadLine(error.path, 1, str(error))
    except _FoundError as found:
        checking.report.bad = found.bad
    return checking.report


_SIGNED_AT_ONCE: Final = frozenset({"start", "continued", "recovered"})
"""Lines that are written together with a checkpoint; where a crash has torn that off, the next one is such a line too.
Whoever writes a log anew without the key must leave the checkpoints out."""


class _FoundError(Exception):
    def __init__(self, path: Path, number: int, reason: str) -> None:
        super().__init__()
        self.bad = BadLine(path, number, reason)

    @classmethod
    def at(cls, line: Line, reason: str) -> _FoundError:
        return cls(line.path, line.number, reason)


class _Checking:
    def __init__(self, keys: Mapping[str, Ed25519PublicKey], anchor: Checkpoint | None, *, partial: bool) -> None:
        self.report = Report()
        self._keys = keys
        self._anchor = anchor
        self._partial = partial

    def run(self, parts: Sequence[LogFilePart], progress: Progress) -> None:
        report = self.report
        report.files = tuple(part.path for part in parts)
        seq, prev, before, kind = 0, GENESIS, None, ""
        rest = lines(report.files, progress)
        for line in rest:
            link = self._read(line)
            if before is None or line.number == 1:
                self._begin_file(line, parts, first=before is None)
            if before is None:
                seq = report.first = link.seq
                # What an earlier file ended with is not known where only later ones are given.
                prev = link.prev if self._partial and seq > 1 else GENESIS
            elif link.seq != seq:
                raise _FoundError.at(line, _misplaced(seq, link.seq))
            own = digest(line.content)
            if link.prev != prev:
                raise self._unchained(before, line, own, rest)
            if kind in _SIGNED_AT_ONCE and link.type not in {"checkpoint", *_SIGNED_AT_ONCE}:
                raise _FoundError.at(line, f"it stands where the checkpoint of the {kind} line before it must")
            if link.type == "checkpoint":
                self._check_checkpoint(line, link)
            elif self._anchor is not None and seq == self._anchor.seq:
                raise _FoundError.at(line, "it stands in the place of the checkpoint that the anchor holds")
            self._remark(line, link)
            report.kinds[link.type] += 1
            report.last = seq
            seq, prev, before, kind = seq + 1, own, line, link.type
        report.ended = True
        self._require_anchor(before)
        if self._keys and not report.signatures and report.bad is None:
            path, number = (None, 1) if before is None else (before.path, before.number + 1)
            report.bad = BadLine(path, number, "no checkpoint was found: nothing in the log is signed")

    def _read(self, line: Line) -> Link:
        if not line.whole:
            raise _FoundError.at(line, _TORN)
        try:
            return read(line.content)
        except DamagedLineError as error:
            raise _FoundError.at(line, str(error)) from error

    def _begin_file(self, line: Line, parts: Sequence[LogFilePart], *, first: bool) -> None:
        part = next(part for part in parts if part.path == line.path)
        if first:
            self.report.log_id = part.log_id
            if part.first > 1 and not self._partial:
                raise _FoundError.at(
                    line,
                    f"it is record {part.first}, and {_records(1, part.first - 1)} not in these files"
                    " (give their files too, or --partial)",
                )
            if self._anchor is not None and self._anchor.log_id != part.log_id:
                raise _FoundError.at(line, "its log is another than that of the anchor")
        elif part.log_id != self.report.log_id:
            raise _FoundError.at(line, "its file belongs to another log than the files before")

    def _remark(self, line: Line, link: Link) -> None:
        if link.type not in _TELLING or len(self.report.remarks) >= _MAX_REMARKS:
            return
        try:
            told = msgspec.json.decode(line.content, type=_Told)
        except (msgspec.MsgspecError, RecursionError):
            raise _FoundError.at(line, "it is no record of an audit log") from None
        parts = []
        if told.cause:
            parts.append(f"the log could not be written ({told.cause})")
        if told.missing_bytes:
            parts.append(f"{told.missing_bytes} bytes had been cut off")
        if told.torn is not None:
            parts.append(f"{told.torn.bytes} bytes of a torn line were kept in {told.torn.file}")
        if told.anchor == "absent":
            parts.append("its head file was gone: a tail that was cut off before it would not show")
        if parts:
            self.report.remarks.append(f"{line.path}:{line.number}: {link.type}: " + "; ".join(parts))

    def _unchained(self, before: Line | None, line: Line, own: str, rest: Iterator[Line]) -> _FoundError:
        """Which of two neighbours that do not fit was touched: the next line vouches for the second, or does not."""
        if before is None:
            return _FoundError.at(line, "it is the first record of a log, but names one before it")
        after = next(rest, None)
        try:
            vouched = after is not None and after.whole and read(after.content).prev == own
        except DamagedLineError:
            vouched = False
        if vouched or after is None:
            return _FoundError.at(before, "it was changed: the record after it holds the hash of what it was")
        return _FoundError.at(line, "it was changed: it does not hold the hash of the record before it")

    def _check_checkpoint(self, line: Line, link: Link) -> None:
        try:
            checkpoint = parse_checkpoint(line.content)
        except DamagedLineError as error:
            raise _FoundError.at(line, str(error)) from error
        if (checkpoint.log_id, checkpoint.seq, checkpoint.head) != (self.report.log_id, link.seq, link.prev):
            raise _FoundError.at(line, "it is a checkpoint of another place")
        if self._keys:
            key = self._keys.get(checkpoint.key_id)
            if key is None:
                raise _FoundError.at(line, signed_by_another(checkpoint, self._keys))
            if not checkpoint.is_signed_by(key):
                raise _FoundError.at(line, self._forged())
            self.report.signatures += 1
        if self._anchor is not None and checkpoint.seq == self._anchor.seq:
            if checkpoint != self._anchor:
                raise _FoundError.at(line, "it is another checkpoint than the anchor holds for this place")
            self.report.anchored = True
        self.report.checkpoint = checkpoint

    def _forged(self) -> str:
        good = self.report.checkpoint
        since = f"record {good.seq}, the last good checkpoint" if good else "the beginning"
        return f"its signature does not hold: it, or what comes before it since {since}, was written by somebody else"

    def _require_anchor(self, last: Line | None) -> None:
        """At the end: the anchor's place was met, lies before what was given, or beyond a tail that was cut off."""
        anchor = self._anchor
        if anchor is None or self.report.anchored or anchor.seq < self.report.first:
            return
        if last is None:
            self.report.bad = BadLine(None, 1, f"the log is empty, but its anchor is record {anchor.seq}")
            return
        raise _FoundError(
            last.path,
            last.number + 1,
            f"the log ends with record {self.report.last}, but its anchor is record {anchor.seq}:"
            f" {_records(self.report.last + 1, anchor.seq)} cut off, and maybe more, or in a file that was not given",
        )


def _misplaced(expected: int, found: int) -> str:
    if found > expected:
        return f"it is record {found} where {expected} must stand: {_records(expected, found - 1)} missing"
    return f"it is record {found} where {expected} must stand: it is doubled or out of its order"


def _records(first: int, last: int) -> str:
    return f"record {first} is" if first == last else f"records {first} to {last} are"
