"""What is published proves nothing: the public keys are no secrets, in no form and in no place that takes a token."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json

from collections.abc import Mapping
from typing import Any

import attrs
import jwt
import pytest

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.callers.issuer import segment
from tests.support.authority import RunningAuthority
from tests.support.wire import GENERATE, LIST_PROJECTS, V1, Outcome, Wire
from tokenauthority.v1 import key_pb2, session_pb2, token_pb2


@attrs.frozen
class Published:
    """What everybody can have: a token of ours and the key that it is verified with."""

    wire: Wire
    token: str
    jwks: bytes

    @property
    def jwk(self) -> dict[str, Any]:
        """The one key."""
        key, *_ = json.loads(self.jwks)["keys"]
        return dict(key)

    def verdict(self, token: str) -> str:
        """What VerifyToken says of *token*: `active`, or why not."""
        answer = self.wire.call(V1 + "TokenService/VerifyToken", token_pb2.VerifyTokenRequest(token=token))
        verdict = token_pb2.VerifyTokenResponse.FromString(answer.body)
        assert answer.code == "OK", answer
        return "active" if verdict.active else token_pb2.InactiveReason.Name(verdict.reason)

    def as_credential(self, token: str) -> Outcome:
        """A call of whoever presents *token*."""
        return self.wire.call(LIST_PROJECTS, api_key="", metadata=[("authorization", f"Bearer {token}")])

    def forged(self, secret: bytes, **changes: object) -> str:
        """The token with another header, a moderator's role, and an HMAC under *secret*."""
        head, payload, _ = self.token.split(".")
        header: Mapping[str, object] = {**_json(head), "alg": "HS256", **changes}
        claims = {**_json(payload), "role": "moderator"}
        parts = [segment(json.dumps(part).encode()) for part in (header, claims)]
        signature = hmac.digest(secret, ".".join(parts).encode(), hashlib.sha256)
        return ".".join([*parts, segment(signature)])


def _json(text: str) -> dict[str, object]:
    return dict(json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))))


@pytest.fixture
def published(running_authority: RunningAuthority, wire: Wire) -> Published:
    """A genuine token of the native format, and the JWKS by gRPC."""
    made = wire.call(
        V1 + "SessionService/CreateSession",
        session_pb2.CreateSessionRequest(project_id=running_authority.project_id),
    )
    session = session_pb2.CreateSessionResponse.FromString(made.body).session.session_id
    request = token_pb2.GenerateTokenRequest(request=token_pb2.TokenRequest(session_id=session))
    token = token_pb2.GenerateTokenResponse.FromString(wire.call(GENERATE, request).body).token.token
    keys = wire.call(V1 + "KeyService/GetJsonWebKeySet", key_pb2.GetJsonWebKeySetRequest())
    return Published(wire, token, key_pb2.GetJsonWebKeySetResponse.FromString(keys.body).json.encode())


FORMS = ("pem", "pem without its end", "der", "point", "jwk", "jwk sorted", "jwks", "x", "kid", "nothing")


def _secret(published: Published, form: str) -> bytes:
    key = jwt.PyJWK(published.jwk).key
    pem = key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    forms: dict[str, bytes] = {
        "pem": pem,
        "pem without its end": pem.strip(),
        "der": key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        "point": key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint),
        "jwk": json.dumps(published.jwk).encode(),
        "jwk sorted": json.dumps(published.jwk, sort_keys=True, separators=(",", ":")).encode(),
        "jwks": published.jwks,
        "x": published.jwk["x"].encode(),
        "kid": published.jwk["kid"].encode(),
        "nothing": b"",
    }
    return forms[form]


def test_the_genuine_token_is_valid(published: Published) -> None:
    """The control: what is forged below differs from it in what is said there."""
    assert "active" == published.verdict(published.token)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("typ", ["session+jwt", "JWT", None])
def test_a_published_key_is_no_hmac_secret(published: Published, form: str, typ: str | None) -> None:
    """VerifyToken does not take it for a token of the native format, nor for one of a project's secret."""
    secret = _secret(published, form)
    named = published.verdict(published.forged(secret, typ=typ))
    nameless = published.verdict(published.forged(secret, typ=typ, kid=None))

    assert "active" not in {named, nameless}


@pytest.mark.parametrize("form", FORMS)
def test_a_published_key_signs_no_credential(published: Published, form: str) -> None:
    """Nor does what it signs make anybody a caller; nor does a token to join with, genuine as it is."""
    forged = published.as_credential(published.forged(_secret(published, form), typ="JWT"))
    genuine = published.as_credential(published.token)

    assert ("UNAUTHENTICATED", "UNAUTHENTICATED") == (forged.code, genuine.code)
