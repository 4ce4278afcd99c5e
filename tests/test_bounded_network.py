"""A server sends only so much, whatever it sends; and a name that nobody resolves holds up its own issuer alone."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import socket
import ssl
import threading

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import trustme

from tests.callers.issuer import Key, jwks, jwks_server, make_issuer
from tests.support.authority import WAIT
from tokenauthority.callers.jwks_sources import JwksUrlSource
from tokenauthority.http_request import HEADERS_AND_TLS
from tokenauthority.signing.jwks_reader import MAX_JWKS, JwksError


EC = Key("ec-1")


@contextlib.asynccontextmanager
async def raw_server(
    answer: Iterator[bytes], tls: ssl.SSLContext | None = None
) -> AsyncIterator[tuple[str, list[int]]]:
    """A server that sends *answer* until its client leaves; the URL, and how many bytes it sent to each."""
    sent: list[int] = []

    async def respond(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        sent.append(0)
        with contextlib.suppress(ConnectionError):
            for part in answer:
                writer.write(part)
                await writer.drain()
                sent[-1] += len(part)
        writer.transport.abort()

    server = await asyncio.start_server(respond, "127.0.0.1", 0, ssl=tls)
    async with server:
        yield f"{'https' if tls else 'http'}://127.0.0.1:{server.sockets[0].getsockname()[1]}/jwks", sent


ENDLESS = {
    "interim responses": itertools.repeat(b"HTTP/1.1 102 Processing\r\n\r\n" * 100),
    "other interim responses": itertools.repeat(b"HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n" * 100),
    "continue": itertools.repeat(b"HTTP/1.1 100 Continue\r\n\r\n" * 100),
    "headers": itertools.chain([b"HTTP/1.1 200 OK\r\n"], itertools.repeat(b"x-a: " + b"a" * 40 + b"\r\n" * 1)),
    "one header": itertools.chain([b"HTTP/1.1 200 OK\r\nx: "], itertools.repeat(b"a" * 1000)),
    "status line": itertools.chain([b"HTTP/1.1 200 "], itertools.repeat(b"O" * 1000)),
    "body": itertools.chain([b"HTTP/1.1 200 OK\r\n\r\n"], itertools.repeat(b" " * 1000)),
    "chunks": itertools.chain(
        [b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"], itertools.repeat(b"1\r\n \r\n" * 100)
    ),
    "chunk extensions": itertools.chain(
        [b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1;"], itertools.repeat(b"a" * 1000)
    ),
    "no HTTP": itertools.repeat(b"SSH-2.0 " * 100),
}


@pytest.mark.parametrize("answer", ENDLESS.values(), ids=ENDLESS)
async def test_an_answer_without_end_ends(answer: Iterator[bytes]) -> None:
    """By its bytes, long before its time; meanwhile the event loop does other things at each few kilobytes."""
    turns = 0

    async def count_turns() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    async with raw_server(answer) as (url, sent):
        counting = asyncio.create_task(count_turns())
        with pytest.raises(JwksError, match=r"sends too much|more than|RemoteProtocolError"):
            await JwksUrlSource(make_issuer(jwks_url=url), timeout=WAIT).load()
        counting.cancel()

    # What the sockets hold is beyond what was read.
    assert sent[0] < MAX_JWKS + HEADERS_AND_TLS + 8_000_000
    assert turns >= 20


@pytest.mark.parametrize(("tickets", "outcome"), [(2, {"ec-1"}), (2000, "sends too much")])
async def test_the_bytes_of_tls_count_too(tmp_path: Path, tickets: int, outcome: object) -> None:
    """A handshake has no length of its own: a server may send session tickets for as long as it likes."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    context.num_tickets = tickets
    body = jwks(EC)
    answer = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(body) + body
    found: object
    async with raw_server(iter([answer]), context) as (url, _):
        try:
            issuer = make_issuer(jwks_url=url, ca_file=tmp_path / "ca.pem")
            found = set((await JwksUrlSource(issuer, timeout=WAIT).load()).keys)
        except JwksError as error:
            found = str(error).removeprefix("AnswerTooLongError: the server ")

    assert outcome == found


async def test_takes_a_few_interim_responses() -> None:
    """A server may send early hints before its answer."""
    body = jwks(EC)
    answer = b"HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n" * 3
    answer += b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(body) + body
    async with raw_server(iter([answer])) as (url, _):
        found = await JwksUrlSource(make_issuer(jwks_url=url), timeout=WAIT).load()

    assert {"ec-1"} == set(found.keys)


async def test_connects_to_the_next_address_of_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first may be of a machine that is off."""
    with jwks_server() as server:
        server.body = jwks(EC)
        port = int(server.url.split(":")[2].split("/")[0])
        found = [(socket.AF_UNSPEC, socket.SOCK_STREAM, 6, "", (host, port)) for host in ("::1", "127.0.0.1")]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
        issuer = make_issuer(jwks_url=f"http://localhost:{port}/jwks")

        assert {"ec-1"} == set((await JwksUrlSource(issuer, timeout=WAIT).load()).keys)


async def test_a_name_server_that_hangs_holds_up_its_own_issuer_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """The fetch ends in time, and fetches from other issuers go on, however many such names there are."""
    resolve, gate = socket.getaddrinfo, threading.Event()

    def hang(host: str, *args: object, **named: object) -> object:
        if host.endswith("hanging.example"):
            gate.wait(WAIT)
        return resolve(host, *args, **named)  # type: ignore[arg-type]  # what came in goes on

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    sources = [JwksUrlSource(make_issuer(jwks_url=f"https://{n}.hanging.example/"), timeout=0.2) for n in range(10)]
    with jwks_server() as server:
        server.body = jwks(EC)
        results = await asyncio.gather(*(source.load() for source in sources), return_exceptions=True)
        found = await JwksUrlSource(make_issuer(jwks_url=server.url), timeout=WAIT).load()
    gate.set()

    assert {"no whole answer within 0.2 seconds"} == {str(result) for result in results}
    assert {"ec-1"} == set(found.keys)


async def test_a_name_without_an_address_is_a_failure_to_connect(monkeypatch: pytest.MonkeyPatch) -> None:
    """As the one error that such a fetch has."""

    def fail(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    with pytest.raises(JwksError, match=r"gaierror.*not known"):
        await JwksUrlSource(make_issuer(jwks_url="https://absent.example/"), timeout=WAIT).load()
