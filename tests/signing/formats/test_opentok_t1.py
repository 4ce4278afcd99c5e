"""The T1 format: what the official SDKs that have no vector write, and what is none of theirs."""

from __future__ import annotations

import base64

import pytest

from hypothesis import given
from hypothesis import strategies as st

from tests.signing.builders import (
    FOREIGN_SECRET,
    KEYS,
    NOW,
    PROJECT,
    SESSION,
    make_claims,
    make_token,
    rejection,
    t1,
    t1_data,
    verify,
)
from tokenauthority.domain.times import DAY
from tokenauthority.domain.token import InactiveReason, TokenClaims
from tokenauthority.domain.token_format import TokenFormat
from tokenauthority.signing.formats.opentok_t1 import MAX_FIELDS
from tokenauthority.signing.formats.registry import read_token
from tokenauthority.signing.results import LAST_SECOND


MALFORMED = InactiveReason.MALFORMED
SIGNATURE_INVALID = InactiveReason.SIGNATURE_INVALID


def _said(data: str | bytes) -> TokenClaims:
    return verify(t1(data)).claims


def _inner(token: str) -> bytes:
    return base64.b64decode(token.removeprefix("T1=="))


def _outer(content: bytes) -> str:
    return "T1==" + base64.b64encode(content).decode()


def test_a_plain_token_is_read() -> None:
    """The control of the tests below."""
    claims = _said(t1_data())

    assert (SESSION, "publisher", NOW, NOW + 3600, PROJECT, "", ()) == (
        claims.session_id,
        claims.role,
        claims.issue_time,
        claims.expire_time,
        claims.project_id,
        claims.data,
        claims.initial_layout_class_list,
    )


def test_javas_token_is_read() -> None:
    """URL-safe base64, a negative nonce, layout classes with raw spaces, `scope`; only the data are escaped."""
    data = (
        f"create_time={NOW}&expire_time={NOW + 60}&session_id={SESSION}&nonce=-2012345678&role=moderator"
        "&scope=session.connect&initial_layout_class_list=focus 50% a:b ü&connection_data=a%3D1+%7E"
    )
    token = t1(data).translate(str.maketrans("+/", "-_"))

    claims = verify(token).claims

    assert (("focus", "50%", "a:b", "ü"), "a=1 ~") == (claims.initial_layout_class_list, claims.data)


def test_phps_token_is_read() -> None:
    """A nonce of two clocks, a fractional expiry, `~` escaped."""
    data = (
        f"session_id={SESSION}&create_time={NOW}&role=publisher&nonce=1700000000.1234424242"
        f"&expire_time={NOW + 60}.987&connection_data=%7E&initial_layout_class_list="
    )

    claims = _said(data)

    assert (NOW + 60, "~") == (claims.expire_time, claims.data)


def test_dotnets_token_is_read() -> None:
    """No expiry, lower-case escapes, raw layout classes."""
    data = (
        f"session_id={SESSION}&create_time={NOW}&nonce=999998&role=publisher"
        "&initial_layout_class_list=focus small&connection_data=a%3db%0a"
    )

    claims = _said(data)

    assert (NOW + DAY, "a=b\n") == (claims.expire_time, claims.data)
    assert ("focus", "small") == claims.initial_layout_class_list


def test_a_token_of_before_2012_is_read() -> None:
    """`sdk_version` among the outer fields, and empty data."""
    token = t1(t1_data(connection_data=""), f"partner_id={PROJECT}&sdk_version=tbruby-tbrb-v0.91.2011-02-17")

    assert "" == verify(token).claims.data


@pytest.mark.parametrize("layout", ["", None, "+", " ", "%20+"])
def test_no_layout_class_is_none(layout: str | None) -> None:
    """The field is empty, absent or only spaces."""
    assert () == _said(t1_data(initial_layout_class_list=layout)).initial_layout_class_list


@pytest.mark.parametrize(
    ("expire_time", "expected"),
    [(None, NOW + DAY), ("1700000000123", LAST_SECOND), ("0", 0), (f"{NOW}.5", NOW), ("0" * 6 + str(NOW), NOW)],
)
def test_the_expiry_is_read_as_written(expire_time: str | None, expected: int) -> None:
    """Absent it is a day; Node's milliseconds are a moment far away; a fraction is cut off."""
    assert expected == _said(t1_data(expire_time=expire_time)).expire_time


@pytest.mark.parametrize("name", ["create_time", "expire_time"])
@pytest.mark.parametrize(
    "value",
    ["", "-1", "+1", "%2B1", "1e9", "NaN", "Infinity", "0x10", " 1", "1.", ".5", "1.2.3", "٣", "9" * 16, "9" * 4000],
)
def test_a_moment_that_is_none_is_refused(name: str, value: str) -> None:
    """Decimal digits, with a fraction or without."""
    assert rejection(verify, t1(t1_data(**{name: value}))) is MALFORMED


@pytest.mark.parametrize("name", ["session_id", "create_time", "role"])
def test_a_missing_field_is_refused(name: str) -> None:
    """Each of the fields that every SDK writes."""
    assert rejection(verify, t1(t1_data(**{name: None}))) is MALFORMED


@pytest.mark.parametrize(
    "changes",
    [
        {"role": ""},
        {"role": "Publisher"},
        {"role": "admin"},
        {"role": "publisher%00"},
        {"session_id": ""},
        {"session_id": "x" * 256},
        {"scope": "session"},
        {"scope": ""},
        {"connection_data": "%"},
        {"connection_data": "%zz"},
        {"connection_data": "%ff"},
        {"connection_data": "%ed%a0%80"},
        {"initial_layout_class_list": "%ff"},
        {"nonce%": "1"},
    ],
    ids=str,
)
def test_a_field_with_a_value_of_nobodys_is_refused(changes: dict[str, str]) -> None:
    """A role that is not built in, no session, another scope, escapes that are none, bytes that are no UTF-8."""
    assert rejection(verify, t1(t1_data(**changes))) is MALFORMED


@pytest.mark.parametrize(
    "extra",
    ["role=moderator", "r%6Fle=moderator", "connection_data=a&connection_data=a", "x=1&x=2", "x", "", "&", "x=1&&y=2"],
)
def test_a_field_that_stands_twice_or_is_none_is_refused(extra: str) -> None:
    """Java and .NET write layout classes unescaped, so that `a&role=moderator` makes a second signed role."""
    assert rejection(verify, t1(f"{t1_data()}&{extra}")) is MALFORMED
    assert rejection(verify, t1(f"{extra}&{t1_data()}")) is MALFORMED


def test_more_than_32_fields_are_refused() -> None:
    """Reading thousands of them took 6 ms. Some that nobody knows are ignored, before the `:` and after it."""
    spare = MAX_FIELDS - len(t1_data().split("&"))
    more = [f"x{n}=" for n in range(MAX_FIELDS)]
    within = t1("&".join([t1_data(), *more[:spare]]), "&".join([f"partner_id={PROJECT}", *more[:-2]]))

    assert SESSION == verify(within).claims.session_id
    assert rejection(verify, t1("&".join([t1_data(), *more[: spare + 1]]))) is MALFORMED
    assert rejection(verify, t1(t1_data(), "&".join([f"partner_id={PROJECT}", *more[:-1]]))) is MALFORMED


@pytest.mark.parametrize("data", [t1_data().encode() + b"&connection_data=\xff", b"\xff", b""])
def test_signed_bytes_that_are_no_utf8_query_are_refused(data: bytes) -> None:
    """Whatever the signature says of them."""
    assert rejection(verify, t1(data)) is MALFORMED


@pytest.mark.parametrize(
    "meta",
    [
        "",
        "x=1",
        f"partner_id={PROJECT}&partner_id={PROJECT}",
        f"partner_id={PROJECT}&sig={'0' * 40}",
        "partner_id=",
        "partner_id=abc",
        "partner_id=047000000",
        "partner_id=2147483648",
        "partner_id=%00",
        f"partner_id={PROJECT}&x",
        f"partner_id={PROJECT}&x=%",
        f"PARTNER_ID={PROJECT}",
    ],
)
def test_outer_fields_that_name_no_project_are_refused(meta: str) -> None:
    """One `partner_id`, a project id, and one `sig`."""
    assert rejection(verify, t1(t1_data(), meta)) is MALFORMED


def test_the_outer_fields_are_not_signed_and_give_no_right() -> None:
    """Another project's id before our signature is tried with that project's keys, and no others."""
    ours = _inner(t1(t1_data()))
    theirs = _outer(ours.replace(PROJECT.encode(), b"123456", 1))

    assert rejection(verify, theirs) is InactiveReason.KEY_UNKNOWN
    assert "123456" == read_token(theirs).claims.project_id


@pytest.mark.parametrize(
    "change",
    [
        str.upper,
        lambda s: s[:39],
        lambda s: s + "0",
        lambda s: "",
        lambda s: "g" * 40,
        lambda s: " " + s[1:],
        lambda s: s + "%20",
    ],
    ids=["upper", "39", "41", "empty", "no_hex", "space", "escaped"],
)
def test_a_signature_is_40_lower_case_hex_characters(change: object) -> None:
    """There is one spelling of a signature, so that a token has one id."""
    assert callable(change)
    token = _inner(t1(t1_data()))
    signature = token.partition(b"sig=")[2][:40].decode()
    changed = token.replace(signature.encode(), str(change(signature)).encode())

    assert rejection(verify, _outer(changed)) is MALFORMED


def test_the_signature_covers_the_raw_bytes() -> None:
    """The same fields in another order or spelling have another signature."""
    token = _inner(t1(t1_data(connection_data="a+b")))
    answers = [
        rejection(verify, _outer(token.replace(b"a+b", b"a%20b"))),
        rejection(verify, _outer(token + b"&x=1")),
        rejection(verify, _outer(token.replace(b"role=publisher", b"role=moderator"))),
        rejection(verify, t1(t1_data(), secret=FOREIGN_SECRET)),
    ]

    assert [SIGNATURE_INVALID] * 4 == answers


def test_base64_is_read_in_either_alphabet_padded_or_not() -> None:
    """Java's alphabet, and tokens whose padding was stripped on the way."""
    token = next(
        token
        for number in range(100)
        if {"+", "/", "="} <= set((token := t1(t1_data(connection_data="~~?>" * 3, x="y" * number)))[4:])
    )
    url_safe = "T1==" + token[4:].translate(str.maketrans("+/", "-_"))

    assert 1 == len({repr(verify(form)) for form in (token, url_safe, token.rstrip("="), url_safe.rstrip("="))})
    assert MALFORMED is rejection(verify, "T1==" + token[4:].replace("+", "-"))
    assert MALFORMED is rejection(verify, token + "=")
    assert MALFORMED is rejection(verify, token[:-1] if token.endswith("==") else token + "==")


@pytest.mark.parametrize(
    "change",
    ["{}\n", " {}", "{}====", "{}é", "{}\x00", "T1=={}", "={}", "{}."],
)
def test_strange_characters_are_refused(change: str) -> None:
    """A lax decoder would skip them, and give one signature many tokens."""
    token = make_token(TokenFormat.OPENTOK_T1).token.rstrip("=")

    answer = rejection(read_token, "T1==" + change.format(token[4:]))

    assert MALFORMED is answer


@pytest.mark.parametrize("prefix", ["", "T1=", "t1==", "T2==", " T1==", "T1== "])
def test_a_token_starts_with_its_sentinel(prefix: str) -> None:
    """`T1==` and nothing else, not even cut off as users do when they copy one."""
    assert MALFORMED is rejection(read_token, prefix + make_token(TokenFormat.OPENTOK_T1).token[4:])


@given(st.binary(max_size=100))
def test_trailing_bits_are_zero(data: bytes) -> None:
    """The last character has no spelling but one."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    token = t1(t1_data().encode() + b"&connection_data=" + data.hex().encode()).rstrip("=")
    spare = {0: 1, 2: 16, 3: 4}[len(token) % 4]
    index = alphabet.index(token[-1])
    siblings = [token[:-1] + alphabet[index - index % spare + n] for n in range(1, spare)]

    assert {MALFORMED} >= {rejection(verify, sibling) for sibling in siblings}
    assert data.hex() == verify(token).claims.data


def test_all_secrets_are_tried_and_the_newest_that_fits_is_named() -> None:
    """The order of the secrets decides nothing but the name."""
    token = make_token(TokenFormat.OPENTOK_T1, make_claims(TokenFormat.OPENTOK_T1)).token

    assert [KEYS.secrets[0].key_id] * 2 == [
        verify(token, keys).key_id for keys in (KEYS, type(KEYS)(PROJECT, KEYS.secrets[::-1]))
    ]
