"""The gRPC listeners: each authenticates callers in one way, and has a server of its own."""

from __future__ import annotations

import contextlib
import os
import socket

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Final
from urllib.parse import quote

import attrs
import grpc
import grpc.aio

from tokenauthority.callers.authenticator import Authenticator
from tokenauthority.callers.bearer import BearerAuthenticator
from tokenauthority.callers.registry import CurrentCallers
from tokenauthority.callers.spiffe import ForwardedAuthenticator, PeerAuthenticator
from tokenauthority.callers.xfcc import MAX_HEADER
from tokenauthority.config.listeners import OFF, UNIX, endpoint_socket, uses_workload_api
from tokenauthority.config.loading import ConfigError
from tokenauthority.config.settings import Settings
from tokenauthority.server.tls import CertificateError, CertificateFiles
from tokenauthority.server.tls_credentials import CertificateMetrics, RotatingCredentials


MAX_METADATA: Final = 8 * 1024


@attrs.frozen(kw_only=True)
class Listener:
    """One address. `credentials` None is plaintext, for loopback and unix sockets only.

    `max_metadata` is in bytes; `close` ends the updates of the credentials.
    """

    name: str
    address: str
    authenticator: Authenticator
    credentials: grpc.ServerCredentials | None
    max_metadata: int = MAX_METADATA
    close: Callable[[], None] = lambda: None


def listeners_of(
    settings: Settings, callers: CurrentCallers, bearer: BearerAuthenticator, metrics: CertificateMetrics
) -> tuple[Listener, ...]:
    """Return the listeners of the settings; raise ConfigError if certificates are unreadable or not valid."""
    listen = settings.listen
    found = []
    try:
        if listen.grpc != OFF:
            found.append(_bearer(settings, bearer, metrics))
        if listen.sidecar is not None:
            found.append(
                Listener(
                    name="sidecar",
                    address=listen.sidecar,
                    authenticator=ForwardedAuthenticator(callers),
                    credentials=None,
                    max_metadata=MAX_METADATA + MAX_HEADER,
                )
            )
        # Last: a failure after it would leave the connection to the Workload API open.
        if listen.mtls is not None:
            found.append(_mtls(listen.mtls, settings, callers, metrics))
    except CertificateError as error:
        raise ConfigError([str(error)]) from error
    return tuple(found)


def bind(listener: Listener, server: grpc.aio.Server) -> str:
    """Bind the listener's address, and return it with the port that it got; raise OSError if it is taken."""
    with _private_socket(listener) if listener.address.startswith(UNIX) else contextlib.nullcontext():
        try:
            if listener.credentials is None:
                port = server.add_insecure_port(_target(listener.address))
            else:
                port = server.add_secure_port(_target(listener.address), listener.credentials)
        except RuntimeError as error:
            raise _taken(listener) from error
    if listener.address.startswith(UNIX):
        return listener.address
    return f"{listener.address.rpartition(':')[0]}:{port}"


def _bearer(settings: Settings, bearer: BearerAuthenticator, metrics: CertificateMetrics) -> Listener:
    tls = settings.tls
    credentials = None if settings.dev else _from_files("grpc", metrics, tls.cert_file, tls.key_file)
    return Listener(name="grpc", address=settings.listen.grpc, authenticator=bearer, credentials=credentials)


def _mtls(address: str, settings: Settings, callers: CurrentCallers, metrics: CertificateMetrics) -> Listener:
    mtls = settings.mtls
    listener = partial(Listener, name="mtls", address=address)
    if uses_workload_api(mtls):
        from tokenauthority.server.workload_api import WorkloadApi  # noqa: PLC0415 - 0.3 s that few servers need

        source = WorkloadApi(endpoint_socket())
        rotating = RotatingCredentials("mtls", source.first, metrics)
        source.send_to(rotating)
        peers = PeerAuthenticator(callers, mtls.trust_domain or source.trust_domain)
        return listener(authenticator=peers, credentials=rotating.credentials(), close=source.close)
    credentials = _from_files("mtls", metrics, *mtls.files.values())
    return listener(authenticator=PeerAuthenticator(callers, mtls.trust_domain or ""), credentials=credentials)


def _from_files(listener: str, metrics: CertificateMetrics, *files: Path | None) -> grpc.ServerCredentials:
    given = [file for file in files if file is not None]
    if len(given) != len(files):
        raise CertificateError(f"certificates for listen.{listener} are required")
    source = CertificateFiles(*given)
    return RotatingCredentials(listener, source.read(), metrics, source.read_if_changed).credentials()


@contextlib.contextmanager
def _private_socket(listener: Listener) -> Iterator[None]:
    """Create the socket for its owner and group only; leave one that another server serves."""
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(1)
        # Else gRPC would replace the socket of that server.
        if probe.connect_ex(listener.address.removeprefix(UNIX)) == 0:
            raise _taken(listener)
    before = os.umask(0o117)
    try:
        yield
    finally:
        os.umask(before)


def _target(address: str) -> str:
    # gRPC decodes the path of a socket as that of a URI.
    return UNIX + quote(address.removeprefix(UNIX)) if address.startswith(UNIX) else address


def _taken(listener: Listener) -> OSError:
    return OSError(
        f"cannot listen on {listener.address}: is another server there? "
        f"TOKENAUTHORITY_LISTEN__{listener.name.upper()}=HOST:PORT chooses another address"
    )
