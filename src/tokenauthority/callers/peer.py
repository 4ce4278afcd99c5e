"""Authenticate callers by the SPIFFE id of their TLS client certificate, and by nothing else of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tokenauthority.callers.identity import SpiffeIdentity, is_spiffe_id


if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tokenauthority.callers.authenticator import PresentedCredentials
    from tokenauthority.callers.registry import CurrentCallers
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
