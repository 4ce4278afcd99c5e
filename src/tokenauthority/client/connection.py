"""How a client reaches the authority: address, credential, trust, deadline; and the channels that do it."""

from __future__ import annotations

import math
import re

from dataclasses import dataclass, field
from typing import Final

import grpc

from tokenauthority.client import interceptors
from tokenauthority.client.service_config import MAX_RECEIVE_BYTES, SERVICE_CONFIG


DEFAULT_TIMEOUT: Final = 5.0
"""Seconds that a call may take, all attempts together."""

_HEADER_SAFE: Final = re.compile(r"[\x21-\x7e]+", re.ASCII)

_SCHEMES: Final = frozenset({"dns", "ipv4", "ipv6", "unix", "unix-abstract", "vsock", "xds"})
"""Of gRPC's target URIs. Any other would be taken for a host that does not exist."""

_OPTIONS: Final = (
    ("grpc.service_config", SERVICE_CONFIG),
    # DNS may hold another service config, but which calls are safe to repeat is for the contract to say.
    ("grpc.service_config_disable_resolution", 1),
    ("grpc.max_receive_message_length", MAX_RECEIVE_BYTES),
    # Finds a peer that vanished without a word; more often than once a minute would be taken for abuse.
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 20_000),
)


@dataclass(frozen=True, kw_only=True)
class Connection:
    """Where the authority is and how to reach it. Its `repr` does not show the key.

    Raises:
        ValueError: a value cannot be used; the message never holds the key.
    """

    address: str
    """A gRPC target: `host:port`, or a URI such as `dns:///name:port`."""

    api_key: str = field(repr=False)
    """`tak_...`; sent as `authorization: Bearer` with every call. Empty: none is sent."""

    project_id: str = ""
    """The project meant where a request names none; needed by callers that may use several."""

    plaintext: bool = False
    """No TLS: everybody on the way can read the key and the tokens."""

    root_certificates: bytes | None = field(default=None, repr=False)
    """PEM of the authorities to trust; None for the system's."""

    timeout: float = DEFAULT_TIMEOUT
    """Seconds that a call may take unless it says otherwise."""

    tls_server_name: str = ""
    """The name that the server's certificate must have, where it is not the address's."""

    def __post_init__(self) -> None:
        """Refuse what would fail later, less clearly, or with the key in the message."""
        problem = self._problem()
        if problem:
            raise ValueError(problem)

    def _problem(self) -> str:
        if not self.address:
            return "address is required, such as localhost:50051"
        scheme, separator, _ = self.address.partition("://")
        if ":" not in self.address or (separator and scheme not in _SCHEMES):
            without = f", without {scheme}://" if separator else ""
            return f"address is HOST:PORT, such as localhost:50051{without}"
        if self.api_key and not _HEADER_SAFE.fullmatch(self.api_key):
            return "api_key has characters that no API key has (white space, a line break or non-ASCII)"
        if not (math.isfinite(self.timeout) and self.timeout > 0):
            return "timeout must be more than 0 seconds"
        if self.plaintext and (self.root_certificates is not None or self.tls_server_name):
            return "plaintext does not go with root_certificates or tls_server_name: they are for TLS"
        return ""

    def open(self, *more_options: tuple[str, str | int]) -> grpc.Channel:
        """A channel for blocking calls; it connects with its first call. The caller closes it."""
        options = [*self._options(), *more_options]
        if self.plaintext:
            channel = grpc.insecure_channel(self.address, options)
        else:
            channel = grpc.secure_channel(self.address, self._credentials(), options)
        return grpc.intercept_channel(channel, interceptors.Defaults(self.timeout, self._metadata()))

    def open_async(self) -> grpc.aio.Channel:
        """A channel for the running event loop; it connects with its first call. The caller closes it."""
        added = interceptors.async_defaults(self.timeout, self._metadata())
        if self.plaintext:
            return grpc.aio.insecure_channel(self.address, self._options(), interceptors=added)
        return grpc.aio.secure_channel(self.address, self._credentials(), self._options(), interceptors=added)

    def _options(self) -> list[tuple[str, str | int]]:
        options: list[tuple[str, str | int]] = list(_OPTIONS)
        if self.tls_server_name:
            options.append(("grpc.ssl_target_name_override", self.tls_server_name))
        return options

    def _credentials(self) -> grpc.ChannelCredentials:
        trust = grpc.ssl_channel_credentials(self.root_certificates)
        if not self.api_key:
            return trust
        return grpc.composite_channel_credentials(trust, grpc.access_token_call_credentials(self.api_key))

    def _metadata(self) -> tuple[tuple[str, str], ...]:
        """The key as metadata, for plaintext only: gRPC refuses call credentials there."""
        if self.plaintext and self.api_key:
            return (("authorization", f"Bearer {self.api_key}"),)
        return ()
