"""Revocations: what may be asked for, and how long each is stored."""

from __future__ import annotations

from typing import Final

import pytest

from tokenauthority.domain.revocation import (
    RETENTION,
    StoredRevocation,
    TargetKind,
    moment_violations,
    revocation_violations,
)
from tokenauthority.domain.session import SessionSpec, StoredSession
from tokenauthority.domain.times import DAY, Millis, Seconds, whole_seconds


NOW: Final = Millis(1_800_000_000_999)
SECOND: Final = whole_seconds(NOW)
SECOND_TEXT: Final = "2027-01-15T08:00:00Z"
SESSION: Final = StoredSession(session_id="2_x", project_id="1", spec=SessionSpec(), create_time=NOW)


def test_a_revocation_is_stored_until_nothing_that_it_covers_can_be_valid() -> None:
    """30 days, and the 300 seconds that a verifier's clock may be behind."""
    revocation = StoredRevocation(
        revocation_id="rev_1",
        project_id="1",
        kind=TargetKind.TOKEN,
        target="t",
        issued_before=SECOND,
        comment="",
        create_time=NOW,
    )

    assert (SECOND + 30 * DAY + 300) * 1000 == revocation.expire_time


@pytest.mark.parametrize("size", [0, 1, 255])
def test_texts_may_be_as_long_as_the_limits(size: int) -> None:
    """In characters, not bytes."""
    assert [] == revocation_violations("é" * size, "\N{GRINNING FACE}" * size, "é" * (size + size % 2))


def test_every_text_that_is_too_long_is_named_with_its_limit() -> None:
    """All at once."""
    found = revocation_violations("x" * 256, "x" * 256, "x" * 257)

    assert ["token_id", "subject", "comment"] == [violation.field for violation in found]
    assert ["255", "255", "256"] == [violation.problem.split()[4] for violation in found]


def test_no_text_holds_what_postgresql_cannot_store() -> None:
    """U+0000 is refused in each of them."""
    found = revocation_violations("a\0", "\0", "b\0c")

    assert ["token_id", "subject", "comment"] == [violation.field for violation in found]


@pytest.mark.parametrize(
    ("moment", "problem"),
    [
        (SECOND + 1, f"must not lie in the future; the authority's clock says {SECOND_TEXT}"),
        (2**62, f"must not lie in the future; the authority's clock says {SECOND_TEXT}"),
        (SECOND, None),
        (SECOND - RETENTION, None),
        (SECOND - RETENTION - 1, "must lie within the last 30 days: older tokens are expired"),
        (-(2**62), "must lie within the last 30 days: older tokens are expired"),
    ],
)
def test_a_moment_lies_between_30_days_ago_and_now(moment: int, problem: str | None) -> None:
    """To the second, as tokens carry it."""
    found = moment_violations(Seconds(moment), NOW)

    expected = [] if problem is None else [("issued_before", problem)]
    assert expected == [(violation.field, violation.problem) for violation in found]
