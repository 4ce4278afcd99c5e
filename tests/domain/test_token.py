"""Token requests: every limit, with what is just allowed and what just is not."""

from __future__ import annotations

from typing import Any

import pytest

from tokenauthority.domain.errors import FieldViolation
from tokenauthority.domain.times import MAX_TTL, Millis, Seconds
from tokenauthority.domain.token import GeneratedToken, TokenClaims, TokenSpec, TokenTerms, request_violations
from tokenauthority.domain.token_format import TokenFormat


NOW = Millis(1_800_000_000_999)
SECOND = Seconds(1_800_000_000)
EMOJI = "\N{GRINNING FACE}"


def fields_of(**values: Any) -> list[str]:
    """The bad fields of a request with *values*."""
    request = TokenSpec(**{"session_id": "2_x", **values})
    return [violation.field for violation in request_violations(request, NOW)]


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"session_id": "x" * 255},
        {"role": "a" * 63},
        {"data": "x" * 1000},
        {"data": EMOJI * 1000},
        {"subject": EMOJI * 255},
        {"ttl": 1},
        {"ttl": MAX_TTL},
        {"expire_time": SECOND + 1},
        {"expire_time": SECOND + MAX_TTL},
        {"initial_layout_class_list": (EMOJI * 1000,)},
        {"initial_layout_class_list": ("x",) * 500},
    ],
    ids=repr,
)
def test_takes_what_is_at_the_limit(values: dict[str, Any]) -> None:
    """The largest and smallest legal values are legal."""
    assert [] == fields_of(**values)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"session_id": ""}, "session_id"),
        ({"session_id": "x" * 256}, "session_id"),
        ({"role": "a" * 64}, "role"),
        ({"role": "Publisher"}, "role"),
        ({"data": "x" * 1001}, "data"),
        ({"data": EMOJI * 1001}, "data"),
        ({"subject": "x" * 256}, "subject"),
        ({"subject": "x\0"}, "subject"),
        ({"ttl": 0}, "ttl"),
        ({"ttl": -1}, "ttl"),
        ({"ttl": MAX_TTL + 1}, "ttl"),
        ({"expire_time": SECOND}, "expire_time"),
        ({"expire_time": 0}, "expire_time"),
        ({"expire_time": SECOND + MAX_TTL + 1}, "expire_time"),
        ({"initial_layout_class_list": ("x" * 1001,)}, "initial_layout_class_list"),
        ({"initial_layout_class_list": ("xx",) + ("x",) * 500}, "initial_layout_class_list"),
        ({"initial_layout_class_list": ("ok", "")}, "initial_layout_class_list[1]"),
        ({"initial_layout_class_list": ("a b",)}, "initial_layout_class_list[0]"),
        ({"initial_layout_class_list": ("a\u00a0b",)}, "initial_layout_class_list[0]"),
        ({"initial_layout_class_list": ("a&b",)}, "initial_layout_class_list[0]"),
        ({"initial_layout_class_list": ("a=b",)}, "initial_layout_class_list[0]"),
    ],
    ids=repr,
)
def test_names_the_field_that_is_beyond_its_limit(values: dict[str, Any], expected: str) -> None:
    """One step beyond the limit is one violation."""
    assert [expected] == fields_of(**values)


def test_names_every_invalid_field_at_once() -> None:
    """Nobody has to try again to learn of the next mistake."""
    bad = fields_of(
        session_id="",
        role="",
        data="x" * 1001,
        subject="x" * 256,
        ttl=0,
        initial_layout_class_list=("a b", "x", "=" * 1000),
        problems=(FieldViolation("format", "is unknown"),),
    )

    expected = {"session_id", "role", "data", "subject", "ttl", "format"}
    layout = {"initial_layout_class_list", "initial_layout_class_list[0]", "initial_layout_class_list[2]"}
    assert sorted(expected | layout) == sorted(bad)


def test_a_flood_of_invalid_classes_makes_no_flood_of_violations() -> None:
    """An error stays small however much is wrong."""
    assert 11 == len(fields_of(initial_layout_class_list=("",) * 100_000))


def test_a_token_is_valid_for_30_days_at_the_most() -> None:
    """Whatever an SDK wrote into a token, it does not outlive 30 days."""
    claims = TokenClaims(
        session_id="2_x", role="publisher", issue_time=SECOND, expire_time=Seconds(SECOND + 2 * MAX_TTL)
    )

    assert SECOND + MAX_TTL == claims.valid_until()


def test_repr_shows_neither_the_token_nor_its_data() -> None:
    """A value that ends up in a log gives nothing away."""
    claims = TokenClaims(session_id="2_x", role="publisher", issue_time=SECOND, expire_time=SECOND, data="private-data")
    terms = TokenTerms(
        format=TokenFormat.OPENTOK_T1,
        key_id="k",
        session_id="2_x",
        role="publisher",
        issue_time=SECOND,
        expire_time=SECOND,
    )
    generated = GeneratedToken("T1==secret", "id", "", terms)
    request = TokenSpec(session_id="2_x", data="private-data")

    shown = repr(generated) + repr(request) + repr(claims)
    assert "T1==secret" not in shown
    assert "private-data" not in shown
