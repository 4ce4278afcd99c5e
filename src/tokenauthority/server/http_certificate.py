"""The certificate of the HTTP server: that of `[tls]`, loaded again when its files change."""

from __future__ import annotations

import ssl

from tokenauthority.config.groups import TlsSettings
from tokenauthority.server.tls import (
    CertificateError,
    CertificateFiles,
    Certificates,
    CertificateUntriedError,
    checked,
)
from tokenauthority.server.tls_credentials import CertificateMetrics
from tokenauthority.server.tls_trial import load_https, try_https
from tokenauthority.threads import BlockingPool


class HttpCertificate:
    """TLS 1.2 and 1.3 for HTTP/1.1. New connections get the newest valid certificate."""

    def __init__(self, settings: TlsSettings, metrics: CertificateMetrics) -> None:
        """Read the files; raise CertificateError if there is no certificate, or it is not valid."""
        if settings.cert_file is None or settings.key_file is None:
            raise CertificateError("a certificate for listen.http is required")
        self._source = CertificateFiles(settings.cert_file, settings.key_file, check=_check)
        self._metrics = metrics
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.minimum_version = ssl.TLSVersion.TLSv1_2
        self.context.set_alpn_protocols(["http/1.1"])
        self._thread = BlockingPool("http-certificate")
        self._new: Certificates | None = None
        first = self._source.read()
        load_https(self.context, first.chain, first.key)
        metrics.loaded("http", first, first=True)

    async def look(self) -> None:
        """Load a changed certificate; if it is not valid, continue with the old one."""
        try:
            self._new = await self._thread.run(self._source.read_if_changed) or self._new
            if self._new is None:
                return
            load_https(self.context, self._new.chain, self._new.key)
        except CertificateError as error:
            self._metrics.refused("http", error)
        except OSError as error:
            # It was tried a moment ago: now descriptors or memory are missing. The next look loads it.
            self._metrics.refused("http", CertificateUntriedError(f"it cannot be loaded now: {error}"))
        else:
            self._metrics.loaded("http", self._new)
            self._new = None


def _check(certificates: Certificates, *, chain: object, key: object, roots: object) -> Certificates:
    checked(certificates, chain=chain, key=key, roots=roots)
    try:
        try_https(certificates.chain, certificates.key)
    except ssl.SSLError as error:
        raise CertificateError(f"OpenSSL cannot serve with {chain} and {key}: {error.strerror or error}") from error
    except OSError as error:
        raise CertificateUntriedError(f"{chain} and {key} could not be tried: {error}") from error
    return certificates
