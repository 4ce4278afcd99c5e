"""The server's certificate, for gRPC and for HTTP."""

from __future__ import annotations

import ssl

from typing import TYPE_CHECKING

import grpc

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from tokenauthority.config import ConfigError


if TYPE_CHECKING:
    from pathlib import Path

    from tokenauthority.config import Tls


def credentials(settings: Tls) -> grpc.ServerCredentials:
    """Credentials that show the certificate to every client; TLS 1.2 and 1.3.

    Raises:
        ConfigError: there is no certificate, a file does not hold what it should, or the two do not belong together.
        OSError: a file cannot be read.
    """
    cert_file, key_file = _files(settings)
    chain, key = cert_file.read_bytes(), key_file.read_bytes()
    # Else gRPC says no more than that it cannot listen.
    problem = _problem(cert_file, chain, key_file, key)
    if problem:
        raise ConfigError([problem])
    return grpc.ssl_server_credentials([(key, chain)])


def http_context(settings: Tls) -> ssl.SSLContext:
    """The same for HTTP/1.1. `credentials` has checked the files.

    Raises:
        ConfigError: there is no certificate.
        OSError: a file cannot be read.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    context.load_cert_chain(*_files(settings))
    return context


def _files(settings: Tls) -> tuple[Path, Path]:
    if settings.cert_file is None or settings.key_file is None:
        raise ConfigError(["a TLS certificate is required"])
    return settings.cert_file, settings.key_file


def _problem(cert_file: Path, chain: bytes, key_file: Path, key: bytes) -> str:
    try:
        shown = x509.load_pem_x509_certificates(chain)[0].public_key()
    except (ValueError, UnsupportedAlgorithm):
        return f"{cert_file} holds no certificate in PEM"
    try:
        own = load_pem_private_key(key, password=None).public_key()
    except (TypeError, ValueError, UnsupportedAlgorithm):
        return f"{key_file} holds no private key in PEM that needs no password"
    return "" if own == shown else f"{key_file} is not the private key of the certificate in {cert_file}"
