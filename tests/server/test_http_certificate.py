"""The HTTP listeners show the newest certificate that it can serve with."""

from __future__ import annotations

import asyncio
import ssl

from pathlib import Path

import pytest
import trustme

from prometheus_client import CollectorRegistry

from tokenauthority.config.groups import TlsSettings
from tokenauthority.server.http_certificate import HttpCertificate
from tokenauthority.server.tls_credentials import CertificateMetrics


@pytest.fixture
def files(tmp_path: Path) -> TlsSettings:
    """Where certificate and key are."""
    return TlsSettings(cert_file=tmp_path / "tls.crt", key_file=tmp_path / "tls.key")


def renew(files: TlsSettings) -> str:
    """Put another certificate there; its PEM."""
    assert files.cert_file is not None
    assert files.key_file is not None
    issued = trustme.CA().issue_cert("localhost")
    leaf = issued.cert_chain_pems[0].bytes()
    files.cert_file.write_bytes(leaf)
    files.key_file.write_bytes(issued.private_key_pem.bytes())
    return leaf.decode().strip()


async def test_new_connections_get_the_new_certificate(files: TlsSettings) -> None:
    """Without a restart; one that cannot be served with is counted, and the old one stays."""
    registry = CollectorRegistry()
    first = renew(files)
    certificate = HttpCertificate(files, CertificateMetrics(registry))
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0, ssl=certificate.context)
    host, port = server.sockets[0].getsockname()

    async def shown() -> str:
        return (await asyncio.to_thread(ssl.get_server_certificate, (host, port))).strip()

    async with server:
        before = await shown()
        second = renew(files)
        await certificate.look()
        after = await shown()
        assert files.cert_file is not None
        files.cert_file.write_text("no certificate")
        await certificate.look()
        still = await shown()

    refused = {"listener": "http", "outcome": "refused"}
    assert [first, second, second] == [before, after, still]
    assert 1 == registry.get_sample_value("tokenauthority_certificate_loads_total", refused)
