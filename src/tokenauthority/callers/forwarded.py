"""Callers behind a side-car proxy that ends mTLS and forwards whose certificate it saw.

Whoever can connect can say to be anyone: only a listener that nobody but the proxy reaches may use this.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tokenauthority.callers.identity import SpiffeIdentity, is_spiffe_id
from tokenauthority.callers.xfcc import XfccError, parse


if TYPE_CHECKING:
    from collections.abc import Sequence

    from tokenauthority.callers.authenticator import PresentedCredentials
    from tokenauthority.callers.registry import CurrentCallers
    from tokenauthority.domain.caller import Caller


class ForwardedAuthenticator:
    """Takes the SPIFFE id of the last hop in exactly one `x-forwarded-client-cert`, and no `authorization`."""

    def __init__(self, callers: CurrentCallers) -> None:
        self._callers = callers

    async def authenticate(self, presented: PresentedCredentials) -> Caller | None:
        """See `Authenticator.authenticate`."""
        spiffe_id = _last_hop(presented.forwarded)
        return self._callers.book.find(SpiffeIdentity(spiffe_id)) if spiffe_id else None


def _last_hop(values: Sequence[str | bytes]) -> str:
    """The one id that the last hop, which is our proxy, was shown; empty where there is none or anything is odd."""
    if len(values) != 1 or not isinstance(values[0], str):
        return ""
    try:
        uris = parse(values[0])[-1].values("URI")
    except XfccError:
        return ""
    return uris[0] if len(uris) == 1 and is_spiffe_id(uris[0]) else ""
