"""The JWTs with which official SDKs prove themselves, as each SDK makes them."""

from __future__ import annotations

import json

from collections.abc import Mapping
from typing import Any, Final

import jwt


KEY: Final = "47000000"
SECRET: Final = "0123456789abcdef0123456789abcdef01234567"
APPLICATION: Final = "78d335fa-323d-4114-9c3d-6f0d48968cf0"
NOW: Final = 1_800_000_000

SDKS: Final[Mapping[str, tuple[dict[str, Any], dict[str, Any]]]] = {
    "python": ({"alg": "HS256", "typ": "JWT"}, {"ist": "project", "exp": NOW + 180, "jti": "0.5"}),
    "node": ({"alg": "HS256", "typ": "JWT"}, {"ist": "project", "exp": NOW + 300}),
    "ruby": ({"ist": "project", "alg": "HS256"}, {"exp": NOW + 300}),
    "php": ({"typ": "JWT", "alg": "HS256"}, {"ist": "project", "exp": NOW + 300, "jti": "65a"}),
    "java": ({"alg": "HS256"}, {"ist": "project", "jti": "x", "exp": NOW + 180}),
    "dotnet": ({"alg": "HS256", "typ": "JWT"}, {"ist": "project", "exp": NOW + 300}),
}
"""Header and claims of each SDK, but for `iss` and `iat`, which all send; .NET's `iss` is a number."""


def opentok_auth(
    secret: str = SECRET, *, iss: Any = KEY, sdk: str = "node", head: Mapping[str, Any] | None = None, **changes: Any
) -> str:
    """The value of X-OPENTOK-AUTH with *changes* of its claims; None takes one away."""
    header, claims = SDKS[sdk]
    said = {"iss": int(iss) if sdk == "dotnet" else iss, "iat": NOW, **claims, **changes}
    return encoded({**header, **(head or {})}, said, secret)


def vonage_bearer(pem: str, application: str = APPLICATION, **changes: Any) -> str:
    """The JWT of a Vonage application as Vonage's SDKs make it, with *changes* of its claims."""
    said = {"jti": "x", "iat": NOW, "exp": NOW + 900, "application_id": application, **changes}
    return encoded({"alg": "RS256", "typ": "JWT"}, said, pem)


def encoded(header: Mapping[str, Any], claims: Mapping[str, Any], key: str) -> str:
    """A JWT of exactly this, signed by *key*."""
    payload = json.dumps({name: value for name, value in claims.items() if value is not None}).encode()
    return jwt.api_jws.encode(payload, key, algorithm=header["alg"], headers=dict(header))
