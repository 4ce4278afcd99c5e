"""Attacks of a stranger and of a caller on the memory and the file descriptors of one server."""

from __future__ import annotations

import contextlib
import socket
import ssl

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from time import monotonic
from typing import Final

import attrs
import grpc

from tests.security.http2 import PREFACE, frame, header_block


_HEALTH: Final = "/grpc.health.v1.Health/Check"
_TOKENS: Final = "/tokenauthority.v1.TokenService"

_LARGEST: Final = 12 << 20
"""Bytes of a message: more is refused by its length alone."""

_BOMB: Final = b"\x0a\x00" * (_LARGEST // 2 - 64)
"""A batch of millions of empty items: 12 MiB, and 12 KiB with gzip."""

_STRANGER: Final = "127.0.0.2"
"""Not the address of the known callers, which pay for nothing that others do."""

_DATA, _HEADERS, _RST_STREAM, _SETTINGS, _PING, _GOAWAY, _WINDOW_UPDATE = 0, 1, 3, 4, 6, 7, 8
_END_HEADERS, _ACK = 4, 1
_HEAD: Final = 9
_FRAME: Final = 16_384
_WINDOW: Final = 65_535
_TIMEOUT: Final = 10.0


@contextlib.contextmanager
def idle_connections(address: str, count: int) -> Iterator[Sequence[socket.socket]]:
    """Hold as many TLS connections of a stranger as the server takes, up to *count*, for as long as the block runs."""
    with contextlib.ExitStack() as stack:
        opened = []
        for _ in range(count):
            with contextlib.suppress(OSError):
                opened.append(stack.enter_context(_connect(address)))
        yield opened


def attack_memory(address: str, roots: bytes, api_key: str, seconds: float) -> None:
    """Do all that ever filled the memory of a server, at once, for *seconds* or until nothing is taken any more.

    A caller with *api_key* sends batches of millions of items, with and without gzip. It, and a stranger, send the
    largest messages but for their last bytes. It asks for large answers and reads none.
    """
    bearer = {"authorization": f"Bearer {api_key}"}
    end = monotonic() + seconds
    works: list[Callable[[], object]] = [
        *[lambda: _bomb(address, roots, bearer, grpc.Compression.Gzip, end)] * 3,
        *[lambda: _bomb(address, roots, bearer, grpc.Compression.NoCompression, end)] * 2,
        *[lambda: _withhold(address, _HEALTH, {}, end)] * 2,
        lambda: _withhold(address, f"{_TOKENS}/VerifyToken", bearer, end),
    ]
    with ThreadPoolExecutor(len(works)) as pool:
        for done in [pool.submit(work) for work in works]:
            done.result()


def _bomb(address: str, roots: bytes, bearer: dict[str, str], compression: grpc.Compression, end: float) -> None:
    options = [("grpc.ssl_target_name_override", "localhost"), ("grpc.use_local_subchannel_pool", 1)]
    with grpc.secure_channel(address, grpc.ssl_channel_credentials(roots), options) as channel:
        call: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(f"{_TOKENS}/BatchGenerateTokens")
        while monotonic() < end:
            with contextlib.suppress(grpc.RpcError):
                call(_BOMB, metadata=tuple(bearer.items()), timeout=_TIMEOUT, compression=compression)


def _withhold(address: str, path: str, more: dict[str, str], end: float, streams: int = 50) -> None:
    """Send the largest messages on many streams of one connection, and never their last bytes."""
    with contextlib.suppress(OSError), _connect(address) as line:
        line.sendall(PREFACE + frame(_SETTINGS, 0, 0))
        sender = _Sender(line)
        for stream in range(1, 2 * streams, 2):
            line.sendall(frame(_HEADERS, _END_HEADERS, stream, header_block(path, more)))
            sender.open(stream, b"\0" + (_LARGEST - 64).to_bytes(4))
        while monotonic() < end and sender.left:
            sender.send()
            sender.receive()


@attrs.define
class _Sender:
    """Sends as much of the message of each stream as the flow control of HTTP/2 lets through, but not its last byte."""

    line: ssl.SSLSocket
    left: dict[int, int] = attrs.Factory(dict)
    windows: dict[int, int] = attrs.Factory(dict)
    window: int = _WINDOW
    initial: int = _WINDOW
    _received: bytes = b""

    def open(self, stream: int, prefix: bytes) -> None:
        """Begin the message of a stream."""
        self.left[stream], self.windows[stream] = _LARGEST - 65, self.initial
        self._send(stream, prefix)

    def send(self) -> None:
        """Send what the windows let through."""
        for stream, left in list(self.left.items()):
            size = min(left, self.windows[stream], self.window, _FRAME)
            if size > 0:
                self._send(stream, bytes(size))
                self.left[stream] -= size

    def receive(self) -> None:
        """Read what has come, and do what it asks for."""
        self.line.settimeout(0.01)
        try:
            data = self.line.recv(65_536)
            if not data:
                self.left.clear()
        except (TimeoutError, ssl.SSLWantReadError):
            data = b""
        self.line.settimeout(_TIMEOUT)
        self._received += data
        while len(self._received) >= (end := _HEAD + int.from_bytes(self._received[:3])):
            head, payload = self._received[:_HEAD], self._received[_HEAD:end]
            self._received = self._received[end:]
            self._take(head[3], head[4], int.from_bytes(head[5:]), payload)

    def _take(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        if kind == _WINDOW_UPDATE and stream:
            self.windows[stream] = self.windows.get(stream, 0) + int.from_bytes(payload)
        elif kind == _WINDOW_UPDATE:
            self.window += int.from_bytes(payload)
        elif kind == _RST_STREAM or (kind == _HEADERS and stream in self.left):
            self.left.pop(stream, None)
        elif kind == _GOAWAY:
            self.left.clear()
        elif kind == _PING and not flags & _ACK:
            self.line.sendall(frame(_PING, _ACK, 0, payload))
        elif kind == _SETTINGS and not flags & _ACK:
            self._set({payload[at : at + 2]: payload[at + 2 : at + 6] for at in range(0, len(payload), 6)})
            self.line.sendall(frame(_SETTINGS, _ACK, 0))

    def _set(self, settings: dict[bytes, bytes]) -> None:
        initial = int.from_bytes(settings.get(b"\0\x04", self.initial.to_bytes(4)))
        for stream in self.windows:
            self.windows[stream] += initial - self.initial
        self.initial = initial

    def _send(self, stream: int, data: bytes) -> None:
        self.line.sendall(frame(_DATA, 0, stream, data))
        self.windows[stream] -= len(data)
        self.window -= len(data)


def _connect(address: str) -> ssl.SSLSocket:
    host, _, port = address.rpartition(":")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    raw = socket.create_connection((host, int(port)), _TIMEOUT, source_address=(_STRANGER, 0))
    try:
        return context.wrap_socket(raw, server_hostname="localhost")
    except OSError:
        raw.close()
        raise
