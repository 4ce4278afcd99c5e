"""Origins: what shares an address is one, and whatever gRPC says of a peer has one."""

from __future__ import annotations

import pytest

from hypothesis import given
from hypothesis import strategies as st

from tokenauthority.domain.origin import UNIX, UNKNOWN, origin_of


@pytest.mark.parametrize(
    ("peer", "expected"),
    [
        ("ipv4:192.0.2.7:50000", "192.0.2.7"),
        ("ipv4:192.0.2.7:1", "192.0.2.7"),
        ("ipv6:%5B2001:db8:1:2::7%5D:50000", "2001:db8:1:2::/64"),
        ("ipv6:[2001:db8:1:2:ffff::9]:50001", "2001:db8:1:2::/64"),
        ("ipv6:[::1]:50000", "::/64"),
        ("ipv6:[::ffff:192.0.2.7]:50000", "192.0.2.7"),
        ("ipv6:%5Bfe80::1%25eth0%5D:50000", "fe80::/64"),
        ("unix:", UNIX),
        ("unix:/run/tokenauthority.sock", UNIX),
        ("unix-abstract:name", UNIX),
        ("ipv4:192.0.2.999:50000", UNKNOWN),
        ("ipv6:[2001:db8:::7]:1", UNKNOWN),
        ("vsock:2:50000", UNKNOWN),
        ("", UNKNOWN),
    ],
)
def test_names_what_a_peer_shares_with_its_neighbours(peer: str, expected: str) -> None:
    """The port is no part of it, of IPv6 only the network of 64 bits, and sockets without an address are one."""
    assert expected == origin_of(peer)


@given(st.ip_addresses(v=6), st.integers(0, 65535), st.integers(0, 2**64 - 1))
def test_one_network_is_one_origin(address: object, port: int, other: int) -> None:
    """However many addresses a host takes in its /64, it has one bucket; gRPC's escapes make no difference."""
    network = int(address) >> 64 << 64  # type: ignore[call-overload]  # hypothesis types both kinds of addresses as one
    if network == 0:
        return
    neighbour = type(address)(network | other)  # type: ignore[call-arg]  # likewise

    assert origin_of(f"ipv6:[{address}]:{port}") == origin_of(f"ipv6:%5B{neighbour}%5D:1")


@given(st.text())
def test_every_text_has_an_origin(peer: str) -> None:
    """Nothing that a transport could say breaks a call."""
    assert origin_of(peer) in {UNIX, UNKNOWN} or peer.startswith("ipv")
