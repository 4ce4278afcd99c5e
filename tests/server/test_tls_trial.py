"""A certificate is judged by the library that is to serve with it: what one parser takes, another refuses."""

from __future__ import annotations

import asyncio
import errno
import os
import ssl

from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import attrs
import pytest

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from prometheus_client import CollectorRegistry

from tests.support.authority import eventually
from tests.support.production import Production
from tokenauthority.config.groups import TlsSettings
from tokenauthority.server import tls, tls_trial
from tokenauthority.server.http_certificate import HttpCertificate
from tokenauthority.server.tls import CertificateError, CertificateFiles, CertificateUntriedError
from tokenauthority.server.tls_credentials import CertificateMetrics
from tokenauthority.v1 import key_pb2


MARK = b"\xef\xbb\xbf"
"""What Windows' editors put before a text."""


@attrs.frozen
class Pair:
    """A certificate and its key in PEM."""

    chain: bytes
    key: bytes = attrs.field(repr=False)


def pair(key: CertificateIssuerPrivateKeyTypes, *, begins: timedelta = timedelta(-1)) -> Pair:
    """A certificate of *key* for localhost, signed by itself, that begins so long from now."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    plain = isinstance(key, ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), 1, now + begins, now + timedelta(3))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, None if plain else SHA256())
    )
    text = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return Pair(certificate.public_bytes(Encoding.PEM), text)


GOOD = pair(ec.generate_private_key(ec.SECP256R1()))
WEAK = pair(rsa.generate_private_key(65537, 1024))  # noqa: S505 - refused by the one, taken by the other


def indented(text: bytes) -> bytes:
    """As in a YAML file that was copied by hand."""
    return b"".join(b"  " + line for line in text.splitlines(keepends=True))


def written(directory: Path, found: Pair) -> tuple[Path, Path]:
    """Their files."""
    paths = (directory / "tls.crt", directory / "tls.key")
    for path, text in zip(paths, (found.chain, found.key), strict=True):
        path.write_bytes(text)
    return paths


def by_grpc(directory: Path, found: Pair) -> object:
    """What a gRPC listener makes of them."""
    return CertificateFiles(*written(directory, found)).read()


def by_openssl(directory: Path, found: Pair) -> object:
    """What the HTTP listener makes of them."""
    chain, key = written(directory, found)
    return HttpCertificate(TlsSettings(cert_file=chain, key_file=key), CertificateMetrics(CollectorRegistry()))


@pytest.mark.parametrize("judge", [by_grpc, by_openssl])
@pytest.mark.parametrize(
    "found",
    [
        GOOD,
        pair(ec.generate_private_key(ec.SECP384R1())),
        pair(rsa.generate_private_key(65537, 2048)),
        Pair(b"Subject: CN=localhost\n" + GOOD.chain + b"\n# the end", GOOD.key),
        Pair(GOOD.chain.replace(b"\n", b"\r\n"), GOOD.key.replace(b"\n", b"\r\n")),
        Pair(GOOD.key + GOOD.chain, GOOD.chain + GOOD.key),
    ],
)
def test_serves_with_what_both_libraries_take(
    tmp_path: Path, judge: Callable[[Path, Pair], object], found: Pair
) -> None:
    """Text around the PEM, the line ends of Windows, and one file for both are usual."""
    assert judge(tmp_path, found) is not None


@pytest.mark.parametrize(
    ("found", "problem"),
    [
        (Pair(MARK + GOOD.chain, GOOD.key), "byte order mark"),
        (Pair(indented(GOOD.chain), GOOD.key), "gRPC cannot serve with"),
        (Pair(GOOD.chain, indented(GOOD.key)), "gRPC cannot serve with"),
        (pair(ec.generate_private_key(ec.SECP256K1())), "RSA, P-256 or P-384"),
        (pair(ec.generate_private_key(ec.SECP521R1())), "RSA, P-256 or P-384"),
        (pair(ed25519.Ed25519PrivateKey.generate()), "RSA, P-256 or P-384"),
        (pair(ed448.Ed448PrivateKey.generate()), "RSA, P-256 or P-384"),
    ],
)
def test_grpc_is_not_given_what_only_others_take(tmp_path: Path, found: Pair, problem: str) -> None:
    """Python's parsers take each of these. gRPC does not load it, or its clients end the handshake."""
    with pytest.raises(CertificateError, match=problem) as caught:
        by_grpc(tmp_path, found)

    assert "tls.crt" in str(caught.value)


def test_https_is_not_given_what_only_grpc_takes(tmp_path: Path) -> None:
    """OpenSSL has a lower bound for RSA, which gRPC's library has not; nothing is served with half of a pair."""
    assert by_grpc(tmp_path, WEAK) is not None
    with pytest.raises(CertificateError, match=r"OpenSSL cannot serve with .*tls\.crt and .*tls\.key: .*too small"):
        by_openssl(tmp_path, WEAK)


async def test_a_refused_pair_leaves_https_as_it_was(tmp_path: Path) -> None:
    """OpenSSL would else hold the new certificate with the old key."""
    chain, key = written(tmp_path, GOOD)
    certificate = HttpCertificate(TlsSettings(cert_file=chain, key_file=key), CertificateMetrics(CollectorRegistry()))
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0, ssl=certificate.context)
    async with server:
        written(tmp_path, WEAK)
        await certificate.look()
        shown = await asyncio.to_thread(ssl.get_server_certificate, server.sockets[0].getsockname())

    assert GOOD.chain.decode() == shown


@pytest.mark.parametrize(
    ("judge", "needed"),
    [(by_grpc, "socket.create_connection"), (by_openssl, "os.memfd_create"), (by_grpc, "grpc.server")],
)
def test_a_trial_that_cannot_be_made_is_no_verdict(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, judge: Callable[[Path, Pair], object], needed: str
) -> None:
    """A process without a free descriptor or thread says so, and nothing about a certificate that nobody has tried."""

    def fail(*_: object, **__: object) -> object:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr(f"tokenauthority.server.tls_trial.{needed}", fail)
    with pytest.raises(CertificateUntriedError, match=r"tls\.crt.* could not be tried: .*Too many open files"):
        judge(tmp_path, GOOD)


def test_a_port_that_grpc_does_not_get_is_no_verdict(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The library has one error for a certificate that it refuses and for an address on which it cannot listen."""
    monkeypatch.setattr(tls_trial, "_PLACE", "192.0.2.1")
    for found in (GOOD, Pair(MARK + GOOD.chain, GOOD.key)):
        with pytest.raises(CertificateUntriedError, match="could not be tried: Failed to bind"):
            by_grpc(tmp_path, found)


@pytest.mark.parametrize("judge", [by_grpc, by_openssl])
def test_a_certificate_that_begins_later_is_not_served_yet(
    tmp_path: Path, judge: Callable[[Path, Pair], object]
) -> None:
    """No client would take it, and each takes the one before."""
    with pytest.raises(CertificateError, match=r"the certificate in .*tls\.crt begins at "):
        judge(tmp_path, pair(ec.generate_private_key(ec.SECP256R1()), begins=timedelta(1)))


def test_a_certificate_is_taken_when_its_time_begins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Though its files do not change then: what was refused is read again."""
    monkeypatch.setattr(tls, "_RETRY", 0)
    files = CertificateFiles(*written(tmp_path, GOOD))
    files.read()
    written(tmp_path, pair(ec.generate_private_key(ec.SECP256R1()), begins=timedelta(seconds=3)))
    with pytest.raises(CertificateError, match="begins at"):
        files.read_if_changed()

    def is_taken() -> bool:
        with suppress(CertificateError):
            return files.read_if_changed() is not None
        return False

    eventually(is_taken, "it is not taken")


def test_a_server_refuses_it_at_start_and_keeps_the_old_one_later(production: Production) -> None:
    """One line with the cause for the loss and one for the recovery, one metric, one entry in the details."""
    server = production.start()
    path = production.directory / "server.pem"
    good = path.read_bytes()
    path.write_bytes(MARK + good)
    status, log = production.fail()
    seen = []
    for text in (MARK + good, good):
        path.write_bytes(text)
        with production.client(server.address) as client:
            client.keys.ListSigningKeys(key_pb2.ListSigningKeysRequest())
        found = server.get("/readyz")
        metric = 'tokenauthority_failing{part="certificates"} 1.0' in server.get("/metrics").text
        seen.append((found.status_code, found.json()["details"].get("certificates", ""), metric))
    lines = [
        (name, event.get("problem", ""))
        for name in ("certificate.refused", "certificate.loaded")
        for event in server.events(name)
        if event["listener"] == "grpc"
    ]

    problem = "gRPC cannot serve with server.pem, server.key: PEM has no byte order mark, "
    assert (2, True) == (status, problem in log)
    kept = "grpc: a new one is not valid, the log says why; the one before is served"
    assert [(200, kept, True), (200, "", False)] == seen
    assert ["certificate.refused", "certificate.loaded"] == [name for name, _ in lines]
    assert str(lines[0][1]).startswith(problem)
