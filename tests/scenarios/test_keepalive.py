"""Pings of clients that keep a connection open: what the pages promise is what the server accepts."""

from __future__ import annotations

import socket

import pytest

from tests.security.http2 import PREFACE, frame
from tests.support.authority import WAIT, RunningAuthority, StartAuthority
from tokenauthority.client.connection import KEEPALIVE
from tokenauthority.server import grpc_options


_SETTINGS, _PING, _GOAWAY = 4, 6, 7
_ACK = 1
_PINGS = 20


def send_pings(address: str) -> tuple[int, bytes]:
    """Send pings on a connection without calls; return how many were answered, and the reason of a GOAWAY."""
    host, _, port = address.rpartition(":")
    answered = 0
    with socket.create_connection((host, int(port)), WAIT) as connection, connection.makefile("rb") as stream:
        connection.sendall(PREFACE + frame(_SETTINGS, 0, 0))
        for number in range(_PINGS):
            connection.sendall(frame(_PING, 0, 0, number.to_bytes(8)))
            while True:
                head = stream.read(9)
                payload = stream.read(int.from_bytes(head[:3]))
                if head[3:4] == bytes([_GOAWAY]):
                    return answered, payload[8:]
                if head[3] == _PING and head[4] & _ACK:
                    break
            answered += 1
    return answered, b""


def test_a_connection_without_calls_may_ping_as_often_as_one_with_calls(
    start_authority: StartAuthority, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client whose keepalive runs while it is idle, which other languages offer, is not cut off."""
    monkeypatch.setattr(grpc_options, "MIN_PING_INTERVAL", 0)

    assert (_PINGS, b"") == send_pings(start_authority().address)


def test_a_flood_of_pings_ends_the_connection(running_authority: RunningAuthority) -> None:
    """Each ping is answered, so there is a limit."""
    answered, reason = send_pings(running_authority.address)

    assert answered < _PINGS
    assert b"too_many_pings" == reason


def test_the_client_pings_half_as_often_as_the_server_allows() -> None:
    """The network may delay one ping and not the next."""
    assert 2 * grpc_options.MIN_PING_INTERVAL <= KEEPALIVE
