"""Where signing keys may live outside of the store: what such a place can do, and the one way in which it fails.

A place is named by a URI and found by its scheme. An HSM (`hsm.py`) is one; a cloud's KMS would be another: a class
with these methods, and a line for its scheme in `server/key_providers.py`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn, Protocol


if TYPE_CHECKING:
    from tokenauthority.domain.key import Algorithm, StoredKey
    from tokenauthority.signing.signing_key import SigningKey


class KeyProviderError(Exception):
    """The place of a key cannot be used now, or not so. The message names it and the cause, and holds no secret."""


class KeyProvider(Protocol):
    """Makes and keeps private keys that never leave it. `make` and `destroy` block, and so does a key's signer."""

    @property
    def scheme(self) -> str:
        """The scheme of its locations, without the colon."""

    def make(self, algorithm: Algorithm) -> tuple[SigningKey, str]:
        """A new key, and the URI that names it from now on.

        Raises:
            KeyProviderError: it cannot be made.
        """

    def open(self, stored: StoredKey, public_key: object) -> SigningKey:
        """The key at `stored.location` whose public half is *public_key*; nothing is asked of the place yet.

        Raises:
            ValueError: *public_key* is none for the algorithm.
        """

    def destroy(self, stored: StoredKey) -> None:
        """Have the private key no more; no error where it is gone already.

        Raises:
            KeyProviderError: it cannot be destroyed.
        """


class AbsentSigner:
    """In place of the signer of a key whose place this server does not know: it refuses, and says *why*."""

    def __init__(self, why: str) -> None:
        self._why = why

    def sign(self, payload_json: bytes) -> NoReturn:  # noqa: ARG002 - the protocol's parameter
        """Refuse."""
        raise KeyProviderError(self._why)
