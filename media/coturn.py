"""Coturn itself, of the system, run on loopback with the secrets of an authority; and a client that relays through it.

The client speaks STUN (RFC 8489) and TURN (RFC 8656) over UDP, with long-term credentials and MD5 keys, as coturn does.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import os
import socket
import struct
import time

from collections.abc import Iterator, Sequence
from enum import IntEnum
from pathlib import Path
from typing import Final

import attrs

from media.programs import free_ports, installed, serving
from tests.support.authority import WAIT


USER_QUOTA: Final = 3
"""Relays of one person at the same time."""

_COOKIE: Final = 0x2112A442
_HEADER: Final = struct.Struct("!HHI12s")
_MISMATCH: Final = 437
_ADDRESSES: Final = 3
"""A server that still knows a relay of this address answers 437, and the client tries another one (RFC 8656, 7.4)."""

_RESEND: Final = 1.0
"""Seconds after which a request is sent again: UDP may lose it where a machine is busy."""


class _Method(IntEnum):
    BINDING = 0x001
    ALLOCATE = 0x003
    REFRESH = 0x004
    SEND_INDICATION = 0x016
    DATA_INDICATION = 0x017
    CREATE_PERMISSION = 0x008


class _Attribute(IntEnum):
    USERNAME = 0x0006
    MESSAGE_INTEGRITY = 0x0008
    ERROR_CODE = 0x0009
    LIFETIME = 0x000D
    XOR_PEER_ADDRESS = 0x0012
    DATA = 0x0013
    REALM = 0x0014
    NONCE = 0x0015
    XOR_RELAYED_ADDRESS = 0x0016
    REQUESTED_TRANSPORT = 0x0019


class RefusedError(Exception):
    """Coturn refused; the code is that of ERROR-CODE, such as 401."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(f"{code} {text}")
        self.code = code


@attrs.frozen
class Coturn:
    """A running coturn."""

    port: int

    @property
    def url(self) -> str:
        """What a client is given."""
        return f"turn:127.0.0.1:{self.port}?transport=udp"

    @contextlib.contextmanager
    def allocated(self, username: str, password: str) -> Iterator[Relay]:
        """A relay for whoever has these credentials, until the end of the block; raise RefusedError."""
        with contextlib.ExitStack() as sockets:
            for tries_left in reversed(range(_ADDRESSES)):
                opened = sockets.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
                opened.connect(("127.0.0.1", self.port))
                relay = Relay(opened, username)
                try:
                    relay.allocate(password)
                    break
                except RefusedError as error:
                    if error.code != _MISMATCH or not tries_left:
                        raise
            yield relay
            relay.refresh(0)


@attrs.define
class Relay:
    """A relay of coturn, and the socket that it belongs to."""

    _socket: socket.socket
    _username: str
    _key: bytes = b""
    _realm: bytes = b""
    _nonce: bytes = b""
    address: tuple[str, int] = ("", 0)

    def allocate(self, password: str) -> None:
        """Ask for a relay without credentials, which tells the realm, and then with them."""
        transport = (_Attribute.REQUESTED_TRANSPORT, b"\x11\0\0\0")
        with contextlib.suppress(RefusedError):
            self._call(_Method.ALLOCATE, [transport])
        parts = [self._username.encode(), self._realm, password.encode()]
        self._key = hashlib.md5(b":".join(parts)).digest()  # noqa: S324 - RFC 8489, section 9.2.2, says MD5
        answer = self._call(_Method.ALLOCATE, [transport])
        self.address = _unmasked(answer[_Attribute.XOR_RELAYED_ADDRESS])

    def refresh(self, lifetime: int) -> None:
        """Let the relay live for so many seconds from now on; 0 ends it."""
        self._call(_Method.REFRESH, [(_Attribute.LIFETIME, struct.pack("!I", lifetime))])

    def exchange(self, peer: socket.socket, sent: bytes, answered: bytes) -> tuple[bytes, tuple[str, int], bytes]:
        """Send to *peer* through the relay, and let it answer; what it received, from where, and what came back."""
        place = (_Attribute.XOR_PEER_ADDRESS, _masked(peer.getsockname()))
        self._call(_Method.CREATE_PERMISSION, [place])
        peer.settimeout(WAIT)
        self._socket.send(_message(_Method.SEND_INDICATION, os.urandom(12), [place, (_Attribute.DATA, sent)]))
        received, sender = peer.recvfrom(2048)
        peer.sendto(answered, sender)
        self._socket.settimeout(WAIT)
        while True:
            kind, _, attributes = _parsed(self._socket.recv(2048))
            if kind == _Method.DATA_INDICATION:
                return received, sender, attributes[_Attribute.DATA]

    def _call(self, method: _Method, attributes: list[tuple[_Attribute, bytes]]) -> dict[int, bytes]:
        if self._key:
            attributes = [
                *attributes,
                (_Attribute.USERNAME, self._username.encode()),
                (_Attribute.REALM, self._realm),
                (_Attribute.NONCE, self._nonce),
            ]
        transaction = os.urandom(12)
        answer = _exchanged(self._socket, _message(method, transaction, attributes, self._key), transaction)
        error = answer.get(_Attribute.ERROR_CODE)
        if error is None:
            return answer
        self._realm = answer.get(_Attribute.REALM, self._realm)
        self._nonce = answer.get(_Attribute.NONCE, self._nonce)
        raise RefusedError(error[2] * 100 + error[3], error[4:].decode())


@contextlib.contextmanager
def running(directory: Path, secrets: Sequence[str]) -> Iterator[Coturn]:
    """Coturn on loopback alone, which accepts credentials of all *secrets*.

    Raises:
        RuntimeError: it is not installed.
    """
    (port,) = free_ports(1)
    lines = [
        "listening-ip=127.0.0.1",
        f"listening-port={port}",
        "relay-ip=127.0.0.1",
        "realm=turn.example.com",
        "use-auth-secret",
        *(f"static-auth-secret={secret}" for secret in secrets),
        "fingerprint",
        f"user-quota={USER_QUOTA}",
        "allow-loopback-peers",
        # Coturn wants a password for its command line even without it, if peers of loopback are allowed.
        "cli-password=unused",
        *("no-cli", "no-tls", "no-dtls", "no-tcp-relay"),
        "log-file=stdout",
        f"pidfile={directory / 'turnserver.pid'}",
        f"userdb={directory / 'turnserver.db'}",
    ]
    file = directory / "turnserver.conf"
    file.write_text("\n".join(lines), encoding="utf-8")
    file.chmod(0o600)
    program = installed("turnserver", "coturn")
    with serving([program, "-c", file], directory / "turnserver.log", lambda: _answers(port)):
        yield Coturn(port)


def _answers(port: int) -> bool:
    transaction = os.urandom(12)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.settimeout(_RESEND)
        probe.connect(("127.0.0.1", port))
        probe.send(_message(_Method.BINDING, transaction, []))
        try:
            return _parsed(probe.recv(2048))[1] == transaction
        except (ConnectionRefusedError, TimeoutError):
            return False


def _exchanged(opened: socket.socket, request: bytes, transaction: bytes) -> dict[int, bytes]:
    until = time.monotonic() + WAIT
    opened.settimeout(_RESEND)
    while time.monotonic() < until:
        opened.send(request)
        with contextlib.suppress(TimeoutError):
            while True:
                _, answered, attributes = _parsed(opened.recv(2048))
                if answered == transaction:
                    return attributes
    raise AssertionError("coturn does not answer")


def _message(
    method: _Method, transaction: bytes, attributes: Sequence[tuple[_Attribute, bytes]], key: bytes = b""
) -> bytes:
    body = b"".join(_encoded(kind, value) for kind, value in attributes)
    if key:
        # The length that is signed counts the signature.
        signed = _HEADER.pack(method, len(body) + 24, _COOKIE, transaction) + body
        body += _encoded(_Attribute.MESSAGE_INTEGRITY, hmac.digest(key, signed, "sha1"))
    return _HEADER.pack(method, len(body), _COOKIE, transaction) + body


def _encoded(kind: _Attribute, value: bytes) -> bytes:
    return struct.pack("!HH", kind, len(value)) + value + bytes(-len(value) % 4)


def _parsed(message: bytes) -> tuple[int, bytes, dict[int, bytes]]:
    kind, length, _, transaction = _HEADER.unpack_from(message)
    attributes, place = {}, _HEADER.size
    while place < _HEADER.size + length:
        name, size = struct.unpack_from("!HH", message, place)
        attributes[name] = message[place + 4 : place + 4 + size]
        place += 4 + size + -size % 4
    return kind, transaction, attributes


def _masked(address: tuple[str, int]) -> bytes:
    host = int.from_bytes(socket.inet_aton(address[0]))
    return struct.pack("!HHI", 1, address[1] ^ (_COOKIE >> 16), host ^ _COOKIE)


def _unmasked(value: bytes) -> tuple[str, int]:
    _, port, host = struct.unpack("!HHI", value)
    return socket.inet_ntoa((host ^ _COOKIE).to_bytes(4)), port ^ (_COOKIE >> 16)
