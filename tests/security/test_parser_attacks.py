"""Attacks on the reading of a token: two meanings, no bound, no character (RFC 8725, CVEs)."""

from __future__ import annotations

import base64
import json

from collections.abc import Callable
from typing import NoReturn

import pytest

from tests.signing.builders import (
    JWT_FORMATS,
    NOW,
    SCOPED_FORMATS,
    SESSION,
    b64url,
    forge,
    header_of,
    make_claims,
    make_token,
    payload_of,
    rejection,
    verify,
)
from tokenauthority.domain.token import MAX_TOKEN, InactiveReason
from tokenauthority.domain.token_format import TokenFormat
from tokenauthority.signing.formats.registry import read_token


MALFORMED = InactiveReason.MALFORMED
SIGNATURE_INVALID = InactiveReason.SIGNATURE_INVALID
KEY_UNKNOWN = InactiveReason.KEY_UNKNOWN

each_jwt_format = pytest.mark.parametrize("token_format", JWT_FORMATS)
each_scoped_format = pytest.mark.parametrize("token_format", SCOPED_FORMATS)


@each_jwt_format
@pytest.mark.parametrize(
    "extra",
    [
        {"crit": ["exp"]},
        {"crit": ["b64"], "b64": False},
        {"crit": []},
        {"b64": False},
        {"b64": True},
        {"zip": "DEF"},
        {"enc": "A128GCM"},
    ],
    ids=str,
)
def test_header_parameters_that_change_the_reading_are_refused(
    token_format: TokenFormat, extra: dict[str, object]
) -> None:
    """CVE-2026-32597, CVE-2025-59420: `crit` is not ignored; `b64`, `zip` and `enc` have no place here."""
    answer = rejection(verify, forge(token_format, header=header_of(token_format, **extra)))

    assert answer is MALFORMED


@each_jwt_format
@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"role":', '"role":"moderator","role":'),
        ('"role":', '"r\\u006fle":"moderator","role":'),
        ('"exp":', '"x":{"a":1,"a":2},"exp":'),
        ('"exp":', '"x":[{"a":{"b":1,"b":1}}],"exp":'),
    ],
    ids=["twice", "escaped", "nested", "deeper"],
)
def test_a_claim_that_stands_twice_is_refused(token_format: TokenFormat, old: str, new: str) -> None:
    """Parsers differ on which one counts, at every level and in every spelling of the name."""
    payload = json.dumps(payload_of(token_format), separators=(",", ":"))
    doubled = payload.replace(old, new, 1)

    assert doubled != payload
    assert rejection(verify, forge(token_format, payload=doubled.encode())) is MALFORMED


@each_jwt_format
def test_a_header_parameter_that_stands_twice_is_refused(token_format: TokenFormat) -> None:
    """As for claims."""
    header = json.dumps(header_of(token_format)).replace('"alg"', '"alg": "none", "alg"', 1)

    assert rejection(verify, forge(token_format, header=header.encode())) is MALFORMED


@each_jwt_format
@pytest.mark.parametrize(
    "nested",
    ["[" * 16 + "]" * 16, '{"a":' * 16 + "1" + "}" * 16, "[" * 2000 + "]" * 2000, "[" * 14_000 + "]" * 14_000],
    ids=["list", "object", "deep", "deepest"],
)
def test_deep_nesting_is_refused(token_format: TokenFormat, nested: str) -> None:
    """No token drives a parser into its recursion limit."""
    payload = json.dumps(payload_of(token_format))[:-1] + f', "x": {nested}}}'

    assert rejection(verify, forge(token_format, payload=payload.encode())) is MALFORMED


@each_jwt_format
@pytest.mark.parametrize("name", ["iat", "exp"])
@pytest.mark.parametrize(
    "moment",
    [
        "NaN", "Infinity", "-Infinity", "1e999", "-1e999", "-1", "-0.5", "true", "null", '"1700000000"', "[1700000000]",
        "{}", "1" + "0" * 18, "9" * 31, "1" + "0" * 400, "9" * 5000, "1e300", "0." + "1" * 100,
    ],
    ids=lambda text: text[:14],
)  # fmt: skip
def test_a_moment_that_is_no_moment_is_refused(token_format: TokenFormat, name: str, moment: str) -> None:
    """Moments are finite numbers from 0 of a sane size: no constants, no booleans, no text, no huge integers."""
    payload = json.dumps(payload_of(token_format, **{name: "@"})).replace('"@"', moment)

    assert rejection(verify, forge(token_format, payload=payload.encode())) is MALFORMED


@each_jwt_format
def test_a_fractional_moment_is_cut_off(token_format: TokenFormat) -> None:
    """RFC 7519 allows fractions; a token never lives longer for one."""
    payload = payload_of(token_format, iat=NOW + 0.999, exp=NOW + 7.999)

    claims = verify(forge(token_format, payload=payload)).claims

    assert (NOW, NOW + 7) == (claims.issue_time, claims.expire_time)


@each_jwt_format
@pytest.mark.parametrize("nbf", ["1700000000", True, -1, 10**30, [NOW], {}])
def test_nbf_is_a_moment_where_it_is_there(token_format: TokenFormat, nbf: object) -> None:
    """And is read in every format that could have it."""
    later = verify(forge(token_format, payload=payload_of(token_format, nbf=NOW + 60.5)))

    assert NOW + 60 == later.claims.not_before
    assert make_claims(token_format).not_before == verify(forge(token_format)).claims.not_before
    assert rejection(verify, forge(token_format, payload=payload_of(token_format, nbf=nbf))) is MALFORMED


@pytest.mark.parametrize("aud", [["47000000"], [], {"47000000": 1}, 47_000_000, "47000000 ", "*", "", None])
def test_aud_is_one_project_id_and_a_string(aud: object) -> None:
    """A list of audiences, or anything else that a lax check might match, makes no token."""
    payload = payload_of(TokenFormat.SESSION_JWT, aud=aud)

    assert rejection(verify, forge(TokenFormat.SESSION_JWT, payload=payload)) is MALFORMED


@pytest.mark.parametrize("iss", [["https://tokens.example"], {}, 7, "", None])
def test_iss_is_one_string(iss: object) -> None:
    """CVE-2024-53861 and its kin: an issuer is no list and no substring."""
    payload = payload_of(TokenFormat.SESSION_JWT, iss=iss)

    assert rejection(verify, forge(TokenFormat.SESSION_JWT, payload=payload)) is MALFORMED


@pytest.mark.parametrize("iss", ["https://tokens.exampl", "https://tokens.example/", "HTTPS://tokens.example", "x"])
def test_another_issuer_under_our_key_is_unknown(iss: str) -> None:
    """The issuer is compared whole."""
    payload = payload_of(TokenFormat.SESSION_JWT, iss=iss)

    assert rejection(verify, forge(TokenFormat.SESSION_JWT, payload=payload)) is KEY_UNKNOWN


@each_jwt_format
@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-32", "utf-8-sig", "latin-1"])
def test_json_in_another_encoding_is_refused(token_format: TokenFormat, encoding: str) -> None:
    """UTF-8 only: Python's json module would guess the others."""
    payload = json.dumps(payload_of(token_format, connection_data="é"), ensure_ascii=False).encode(encoding)

    assert rejection(verify, forge(token_format, payload=payload)) is MALFORMED


@each_jwt_format
@pytest.mark.parametrize("escape", ["\\ud800", "\\udfff", "\\udc00\\ud800", "\\uD83Dx"])
@pytest.mark.parametrize("place", ['"connection_data": "%s"', '"%s": 1', '"x": [{"a": "%s"}]'])
def test_a_lone_surrogate_is_refused(token_format: TokenFormat, escape: str, place: str) -> None:
    """It is no character, and would break whatever writes it down as UTF-8."""
    payload = json.dumps(payload_of(token_format))[:-1] + f", {place % escape}}}"

    assert rejection(verify, forge(token_format, payload=payload.encode())) is MALFORMED


@each_scoped_format
def test_a_surrogate_pair_is_a_character(token_format: TokenFormat) -> None:
    """The control of the test above, and how Python's SDK writes an emoji."""
    payload = json.dumps(payload_of(token_format))[:-1] + ', "connection_data": "\\ud83d\\ude00"}'

    assert verify(forge(token_format, payload=payload.encode())).claims.data == "😀"


@each_jwt_format
@pytest.mark.parametrize("segment", [0, 1, 2])
@pytest.mark.parametrize(
    "change", ["{}=", "{}==", " {}", "{} ", "{}\n", "\n{}", "{}\x00", "{}%3D", "{}?", "{}é", "{}+", "{}A"]
)
def test_a_segment_with_padding_white_space_or_strange_characters_is_refused(
    token_format: TokenFormat, segment: int, change: str
) -> None:
    """There is one way to write a token."""
    segments = make_token(token_format).token.split(".")
    segments[segment] = change.format(segments[segment])

    answer = rejection(verify, ".".join(segments))

    # One more character of the alphabet may be canonical; then it is the signature that is wrong.
    assert answer in ((MALFORMED, SIGNATURE_INVALID) if change == "{}A" else (MALFORMED,))


@each_jwt_format
def test_trailing_bits_that_are_not_zero_are_refused(token_format: TokenFormat) -> None:
    """The last character of a segment has spare bits, which lax decoders ignore: a second token with one signature."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    token = make_token(token_format).token
    sibling = token[:-1] + alphabet[alphabet.index(token[-1]) + 1]

    assert base64.urlsafe_b64decode(token.rpartition(".")[2] + "==") == base64.urlsafe_b64decode(
        sibling.rpartition(".")[2] + "=="
    )
    assert rejection(verify, sibling) is MALFORMED


@each_jwt_format
def test_the_other_base64_alphabet_is_refused(token_format: TokenFormat) -> None:
    """`+` and `/` are not in base64url."""
    signature = b"\xfb\xff" * 32

    answer = rejection(
        verify, f"{make_token(token_format).token.rpartition('.')[0]}.{base64.b64encode(signature).decode()}"
    )

    assert answer is MALFORMED


@each_jwt_format
def test_json_serialisation_is_refused(token_format: TokenFormat) -> None:
    """A compact token only; neither of the JSON forms of RFC 7515."""
    protected, payload, signature = make_token(token_format).token.split(".")
    flattened = {"protected": protected, "payload": payload, "signature": signature}
    general = {"payload": payload, "signatures": [{"protected": protected, "signature": signature}]}

    assert [MALFORMED, MALFORMED] == [rejection(read_token, json.dumps(form)) for form in (flattened, general)]


@each_jwt_format
@pytest.mark.parametrize(
    "change", [lambda t: t.replace(".", "", 1), lambda t: t + ".", lambda t: t + ".YQ", lambda t: "." + t]
)
def test_a_wrong_number_of_segments_is_refused(token_format: TokenFormat, change: Callable[[str], str]) -> None:
    """Two, four or more."""
    assert rejection(read_token, change(make_token(token_format).token)) is MALFORMED


@pytest.mark.parametrize("text", ["." * 40_000, "a." * 20_000, ".", "..", "...", "", "a.b.c", "A.A.A"])
def test_dots_alone_are_no_token(text: str) -> None:
    """CVE-2025-61920: nothing is split, decoded or parsed without bound."""
    assert rejection(read_token, text) is MALFORMED


@each_jwt_format
def test_an_oversized_token_is_refused_even_if_genuine(token_format: TokenFormat) -> None:
    """A token of one byte more than the limit is not read, and one just within it is valid."""
    spare = MAX_TOKEN - len(forge(token_format, payload=payload_of(token_format, connection_data="x")))
    within = forge(token_format, payload=payload_of(token_format, connection_data="x" * (spare * 3 // 4 - 3)))
    beyond = forge(token_format, payload=payload_of(token_format, connection_data="x" * (spare * 3 // 4 + 9)))

    assert len(within) <= MAX_TOKEN < len(beyond)
    assert verify(within).claims.session_id == SESSION
    assert rejection(verify, beyond) is MALFORMED


@pytest.mark.parametrize("start", ["T1==", "..", "eyJhbGciOiJIUzI1NiJ9.."])
def test_nothing_is_decoded_of_an_oversized_token(start: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever it costs to read a token, it costs no more than one of 40,960 bytes."""

    def fail(*_: object) -> NoReturn:
        raise AssertionError

    monkeypatch.setattr("binascii.a2b_base64", fail)

    # The control: one that is just not too long is.
    with pytest.raises(AssertionError):
        read_token(f"{start:A<{MAX_TOKEN}}")
    assert rejection(read_token, f"{start:A<{MAX_TOKEN + 1}}") is MALFORMED
    assert rejection(read_token, f"{start:A<{MAX_TOKEN * 100}}") is MALFORMED


def test_a_jwe_is_refused_before_anything_is_inflated() -> None:
    """CVE-2024-33664, CVE-2023-51774: an encrypted token is no token here, whatever its header says."""
    header = b64url(json.dumps({"alg": "dir", "enc": "A128GCM", "zip": "DEF"}).encode())

    assert [MALFORMED, MALFORMED] == [
        rejection(read_token, f"{header}..{'A' * 16}.{'A' * 400}.{'A' * 22}"),
        rejection(read_token, f"{header}.{'A' * 400}.{'A' * 22}"),
    ]


@each_jwt_format
@pytest.mark.parametrize("cty", ["JWT", None])
def test_a_nested_token_is_refused(token_format: TokenFormat, cty: str | None) -> None:
    """RFC 8725, 3.3: there are no nested tokens, so that no inner one could be left unchecked."""
    inner = make_token(token_format).token
    header = header_of(token_format, cty=cty)

    assert rejection(verify, forge(token_format, header=header, payload=inner.encode())) is MALFORMED
    assert rejection(verify, forge(token_format, header=header, payload=json.dumps(inner).encode())) is MALFORMED


@each_scoped_format
@pytest.mark.parametrize("scope", [None, "", "session.connect ", "session", ["session.connect"], "session.connect x"])
def test_another_scope_is_refused(token_format: TokenFormat, scope: object) -> None:
    """`scope` is exactly `session.connect`."""
    assert rejection(verify, forge(token_format, payload=payload_of(token_format, scope=scope))) is MALFORMED


@each_scoped_format
@pytest.mark.parametrize("session_id", [None, "", "x" * 256, 7, [SESSION], SESSION + "\0", "\0"])
def test_a_session_id_that_no_session_has_is_refused(token_format: TokenFormat, session_id: object) -> None:
    """1 to 255 characters, and a string."""
    payload = payload_of(token_format, session_id=session_id)

    assert rejection(verify, forge(token_format, payload=payload)) is MALFORMED
