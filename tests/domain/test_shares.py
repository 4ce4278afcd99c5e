"""Whoever holds most places gives up first."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tokenauthority.domain.shares import excess


HOLDERS = st.dictionaries(st.text("abcdefgh", min_size=1, max_size=2), st.integers(1, 50))


def test_nobody_gives_up_while_there_are_places() -> None:
    """However many one of them holds."""
    assert {} == excess({"a": 99, "b": 1}, 100)


def test_one_who_crowds_pays_alone() -> None:
    """Others keep what they hold."""
    assert {"crowd": 900} == excess({"known": 2, "crowd": 998, "other": 30}, 130)


def test_those_who_hold_most_pay_until_they_are_alike() -> None:
    """Then each pays in turn, the first one first."""
    assert {"a": 2, "b": 1} == excess({"a": 5, "b": 4, "c": 2}, 8)
    assert {"a": 1} == excess({"a": 3, "b": 3}, 5)


@given(HOLDERS, st.integers(0, 200), st.integers(0, 3))
def test_the_limit_and_the_least_are_kept(held: dict[str, int], limit: int, least: int) -> None:
    """No more is given up than the limit asks for, and who pays is never left with less than who does not."""
    given_up = excess(held, limit, least=least)
    left = {holder: count - given_up.get(holder, 0) for holder, count in held.items()}

    assert sum(given_up.values()) == max(0, sum(held.values()) - max(limit, sum(min(least, n) for n in held.values())))
    assert all(left[holder] >= least for holder in given_up)
    for payer in given_up:
        assert left[payer] + 1 >= max(left.values())
