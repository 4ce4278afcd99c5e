"""OpenID Connect Discovery: the document in which a verifier that knows only the issuer finds its keys."""

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
    """The discovery document of an issuer. `etag` is a strong entity tag with its quotes (RFC 9110)."""

    body: bytes = attrs.field(repr=False)
    etag: str

    @classmethod
    def for_issuer(cls, issuer: str) -> Discovery:
        """Return the document of the URL *issuer*, which it repeats byte for byte (Discovery 1.0, section 3).

        It has the members that Kubernetes publishes for its service accounts: an issuer that only signs has none of
        the endpoints at which people would log in.
        """
        document = {
            "issuer": issuer,
            "jwks_uri": _without_slash(issuer) + JWKS_PATH,
            "response_types_supported": ["id_token"],
            "subject_types_supported": ["public"],
            # Every algorithm that a key may have, not only those of today's keys: verifiers read this once.
            "id_token_signing_alg_values_supported": [algorithm.value for algorithm in Algorithm],
        }
        body = msgspec.json.encode(document)
        return cls(body, f'"{hashlib.sha256(body).hexdigest()}"')


def prefixes(issuer: str) -> tuple[str, ...]:
    """Return the paths under which the documents of *issuer* are served: the root, and the path of its URL.

    A proxy in front of the server may remove that path or not.
    """
    return tuple(dict.fromkeys(("", _without_slash(urlsplit(issuer).path))))


def _without_slash(text: str) -> str:
    # Only the last one, as the specification says and as verifiers do.
    return text.removesuffix("/")
