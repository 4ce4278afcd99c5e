"""When a broken stream is opened again."""

from __future__ import annotations

import random

import grpc
import pytest

from tokenauthority.client.backoff import LONGEST_PAUSE, Backoff
from tokenauthority.client.errors import AuthorityError


def failure(code: grpc.StatusCode, reason: str = "", retry_after: float | None = None) -> AuthorityError:
    """A failed call."""
    return AuthorityError("it failed", code=code, reason=reason, retry_after=retry_after)


def at_most() -> Backoff:
    """One that draws the longest pause there may be."""
    return Backoff(lambda _, longest: longest)


LOST = failure(grpc.StatusCode.UNAVAILABLE)


def test_pauses_double_up_to_ten_seconds() -> None:
    """However long the authority is away."""
    backoff = at_most()

    assert [0.25, 0.5, 1, 2, 4, 8, 10, 10] == [backoff.pause_after(LOST) for _ in range(8)]
    assert LONGEST_PAUSE == [backoff.pause_after(LOST) for _ in range(2000)][-1]


def test_the_longest_pause_can_be_another_one() -> None:
    """The offline verifier must not be away for as long."""
    backoff = Backoff(lambda _, longest: longest, longest=1.5)

    assert [0.25, 0.5, 1, 1.5, 1.5] == [backoff.pause() for _ in range(5)]


def test_a_message_makes_the_pause_short_again() -> None:
    """The next loss has nothing to do with the one before."""
    backoff = at_most()
    for _ in range(5):
        backoff.pause_after(LOST)

    backoff.reset()

    assert 0.25 == backoff.pause_after(LOST)


def test_watchers_do_not_come_back_in_one_moment() -> None:
    """Each draws its own pause, from no time at all on."""
    pauses = {Backoff().pause_after(LOST) for _ in range(100)}

    assert len(pauses) > 90
    assert min(pauses) < 0.125 < max(pauses) <= 0.25


def test_a_programs_own_draws_stay_as_they_were() -> None:
    """Nor do forks of one process draw the same: the pause is not of the generator that a program may seed."""
    random.seed(1)
    expected = random.random()
    random.seed(1)
    Backoff().pause()

    assert expected == random.random()


def test_watchers_that_are_sent_away_together_do_not_come_back_together() -> None:
    """All are asked for the same wait, and each has its own pause on top."""
    sent_away = failure(grpc.StatusCode.UNAVAILABLE, "CALLERS_CHANGED", 1.0)
    pauses = {Backoff().pause_after(sent_away) for _ in range(100)}

    assert len(pauses) > 90
    assert 1 <= min(pauses) < max(pauses) <= 1.25


@pytest.mark.parametrize(("asked", "expected"), [(3.0, 3.25), (0.5, 0.75), (3600.0, 60.25)])
def test_keeps_to_what_the_authority_asks_for(asked: float, expected: float) -> None:
    """Up to a minute, and some more."""
    error = failure(grpc.StatusCode.RESOURCE_EXHAUSTED, "RATE_LIMIT", asked)

    assert expected == at_most().pause_after(error)


@pytest.mark.parametrize(
    "error",
    [
        failure(grpc.StatusCode.RESOURCE_EXHAUSTED, "READER_TOO_SLOW"),
        failure(grpc.StatusCode.UNAVAILABLE, "DRAINING"),
        failure(grpc.StatusCode.CANCELLED),
        failure(grpc.StatusCode.INTERNAL),
        failure(grpc.StatusCode.UNKNOWN),
    ],
)
def test_goes_on_after_what_may_pass(error: AuthorityError) -> None:
    """Also where something on the way broke the stream."""
    assert 0.25 == at_most().pause_after(error)


@pytest.mark.parametrize(
    "error",
    [
        failure(grpc.StatusCode.PERMISSION_DENIED, "ACTION_NOT_GRANTED"),
        failure(grpc.StatusCode.UNAUTHENTICATED, "CREDENTIAL_INVALID"),
        failure(grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD"),
        failure(grpc.StatusCode.UNIMPLEMENTED),
        failure(grpc.StatusCode.INTERNAL, "INTERNAL"),
    ],
)
def test_gives_up_where_the_authority_has_decided(error: AuthorityError) -> None:
    """It would decide so again."""
    with pytest.raises(AuthorityError) as caught:
        at_most().pause_after(error)

    assert error is caught.value


@pytest.mark.parametrize("asked", [-1.0, -1e12])
def test_a_negative_wait_is_no_wait_and_not_less(asked: float) -> None:
    """A broken server must not be asked again without a pause."""
    assert 0.25 == at_most().pause_after(failure(grpc.StatusCode.RESOURCE_EXHAUSTED, retry_after=asked))
