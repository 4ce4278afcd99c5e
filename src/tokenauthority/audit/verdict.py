"""What a report comes to, in words: never more than was checked."""

from __future__ import annotations

from typing import TYPE_CHECKING


if TYPE_CHECKING:
    from tokenauthority.audit.anchors import Anchor
    from tokenauthority.audit.verify import Report


def result_text(report: Report, *, signed: bool) -> str:
    """Whether the log is intact, and what is not known for the want of an anchor or, unless *signed*, of a key."""
    if report.bad is not None:
        return "not intact"
    lacks = []
    if not report.anchored:
        lacks.append("but without an anchor: a tail that was cut off would not show (--anchor FILE)")
    if not signed:
        lacks.append("signatures not checked (--public-key FILE)")
    return ", ".join(["intact", "; ".join(lacks)] if lacks else ["intact"])


def anchor_text(report: Report, anchor: Anchor | None) -> str:
    """Where the anchor stands, and whether the log holds it."""
    if anchor is None:
        return "none: a tail that was cut off would not show"
    if report.anchored:
        return str(anchor.path)
    stopped = not report.ended and report.last + 1 < anchor.checkpoint.seq
    return f"{anchor.path}: {'not reached' if stopped else 'not in these files'}"
