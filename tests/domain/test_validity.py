"""Whether a token is valid now: to the second, and for every verifier by the same rules."""

from __future__ import annotations

from typing import Final

import pytest

from hypothesis import given
from hypothesis import strategies as st

from tokenauthority.domain.revocation import StoredRevocation, TargetKind
from tokenauthority.domain.revocation_index import RevocationIndex
from tokenauthority.domain.role import Permission
from tokenauthority.domain.times import MAX_TTL, Millis, Seconds
from tokenauthority.domain.token import InactiveReason, TokenClaims, TokenRejectedError
from tokenauthority.domain.validity import require_not_revoked, require_permissions, require_time


ISSUED: Final = Seconds(1_800_000_000)


def claims(expire_time: int = ISSUED + 60) -> TokenClaims:
    """What a token says."""
    return TokenClaims(
        token_id="t",
        session_id="s",
        subject="alice",
        role="publisher",
        issue_time=ISSUED,
        expire_time=Seconds(expire_time),
    )


@given(
    lifetime=st.integers(1, 2 * MAX_TTL),
    leeway=st.integers(0, 300),
    at=st.one_of(st.integers(-400, 400), st.integers(-(10**6), 10**7)),
    from_end=st.booleans(),
)
def test_a_token_is_valid_from_its_issue_to_its_end_give_or_take_the_leeway(
    lifetime: int,
    leeway: int,
    at: int,
    from_end: bool,  # noqa: FBT001 - drawn by hypothesis
) -> None:
    """No token is valid for longer than 30 days, whatever it says."""
    end = ISSUED + min(lifetime, MAX_TTL)
    now = (end if from_end else ISSUED) + at
    reason = None
    try:
        require_time(claims(ISSUED + lifetime), Seconds(now), Seconds(leeway))
    except TokenRejectedError as rejected:
        reason = rejected.reason

    if now < ISSUED - leeway:
        assert InactiveReason.NOT_YET_VALID is reason
    elif now >= end + leeway:
        assert InactiveReason.EXPIRED is reason
    else:
        assert reason is None


def test_says_by_how_much_a_token_is_early_or_late() -> None:
    """A person with a wrong clock sees that it is."""
    with pytest.raises(TokenRejectedError, match=r"^issued 31s in the future$"):
        require_time(claims(), Seconds(ISSUED - 31), Seconds(30))
    with pytest.raises(TokenRejectedError, match=r"^expired 30s ago$"):
        require_time(claims(), Seconds(ISSUED + 90), Seconds(30))


@pytest.mark.parametrize(
    ("kind", "target", "detail"),
    [
        (TargetKind.TOKEN, "t", "the token is revoked"),
        (TargetKind.SESSION, "s", "the tokens of the session are revoked"),
        (TargetKind.SUBJECT, "alice", "the tokens of the subject are revoked"),
    ],
)
@pytest.mark.parametrize("ahead", [-1, 0, 1])
def test_a_revoked_token_says_by_what_it_was_revoked(kind: TargetKind, target: str, detail: str, ahead: int) -> None:
    """If it was issued at that second or before, in that project."""
    index = RevocationIndex(b"k" * 16)
    index.add(
        StoredRevocation(
            revocation_id="rev_1",
            project_id="1",
            kind=kind,
            target=target,
            issued_before=Seconds(ISSUED + ahead),
            comment="",
            create_time=Millis(0),
        )
    )

    require_not_revoked(index, "2", claims())
    if ahead < 0:
        require_not_revoked(index, "1", claims())
        return
    with pytest.raises(TokenRejectedError, match=f"^{detail}$") as rejected:
        require_not_revoked(index, "1", claims())
    assert InactiveReason.REVOKED is rejected.value.reason


def test_every_permission_asked_for_is_needed_and_each_that_lacks_is_named() -> None:
    """None is needed where none is asked for."""
    granted = (Permission.SUBSCRIBE, Permission.PUBLISH)
    require_permissions(granted, ())
    require_permissions(granted, granted)
    with pytest.raises(TokenRejectedError, match=r"^lacks signal, force_mute$") as rejected:
        require_permissions(granted, [Permission.SIGNAL, Permission.PUBLISH, Permission.FORCE_MUTE])

    assert InactiveReason.PERMISSION_MISSING is rejected.value.reason
