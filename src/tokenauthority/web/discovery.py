"""OpenID Connect Discovery: where a verifier that knows the issuer alone finds its keys."""

from __future__ import annotations

import hashlib

from typing import Final
from urllib.parse import urlsplit

import attrs
import msgspec

from tokenauthority.domain.key import Algorithm


JWKS_PATH: Final = "/.well-known/jwks.json"
DISCOVERY_PATH: Final = "/.well-known/openid-configuration"


@attrs.frozen
class Discovery:
    """The document of an issuer. `etag` is a strong one, quotes included (RFC 9110)."""

    body: bytes = attrs.field(repr=False)
    etag: str

    @classmethod
    def of(cls, issuer: str) -> Discovery:
        """The document of *issuer*, a URL, which it repeats byte for byte (OpenID Connect Discovery 1.0, section 3).

        It has the members that Kubernetes publishes for its service accounts: an issuer that only signs has none of
        the endpoints at which people would log in.
        """
        document = {
            "issuer": issuer,
            "jwks_uri": _without_slash(issuer) + JWKS_PATH,
            "response_types_supported": ["id_token"],
            "subject_types_supported": ["public"],
            # All that a key may ever sign with, not what today's keys do: verifiers read this once, at their start.
            "id_token_signing_alg_values_supported": [algorithm.value for algorithm in Algorithm],
        }
        body = msgspec.json.encode(document)
        return cls(body, f'"{hashlib.sha256(body).hexdigest()}"')


def prefixes(issuer: str) -> tuple[str, ...]:
    """The paths under which the documents of *issuer* are served: at the root, and where its URL has its path.

    A proxy before the server may take the path away or leave it.
    """
    return tuple(dict.fromkeys(("", _without_slash(urlsplit(issuer).path))))


def _without_slash(text: str) -> str:
    # Only the last one, as the specification says and as verifiers do.
    return text.removesuffix("/")
