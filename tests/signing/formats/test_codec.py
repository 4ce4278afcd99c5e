"""A codec: it signs with keys of its own kind alone, and verifies what it has read alone."""

from __future__ import annotations

import pytest

from tests.signing.builders import SESSION, key_of, make_claims, make_terms, make_token, trusted
from tokenauthority.domain.token import InactiveReason, TokenRejectedError
from tokenauthority.domain.token_format import TokenFormat
from tokenauthority.signing.formats.registry import codec_of, read_token


each_format = pytest.mark.parametrize("token_format", TokenFormat)


@each_format
@pytest.mark.parametrize("other", TokenFormat)
def test_refuses_a_key_of_another_kind(token_format: TokenFormat, other: TokenFormat) -> None:
    """No token of a format is signed with a key that is for another one."""
    codec, key = codec_of(token_format), key_of(other)
    claims = make_claims(token_format)
    terms = make_terms(token_format, claims, key)

    if token_format.traits.signed_by is other.traits.signed_by:
        assert codec.prepare(terms, key)("", claims.subject, claims.token_id).token
    else:
        with pytest.raises(TypeError, match="does not sign with"):
            codec.prepare(terms, key)


@each_format
@pytest.mark.parametrize("other", TokenFormat)
def test_refuses_to_verify_a_token_of_another_format(token_format: TokenFormat, other: TokenFormat) -> None:
    """KEY_UNKNOWN, although the keys are those of the token."""
    unverified = read_token(make_token(other).token)

    if token_format is other:
        assert SESSION == codec_of(token_format).verify(unverified, trusted()).claims.session_id
    else:
        with pytest.raises(TokenRejectedError) as caught:
            codec_of(token_format).verify(unverified, trusted())
        assert InactiveReason.KEY_UNKNOWN is caught.value.reason
