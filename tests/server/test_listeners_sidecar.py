"""On listen.sidecar a caller is who the proxy says; only what is on this machine can be the proxy."""

from __future__ import annotations

import socket
import stat

from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from tests.support.peers import ROOM_SERVICE_ID, ask, last_caller, write_callers
from tests.support.production import Production, Server


FORWARDED = "x-forwarded-client-cert"


@pytest.fixture(params=["unix", "loopback"])
def server(request: pytest.FixtureRequest, production: Production, tmp_path: Path) -> Server:
    """A server that listens for a side-car, and nowhere else for gRPC."""
    write_callers(production)
    address = f"unix:{tmp_path}/sidecar.sock" if request.param == "unix" else "127.0.0.1:0"
    return production.start(LISTEN__SIDECAR=address, LISTEN__GRPC="off")


@pytest.fixture
def proxy(server: Server) -> Iterator[grpc.Channel]:
    """A connection as a side-car makes it."""
    with grpc.insecure_channel(server.address_of("sidecar")) as opened:
        yield opened


def test_a_caller_is_whom_the_proxy_saw(production: Production, server: Server, proxy: grpc.Channel) -> None:
    """With its grant, and nobody without the header, with two of them, an odd one, or an API key in its place."""
    good = (FORWARDED, f'By=spiffe://prod.example/authority;Hash=ab;Subject="";URI={ROOM_SERVICE_ID}')
    api_key = ("authorization", f"Bearer {production.api_key}")

    assert "OK" == ask(proxy, good)
    assert ("room-service", "spiffe", ROOM_SERVICE_ID) == last_caller(server)
    assert "PERMISSION_DENIED" == ask(proxy, good, create=True)
    assert "OK" == ask(proxy, good, api_key)
    assert "room-service" == last_caller(server)[0]
    refused: list[tuple[tuple[str, str | bytes], ...]] = [
        (),
        (api_key,),
        (good, good),
        (good, (FORWARDED, "URI=spiffe://prod.example/other")),
        ((FORWARDED, good[1] + ";"),),
        ((FORWARDED, good[1] + ",URI=spiffe://prod.example/other"),),
        ((FORWARDED + "-bin", good[1].encode()),),
    ]
    assert ["UNAUTHENTICATED"] * len(refused) == [ask(proxy, *metadata) for metadata in refused]


def test_takes_a_long_header(proxy: grpc.Channel) -> None:
    """A certificate with its chain, percent-encoded, fits; up to 16 KiB."""
    rest = f'URI={ROOM_SERVICE_ID};Chain="'
    filling = "%41" * ((16 * 1024 - len(rest) - 1) // 3)

    assert "OK" == ask(proxy, (FORWARDED, f'{rest}{filling}"'))
    assert "UNAUTHENTICATED" == ask(proxy, (FORWARDED, f'{rest}{filling}%41%41"'))


@pytest.fixture
def socket_path(tmp_path: Path) -> Path:
    """Where the socket is to be."""
    return tmp_path / "sidecar.sock"


def test_the_socket_is_for_owner_and_group_only(production: Production, tmp_path: Path) -> None:
    """Whoever can connect can be anyone. It goes away with the server, and one that was left behind is replaced.

    Its path is what the setting says: an escape of a URI is none there.
    """
    socket_path = tmp_path / "side%2Fcar?.sock"
    with socket.socket(socket.AF_UNIX) as left_behind:
        left_behind.bind(str(socket_path))
    write_callers(production)
    server = production.start(LISTEN__SIDECAR=f"unix:{socket_path}")

    assert 0o660 == stat.S_IMODE(socket_path.stat().st_mode)
    assert 0 == server.stop()
    assert not socket_path.exists()


def test_takes_no_socket_away_from_another_server(production: Production, socket_path: Path) -> None:
    """The second one says so and ends; the first one serves on."""
    write_callers(production)
    address = f"unix:{socket_path}"
    production.start(LISTEN__SIDECAR=address)
    status, log = production.fail(LISTEN__SIDECAR=address, DATA_DIR="other")

    assert 2 == status
    assert f"cannot listen on {address}: is another server there?" in log
    with grpc.insecure_channel(address) as opened:
        assert "OK" == ask(opened, (FORWARDED, f"URI={ROOM_SERVICE_ID}"))


@pytest.mark.parametrize("address", ["0.0.0.0:0", "[::]:0", "192.0.2.1:1", "localhost:1", "127.example.org:1"])
def test_listens_for_nobody_else(production: Production, address: str) -> None:
    """An address that other machines reach, or a name that could mean one, is refused at start."""
    status, log = production.fail(LISTEN__SIDECAR=address)

    assert 2 == status
    assert "TOKENAUTHORITY_LISTEN__SIDECAR: must be unix:PATH or a loopback address" in log
    assert f"not {address}\n" in log
