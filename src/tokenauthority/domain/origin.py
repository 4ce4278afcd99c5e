"""Name the origin of an RPC: its address, as limits count it. Addresses of one IPv6 /64 network are one origin."""

from __future__ import annotations

import re

from functools import lru_cache
from ipaddress import IPv6Address, IPv6Network, ip_address
from typing import Final
from urllib.parse import unquote


UNIX: Final = "unix"
"""Every unix socket: they have no address, and who may connect is for the file system to say."""

UNKNOWN: Final = "unknown"

_PEER: Final = re.compile(r"ipv4:([0-9.]{7,15}):[0-9]+|ipv6:\[([0-9A-Fa-f.:]{2,45})(?:%[^\]]*)?\]:[0-9]+", re.ASCII)
_PREFIX: Final = 64


@lru_cache(4096)
def origin_of(peer: str) -> str:
    """Return the origin of gRPC's *peer*: an IPv4 address, an IPv6 network of 64 bits, `unix` or `unknown`.

    `ipv4:192.0.2.7:50000` is `192.0.2.7`; `ipv6:%5B2001:db8::1%5D:50000` is `2001:db8::/64`.
    """
    if peer.startswith("unix"):
        return UNIX
    match = _PEER.fullmatch(unquote(peer))
    return UNKNOWN if match is None else origin_of_host(match[1] or match[2])


@lru_cache(4096)
def origin_of_host(host: str) -> str:
    """Return the origin of the address *host*, as a socket names its peer."""
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        return UNKNOWN
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            return str(address.ipv4_mapped)
        return str(IPv6Network((int(address) >> _PREFIX << _PREFIX, _PREFIX)))
    return str(address)
