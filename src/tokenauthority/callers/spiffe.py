"""Authenticate callers by a SPIFFE id: of their own TLS certificate, or as a side-car proxy forwards it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from tokenauthority.callers.authenticator import PresentedCredentials
from tokenauthority.callers.identity import SpiffeIdentity, is_spiffe_id
from tokenauthority.callers.registry import CurrentCallers
from tokenauthority.callers.xfcc import XfccError, parse_xfcc
from tokenauthority.domain.caller import Caller


class PeerAuthenticator:
    """Accepts a verified certificate with exactly one URI SAN that is a SPIFFE id, of *trust_domain* if it is set.

    Metadata, `authorization` included, is ignored.
    """

    def __init__(self, callers: CurrentCallers, trust_domain: str = "") -> None:
        self._callers = callers
        self._prefix = f"spiffe://{trust_domain}/" if trust_domain else "spiffe://"

    async def authenticate(self, presented: PresentedCredentials) -> Caller | None:
        """Find the caller; see `Authenticator.authenticate`."""
        spiffe_id = _peer_id(presented.tls())
        if not spiffe_id.startswith(self._prefix):
            return None
        return self._callers.registry.find_caller(SpiffeIdentity(spiffe_id))


class ForwardedAuthenticator:
    """Accepts the SPIFFE id of the last hop in exactly one `x-forwarded-client-cert`; ignores `authorization`.

    The last hop is a side-car proxy that terminates mTLS. Whoever can connect can claim to be any caller: only a
    listener that nobody but the proxy can reach may use this.
    """

    def __init__(self, callers: CurrentCallers) -> None:
        self._callers = callers

    async def authenticate(self, presented: PresentedCredentials) -> Caller | None:
        """Find the caller; see `Authenticator.authenticate`."""
        spiffe_id = _last_hop_id(presented.forwarded)
        return self._callers.registry.find_caller(SpiffeIdentity(spiffe_id)) if spiffe_id else None


def _peer_id(context: Mapping[str, Iterable[bytes]]) -> str:
    """Return the peer's id, or the empty text.

    gRPC's `x509_subject_alternative_name` mixes names of all kinds, and a DNS name may spell `spiffe://`. `peer_uri`
    has the URI names alone, and `peer_spiffe_id` exists only if there is exactly one of them and it is a SPIFFE id.
    """
    ids, uris = tuple(context.get("peer_spiffe_id", ())), tuple(context.get("peer_uri", ()))
    if len(ids) != 1 or ids != uris:
        return ""
    spiffe_id = ids[0].decode("ascii", errors="replace")
    return spiffe_id if is_spiffe_id(spiffe_id) else ""


def _last_hop_id(values: Sequence[str | bytes]) -> str:
    """Return the one id that the last hop, our proxy, verified; empty if there is none or the header is not exact."""
    if len(values) != 1 or not isinstance(values[0], str):
        return ""
    try:
        uris = parse_xfcc(values[0])[-1].values("URI")
    except XfccError:
        return ""
    return uris[0] if len(uris) == 1 and is_spiffe_id(uris[0]) else ""
