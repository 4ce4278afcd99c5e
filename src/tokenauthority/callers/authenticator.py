"""Define how the caller of an RPC is authenticated by the credentials that came with it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol

import msgspec

from tokenauthority.domain.caller import Caller


class CredentialError(Exception):
    """The presented credentials prove no caller. The text says why, for operators alone, and holds nothing secret."""


class PresentedCredentials(msgspec.Struct, frozen=True, kw_only=True):
    """The credentials of one RPC. Metadata values stand in the order of their arrival; `repr` shows none of them.

    `origin` is the address that limits count; see `domain.origin`. `tls` returns gRPC's authentication context:
    `peer_spiffe_id`, `peer_uri`, `x509_pem_cert` ... of a verified client certificate. `may_verify` is called before a
    bearer credential that is not cached is verified. If it returns False, the credential is not verified and the RPC
    has no caller.
    """

    authorization: Sequence[str | bytes] = ()
    forwarded: Sequence[str | bytes] = ()
    origin: str = ""
    tls: Callable[[], Mapping[str, Iterable[bytes]]] = dict
    may_verify: Callable[[], bool] = lambda: True

    def __repr__(self) -> str:
        return f"PresentedCredentials(origin={self.origin!r})"


class Authenticator(Protocol):
    """The rule of one kind of listener for what proves a caller."""

    async def authenticate(self, presented: PresentedCredentials) -> Caller:
        """Return the caller that *presented* proves, or raise CredentialError."""
