"""Authenticate callers by a SPIFFE id: of their own TLS certificate, or as a side-car proxy forwards it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final
from urllib.parse import unquote_to_bytes

from tokenauthority.callers.authenticator import CredentialError, PresentedCredentials
from tokenauthority.callers.identity import SpiffeIdentity, is_spiffe_id
from tokenauthority.callers.registry import CurrentCallers
from tokenauthority.callers.x509_svid import require_leaf
from tokenauthority.callers.xfcc import XfccError, parse_xfcc
from tokenauthority.domain.caller import Caller


_FORWARDED: Final = "x-forwarded-client-cert"


class PeerAuthenticator:
    """Accepts a verified certificate with exactly one URI SAN that is a SPIFFE id, of *trust_domain* if it is set.

    The certificate of a CA is refused, although TLS takes it (X509-SVID, section 5.2).

    Metadata, `authorization` included, is ignored.
    """

    def __init__(self, callers: CurrentCallers, trust_domain: str = "") -> None:
        self._callers = callers
        self._prefix = f"spiffe://{trust_domain}/" if trust_domain else "spiffe://"

    async def authenticate(self, presented: PresentedCredentials) -> Caller:
        """Find the caller; see `Authenticator.authenticate`."""
        context = presented.tls()
        spiffe_id = _peer_id(context)
        if not spiffe_id.startswith(self._prefix):
            raise CredentialError(f"{spiffe_id} is not of the trust domain {self._prefix}")
        require_leaf(b"".join(context.get("x509_pem_cert", ())))
        return _find_caller(self._callers, spiffe_id)


class ForwardedAuthenticator:
    """Accepts the SPIFFE id of the last hop in exactly one `x-forwarded-client-cert`; ignores `authorization`.

    The last hop is a side-car proxy that terminates mTLS. Whoever can connect can claim to be any caller: only a
    listener that nobody but the proxy can reach may use this.
    """

    def __init__(self, callers: CurrentCallers) -> None:
        self._callers = callers

    async def authenticate(self, presented: PresentedCredentials) -> Caller:
        """Find the caller; see `Authenticator.authenticate`."""
        return _find_caller(self._callers, _last_hop_id(presented.forwarded))


def _find_caller(callers: CurrentCallers, spiffe_id: str) -> Caller:
    caller = callers.registry.find_caller(SpiffeIdentity(spiffe_id))
    if caller is None:
        raise CredentialError(f"no caller has {spiffe_id}")
    return caller


def _peer_id(context: Mapping[str, Iterable[bytes]]) -> str:
    """Return the peer's id, or raise CredentialError.

    gRPC's `x509_subject_alternative_name` mixes names of all kinds, and a DNS name may spell `spiffe://`. `peer_uri`
    has the URI names alone, and `peer_spiffe_id` exists only if there is exactly one of them and it is a SPIFFE id.
    """
    ids, uris = tuple(context.get("peer_spiffe_id", ())), tuple(context.get("peer_uri", ()))
    spiffe_id = b"".join(ids).decode("ascii", errors="replace")
    if len(ids) != 1 or ids != uris or not is_spiffe_id(spiffe_id):
        raise CredentialError("there is no certificate with exactly one URI, which is the SPIFFE id of a workload")
    return spiffe_id


def _last_hop_id(values: Sequence[str | bytes]) -> str:
    """Return the one id that the last hop, our proxy, verified, or raise CredentialError."""
    if len(values) != 1 or not isinstance(values[0], str):
        raise CredentialError(f"there are {len(values)} values of {_FORWARDED}, and must be one of text")
    try:
        hop = parse_xfcc(values[0])[-1]
    except XfccError as error:
        raise CredentialError(f"{_FORWARDED} {error}") from None
    uris = hop.values("URI")
    if len(uris) != 1 or not is_spiffe_id(uris[0]):
        raise CredentialError(f"the last hop of {_FORWARDED} has no single URI that is the SPIFFE id of a workload")
    # A proxy that is set up to forward the certificate says more of it than the id.
    for certificate in hop.values("Cert"):
        require_leaf(unquote_to_bytes(certificate))
    return uris[0]
