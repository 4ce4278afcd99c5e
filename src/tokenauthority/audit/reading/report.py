"""The report of a verification: what was found, and in words no more than was checked."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import attrs

from tokenauthority.audit.checkpoint import Checkpoint
from tokenauthority.audit.reading.trusted_checkpoint import TrustedCheckpoint


@attrs.frozen
class BadLine:
    """The first line that is not as it was written, or the place of a missing line, and why."""

    file: Path | None
    line: int
    reason: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.reason}" if self.file else self.reason


@attrs.define(kw_only=True)
class Report:
    """What was found up to the line `bad`, or up to the end where `bad` is None.

    Attributes:
        first: The number of the first line.
        last: The number of the last line that is valid.
        kinds: How many lines there are of each type.
        signatures: How many signatures were verified.
        holds_trusted: Whether the log holds the trusted checkpoint.
        ended: Whether every line was read.
        remarks: What the log says of failures and recoveries: no sign of tampering, but worth knowing.
    """

    log_id: str = ""
    files: tuple[Path, ...] = ()
    first: int = 0
    last: int = 0
    kinds: Counter[str] = attrs.Factory(Counter)
    signatures: int = 0
    checkpoint: Checkpoint | None = None
    holds_trusted: bool = False
    ended: bool = False
    remarks: list[str] = attrs.Factory(list)
    bad: BadLine | None = None

    @property
    def uncovered(self) -> int:
        """How many lines follow the last checkpoint: they are chained, and not signed yet."""
        return self.last - (self.checkpoint.seq if self.checkpoint else self.first - 1 if self.first else 0)


def describe_result(report: Report, *, signed: bool) -> str:
    """Return whether the log is intact, and what was not checked for want of a trusted checkpoint or a public key.

    *signed* says that a public key was given.
    """
    if report.bad is not None:
        return "not intact"
    missing = []
    if not report.holds_trusted:
        missing.append("but without a trusted checkpoint: a tail that was cut off would not show (--anchor FILE)")
    if not signed:
        missing.append("signatures not checked (--public-key FILE)")
    return ", ".join(["intact", "; ".join(missing)] if missing else ["intact"])


def describe_trusted(report: Report, trusted: TrustedCheckpoint | None) -> str:
    """Return where the trusted checkpoint was read from, and whether the log holds it."""
    if trusted is None:
        return "none: a tail that was cut off would not show"
    if report.holds_trusted:
        return str(trusted.path)
    stopped = not report.ended and report.last + 1 < trusted.checkpoint.seq
    return f"{trusted.path}: {'not reached' if stopped else 'not in these files'}"
