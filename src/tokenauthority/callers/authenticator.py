"""Define how the caller of an RPC is authenticated by the credentials that came with it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol

import attrs

from tokenauthority.domain.caller import Caller


@attrs.frozen(kw_only=True)
class PresentedCredentials:
    """The credentials of one RPC. Metadata values stand in the order of their arrival; `repr` shows none of them.

    `tls` returns gRPC's authentication context: `peer_spiffe_id`, `peer_uri` ... of a verified client certificate.
    `may_verify` is called before a bearer credential that is not cached is verified. If it returns False, the
    credential is not verified and the RPC has no caller.
    """

    authorization: Sequence[str | bytes] = attrs.field(default=(), repr=False)
    forwarded: Sequence[str | bytes] = attrs.field(default=(), repr=False)
    tls: Callable[[], Mapping[str, Iterable[bytes]]] = attrs.field(default=dict, repr=False)
    may_verify: Callable[[], bool] = attrs.field(default=lambda: True, repr=False)


class Authenticator(Protocol):
    """The rule of one kind of listener for what proves a caller."""

    async def authenticate(self, presented: PresentedCredentials) -> Caller | None:
        """Return the caller that *presented* proves, or None for any cause."""
