"""Read a listener's certificates in PEM from files, and again when the files change."""

from __future__ import annotations

import math
import time

from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Protocol, TypeAlias

import attrs

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from tokenauthority.server.tls_trial import grpc_serves


MAX_FILE: Final = 1_048_576
"""Bytes of a PEM file."""

_RETRY: Final = 60.0
"""Seconds after which refused files are read again: a certificate's time can begin, and a trial can be impossible."""

_CURVES: Final = (ec.SECP256R1, ec.SECP384R1)

_Fingerprint: TypeAlias = tuple[tuple[int, ...], ...]


class CertificateError(Exception):
    """Certificates are missing or not valid. The message names the file and the cause, and contains no key."""


class CertificateUntriedError(CertificateError):
    """Nobody knows whether certificates can be served with, as the trial of them has failed of another cause."""


@attrs.frozen(kw_only=True)
class Certificates:
    """A listener's certificate chain and key in PEM, and its clients' CAs: None without client certificates."""

    chain: bytes
    key: bytes = attrs.field(repr=False)
    roots: bytes | None = None

    @property
    def expiry(self) -> datetime:
        """The time at which the server's certificate expires."""
        return x509.load_pem_x509_certificate(self.chain).not_valid_after_utc


def checked(certificates: Certificates, *, chain: object, key: object, roots: object) -> Certificates:
    """Return *certificates* if they are well formed, belong together and are valid now.

    *chain*, *key* and *roots* name the origin of each for the message.

    Raises:
        CertificateError: a part is malformed, the key does not match, or the certificate is over or not valid yet.
    """
    try:
        leaf = x509.load_pem_x509_certificates(certificates.chain)[0]
        shown = leaf.public_key()
    except (ValueError, UnsupportedAlgorithm):
        raise CertificateError(f"{chain} holds no certificate in PEM") from None
    try:
        own = load_pem_private_key(certificates.key, password=None).public_key()
    except (TypeError, ValueError, UnsupportedAlgorithm):
        raise CertificateError(f"{key} holds no private key in PEM that needs no password") from None
    if own != shown:
        raise CertificateError(f"{key} is not the private key of the certificate in {chain}")
    now = datetime.now(UTC)
    if leaf.not_valid_before_utc > now:
        raise CertificateError(f"the certificate in {chain} begins at {leaf.not_valid_before_utc.isoformat()}")
    if leaf.not_valid_after_utc <= now:
        raise CertificateError(f"the certificate in {chain} ended at {leaf.not_valid_after_utc.isoformat()}")
    if certificates.roots is not None:
        try:
            x509.load_pem_x509_certificates(certificates.roots)
        except ValueError:
            raise CertificateError(f"{roots} holds no certificates in PEM") from None
    return certificates


def checked_by_grpc(certificates: Certificates, *, chain: object, key: object, roots: object) -> Certificates:
    """Return *certificates* if gRPC serves with them, for which gRPC itself is asked; see `checked`.

    Raises:
        CertificateError: as `checked`, gRPC's clients know no such key, or gRPC's parser refuses the text.
        CertificateUntriedError: gRPC could not be asked.
    """
    checked(certificates, chain=chain, key=key, roots=roots)
    shown = x509.load_pem_x509_certificate(certificates.chain).public_key()
    if not (isinstance(shown, rsa.RSAPublicKey) or isinstance(getattr(shown, "curve", None), _CURVES)):
        # gRPC's own clients offer no other algorithm, and so end the handshake.
        raise CertificateError(f"the certificate in {chain} must have an RSA, P-256 or P-384 key: gRPC takes no other")
    named = ", ".join(str(name) for name in (chain, key, roots) if name is not None)
    try:
        serves = grpc_serves(certificates.chain, certificates.key, certificates.roots)
    except OSError as error:
        raise CertificateUntriedError(f"{named} could not be tried: {error}") from error
    if not serves:
        raise CertificateError(
            f"gRPC cannot serve with {named}: PEM has no byte order mark, no indented lines and no other labels there"
        )
    return certificates


class Check(Protocol):
    """Refuses certificates that a library cannot serve with; see `checked`."""

    def __call__(self, certificates: Certificates, *, chain: object, key: object, roots: object) -> Certificates:
        """Return *certificates*, or raise CertificateError."""


class CertificateFiles:
    """The files of a certificate chain, its key and, with client certificates, their CAs; *check* refuses others."""

    def __init__(self, chain: Path, key: Path, roots: Path | None = None, *, check: Check = checked_by_grpc) -> None:
        self._chain, self._key, self._roots = chain, key, roots
        self._check = check
        self._seen: _Fingerprint | None = None
        self._retry_at = math.inf

    def read(self) -> Certificates:
        """Return the content; raise CertificateError if a file is unreadable, above 1 MiB or not valid."""
        # Before reading, so that files that change meanwhile are read again.
        self._seen = self._fingerprint()
        self._retry_at = time.monotonic() + _RETRY
        roots = None if self._roots is None else _read_pem(self._roots)
        found = Certificates(chain=_read_pem(self._chain), key=_read_pem(self._key), roots=roots)
        self._check(found, chain=self._chain, key=self._key, roots=self._roots)
        self._retry_at = math.inf
        return found

    def read_if_changed(self) -> Certificates | None:
        """Return `read()` if a file has changed since the last read, or after a minute if it was refused; else None."""
        unchanged = self._fingerprint() == self._seen and time.monotonic() < self._retry_at
        return None if unchanged else self.read()

    def _fingerprint(self) -> _Fingerprint:
        return tuple(_stat(path) for path in (self._chain, self._key, self._roots) if path is not None)


def _stat(path: Path) -> tuple[int, ...]:
    try:
        stat = path.stat()
    except OSError:
        return ()
    # The time of the inode too: it changes where a file becomes readable, or another one takes its name.
    return (stat.st_mtime_ns, stat.st_ctime_ns, stat.st_size, stat.st_ino)


def _read_pem(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            text = file.read(MAX_FILE + 1)
    except OSError as error:
        raise CertificateError(f"{path} cannot be read: {error.strerror}") from error
    if len(text) > MAX_FILE:
        raise CertificateError(f"{path} is larger than {MAX_FILE} bytes")
    return text
