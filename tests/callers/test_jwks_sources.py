"""A JWKS is taken from the very place that the callers file names, over checked TLS, in bounded time and size."""

from __future__ import annotations

import asyncio
import contextlib
import gzip

from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from tests.callers.issuer import PATH, JwksServer, Key, jwks, jwks_server, make_issuer, write_jwks
from tests.support.authority import WAIT
from tests.test_bounded_network import raw_server
from tokenauthority.callers.jwks_sources import JwksFileSource, JwksUrlSource
from tokenauthority.signing.jwks_reader import MAX_JWKS, JwksError


EC = Key("ec-1")


@pytest.fixture(scope="module")
def roots() -> trustme.CA:
    """Who signs the server's certificate."""
    return trustme.CA()


@pytest.fixture
def server(roots: trustme.CA) -> Iterator[JwksServer]:
    """A real HTTPS server."""
    with jwks_server(roots) as server:
        server.body = jwks(EC)
        yield server


@pytest.fixture
def ca_file(roots: trustme.CA, tmp_path: Path) -> Path:
    """The roots that it is checked with."""
    path = tmp_path / "ca.pem"
    path.write_bytes(roots.cert_pem.bytes())
    return path


def source(server: JwksServer, ca_file: Path | None = None, token_file: Path | None = None) -> JwksUrlSource:
    """The keys of an issuer whose JWKS *server* has."""
    return JwksUrlSource(make_issuer(jwks_url=server.url, ca_file=ca_file, token_file=token_file), timeout=WAIT)


async def test_fetches_over_tls(server: JwksServer, ca_file: Path) -> None:
    """With the configured roots; the request says nothing but what it is for."""
    found = await source(server, ca_file).load()
    (request,) = server.requests

    assert {"ec-1"} == set(found.keys)
    assert (PATH, "identity") == (request["path"], request["accept-encoding"])
    assert "authorization" not in request


async def test_fetches_in_plaintext_on_loopback() -> None:
    """A side-car or a test."""
    with jwks_server() as server:
        server.body = jwks(EC)

        assert {"ec-1"} == set((await source(server).load()).keys)


async def test_trusts_no_certificate_but_those_of_the_roots(server: JwksServer, tmp_path: Path) -> None:
    """Neither the system's roots nor those of somebody else sign for it."""
    other = tmp_path / "other.pem"
    other.write_bytes(trustme.CA().cert_pem.bytes())
    for roots in (None, other):
        with pytest.raises(JwksError, match="CERTIFICATE_VERIFY_FAILED"):
            await source(server, roots).load()

    assert [] == server.requests


async def test_trusts_no_certificate_for_another_name(roots: trustme.CA, ca_file: Path) -> None:
    """The name in the URL has to be in the certificate."""
    with jwks_server(roots, "issuer.example") as server:
        server.body = jwks(EC)
        with pytest.raises(JwksError, match="IP address mismatch"):
            await source(server, ca_file).load()

    assert [] == server.requests


def test_reads_roots_and_token_anew_each_time(server: JwksServer, ca_file: Path, tmp_path: Path) -> None:
    """Kubernetes rotates both; white space around the token is the file's, not the token's."""
    token_file = tmp_path / "token"
    valid, fetch = ca_file.read_bytes(), source(server, ca_file, token_file)
    for token in ("first", "second"):
        token_file.write_text(f"{token}\n")
        asyncio.run(fetch.load())
    ca_file.write_bytes(trustme.CA().cert_pem.bytes())
    with pytest.raises(JwksError):
        asyncio.run(fetch.load())
    ca_file.write_bytes(valid)
    asyncio.run(fetch.load())

    assert ["Bearer first", "Bearer second", "Bearer second"] == [each["authorization"] for each in server.requests]


@pytest.mark.parametrize(
    "content",
    [b"", b" \n", b"canary\nX-Evil: 1", b"canary 2", b"canary\xff", b"canary" * 4096],
    ids=["empty", "blank", "lines", "words", "no ASCII", "long"],
)
async def test_sends_no_odd_token(server: JwksServer, ca_file: Path, tmp_path: Path, content: bytes) -> None:
    """Nothing can be smuggled into the request, and the error does not show it."""
    token_file = tmp_path / "token"
    token_file.write_bytes(content)
    with pytest.raises(JwksError, match="holds no bearer token") as caught:
        await source(server, ca_file, token_file).load()

    assert "canary" not in str(caught.value)
    assert [] == server.requests


@pytest.mark.parametrize("missing", ["ca_file", "token_file"])
async def test_says_which_file_is_missing(server: JwksServer, ca_file: Path, tmp_path: Path, missing: str) -> None:
    """As the one error that such a fetch has."""
    files = {"ca_file": ca_file, missing: tmp_path / "absent"}
    with pytest.raises(JwksError, match="No such file"):
        await source(server, **files).load()


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_follows_no_redirect(server: JwksServer, ca_file: Path, status: int) -> None:
    """Also not to the same server: who may redirect could choose the keys, or have us call anywhere."""
    server.status, server.headers = status, {"location": server.url + "2"}
    with pytest.raises(JwksError, match=f"status {status}"):
        await source(server, ca_file).load()

    assert [PATH] == [request["path"] for request in server.requests]


@pytest.mark.parametrize("status", [201, 204, 206, 401, 404, 429, 500, 503])
async def test_takes_200_alone(server: JwksServer, ca_file: Path, status: int) -> None:
    """What comes with any other status is no JWKS."""
    server.status = status
    with pytest.raises(JwksError, match=f"status {status}"):
        await source(server, ca_file).load()


async def test_the_fetch_takes_no_huge_answer(server: JwksServer, ca_file: Path) -> None:
    """Also without a content length; the largest accepted answer has 256 KiB."""
    server.body = jwks(EC).ljust(MAX_JWKS)
    assert {"ec-1"} == set((await source(server, ca_file).load()).keys)
    server.body = jwks(EC).ljust(MAX_JWKS + 1)
    with pytest.raises(JwksError, match="more than 262144 bytes"):
        await source(server, ca_file).load()


async def test_takes_no_compressed_answer(server: JwksServer, ca_file: Path) -> None:
    """A few bytes could become gigabytes."""
    server.body, server.headers = gzip.compress(jwks(EC)), {"content-encoding": "gzip"}
    with pytest.raises(JwksError, match="compressed"):
        await source(server, ca_file).load()


async def test_waits_no_longer_than_its_timeout(server: JwksServer, ca_file: Path) -> None:
    """For the whole answer, from the name to the last byte."""
    server.gate.clear()
    with pytest.raises(JwksError, match=r"within 0\.2 seconds|Timeout"):
        await JwksUrlSource(make_issuer(jwks_url=server.url, ca_file=ca_file), timeout=0.2).load()


async def test_a_trickle_of_bytes_does_not_prolong_it() -> None:
    """Each byte in time, and never an end: the limit is for the whole, not for the next byte."""
    hung_up = asyncio.Event()

    async def trickle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        with contextlib.suppress(ConnectionError):
            while not reader.at_eof():
                writer.write(b" ")
                await writer.drain()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(reader.read(1), 0.01)
        writer.transport.abort()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
        hung_up.set()

    server = await asyncio.start_server(trickle, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server:
        with pytest.raises(JwksError, match=r"no whole answer within 1 second$"):
            await JwksUrlSource(make_issuer(jwks_url=f"http://127.0.0.1:{port}/"), timeout=1.0).load()
        await asyncio.wait_for(hung_up.wait(), WAIT)


async def test_says_that_nobody_is_there(server: JwksServer, ca_file: Path) -> None:
    """As the one error that such a fetch has."""
    server.close()
    with pytest.raises(JwksError, match="ConnectError"):
        await source(server, ca_file).load()


async def test_uses_no_proxy_of_the_environment(
    server: JwksServer, ca_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor any other variable of its kind."""
    with jwks_server() as proxy:
        for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url)
        found = await source(server, ca_file).load()

    assert ({"ec-1"}, []) == (set(found.keys), proxy.requests)


async def test_system_roots_are_those_of_openssl(
    server: JwksServer, ca_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SSL_CERT_FILE replaces them, as everywhere."""
    monkeypatch.setenv("SSL_CERT_FILE", str(ca_file))

    assert {"ec-1"} == set((await source(server).load()).keys)


async def test_reads_a_file_again_when_it_changed(tmp_path: Path) -> None:
    """And gives the very same keys where it did not."""
    path = write_jwks(tmp_path / "jwks.json", EC)
    files = JwksFileSource(make_issuer(jwks_file=path), path)
    first, again = await files.load(), await files.load()
    write_jwks(path, Key("ec-2"))

    assert first is again
    assert {"ec-2"} == set((await files.load()).keys)


async def test_a_file_can_fail(tmp_path: Path) -> None:
    """Absent, too large, or no JWKS; the error says which, and a valid one is accepted afterwards."""
    path = tmp_path / "jwks.json"
    files = JwksFileSource(make_issuer(jwks_file=path), path)
    with pytest.raises(JwksError, match="No such file"):
        await files.load()
    for content, problem in ((b"{", "not plain JSON"), (b" " * (MAX_JWKS + 1), "more than 262144 bytes")):
        path.write_bytes(content)
        with pytest.raises(JwksError, match=problem):
            await files.load()
    write_jwks(path, EC)

    assert {"ec-1"} == set((await files.load()).keys)


@pytest.mark.parametrize(
    "answer",
    [
        b"canary " + b"x" * 900 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nbad header \x1b[31m canary\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nZZcanary\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: canary\r\n\r\n",
    ],
    ids=["status", "header", "chunk", "length"],
)
async def test_quotes_nothing_of_an_answer_that_is_no_http(answer: bytes) -> None:
    """The cause reaches the log, and the audit record of every call that is refused meanwhile."""
    async with raw_server(iter([answer])) as (url, _):
        with pytest.raises(JwksError) as caught:
            await JwksUrlSource(make_issuer(jwks_url=url), timeout=WAIT).load()

    assert "RemoteProtocolError: the answer is not valid HTTP/1.1" == str(caught.value)
