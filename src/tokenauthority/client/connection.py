"""How a client reaches the authority: address, credentials, trusted roots, deadline; and open a channel to it."""

from __future__ import annotations

import math

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, TypedDict

import grpc

from tokenauthority.client.arguments import instance, seconds, text, wrong_type
from tokenauthority.client.channel import bind_to_running_loop, guard
from tokenauthority.client.credentials import (
    HEADER_SAFE,
    call_credentials,
    holds_certificate,
    is_header_safe,
    read_certificate,
    read_roots,
    read_token,
)
from tokenauthority.client.interceptors import StreamDefaults, UnaryDefaults
from tokenauthority.client.service_config import MAX_RECEIVE_BYTES, RETRY_BUFFER_BYTES, SERVICE_CONFIG


DEFAULT_TIMEOUT: Final = 5.0
"""Seconds that a call may take, its retries included."""

KEEPALIVE: Final = 60_000
"""Milliseconds without a message after which a client pings, while a call waits; servers allow two pings as often."""

_TEXTS: Final = (
    "address",
    "api_key",
    "token_file",
    "cert_file",
    "key_file",
    "ca_file",
    "project_id",
    "tls_server_name",
)

_SCHEMES: Final = frozenset({"dns", "ipv4", "ipv6", "unix", "unix-abstract", "vsock", "xds"})
"""Schemes of gRPC's target URIs. gRPC would look up any other as a host name."""

_OPTIONS: Final = (
    ("grpc.service_config", SERVICE_CONFIG),
    # DNS may hold another service config, but the contract says which calls are safe to repeat.
    ("grpc.service_config_disable_resolution", 1),
    ("grpc.max_receive_message_length", MAX_RECEIVE_BYTES),
    ("grpc.per_rpc_retry_buffer_size", RETRY_BUFFER_BYTES),
    # A proxy would read the API key of a plaintext call, and stand between the authority and the caller of a TLS one.
    # So none is used: neither that of http_proxy or https_proxy, nor that of GRPC_ADDRESS_HTTP_PROXY. The latter has no
    # switch, only a range of addresses, and no server has this one.
    ("grpc.enable_http_proxy", 0),
    ("grpc.address_http_proxy_enabled_addresses", "255.255.255.255/32"),
    # gRPC waits up to two minutes between two attempts: a client would be without service for as long after a server is
    # back, also in a rolling restart whose second server stops before the client has found the first one again.
    ("grpc.initial_reconnect_backoff_ms", 500),
    ("grpc.min_reconnect_backoff_ms", 5_000),
    ("grpc.max_reconnect_backoff_ms", 5_000),
    # Finds a peer that vanished while a call waits for it.
    ("grpc.keepalive_time_ms", KEEPALIVE),
    ("grpc.keepalive_timeout_ms", 20_000),
)


class ConnectionOptions(TypedDict, total=False):
    """What a client may be given beside the address."""

    api_key: str
    """`tak_...`; every call sends it."""

    token_file: str
    """A file that holds the bearer credential, such as a JWT that Kubernetes renews. It is read again for each call,
    8192 bytes at most. If it cannot be read, the call raises Unauthenticated."""

    credentials: Callable[[], str] | None
    """A function that returns the bearer credential, called for each call, from any thread. In an asyncio client it
    must not block. If it fails, the call raises Unauthenticated."""

    cert_file: str
    """PEM of a client certificate and its chain. It is read when the client is made and not again: make another client
    before the certificate ends."""

    key_file: str
    """PEM of the private key of `cert_file`, without a password."""

    project_id: str
    """The project of a call that names none; required if the caller may use several projects."""

    plaintext: bool
    """No TLS, for loopback only: everybody on the network path can read the API key and the tokens."""

    ca_file: str
    """A file with the certificate authorities to trust, in PEM; default: the public ones that gRPC knows."""

    root_certificates: bytes | None
    """PEM of the certificate authorities to trust, in place of `ca_file`."""

    timeout: float
    """Seconds that a call may take, its retries included; default 5. It does not limit a watch."""

    tls_server_name: str
    """The name that the server's certificate must have; empty for the host of the address."""


@dataclass(frozen=True, kw_only=True)
class Connection:
    """Where the authority is and how to reach it. Its `repr` does not show the API key.

    At most one of `api_key`, `token_file` and `credentials` is given. Without them no call sends a bearer credential.

    Raises:
        ValueError: a value is invalid. The message never holds the API key.
        TypeError: a value has the wrong type; the message names it.
    """

    address: str
    """A gRPC target: `host:port`, or a URI such as `dns:///name:port`."""

    api_key: str = field(default="", repr=False)
    """`tak_...`; every call sends it as `authorization: Bearer`."""

    token_file: str = ""
    """A file that holds the bearer credential, such as a JWT that Kubernetes renews; read again for each call."""

    credentials: Callable[[], str] | None = field(default=None, repr=False)
    """Returns the bearer credential, called for each call, from any thread; in an asyncio client it must not block."""

    cert_file: str = ""
    """PEM of a client certificate and its chain, with `key_file`. Read when a channel is opened."""

    key_file: str = ""
    """PEM of the private key of `cert_file`, without a password."""

    project_id: str = ""
    """The project of a request that names none; required if the API key may use several projects."""

    plaintext: bool = False
    """No TLS: everybody on the network path can read the API key and the tokens."""

    ca_file: str = ""
    """PEM of the certificate authorities to trust; empty for the public ones that gRPC knows. Read when a channel is
    opened."""

    root_certificates: bytes | None = field(default=None, repr=False)
    """PEM of the certificate authorities to trust, in place of `ca_file`."""

    timeout: float = DEFAULT_TIMEOUT
    """Seconds that a call may take, its retries included, unless the call sets its own; default 5."""

    tls_server_name: str = ""
    """The name that the server's certificate must have; empty for the host of the address."""

    def __post_init__(self) -> None:
        """Refuse what would fail later, less clearly, or with the API key in the message."""
        for name in _TEXTS:
            text(name, getattr(self, name))
        if self.credentials is not None and not callable(self.credentials):
            raise wrong_type("credentials", self.credentials, "a function or None")
        # The text "false" would be true, and send the API key in plaintext.
        instance("plaintext", self.plaintext, bool)
        seconds("timeout", self.timeout)
        if self.root_certificates is not None:
            instance("root_certificates", self.root_certificates, bytes, wanted="bytes (PEM) or None")
        problem = self._problem()
        if problem:
            raise ValueError(problem)

    @property
    def proves_caller(self) -> bool:
        """Whether a call says who calls, by a bearer credential or a client certificate."""
        return bool(self.api_key or self.token_file or self.credentials or self.cert_file)

    def _problem(self) -> str:
        if not self.address:
            return "address is not set"
        scheme, separator, _ = self.address.partition("://")
        if ":" not in self.address or (separator and scheme not in _SCHEMES):
            without = f", without {scheme}://" if separator else ""
            return f"address must be HOST:PORT, such as localhost:50051{without}"
        if not (math.isfinite(self.timeout) and self.timeout > 0):
            return "timeout must be a number of seconds above 0"
        for_tls = [
            name for name in ("ca_file", "root_certificates", "tls_server_name", "cert_file") if getattr(self, name)
        ]
        if self.plaintext and for_tls:
            return f"plaintext does not go with {' and '.join(for_tls)}: they are for TLS"
        return self._roots_problem() or self._credential_problem()

    def _roots_problem(self) -> str:
        if self.root_certificates is None:
            return ""
        if self.ca_file:
            return "ca_file and root_certificates are set: set only one of them"
        is_pem = holds_certificate(self.root_certificates)
        return "" if is_pem else "root_certificates: holds no certificate in PEM"

    def _credential_problem(self) -> str:
        bearers = [name for name in ("api_key", "token_file", "credentials") if getattr(self, name)]
        if len(bearers) > 1:
            return f"{' and '.join(bearers)} are set: set only one of them"
        if bool(self.cert_file) != bool(self.key_file):
            return "cert_file and key_file go together: set both or neither"
        if self.api_key and not is_header_safe(self.api_key):
            return f"api_key must be {HEADER_SAFE}"
        return ""

    def open(self, *more_options: tuple[str, str | int]) -> grpc.Channel:
        """Open a channel for blocking calls; the caller closes it.

        Args:
            *more_options: channel arguments of gRPC, beside or in place of those that every channel has.

        Returns:
            A channel that connects with its first call. It has what stubs use, `close` and `with`.

        Raises:
            OSError: `ca_file`, `cert_file` or `key_file` cannot be read.
            ValueError: they are no certificate authorities, or no certificate and its private key.
        """
        # Of two values gRPC takes the first.
        options = list(dict([*self._options(), *more_options]).items())
        if self.plaintext:
            channel = grpc.insecure_channel(self.address, options)
        else:
            channel = grpc.secure_channel(self.address, self._credentials(), options)
        return guard(grpc.intercept_channel(channel, *self._interceptors()))

    def open_async(self) -> grpc.aio.Channel:
        """Open a channel for the running event loop, which is the only one that may use it; see `open`.

        Raises:
            RuntimeError: no event loop runs.
        """
        return bind_to_running_loop(self._open_async)

    def _open_async(self) -> grpc.aio.Channel:
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
        pair = read_certificate(self.cert_file, self.key_file) if self.cert_file else (None, None)
        roots = read_roots(self.ca_file) if self.ca_file else self.root_certificates
        return grpc.ssl_channel_credentials(roots, *pair)

    def _interceptors(self) -> tuple[UnaryDefaults, StreamDefaults]:
        return UnaryDefaults(self.timeout, self._bearer), StreamDefaults(None, self._bearer)

    def _bearer(self) -> str:
        """Return the bearer credential for one call; empty for none."""
        if self.token_file:
            return read_token(self.token_file)
        return call_credentials(self.credentials) if self.credentials else self.api_key
