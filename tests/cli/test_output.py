"""What values look like to a person and to a program."""

from __future__ import annotations

import json

from datetime import UTC, datetime, timedelta, timezone

import pytest

from hypothesis import given
from hypothesis import strategies as st

from tokenauthority.cli.output import human, printable, record, to_json
from tokenauthority.v1 import key_pb2, token_pb2


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, "-"),
        ("", "-"),
        (True, "yes"),
        (False, "no"),
        (7, "7"),
        (timedelta(days=30), "30d"),
        (timedelta(hours=1, minutes=30, seconds=1), "1h 30m 1s"),
        (timedelta(0), "0s"),
        (datetime(2026, 1, 1, 2, 0, tzinfo=timezone(timedelta(hours=1))), "2026-01-01 01:00:00 UTC"),
        ([], "-"),
        (["a", "b"], "a, b"),
        ([{"name": "a", "empty": "", "unset": None}], "name=a"),
        ("a\nb", "a\\nb"),
    ],
)
def test_a_person_reads_one_line(value: object, expected: str) -> None:
    """Whatever the value is."""
    assert expected == human(value)


@given(st.text())
def test_nothing_printed_moves_the_cursor(text: str) -> None:
    """Neither control nor formatting characters are left."""
    assert printable(text).isprintable()


def test_plain_text_is_left_alone() -> None:
    """Also where it is not ASCII."""
    assert "Größe 😀 中" == printable("Größe 😀 中")


def test_a_message_is_shown_by_its_fields() -> None:
    """Enums short, reasons in upper case, unset times and messages null."""
    message = token_pb2.VerifyTokenResponse(reason=token_pb2.INACTIVE_REASON_EXPIRED)
    message.claims.format = token_pb2.TOKEN_FORMAT_OPENTOK_T1

    shown = record(message)

    assert "EXPIRED" == shown["reason"]
    claims = shown["claims"]
    assert isinstance(claims, dict)
    assert ("opentok_t1", None, []) == (claims["format"], claims["expire_time"], claims["permissions"])
    assert record(token_pb2.VerifyTokenResponse())["claims"] is None
    assert "" == record(token_pb2.VerifyTokenResponse())["reason"]


def test_an_enum_value_of_a_newer_contract_is_its_number() -> None:
    """An older command line does not fail on it."""
    message = key_pb2.SigningKey(state=key_pb2.SigningKeyState.ValueType(99))

    assert "99" == record(message)["state"]


def test_json_has_rfc_3339_and_seconds() -> None:
    """What a program parses without thinking."""
    at = datetime(2026, 1, 1, 0, 0, 0, 500_000, tzinfo=UTC)

    assert {"at": "2026-01-01T00:00:00.500Z", "ttl": 3600} == json.loads(to_json({"at": at, "ttl": timedelta(hours=1)}))


@given(st.dictionaries(st.text(), st.text()))
def test_json_is_exact_and_moves_no_cursor(values: dict[str, str]) -> None:
    """Each text comes back as it was; line ends are those of the layout."""
    shown = to_json(dict(values))

    assert values == json.loads(shown)
    assert all(line.isprintable() and printable(line) == line for line in shown.split("\n"))


@given(st.text(st.characters(categories=["Cs", "Cc", "Cf", "Zl", "Zp", "Mn"]), min_size=1))
def test_a_text_that_no_encoding_has_is_escaped(text: str) -> None:
    """Lone surrogates too, in lines and in JSON."""
    assert printable(text).isprintable()
    assert to_json({"a": text}).replace("\n", "").isprintable()


@pytest.mark.parametrize("hidden", ["\u3164", "\u115f", "\ufe0f", "\u034f", "\u2800", "\U000e0101"])
def test_a_character_without_a_glyph_is_escaped(hidden: str) -> None:
    """Python calls it printable, but two names that differ by it look alike."""
    assert hidden not in printable(f"a{hidden}b")
    assert hidden not in to_json({"a": hidden})
