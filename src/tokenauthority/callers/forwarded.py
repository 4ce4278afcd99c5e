"""Authenticate callers behind a side-car proxy that terminates mTLS and forwards the identity it verified.

Whoever can connect can claim to be any caller: only a listener that nobody but the proxy can reach may use this.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tokenauthority.callers.identity import SpiffeIdentity, is_spiffe_id
from tokenauthority.callers.xfcc import XfccError, parse_xfcc


if TYPE_CHECKING:
    from collections.abc import Sequence

    from tokenauthority.callers.authenticator import PresentedCredentials
    from tokenauthority.callers.registry import CurrentCallers
    from tokenauthority.domain.caller import Caller


class ForwardedAuthenticator:
    """Accepts the SPIFFE id of the last hop in exactly one `x-forwarded-client-cert`; ignores `authorization`."""

    def __init__(self, callers: CurrentCallers) -> None:
        self._callers = callers

    async def authenticate(self, presented: PresentedCredentials) -> Caller | None:
        """Find the caller; see `Authenticator.authenticate`."""
        spiffe_id = _last_hop_id(presented.forwarded)
        return self._callers.registry.find_caller(SpiffeIdentity(spiffe_id)) if spiffe_id else None


def _last_hop_id(values: Sequence[str | bytes]) -> str:
    """Return the one id that the last hop, our proxy, verified; empty if there is none or the header is not exact."""
    if len(values) != 1 or not isinstance(values[0], str):
        return ""
    try:
        uris = parse_xfcc(values[0])[-1].values("URI")
    except XfccError:
        return ""
    return uris[0] if len(uris) == 1 and is_spiffe_id(uris[0]) else ""
