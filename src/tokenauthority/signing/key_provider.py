"""What a key provider is: a store of private keys outside of the database, and how it fails.

A URI locates a key, and its scheme names the provider. An HSM (`hsm.py`) is one. Another, such as a cloud's KMS, would
be a class with these methods, and a line for its scheme in `server/key_providers.py`.
"""

from __future__ import annotations

from typing import NoReturn, Protocol

from tokenauthority.domain.key import Algorithm, StoredKey
from tokenauthority.signing.signing_key import SigningKey


class KeyProviderError(Exception):
    """A key provider cannot be used now, or not for this. The message names its URI and the cause, and no secret."""


class KeyProvider(Protocol):
    """A store of private keys that never leave it. `generate_key` and `destroy_key` block, as does a key's signer."""

    @property
    def scheme(self) -> str:
        """Return the scheme of its URIs, without the colon."""

    def generate_key(self, algorithm: Algorithm) -> tuple[SigningKey, str]:
        """Generate a key, and return it with the URI that locates it, or raise KeyProviderError."""

    def located_key(self, stored: StoredKey, public_key: object) -> SigningKey:
        """Return the key at `stored.location`, without a call to the provider; ValueError for an unfit *public_key*."""

    def destroy_key(self, stored: StoredKey) -> None:
        """Destroy the private key, or raise KeyProviderError; no error where it is destroyed already."""


class AbsentSigner:
    """The signer of a key whose provider this server does not have: it always raises, with *reason*."""

    def __init__(self, reason: str) -> None:
        self._reason = reason

    def sign(self, payload_json: bytes) -> NoReturn:  # noqa: ARG002 - the protocol's parameter
        """Raise KeyProviderError."""
        raise KeyProviderError(self._reason)
