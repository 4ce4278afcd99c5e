"""What holds for every format: round trips, tampering, bytes from anywhere, and telling them apart."""

from __future__ import annotations

import json

import attrs
import msgspec
import pytest

from hypothesis import example, given
from hypothesis import strategies as st

from tests.signing.builders import (
    JWT_FORMATS,
    KEYS,
    OLD_SECRET,
    SESSION,
    b64url,
    claims,
    forge,
    header_of,
    hostile_text,
    key_of,
    make_claims,
    make_token,
    payload_of,
    rejection,
    t1,
    verify,
)
from tokenauthority.domain.token import InactiveReason, TokenClaims, TokenRejectedError
from tokenauthority.domain.token_format import TokenFormat
from tokenauthority.signing.formats.codec import JwsCodec
from tokenauthority.signing.formats.registry import codec_of, read_token
from tokenauthority.signing.jose import parse_compact, parse_raw
from tokenauthority.signing.results import Verified


TOKEN_CHARACTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.+/= \n\x00é"
CLAIM_NAMES = (
    *("iss", "ist", "aud", "sub", "iat", "nbf", "exp", "scope", "role", "jti", "session_id", "application_id"),
    *("video", "room", "roomJoin", "canPublish", "roomAdmin", "metadata", "context", "user", "moderator"),
)
SAMPLES = {
    token_format: make_token(
        token_format,
        make_claims(
            token_format,
            data="a=1&b=2 é\n",
            initial_layout_class_list=("focus", "a+b") if token_format.traits.carries_layout else (),
        ),
    )
    for token_format in TokenFormat
}

each_format = pytest.mark.parametrize("token_format", TokenFormat)


def _assert_malformed(token: str) -> None:
    with pytest.raises(TokenRejectedError) as caught:
        read_token(token)
    assert InactiveReason.MALFORMED is caught.value.reason


@each_format
@given(data=st.data(), nonce=st.integers(0, 999_999))
def test_what_is_encoded_is_what_is_verified(token_format: TokenFormat, data: st.DataObject, nonce: int) -> None:
    """Every claim comes back exactly, whatever characters it has."""
    said = data.draw(claims(token_format))

    encoded = make_token(token_format, said, nonce)

    expected = msgspec.structs.replace(said, token_id=encoded.token_id)
    assert Verified(claims=expected, key_id=key_of(token_format).key_id) == verify(encoded.token)


@each_format
@pytest.mark.parametrize("data", ["😀" * 1000, "\U0010ffff" * 1000, "\x00" * 1000, "%" * 1000, "\\" * 1000, '"' * 1000])
def test_the_longest_legal_token_is_read(token_format: TokenFormat, data: str) -> None:
    """1000 characters of data and of layout, each the longest that it can be written as, fit the limit."""
    said = make_claims(token_format, data=data, session_id="x" * 255, initial_layout_class_list=("\U0010ffff" * 1000,))

    assert data == verify(make_token(token_format, said).token).claims.data


@pytest.mark.parametrize("token_format", JWT_FORMATS)
def test_typ_is_a_media_type(token_format: TokenFormat) -> None:
    """RFC 7515, section 4.1.9: case and the prefix `application/` say nothing; every other type is another token."""
    name = "session+jwt" if token_format is TokenFormat.SESSION_JWT else "JWT"
    others = {"JWT", "session+jwt", "at+jwt", "JOSE", "logout+jwt", "text/jwt", "jwt;v=1"} - {name}
    payload = payload_of(token_format)
    header = header_of(token_format)

    for kind in (name, name.lower(), name.upper(), f"application/{name}", f"Application/{name.upper()}"):
        verify(forge(token_format, payload=payload, header={**header, "typ": kind}))
    for other in (*others, *(f"application/{each}" for each in others), "", None, [name]):
        _assert_malformed(forge(token_format, payload=payload, header={**header, "typ": other}))


@each_format
@given(data=st.data())
def test_a_token_changed_anywhere_never_says_anything_else(token_format: TokenFormat, data: st.DataObject) -> None:
    """One character changed, taken out or put in: refused, or another spelling of the very same claims."""
    token = SAMPLES[token_format].token
    index = data.draw(st.integers(0, len(token) - 1))
    replacement = data.draw(st.text(TOKEN_CHARACTERS, max_size=2))
    tampered = token[:index] + replacement + token[index + 1 :]

    answer = rejection(verify, tampered)

    refusals = (InactiveReason.MALFORMED, InactiveReason.SIGNATURE_INVALID, InactiveReason.KEY_UNKNOWN)
    assert answer in (*refusals, verify(token))


@each_format
def test_a_token_with_any_one_character_changed_is_refused(token_format: TokenFormat) -> None:
    """Each position in turn, by a character of the same alphabet."""
    token = SAMPLES[token_format].token
    prefix = 4 if token_format is TokenFormat.OPENTOK_T1 else 0
    tampered = [
        token[:index] + ("A" if token[index] != "A" else "B") + token[index + 1 :]
        for index in range(prefix, len(token))
    ]

    assert not [text for text in tampered if not isinstance(rejection(verify, text), InactiveReason)]


@each_format
@given(cut=st.integers(1, 2000))
def test_a_token_cut_off_anywhere_is_refused(token_format: TokenFormat, cut: int) -> None:
    """No beginning of a token is a token (but for the padding of T1, which may be missing)."""
    token = SAMPLES[token_format].token.rstrip("=")

    with pytest.raises(TokenRejectedError):
        verify(token[: -(cut % len(token)) or -1])


@given(st.text())
@example("T1==")
@example("T1==:")
@example("T1==Og==")
@example("..")
@example("\ud800")
@example("T1==\ud800")
@example("eyJhbGciOiJIUzI1NiJ9.W10.AA")
def test_text_from_anywhere_is_malformed_and_nothing_else(text: str) -> None:
    """Whatever comes in, no other exception comes out."""
    _assert_malformed(text)
    _assert_malformed("T1==" + text)


@given(st.binary(max_size=2000))
def test_bytes_from_anywhere_are_malformed_and_nothing_else(data: bytes) -> None:
    """As raw bytes, as the signed part of a T1, and as each segment of a JWT."""
    segment = b64url(data)

    _assert_malformed(data.decode("latin-1"))
    _assert_malformed(t1(data + b"&scope=x"))
    _assert_malformed(f"{segment}.{segment}.{segment}")
    _assert_malformed(f"eyJhbGciOiJIUzI1NiJ9.{segment}.{segment}")


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.integers() | hostile_text,
        lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(CLAIM_NAMES) | st.text(), inner),
        max_leaves=20,
    )
)
def test_json_from_anywhere_is_malformed_and_nothing_else(value: object) -> None:
    """Any JSON, even with the names of claims, as the payload of each JWT format."""
    payload = b64url(json.dumps(value).encode("utf-8", "replace"))
    for header in (b'{"alg":"HS256"}', b'{"alg":"ES256","typ":"session+jwt","kid":"k"}'):
        _assert_malformed(f"{b64url(header)}.{payload}.AA")


@each_format
def test_the_format_is_recognised(token_format: TokenFormat) -> None:
    """Each format's tokens are read as such, and no signature is needed for it."""
    unverified = read_token(SAMPLES[token_format].token)

    assert token_format is unverified.format
    assert SESSION == unverified.claims.session_id
    assert not isinstance(unverified, TokenClaims)


@pytest.mark.parametrize("token_format", [TokenFormat.OPENTOK_T1, TokenFormat.OPENTOK_JWT])
def test_every_live_secret_verifies_and_is_named(token_format: TokenFormat) -> None:
    """A token signed with the older of two secrets is valid, and says so."""
    token = make_token(token_format, key=OLD_SECRET).token

    assert OLD_SECRET.key_id == verify(token).key_id


@pytest.mark.parametrize("token_format", [f for f in TokenFormat if f is not TokenFormat.SESSION_JWT])
def test_without_its_key_a_token_is_of_an_unknown_one(token_format: TokenFormat) -> None:
    """No secret, no Vonage key, keys of another project: KEY_UNKNOWN, not SIGNATURE_INVALID."""
    keyless = attrs.evolve(KEYS, secrets=(), vonage=None)
    for keys in (keyless, attrs.evolve(KEYS, project_id="1", vonage=None)):
        with pytest.raises(TokenRejectedError) as caught:
            verify(SAMPLES[token_format].token, keys)
        assert InactiveReason.KEY_UNKNOWN is caught.value.reason


@each_format
def test_what_is_read_shows_no_signature_and_no_data(token_format: TokenFormat) -> None:
    """`repr` of a token that was read can be logged by mistake without giving it away."""
    token = SAMPLES[token_format].token
    unverified = read_token(token)
    shown = repr(unverified) + repr(verify(token))
    if isinstance(codec_of(token_format), JwsCodec):
        shown += repr(parse_compact(token)) + repr(parse_raw(token))

    assert "a=1&b=2" not in shown
    assert repr(unverified.signature) not in shown
    assert repr(unverified.signing_input) not in shown
    assert token.rpartition(":" if token_format is TokenFormat.JANUS else ".")[2] not in shown
