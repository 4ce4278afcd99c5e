"""What two servers could read differently is refused, and the connection ends: nothing is smuggled behind it."""

from __future__ import annotations

import contextlib
import socket

from collections.abc import Iterator

import pytest

from tests.support.authority import WAIT, RunningAuthority, _running
from tests.support.memory_store import MemoryStore
from tokenauthority.config.settings import Settings
from tokenauthority.signing.sealing import MasterKey, Sealer


HOST = b"Host: localhost\r\n"
GET = b"GET /.well-known/jwks.json HTTP/1.1\r\n"
POST = b"POST /.well-known/jwks.json HTTP/1.1\r\n"
SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n"
LAST = b"GET /last HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"

REFUSED = {
    "length and encoding": POST + HOST + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "encoding and length": POST + HOST + b"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n",
    "length 0 and encoding": GET + HOST + b"Content-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "two lengths": GET + HOST + b"Content-Length: 0\r\nContent-Length: 5\r\n\r\n",
    "one length twice": GET + HOST + b"Content-Length: 0\r\nContent-Length: 0\r\n\r\n",
    "list of lengths": GET + HOST + b"Content-Length: 0, 0\r\n\r\n",
    "length with a sign": GET + HOST + b"Content-Length: +0\r\n\r\n",
    "length in hexadecimal": GET + HOST + b"Content-Length: 0x0\r\n\r\n",
    "length below 0": GET + HOST + b"Content-Length: -1\r\n\r\n",
    "empty length": GET + HOST + b"Content-Length: \r\n\r\n",
    "content": POST + HOST + b"Content-Length: 3\r\n\r\nabc",
    "content of GET": GET + HOST + b"Content-Length: 3\r\n\r\nabc",
    "chunks": POST + HOST + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    "unknown encoding": GET + HOST + b"Transfer-Encoding: xchunked\r\n\r\n",
    "encoding not at the end": POST + HOST + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    "encoding after a vertical tab": POST + HOST + b"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
    "encoding in HTTP/1.0": b"POST / HTTP/1.0\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "folded header": GET + HOST + b"X: a\r\n b\r\n\r\n",
    "folded encoding": POST + HOST + b"Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n",
    "bare line feeds": b"GET /.well-known/jwks.json HTTP/1.1\nHost: localhost\n\n",
    "bare line feed in a header": GET + b"Host: localhost\nX: y\r\n\r\n",
    "bare carriage return": GET + b"Host: localhost\rX: y\r\n\r\n",
    "bare line feed at the end": GET + HOST + b"X: y\r\n\n",
    "space before the colon": GET + b"Host : localhost\r\n\r\n",
    "space before the first header": GET + b" X: y\r\n" + HOST + b"\r\n",
    "header without a name": GET + HOST + b": x\r\n\r\n",
    "header without a colon": GET + HOST + b"x\r\n\r\n",
    "NUL": GET + b"Host: local\0host\r\n\r\n",
    "no host": GET + b"\r\n",
    "two hosts": GET + HOST + HOST + b"\r\n",
    "HTTP/0.9": b"GET /\r\n\r\n",
    "HTTP/1.2": b"GET / HTTP/1.2\r\n" + HOST + b"\r\n",
    "HTTP/2.0": b"GET / HTTP/2.0\r\n" + HOST + b"\r\n",
    "prior knowledge of HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "tab in the request line": b"GET\t/\tHTTP/1.1\r\n" + HOST + b"\r\n",
    "space in the path": b"GET /a b HTTP/1.1\r\n" + HOST + b"\r\n",
    "method in small letters": b"get / HTTP/1.1\r\n" + HOST + b"\r\n",
    "CONNECT": b"CONNECT localhost:80 HTTP/1.1\r\n" + HOST + b"\r\n",
    "absolute form without a path": b"GET http:// HTTP/1.1\r\n" + HOST + b"\r\n",
    "too long": GET + HOST + b"X: " + b"a" * 20_000 + b"\r\n\r\n",
    "too many headers": GET + HOST + b"X: y\r\n" * 4_000 + b"\r\n",
    "a header without end": GET + HOST + b"X: " + b"a" * 20_000,
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(64),
}

ANSWERED = {
    "a request": (GET + HOST + b"\r\n", [b"200"]),
    "length 0": (GET + HOST + b"Content-Length: 0\r\n\r\n", [b"200"]),
    "HTTP/1.0": (b"GET /.well-known/jwks.json HTTP/1.0\r\n\r\n", [b"200"]),
    "absolute form": (b"GET http://evil.example/.well-known/jwks.json HTTP/1.1\r\n" + HOST + b"\r\n", [b"200"]),
    "unknown path": (b"GET /%2e%2e/etc/passwd HTTP/1.1\r\n" + HOST + b"\r\n", [b"404"]),
    "TRACE": (b"TRACE /.well-known/jwks.json HTTP/1.1\r\n" + HOST + b"\r\n", [b"405"]),
    "pipelined requests": ((GET + HOST + b"\r\n") * 3, [b"200"] * 3),
    # Answered as if it did not ask for an upgrade, and what follows is not read.
    "websocket": (GET + HOST + b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n" + SMUGGLED, [b"200"]),
    "h2c": (GET + HOST + b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n\r\n" + SMUGGLED, [b"200"]),
    "closed": (GET + HOST + b"Connection: close\r\n\r\n" + SMUGGLED, [b"200"]),
}


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningAuthority]:
    """The authority that these tests share."""
    values = {
        "dev": True,
        "data_dir": tmp_path_factory.mktemp("authority"),
        "listen": dict.fromkeys(("grpc", "http", "http_api", "ops"), "127.0.0.1:0"),
    }
    with _running(Settings.model_validate(values), MemoryStore(), Sealer(MasterKey.generate()), {}, "") as running:
        yield running


def answers(authority: RunningAuthority, sent: bytes, url: str = "", *, apart: bool = False) -> bytes:
    """All that the public listener, or that of *url*, answers until it closes, which a last request asks it to do.

    The last request is sent once the first one is answered if it goes *apart*.
    """
    host, _, port = (url or authority.http_url).removeprefix("http://").rpartition(":")
    read = b""
    with contextlib.suppress(ConnectionError), socket.create_connection((host, int(port)), WAIT) as line:
        line.sendall(sent)
        if apart:
            read += line.recv(65536)
        with contextlib.suppress(ConnectionError):
            line.sendall(LAST)
        while data := line.recv(65536):
            read += data
    return read


def statuses(authority: RunningAuthority, sent: bytes, url: str = "", *, apart: bool = False) -> list[bytes]:
    """The status of each answer."""
    return [part.split()[0] for part in answers(authority, sent, url, apart=apart).split(b"HTTP/1.1 ")[1:]]


@pytest.mark.parametrize("sent", REFUSED.values(), ids=REFUSED.keys())
def test_refuses_what_could_be_read_differently(authority: RunningAuthority, sent: bytes) -> None:
    """The answer is 400, and nothing that follows is read."""
    assert statuses(authority, sent) in ([b"400"], [])


@pytest.mark.parametrize(("sent", "expected"), ANSWERED.values(), ids=ANSWERED.keys())
def test_answers_each_request_once(authority: RunningAuthority, sent: bytes, expected: list[bytes]) -> None:
    """In order; and a connection that asks for something else than HTTP/1.1 ends with the answer."""
    assert statuses(authority, sent) in (expected, [*expected, b"404"])


def test_a_pipeline_is_bounded(authority: RunningAuthority) -> None:
    """A thousand requests that come at once are not stored: the connection ends."""
    found = statuses(authority, (GET + HOST + b"\r\n") * 200)

    assert b"400" in found
    assert len(found) < 20


def test_an_upgrade_writes_no_lines(authority: RunningAuthority, caplog: pytest.LogCaptureFixture) -> None:
    """By itself, uvicorn would write two for each."""
    answers(authority, ANSWERED["websocket"][0])

    assert [] == caplog.records


CALL = b"POST /a/b HTTP/1.1\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n"

REFUSED_OF_CALLS = {
    **{name: sent for name, sent in REFUSED.items() if name not in {"content", "chunks"}},
    "length and chunks": CALL + HOST + b"Content-Length: 5\r\n" + CHUNKED + b"\r\n0\r\n\r\n",
    "another encoding before": CALL + HOST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "two encodings": CALL + HOST + CHUNKED + CHUNKED + b"\r\n0\r\n\r\n",
    "chunks in HTTP/1.0": b"POST /a/b HTTP/1.0\r\n" + HOST + CHUNKED + b"\r\n0\r\n\r\n",
    "content of GET": b"GET /a/b HTTP/1.1\r\n" + HOST + b"Content-Length: 3\r\n\r\nabc",
    "content with an upgrade": CALL + HOST + b"Connection: upgrade\r\nUpgrade: h2c\r\nContent-Length: 1\r\n\r\na",
}

ENDED = {
    "trailers": CALL + HOST + CHUNKED + b"\r\n1\r\na\r\n0\r\nAuthorization: Bearer x\r\n\r\n",
    "a size that is no number": CALL + HOST + CHUNKED + b"\r\nx\r\na\r\n0\r\n\r\n",
    "a bare line feed between chunks": CALL + HOST + CHUNKED + b"\r\n1\na\n0\n\n",
    "two calls at once": (CALL + HOST + b"Content-Length: 2\r\n\r\n{}") * 2 + SMUGGLED * 20,
}


@pytest.mark.parametrize("sent", REFUSED_OF_CALLS.values(), ids=REFUSED_OF_CALLS.keys())
def test_refuses_calls_that_could_be_read_differently(authority: RunningAuthority, sent: bytes) -> None:
    """Where calls have content, all else is refused as elsewhere."""
    assert statuses(authority, sent, authority.api_url) in ([b"400"], [])


@pytest.mark.parametrize("sent", ENDED.values(), ids=ENDED.keys())
def test_ends_a_connection_whose_content_is_in_doubt(authority: RunningAuthority, sent: bytes) -> None:
    """What follows is never read as a request of its own."""
    found = statuses(authority, sent, authority.api_url)

    assert set(found) <= {b"404", b"400"}
    assert len(found) <= 2


@pytest.mark.parametrize(
    "content",
    [b"Content-Length: 2\r\n\r\n{}", CHUNKED + b"\r\n1\r\n{\r\n1;x=y\r\n}\r\n0\r\n\r\n"],
    ids=["length", "chunks"],
)
def test_takes_the_content_of_a_call(authority: RunningAuthority, content: bytes) -> None:
    """By a length or in chunks, and the next request of the connection is read after it."""
    assert [b"404", b"404"] == statuses(authority, CALL + HOST + content, authority.api_url, apart=True)


def test_a_head_may_come_with_much_content(authority: RunningAuthority) -> None:
    """The limit of a head is not that of what follows in the same packet."""
    sent = CALL + HOST + b"Content-Length: 60000\r\n\r\n" + b" " * 60_000

    assert [b"404", b"404"] == statuses(authority, sent, authority.api_url, apart=True)
