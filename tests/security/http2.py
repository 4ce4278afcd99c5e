"""Just enough HTTP/2 (RFC 9113) and HPACK (RFC 7541) to make unary gRPC calls as no gRPC client makes them."""

from __future__ import annotations

import contextlib
import socket
import threading

from collections import Counter
from collections.abc import Mapping

from tests.support.authority import WAIT


PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_DATA, _HEADERS, _RST_STREAM, _SETTINGS, _PING, _GOAWAY, _WINDOW_UPDATE = 0, 1, 3, 4, 6, 7, 8
_END_STREAM, _ACK, _END_HEADERS = 1, 1, 4
_CANCEL = 8


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """One frame."""
    return len(payload).to_bytes(3) + bytes([kind, flags]) + stream.to_bytes(4) + payload


def opening(stream: int, headers: bytes) -> bytes:
    """The headers of a call, whose message is yet to come."""
    return frame(_HEADERS, _END_HEADERS, stream, headers)


def call(stream: int, headers: bytes) -> bytes:
    """A whole unary call with an empty message."""
    return frame(_HEADERS, _END_HEADERS, stream, headers) + frame(_DATA, _END_STREAM, stream, bytes(5))


def reset(stream: int) -> bytes:
    """The end of a call that nobody wants an answer to any more."""
    return frame(_RST_STREAM, 0, stream, _CANCEL.to_bytes(4))


def message(size: int) -> bytes:
    """The prefix of a gRPC message of *size* bytes."""
    return bytes(1) + size.to_bytes(4)


def header_block(path: str, more: Mapping[str, str]) -> bytes:
    """The headers of a gRPC call, as literals that no table remembers."""
    headers = {":method": "POST", ":scheme": "http", ":path": path, ":authority": "localhost"}
    every = {**headers, "te": "trailers", "content-type": "application/grpc", **more}
    return b"".join(b"\0" + _text(name) + _text(value) for name, value in every.items())


def _text(value: str) -> bytes:
    raw = value.encode("latin-1")
    assert len(raw) < 127
    return bytes([len(raw)]) + raw


class Connection:
    """A connection in plaintext: how many calls were `answered`, and whether any was, or all were refused.

    The server may send *window* bytes of each answer.
    """

    def __init__(self, address: str, window: int = 65_535) -> None:
        host, _, port = address.rpartition(":")
        self._socket = socket.create_connection((host, int(port)), WAIT)
        self._socket.sendall(PREFACE + frame(_SETTINGS, 0, 0, bytes([0, 4]) + window.to_bytes(4)))
        self.answered = 0
        self.ended = False
        self.resets = 0
        self._credit = Counter[int]()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def send(self, data: bytes) -> bool:
        """Send frames; whether the other end still takes them."""
        try:
            self._socket.sendall(data)
        except OSError:
            return False
        return True

    def send_body(self, stream: int, body: memoryview) -> memoryview:
        """Send as much of a body as the server takes now; what is left."""
        size = min(len(body), 16_384, 65_535 + self._credit[stream], 65_535 + self._credit[0])
        if size <= 0 or not self.send(frame(_DATA, 0, stream, bytes(body[:size]))):
            return body
        self._credit[stream] -= size
        self._credit[0] -= size
        return body[size:]

    def close(self) -> None:
        """Hang up."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._reader.join(WAIT)
        self._socket.close()

    def _read(self) -> None:
        with contextlib.suppress(OSError), self._socket.makefile("rb") as stream:
            while head := stream.read(9):
                payload, kind, flags = stream.read(int.from_bytes(head[:3])), head[3], head[4]
                self.answered += kind == _HEADERS and bool(flags & _END_STREAM)
                self.resets += kind == _RST_STREAM
                if kind == _WINDOW_UPDATE:
                    self._credit[int.from_bytes(head[5:9])] += int.from_bytes(payload)
                self.ended |= kind in {_RST_STREAM, _GOAWAY} or self.answered > 0
                if kind == _SETTINGS and not flags & _ACK:
                    self._socket.sendall(frame(_SETTINGS, _ACK, 0))
                if kind == _PING and not flags & _ACK:
                    self._socket.sendall(frame(_PING, _ACK, 0, payload))
