"""The issuers whose JWTs prove a caller."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import attrs


ALGORITHMS: Final = frozenset(
    {"ES256", "ES384", "ES512", "EdDSA", "PS256", "PS384", "PS512", "RS256", "RS384", "RS512"}
)
"""What an issuer may sign with: asymmetric only, so that whoever verifies cannot sign."""


@attrs.frozen(kw_only=True)
class Issuer:
    """An issuer of JWTs. Exactly one of `jwks_url` and `jwks_file` is set.

    `ca_file` are the roots that *jwks_url* is checked with (default: the system's); `token_file` holds a bearer token
    that is sent there (a Kubernetes API server asks for one).
    """

    issuer: str
    audience: str
    algorithms: tuple[str, ...]
    jwks_url: str = ""
    jwks_file: Path | None = None
    ca_file: Path | None = None
    token_file: Path | None = None
    line: int = attrs.field(default=0, eq=False)
