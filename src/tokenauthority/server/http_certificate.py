"""The certificate of the HTTP server: that of `[tls]`, loaded again when its files change."""

from __future__ import annotations

import ssl

from tokenauthority.config.groups import TlsSettings
from tokenauthority.server.tls import CertificateError, CertificateFiles, Certificates
from tokenauthority.server.tls_credentials import CertificateMetrics


class HttpCertificate:
    """TLS 1.2 and 1.3 for HTTP/1.1. New connections get the newest valid certificate."""

    def __init__(self, settings: TlsSettings, metrics: CertificateMetrics) -> None:
        """Read the files; raise CertificateError if there is no certificate, or it is not valid."""
        if settings.cert_file is None or settings.key_file is None:
            raise CertificateError("a certificate for listen.http is required")
        self._files = (settings.cert_file, settings.key_file)
        self._source = CertificateFiles(*self._files)
        self._metrics = metrics
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.minimum_version = ssl.TLSVersion.TLSv1_2
        self.context.set_alpn_protocols(["http/1.1"])
        self._serve_with(self._source.read(), first=True)

    async def look(self) -> None:
        """Load a changed certificate; if it is not valid, continue with the old one."""
        try:
            found = self._source.read_if_changed()
            if found is not None:
                self._serve_with(found, first=False)
        except (CertificateError, OSError) as error:
            self._metrics.refused("http", str(error))

    def _serve_with(self, certificates: Certificates, *, first: bool) -> None:
        # OpenSSL reads files only. If they change once more in between, the next look loads them again.
        self.context.load_cert_chain(*self._files)
        self._metrics.loaded("http", certificates, first=first)
