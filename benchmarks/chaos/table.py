"""The table of a run, and whether all that must be 0 is 0."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import attrs

from benchmarks.chaos.ledger import FAILED, Answer, Comparison


MAX_RECOVERY: Final = 30.0
"""Seconds from the end of a fault until every caller can do all again."""


@attrs.frozen(kw_only=True)
class Row:
    """What a fault did. A fault that was not tried has `missing`, and nothing else."""

    name: str
    about: str
    missing: str = ""
    answers: Sequence[Answer] = ()
    comparison: Comparison = attrs.field(factory=lambda: Comparison((), ()))
    gap: tuple[float, str] = (0.0, "")
    recovery: float | None = 0.0
    """Seconds; None if some caller never recovered."""

    peak: int = 0
    """Bytes of the largest server."""

    @property
    def wrong(self) -> Sequence[str]:
        """The wrong answers, each with its reason."""
        return [f"{each.request_id} {each.kind}: {each.problem}" for each in self.answers if each.problem]

    @property
    def is_right(self) -> bool:
        """Return whether nothing is wrong, all is recorded, and the service recovered in time."""
        if self.missing:
            return True
        in_time = self.recovery is not None and self.recovery <= MAX_RECOVERY
        return in_time and not self.wrong and not self.comparison.without_record

    def findings(self) -> Mapping[str, Sequence[str]]:
        """Return what is to be looked at, by what it is."""
        return {
            "wrong": self.wrong,
            "answer without a record": self.comparison.without_record,
            "recovers too late": [] if self.recovery is None or self.recovery <= MAX_RECOVERY else [f"{self.recovery}"],
        }

    def cells(self) -> Sequence[str]:
        """Return the texts of the columns."""
        title = f"{self.name}: {self.about}"
        if self.missing:
            return (title, f"NOT RUN: {self.missing}")
        return (
            title,
            str(len(self.answers)),
            str(sum(answer.code in FAILED for answer in self.answers)),
            str(len(self.wrong)),
            str(len(self.comparison.without_record)),
            str(len(self.comparison.without_answer)),
            f"{self.gap[0]:.1f} s",
            "never" if self.recovery is None else f"{self.recovery:.1f} s",
            f"{self.peak >> 20} MiB",
        )


def as_text(rows: Iterable[Row]) -> str:
    """Return the table."""
    head = ("", "", "", "", "without", "without", "without", "time to", "peak")
    names = ("fault", "calls", "failed", "wrong", "record", "answer", "service", "recover", "memory")
    lines = [_line(head), _line(names), *(_line(row.cells()) for row in rows)]
    return "\n".join(lines) + "\n"


def _line(cells: Sequence[str]) -> str:
    first, *others = cells
    if len(others) == 1:
        return f"{first:<60}  {others[0]}"
    return (f"{first:<60}" + "".join(f"{cell:>9}" for cell in others)).rstrip()
