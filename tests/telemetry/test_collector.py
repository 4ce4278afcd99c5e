"""The collector is reached as the settings say and no other way, in a bounded time."""

from __future__ import annotations

import socket

from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from pathlib import Path

import grpc
import pytest
import trustme

from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status

from tests.support.collector import Collector as FakeCollector
from tests.support.collector import collecting
from tokenauthority.config.telemetry_settings import TelemetrySettings
from tokenauthority.telemetry.collector import Collector, CollectorError
from tokenauthority.telemetry.otlp import TRACES_PATH
from tokenauthority.threads import BlockingPool


@pytest.fixture(scope="module")
def ca() -> trustme.CA:
    """Who issues all certificates that count."""
    return trustme.CA()


@pytest.fixture
def secure(ca: trustme.CA) -> Iterator[FakeCollector]:
    """A collector with TLS that asks for a certificate."""
    certificate = ca.issue_cert("127.0.0.1")
    chain = b"".join(pem.bytes() for pem in certificate.cert_chain_pems)
    credentials = grpc.ssl_server_credentials(
        [(certificate.private_key_pem.bytes(), chain)], ca.cert_pem.bytes(), require_client_auth=True
    )
    with collecting(credentials) as collector:
        yield collector


@pytest.fixture
async def plain() -> AsyncIterator[FakeCollector]:
    """A collector without TLS."""
    with collecting() as collector:
        yield collector


def reaching(endpoint: str, **values: object) -> Collector:
    """What reaches *endpoint*."""
    settings = TelemetrySettings.model_validate({"endpoint": endpoint, "timeout": 60, **values})
    return Collector(settings, BlockingPool("telemetry"))


def files(directory: Path, ca: trustme.CA) -> dict[str, Path]:
    """The files of a client that *ca* certifies."""
    certificate = ca.issue_cert("authority.example.com")
    ca.cert_pem.write_to_path(str(directory / "ca.pem"))
    certificate.cert_chain_pems[0].write_to_path(str(directory / "cert.pem"))
    certificate.private_key_pem.write_to_path(str(directory / "key.pem"))
    return {f"{name}_file": directory / f"{name}.pem" for name in ("ca", "cert", "key")}


async def test_reaches_it_over_tls_with_a_certificate(secure: FakeCollector, ca: trustme.CA, tmp_path: Path) -> None:
    """Both sides prove themselves."""
    with_files = reaching(f"https://{secure.address}", **files(tmp_path, ca))
    try:
        assert b"" == await with_files.send(TRACES_PATH, b"")
    finally:
        await with_files.close()
    assert [b""] == secure.traces


async def test_sends_nothing_to_a_collector_of_another_authority(
    secure: FakeCollector, ca: trustme.CA, tmp_path: Path
) -> None:
    """Until the file has the CA: it is read again after each failure."""
    own = files(tmp_path, ca)
    trustme.CA().cert_pem.write_to_path(str(own["ca_file"]))
    collector = reaching(f"https://{secure.address}", **own)
    try:
        with pytest.raises(CollectorError, match="UNAVAILABLE") as caught:
            await collector.send(TRACES_PATH, b"")
        assert caught.value.passing
        assert [] == secure.headers
        ca.cert_pem.write_to_path(str(own["ca_file"]))
        assert b"" == await collector.send(TRACES_PATH, b"")
    finally:
        await collector.close()


async def test_sends_the_headers_that_the_file_has_now(plain: FakeCollector, tmp_path: Path) -> None:
    """A new token counts before the old one is refused, and after that."""
    path = tmp_path / "headers"
    path.write_text("authorization: Bearer one\nx-scope: team\n")
    collector = reaching(f"http://{plain.address}", headers_file=path)
    try:
        await collector.send(TRACES_PATH, b"")
        path.write_text("authorization: Bearer two\n")
        await collector.send(TRACES_PATH, b"")
        plain.refusal = grpc.StatusCode.UNAUTHENTICATED
        with pytest.raises(CollectorError, match="UNAUTHENTICATED: as the test says") as caught:
            await collector.send(TRACES_PATH, b"")
        path.write_text("authorization: Bearer three\n")
        plain.refusal = None
        await collector.send(TRACES_PATH, b"")
    finally:
        await collector.close()

    assert not caught.value.passing
    assert ["one", "two", "two", "three"] == [str(found["authorization"])[7:] for found in plain.headers]
    assert ["team", None, None, None] == [found.get("x-scope") for found in plain.headers]


@pytest.mark.parametrize("waits", [True, False])
async def test_a_request_is_too_large_unless_the_collector_names_a_time(
    plain: FakeCollector,
    waits: bool,  # noqa: FBT001 - a case
) -> None:
    """OTLP says so: sent again, it would be refused again."""
    plain.refusal = grpc.StatusCode.RESOURCE_EXHAUSTED
    if waits:
        status = Status(code=8)
        status.details.add().Pack(RetryInfo())
        plain.details = status.SerializeToString()
    collector = reaching(f"http://{plain.address}")
    try:
        with pytest.raises(CollectorError, match="RESOURCE_EXHAUSTED") as caught:
            await collector.send(TRACES_PATH, b"")
    finally:
        await collector.close()

    assert waits == caught.value.passing


@pytest.mark.parametrize("gone", ["a header that is none", "no file"])
async def test_a_file_that_is_spoiled_later_is_an_outage(plain: FakeCollector, tmp_path: Path, gone: str) -> None:
    """Nothing is sent without what should prove this server."""
    path = tmp_path / "headers"
    if gone != "no file":
        path.write_text(gone)
    collector = reaching(f"http://{plain.address}", headers_file=path)

    with pytest.raises(CollectorError, match="HEADERS_FILE") as caught:
        await collector.send(TRACES_PATH, b"")
    assert caught.value.passing
    assert [] == plain.headers


@pytest.mark.parametrize("emptied", ["ca_file", "cert_file", "key_file"])
async def test_an_empty_file_of_tls_is_an_outage(
    secure: FakeCollector, ca: trustme.CA, tmp_path: Path, emptied: str
) -> None:
    """Such as one that is being written. With an empty certificate or key, gRPC would abort the process."""
    own = files(tmp_path, ca)
    content = own[emptied].read_bytes()
    own[emptied].write_bytes(b"")
    collector = reaching(f"https://{secure.address}", **own)
    try:
        with pytest.raises(CollectorError, match="PEM file") as caught:
            await collector.send(TRACES_PATH, b"")
        own[emptied].write_bytes(content)
        assert b"" == await collector.send(TRACES_PATH, b"")
    finally:
        await collector.close()

    assert caught.value.passing


async def test_a_file_of_tls_that_is_gone_is_an_outage(ca: trustme.CA, tmp_path: Path) -> None:
    """Until it is there again."""
    own = files(tmp_path, ca)
    own["ca_file"].unlink()

    with pytest.raises(CollectorError, match=r"ca\.pem cannot be read: No such file") as caught:
        await reaching("https://127.0.0.1:9", **own).send(TRACES_PATH, b"")
    assert caught.value.passing


async def test_without_a_thread_nothing_is_sent_yet(plain: FakeCollector) -> None:
    """The system may allow one later."""
    pool = BlockingPool("telemetry")
    await pool.close()

    with pytest.raises(CollectorError, match="files of the settings cannot be read: the pool is closed") as caught:
        await Collector(TelemetrySettings(endpoint=f"http://{plain.address}"), pool).send(TRACES_PATH, b"")
    assert caught.value.passing
    assert [] == plain.headers


async def test_a_text_of_the_collector_is_one_line_of_bounded_length(plain: FakeCollector) -> None:
    """The log shows it."""
    plain.refusal, plain.problem = grpc.StatusCode.UNAVAILABLE, "one\ntwo\x1b[31m" + "x" * 1000
    collector = reaching(f"http://{plain.address}")
    try:
        with pytest.raises(
            CollectorError, match=r"^UNAVAILABLE: one\\ntwo\\x1b\[31mx+… \(1012 characters\)$"
        ) as caught:
            await collector.send(TRACES_PATH, b"")
    finally:
        await collector.close()

    assert len(str(caught.value)) < 400


async def test_no_error_shows_a_credential_that_the_collector_quotes(plain: FakeCollector, tmp_path: Path) -> None:
    """The log shows the error."""
    path = tmp_path / "headers"
    path.write_text("authorization: Bearer a-secret-token\nx-scope: team\n")
    plain.refusal, plain.problem = grpc.StatusCode.UNAUTHENTICATED, "team: no such token a-secret-token, Bearer"
    collector = reaching(f"http://{plain.address}", headers_file=path)
    try:
        with pytest.raises(CollectorError, match=r"^UNAUTHENTICATED: team: no such token …, Bearer$"):
            await collector.send(TRACES_PATH, b"")
    finally:
        await collector.close()


async def test_an_empty_file_that_is_written_before_its_check_is_an_outage(
    ca: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The check reads the files by itself."""
    own = files(tmp_path, ca)
    own["cert_file"].write_bytes(b"")
    monkeypatch.setattr("tokenauthority.telemetry.collector.problems_of_telemetry", lambda _: [])

    with pytest.raises(CollectorError, match="a PEM file is empty"):
        await reaching("https://127.0.0.1:9", **own).send(TRACES_PATH, b"")


async def test_waits_no_longer_than_the_timeout() -> None:
    """Also for one that accepts connections and says nothing."""
    with closing(socket.create_server(("127.0.0.1", 0))) as silent:
        collector = reaching(f"http://127.0.0.1:{silent.getsockname()[1]}", timeout=0.1)
        try:
            with pytest.raises(CollectorError, match="DEADLINE_EXCEEDED") as caught:
                await collector.send(TRACES_PATH, b"")
        finally:
            await collector.close()

    assert caught.value.passing


async def test_no_proxy_of_the_environment_counts(plain: FakeCollector, monkeypatch: pytest.MonkeyPatch) -> None:
    """The settings alone say where telemetry goes."""
    for name in ("http_proxy", "https_proxy", "grpc_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "")
    collector = reaching(f"http://{plain.address}")
    try:
        assert b"" == await collector.send(TRACES_PATH, b"")
    finally:
        await collector.close()
