"""Random bytes are fresh for every draw, over the ends of the pages that they are fetched in."""

from __future__ import annotations

import os

import pytest

from tokenauthority.authority.randomness import Randomness


def test_no_byte_is_given_out_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    """Draws follow each other in the bytes of the system; what is left of a page is skipped, and none is short."""
    fetched: list[bytes] = []
    system = os.urandom

    def fetch(count: int) -> bytes:
        fetched.append(system(count))
        return fetched[-1]

    monkeypatch.setattr(os, "urandom", fetch)
    randomness = Randomness()

    drawn = [randomness.draw(count) for count in (1000,) * 9 + (4096, 16)]

    in_order = [page[start : start + 1000] for page in fetched[:2] for start in (0, 1000, 2000, 3000)]
    assert [*in_order, fetched[2][:1000], fetched[3], fetched[4][:16]] == drawn
