"""Define what identifies a caller: the digest of an API key, a SPIFFE id, issuer and subject of a JWT, or a project."""

from __future__ import annotations

import re

from pathlib import Path
from typing import Final, TypeAlias

import attrs


MAX_SPIFFE_ID: Final = 2048
MAX_SUBJECT: Final = 1024
"""Characters of a JWT's subject. Kubernetes' longest, `system:serviceaccount:NAMESPACE:NAME`, has 339."""

ALGORITHMS: Final = frozenset(
    {"ES256", "ES384", "ES512", "EdDSA", "PS256", "PS384", "PS512", "RS256", "RS384", "RS512"}
)
"""Algorithms that an issuer may sign with: asymmetric ones only, so that a verifier cannot sign."""

_SPIFFE_ID: Final = re.compile(r"spiffe://[a-z0-9._-]{1,255}(?:/(?!\.{1,2}(?:/|\Z))[A-Za-z0-9._-]+)+", re.ASCII)


@attrs.frozen
class ApiKeyIdentity:
    """The SHA-256 of an API key in lower-case hex."""

    digest: str

    def __str__(self) -> str:
        return f"sha256:{self.digest[:16]}"


@attrs.frozen
class SpiffeIdentity:
    """A SPIFFE id, `spiffe://trust-domain/path`, compared whole."""

    spiffe_id: str

    def __str__(self) -> str:
        return self.spiffe_id


@attrs.frozen
class JwtIdentity:
    """A subject (`sub`) of a configured issuer (`iss`), both compared whole."""

    issuer: str
    subject: str

    def __str__(self) -> str:
        return f"{self.issuer} {self.subject}"


@attrs.frozen
class OpentokIdentity:
    """A project, whose official OpenTok SDKs prove themselves with its secret or with its Vonage key."""

    project_id: str

    def __str__(self) -> str:
        return self.project_id


Identity: TypeAlias = ApiKeyIdentity | SpiffeIdentity | JwtIdentity | OpentokIdentity


@attrs.frozen(kw_only=True)
class Issuer:
    """An issuer of JWTs that prove callers. Exactly one of `jwks_url` and `jwks_file` is set.

    `ca_file` holds the roots that verify the server of `jwks_url` (default: the system's). `token_file` holds a bearer
    token that is sent to `jwks_url` (a Kubernetes API server requires one). `algorithms` are among `ALGORITHMS`.
    """

    issuer: str
    audience: str
    algorithms: tuple[str, ...]
    jwks_url: str = ""
    jwks_file: Path | None = None
    ca_file: Path | None = None
    token_file: Path | None = None


def is_spiffe_id(text: str) -> bool:
    """Return whether *text* is the SPIFFE id of a workload: at most 2048 bytes, and with a path (SPIFFE-ID, section 2).

    The trust domain is lower case; a path has no empty segment, `.` or `..`, and nothing is percent-encoded.
    """
    return len(text) <= MAX_SPIFFE_ID and _SPIFFE_ID.fullmatch(text) is not None
