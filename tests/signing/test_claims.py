"""Strict JSON and the typed readers of claims."""

from __future__ import annotations

import json

from collections.abc import Callable, Mapping

import pytest

from hypothesis import given
from hypothesis import strategies as st

from tokenauthority.domain.token import InactiveReason, TokenRejectedError
from tokenauthority.signing.claims import (
    MAX_DEPTH,
    MAX_MOMENT,
    Json,
    json_object,
    numeric_date,
    optional_text,
    require,
    short_text,
    text,
    text_list,
)
from tokenauthority.signing.results import LAST_SECOND


plain_text = st.text(st.characters(exclude_categories=["Cs"]))
numbers = st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False)
plain_json = st.recursive(
    st.none() | st.booleans() | numbers | plain_text,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(plain_text, inner, max_size=4),
    max_leaves=12,
)


def _refused(reader: Callable[..., object], *arguments: object) -> bool:
    try:
        reader(*arguments)
    except TokenRejectedError as error:
        return error.reason is InactiveReason.MALFORMED
    return False


@given(st.dictionaries(plain_text, plain_json), st.booleans())
def test_an_unambiguous_object_is_read(value: dict[str, Json], ascii_only: bool) -> None:  # noqa: FBT001 - drawn by hypothesis
    """Whatever json.dumps writes of sane values is read back, escaped or not, in its order."""
    read = json_object(json.dumps(value, ensure_ascii=ascii_only).encode(), "test")

    assert list(value.items()) == list(read.items())


@given(st.text(" \t\n\r"), st.text(" \t\n\r"))
def test_white_space_may_stand_around_an_object(before: str, after: str) -> None:
    """The four characters of RFC 8259."""
    assert {"a": 1} == json_object(f'{before}{{"a":1}}{after}'.encode(), "test")


@pytest.mark.parametrize(
    "around", ["\0", "\v", "\f", "\x85", "\xa0", "\u2028", "\u3000", "\ufeff", ",", "1", "{}", "]"]
)
def test_nothing_else_may_stand_around_an_object(around: str) -> None:
    """Not what Python takes for white space either."""
    assert _refused(json_object, f'{around}{{"a":1}}'.encode(), "test")
    assert _refused(json_object, f'{{"a":1}}{around}'.encode(), "test")
    assert _refused(json_object, f'{{"a":1}} {around} '.encode(), "test")


@given(plain_text, plain_json, plain_json)
def test_no_name_may_stand_twice(name: str, first: Json, second: Json) -> None:
    """Not even with one value."""
    pair = f"{json.dumps(name)}: {json.dumps(first)}, {json.dumps(name, ensure_ascii=False)}: {json.dumps(second)}"

    assert _refused(json_object, f"{{{pair}}}".encode(), "test")
    assert _refused(json_object, f'{{"a": [{{{pair}}}]}}'.encode(), "test")


def test_nesting_is_valid_up_to_its_limit() -> None:
    """16 levels are read, 17 are not."""
    inner = MAX_DEPTH - 1

    assert not _refused(json_object, b'{"a":' + b"[" * inner + b"]" * inner + b"}", "test")
    assert _refused(json_object, b'{"a":' + b"[" * (inner + 1) + b"]" * (inner + 1) + b"}", "test")


tricky_text = st.text('[]{}"\\\n\x7fé\U0001f600', max_size=40)
nested_json = st.recursive(
    st.none() | tricky_text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(tricky_text, inner, max_size=3),
    max_leaves=30,
)


@given(nested_json, st.integers(0, 18), st.booleans())
def test_nesting_is_counted_outside_of_texts(value: Json, around: int, ascii_only: bool) -> None:  # noqa: FBT001 - drawn by hypothesis
    """Brackets in texts are no levels, however they are escaped, and the deepest place counts."""
    for level in range(around):
        value = [value, []] if level % 2 else {"": value, "[": "\\"}
    data = json.dumps({"a": value}, ensure_ascii=ascii_only).encode()

    assert (_depth(value) + 1 > MAX_DEPTH) is _refused(json_object, data, "test")


def _depth(value: Json) -> int:
    if not isinstance(value, list | dict):
        return 0
    inner = value.values() if isinstance(value, dict) else value
    return 1 + max(map(_depth, inner), default=0)


@given(st.integers(0, MAX_MOMENT) | st.floats(0, MAX_MOMENT))
def test_a_moment_is_cut_off_to_whole_seconds(value: float) -> None:
    """The fraction goes, and what lies after the year 9999 becomes its last second."""
    assert min(int(value), LAST_SECOND) == numeric_date({"exp": value}, "exp")


@pytest.mark.parametrize("value", [None, True, False, "1", [], {}, -1, -0.1, MAX_MOMENT + 1, 1e300, 10**30])
def test_anything_else_is_no_moment(value: Json) -> None:
    """Booleans, though Python counts them as integers, text, negative and huge numbers."""
    assert _refused(numeric_date, {"exp": value}, "exp")


@pytest.mark.parametrize(
    ("reader", "claims"),
    [
        (lambda c: text(c, "a"), {}),
        (lambda c: text(c, "a"), {"a": None}),
        (lambda c: optional_text(c, "a"), {"a": None}),
        (lambda c: optional_text(c, "a"), {"a": 1}),
        (lambda c: short_text(c, "a", 3), {"a": ""}),
        (lambda c: short_text(c, "a", 3), {"a": "abcd"}),
        (lambda c: require(c, "a", "x"), {}),
        (lambda c: require(c, "a", "x"), {"a": ["x"]}),
        (lambda c: text_list(c, "a"), {}),
        (lambda c: text_list(c, "a"), {"a": "x"}),
        (lambda c: text_list(c, "a"), {"a": ["x", 1]}),
        (lambda c: text_list(c, "a"), {"a": [None]}),
        (lambda c: numeric_date(c, "a"), {}),
    ],
)
def test_a_claim_of_another_type_is_refused(
    reader: Callable[[Mapping[str, Json]], object], claims: dict[str, Json]
) -> None:
    """A claim is there and of its type, or the token is none."""
    assert _refused(reader, claims)


def test_claims_of_their_type_are_read() -> None:
    """The control of the test above."""
    claims: dict[str, Json] = {"a": "abc", "l": ["x", ""]}

    assert ("abc", "abc", "abc", "", ("x", "")) == (
        text(claims, "a"),
        optional_text(claims, "a"),
        short_text(claims, "a", 3),
        optional_text(claims, "b"),
        text_list(claims, "l"),
    )
    require(claims, "a", "abc")


def test_an_error_holds_no_value_from_the_token() -> None:
    """What refuses a token says which claim, never what it held."""
    with pytest.raises(TokenRejectedError) as caught:
        require({"scope": "hunter2"}, "scope", "session.connect")

    assert "hunter2" not in caught.value.detail
