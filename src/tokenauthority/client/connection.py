"""How a client reaches the authority: address, API key, trusted certificates, deadline; and open a channel to it."""

from __future__ import annotations

import math
import re

from dataclasses import dataclass, field
from typing import Final

import grpc

from tokenauthority.client.interceptors import StreamDefaults, UnaryDefaults
from tokenauthority.client.service_config import MAX_RECEIVE_BYTES, SERVICE_CONFIG


DEFAULT_TIMEOUT: Final = 5.0
"""Seconds that a call may take, its retries included."""

_HEADER_SAFE: Final = re.compile(r"[\x21-\x7e]+", re.ASCII)

_SCHEMES: Final = frozenset({"dns", "ipv4", "ipv6", "unix", "unix-abstract", "vsock", "xds"})
"""Schemes of gRPC's target URIs. gRPC would look up any other as a host name."""

_OPTIONS: Final = (
    ("grpc.service_config", SERVICE_CONFIG),
    # DNS may hold another service config, but the contract says which calls are safe to repeat.
    ("grpc.service_config_disable_resolution", 1),
    ("grpc.max_receive_message_length", MAX_RECEIVE_BYTES),
    # Finds a peer that vanished; servers close a connection that pings more often than once a minute.
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 20_000),
)


@dataclass(frozen=True, kw_only=True)
class Connection:
    """Where the authority is and how to reach it. Its `repr` does not show the API key.

    Raises:
        ValueError: a value is invalid. The message never holds the API key.
    """

    address: str
    """A gRPC target: `host:port`, or a URI such as `dns:///name:port`."""

    api_key: str = field(repr=False)
    """`tak_...`; every call sends it as `authorization: Bearer`. Empty: no call sends one."""

    project_id: str = ""
    """The project of a request that names none; required if the API key may use several projects."""

    plaintext: bool = False
    """No TLS: everybody on the network path can read the API key and the tokens."""

    root_certificates: bytes | None = field(default=None, repr=False)
    """PEM of the certificate authorities to trust; None for the system's."""

    timeout: float = DEFAULT_TIMEOUT
    """Seconds that a call may take, its retries included, unless the call sets its own; default 5."""

    tls_server_name: str = ""
    """The name that the server's certificate must have; empty for the host of the address."""

    def __post_init__(self) -> None:
        """Refuse what would fail later, less clearly, or with the API key in the message."""
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
        """Open a channel for blocking calls; the caller closes it.

        Args:
            *more_options: channel arguments of gRPC, beside those that every channel has.

        Returns:
            A channel that connects with its first call.
        """
        options = [*self._options(), *more_options]
        if self.plaintext:
            channel = grpc.insecure_channel(self.address, options)
        else:
            channel = grpc.secure_channel(self.address, self._credentials(), options)
        return grpc.intercept_channel(channel, *self._interceptors())

    def open_async(self) -> grpc.aio.Channel:
        """Open a channel for the running event loop; see `open`."""
        options, interceptors = self._options(), self._interceptors()
        if self.plaintext:
            return grpc.aio.insecure_channel(self.address, options, interceptors=interceptors)
        return grpc.aio.secure_channel(self.address, self._credentials(), options, interceptors=interceptors)

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

    def _interceptors(self) -> tuple[UnaryDefaults, StreamDefaults]:
        # gRPC refuses call credentials on a plaintext channel, so there the API key is plain metadata.
        sends_key = self.plaintext and self.api_key
        metadata = (("authorization", f"Bearer {self.api_key}"),) if sends_key else ()
        return UnaryDefaults(self.timeout, metadata), StreamDefaults(None, metadata)
