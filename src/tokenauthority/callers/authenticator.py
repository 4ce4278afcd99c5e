"""Finds the caller of an RPC by what came along with it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol

import attrs

from tokenauthority.domain.caller import Caller


def _always() -> bool:
    return True


@attrs.frozen(kw_only=True)
class PresentedCredentials:
    """What came along with an RPC. Metadata values in the order in which they came; `repr` shows none.

    `tls` asks for gRPC's authentication context: `peer_spiffe_id`, `peer_uri` ... of a verified client certificate.
    `may_verify` is asked before a bearer credential that is not remembered as good is looked at: compared with the
    known ones, or its signature checked. Where it says no, the answer is None.
    """

    authorization: Sequence[str | bytes] = attrs.field(default=(), repr=False)
    forwarded: Sequence[str | bytes] = attrs.field(default=(), repr=False)
    tls: Callable[[], Mapping[str, Iterable[bytes]]] = attrs.field(default=dict, repr=False)
    may_verify: Callable[[], bool] = attrs.field(default=_always, repr=False)


class Authenticator(Protocol):
    """What one kind of listener takes as proof."""

    async def authenticate(self, presented: PresentedCredentials) -> Caller | None:
        """The caller that *presented* proves, or None for any cause."""
