"""Errors: each says what it is about, and none grows with what it is about."""

from __future__ import annotations

import pytest

from tokenauthority.domain.errors import (
    FieldViolation,
    InvalidRequestError,
    Reason,
    TokenAuthorityError,
    UnauthenticatedError,
    UnavailableError,
)


@pytest.mark.parametrize(("field", "expected"), [("role", "requests[17].role"), ("", "requests[17]")])
def test_a_violation_can_be_named_from_further_out(field: str, expected: str) -> None:
    """A nested message's field is named by its whole path."""
    assert FieldViolation(expected, "is bad") == FieldViolation(field, "is bad").under("requests[17]")


def test_the_message_names_ten_violations_at_the_most() -> None:
    """All of them are in the details."""
    error = InvalidRequestError([FieldViolation(f"f{i}", "is bad") for i in range(1000)])

    assert 1000 == len(error.violations)
    assert "f9: is bad" in str(error)
    assert "f10" not in str(error)


def test_every_missing_credential_reads_alike() -> None:
    """The refusal is no oracle: it has one text and no argument."""
    assert str(UnauthenticatedError()) == str(UnauthenticatedError())


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (UnavailableError.store(), Reason.STORE_UNAVAILABLE),
        (UnavailableError.audit(), Reason.AUDIT_UNAVAILABLE),
    ],
)
def test_what_cannot_be_reached_can_be_tried_again(error: UnavailableError, expected: Reason) -> None:
    """It says why, and when to come back."""
    assert expected == error.reason
    assert error.retry_after > 0
    assert isinstance(error, TokenAuthorityError)
