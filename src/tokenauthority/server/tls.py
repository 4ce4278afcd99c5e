"""The server's certificate for gRPC."""

from __future__ import annotations

from typing import TYPE_CHECKING

import grpc

from tokenauthority.config import ConfigError


if TYPE_CHECKING:
    from tokenauthority.config import Tls


def credentials(settings: Tls) -> grpc.ServerCredentials:
    """Credentials that show the certificate to every client; TLS 1.2 and 1.3.

    Raises:
        ConfigError: there is no certificate.
        OSError: a file cannot be read.
    """
    if settings.cert_file is None or settings.key_file is None:
        raise ConfigError(["a TLS certificate is required"])
    pair = (settings.key_file.read_bytes(), settings.cert_file.read_bytes())
    return grpc.ssl_server_credentials([pair])
