"""The JSON Web Key Set."""

from __future__ import annotations

import json
import re

import jwt

from tests.signing.builders import mint, ring, ring_key, signing_key
from tokenauthority.domain.key import Algorithm, KeyState
from tokenauthority.domain.token_format import TokenFormat
from tokenauthority.signing.jwks_document import JsonWebKeySet
from tokenauthority.signing.keyring import KeyRing


def test_anyone_verifies_a_native_token_with_the_document() -> None:
    """PyJWT's own client finds the key by `kid` and accepts the token."""
    key_set = jwt.PyJWKSet.from_json(JsonWebKeySet.of(ring()).body.decode())
    token = mint(TokenFormat.SESSION_JWT).token

    key = key_set[jwt.get_unverified_header(token)["kid"]]

    options = {"verify_exp": False, "verify_aud": False}
    assert "session.connect" == jwt.decode(token, key, algorithms=["ES256"], options=options)["scope"]  # type: ignore[arg-type]  # a plain dict is an Options


def test_the_document_lists_all_that_verify_and_no_revoked_one() -> None:
    """Newest first."""
    keys = [
        ring_key(signing_key(Algorithm.ES256, 0), KeyState.ACTIVE, 2),
        ring_key(signing_key(Algorithm.ES256, 1), KeyState.PREPARED, 3),
        ring_key(signing_key(Algorithm.EDDSA, 1), KeyState.RETIRED, 1),
        ring_key(signing_key(Algorithm.ES256, 2), KeyState.REVOKED, 4),
    ]

    document = json.loads(JsonWebKeySet.of(KeyRing(keys)).body)

    expected = [keys[1], keys[0], keys[2]]
    assert {"keys": [entry.key.public.jwk for entry in expected]} == document


def test_the_bytes_are_the_document_and_the_etag_theirs() -> None:
    """Strong, quoted, the same for the same keys and another for others."""
    key_set = JsonWebKeySet.of(ring())

    assert {"keys": list(key_set.keys)} == json.loads(key_set.body)
    assert re.fullmatch(r'"[0-9a-f]{64}"', key_set.etag)
    assert key_set == JsonWebKeySet.of(KeyRing(reversed(ring().entries)))
    assert key_set.etag != JsonWebKeySet.of(ring(Algorithm.EDDSA)).etag


def test_a_reader_cannot_change_the_ring() -> None:
    """The keys are copies."""
    JsonWebKeySet.of(ring()).keys[0]["kid"] = "changed"

    assert "changed" not in JsonWebKeySet.of(ring()).body.decode()
