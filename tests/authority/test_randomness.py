"""Ids and nonces are fresh, over the ends of the pages that they are made in."""

from __future__ import annotations

import os
import struct

import pytest

from tokenauthority.authority.randomness import Randomness


@pytest.fixture
def fetched(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """What the system gave."""
    pages: list[bytes] = []
    system = os.urandom

    def fetch(count: int) -> bytes:
        pages.append(system(count))
        return pages[-1]

    monkeypatch.setattr(os, "urandom", fetch)
    return pages


def test_each_id_is_bytes_of_the_system_that_no_other_is(fetched: list[bytes]) -> None:
    """All of each page, once."""
    randomness = Randomness()

    drawn = [randomness.identifier() for _ in range(3 * 4096 // 16)]

    assert sorted(page[at : at + 16].hex() for page in fetched for at in range(0, 4096, 16)) == sorted(drawn)


def test_each_nonce_is_a_number_of_the_system_that_no_other_is(fetched: list[bytes]) -> None:
    """53 bits of each, as every JSON parser reads them exactly."""
    randomness = Randomness()

    drawn = [randomness.nonce() for _ in range(3 * 4096 // 8)]

    numbers = [number % 2**53 for page in fetched for number in struct.unpack("=512Q", page)]
    assert sorted(map(str, numbers)) == sorted(drawn)


class DrainedRandomness(Randomness):
    """Other threads draw all of a page as soon as they see it."""

    def __setattr__(self, name: str, page: list[str]) -> None:
        super().__setattr__(name, page)
        page.clear()


def test_a_thread_draws_from_its_page_before_others_do() -> None:
    """However many others draw meanwhile."""
    randomness = DrainedRandomness()

    assert 32 == len(randomness.identifier())
    assert randomness.nonce().isdecimal()
