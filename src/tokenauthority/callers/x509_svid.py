"""Check that a certificate may identify a workload (SPIFFE X509-SVID, section 5.2), which TLS libraries do not."""

from __future__ import annotations

from hashlib import sha256
from typing import Final

from cachetools import LRUCache, cached
from cryptography import x509

from tokenauthority.callers.authenticator import CredentialError


_CACHED: Final = 4096
"""Certificates of connections, each checked once and not for every RPC. The cache has a digest of each, not its PEM."""


def require_leaf(pem: bytes) -> None:
    """Require that the certificate is no CA's, which could sign for whoever it likes.

    Raises:
        CredentialError: it is a CA's, may sign certificates or CRLs, or cannot be read.
    """
    problem = _problem_of(pem)
    if problem:
        raise CredentialError(f"the certificate {problem}")


def _digest(pem: bytes) -> bytes:
    return sha256(pem).digest()


@cached(LRUCache[bytes, str](_CACHED), key=_digest)
def _problem_of(pem: bytes) -> str:
    try:
        extensions = x509.load_pem_x509_certificate(pem).extensions
    except Exception:  # noqa: BLE001 - cryptography documents no common base class of its parsing errors; a certificate that cannot be parsed is refused
        return "cannot be read"
    for extension in extensions:
        match extension.value:
            case x509.BasicConstraints(ca=True):
                return "is that of a CA (basicConstraints)"
            case x509.KeyUsage(key_cert_sign=True) | x509.KeyUsage(crl_sign=True):
                return "may sign certificates or CRLs (keyUsage)"
    return ""
