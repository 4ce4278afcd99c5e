"""Give the limits of a gRPC listener as gRPC takes them, with the reason for each that is no default."""

from __future__ import annotations

from typing import Final

from tokenauthority.config.groups import LimitSettings
from tokenauthority.contract import MAX_REQUEST_BYTES
from tokenauthority.server.messages import MAX_PENDING


MAX_STREAMS: Final = 100
"""Concurrent RPCs of one connection."""

MIN_PING_INTERVAL: Final = 30_000
"""Milliseconds between two pings of a client. Clients may ping once a minute, as ours do while a call waits; gRPC's own
limit of five minutes would cut them off. This is half a minute, as the network may delay one ping."""


def grpc_options(limits: LimitSettings, max_metadata: int, connections: int) -> list[tuple[str, int]]:
    """Return the options. *max_metadata* is in bytes; *connections* may be open at the same time."""
    return [
        ("grpc.max_receive_message_length", MAX_REQUEST_BYTES),
        # A compressed request could take a thousand times its bytes. gRPC refuses it as UNIMPLEMENTED, by its headers.
        ("grpc.compression_enabled_algorithms_bitset", 1),
        # The window of a stream stays at 64 KiB until its message is asked for.
        ("grpc.http2.bdp_probe", 0),
        ("grpc.max_metadata_size", max_metadata),
        ("grpc.absolute_max_metadata_size", 2 * max_metadata),
        ("grpc.max_concurrent_streams", MAX_STREAMS),
        # gRPC cancels calls at random, without a record, where more than a thousand have come that grpc.aio has not yet
        # taken.
        ("grpc.server.max_pending_requests", MAX_PENDING),
        ("grpc.server.max_pending_requests_hard_limit", MAX_PENDING),
        ("grpc.max_connection_idle_ms", limits.max_connection_idle * 1000),
        ("grpc.max_connection_age_ms", limits.max_connection_age * 1000),
        ("grpc.max_connection_age_grace_ms", 60_000),
        ("grpc.server_handshake_timeout_ms", 10_000),
        # Without this, gRPC allows one ping in two hours while no call runs, and ends the connection after three.
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.min_ping_interval_without_data_ms", MIN_PING_INTERVAL),
        ("grpc.max_allowed_incoming_connections", connections),
        # Two servers on one port would each answer a part of the calls, each with its own store.
        ("grpc.so_reuseport", 0),
    ]
