"""A slow platform holds so many calls; one project and one caller leave places for others."""

from __future__ import annotations

from contextlib import ExitStack

import pytest

from tokenauthority.domain.errors import RateLimitError, Reason
from tokenauthority.platforms.places import Places


def fill(places: Places, stack: ExitStack, *held: tuple[str, str, int]) -> None:
    """Hold so many places of a project for a caller."""
    for project_id, caller, count in held:
        for _ in range(count):
            stack.enter_context(places.hold(project_id=project_id, caller=caller))


@pytest.mark.parametrize(
    ("held", "project_id", "caller", "subject"),
    [
        ([("1", "a", 4)], "1", "b", "project 1"),
        ([("1", "a", 4), ("2", "a", 4)], "3", "a", "caller a"),
        ([("1", "a", 4), ("2", "a", 4), ("3", "b", 4), ("4", "b", 4)], "5", "c", "server"),
    ],
)
def test_refuses_beyond_each_share(
    held: list[tuple[str, str, int]], project_id: str, caller: str, subject: str
) -> None:
    """A quarter for a project, half for a caller, and no more than all; the refusal says whose share is used up."""
    places = Places(16)
    with ExitStack() as stack:
        fill(places, stack, *held)
        with (
            pytest.raises(RateLimitError, match=r"platform\.max_concurrent: 16") as caught,
            places.hold(project_id=project_id, caller=caller),
        ):
            pass

    assert (subject, Reason.CONCURRENCY_LIMIT, 1.0) == (
        caught.value.subject,
        caught.value.reason,
        caught.value.retry_after,
    )


def test_others_find_places() -> None:
    """One project and one caller with all that they may have are nobody else's matter."""
    places = Places(16)
    with ExitStack() as stack:
        fill(places, stack, ("1", "a", 4), ("2", "a", 4), ("3", "b", 1))


def test_a_single_place_can_be_held() -> None:
    """A server that takes few calls at once still creates sessions."""
    with Places(1).hold(project_id="1", caller="a"):
        pass


def test_gives_places_back() -> None:
    """Also after an error."""
    places = Places(4)
    for _ in range(9):
        with pytest.raises(ValueError, match="oops"), places.hold(project_id="1", caller="a"):
            raise ValueError("oops")
