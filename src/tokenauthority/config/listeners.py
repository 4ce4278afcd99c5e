"""Check what each listener needs before it may serve, from the settings and the files that they name."""

from __future__ import annotations

import ipaddress
import os

from pathlib import Path
from typing import Final

from tokenauthority.config.groups import ListenSettings, MtlsSettings
from tokenauthority.config.settings import PREFIX, Settings
from tokenauthority.config.wording import unreadable


ENDPOINT_SOCKET: Final = "SPIFFE_ENDPOINT_SOCKET"
"""The variable of SPIFFE that names the socket of the Workload API: `unix:///path`."""

UNIX: Final = "unix:"
OFF: Final = "off"


def problems_of_listeners(settings: Settings) -> list[str]:
    """Return why the listeners cannot serve without --dev."""
    listen = settings.listen
    problems = []
    if listen.grpc != OFF or serves_https(settings):
        problems += problems_of_file("tls", "cert_file", settings.tls.cert_file)
        problems += problems_of_file("tls", "key_file", settings.tls.key_file)
    if listen.grpc == OFF and listen.mtls is None and listen.sidecar is None:
        problems.append(f"one of {PREFIX}LISTEN__GRPC, {PREFIX}LISTEN__MTLS and {PREFIX}LISTEN__SIDECAR is required")
    if listen.mtls is not None:
        problems += _problems_of_mtls(settings.mtls)
    if listen.sidecar is not None and not _is_private(listen.sidecar):
        required_form = "must be unix:PATH or a loopback address such as 127.0.0.1:50053"
        problems.append(f"{PREFIX}LISTEN__SIDECAR: {required_form}, not {listen.sidecar}")
    return problems


def problems_of_file(group: str, field: str, path: Path | None) -> list[str]:
    """Return what is wrong with a file that a setting must name."""
    variable = f"{PREFIX}{group}__{field}".upper()
    if path is None:
        return [f"{variable} is required (or {group}.{field} in the file)"]
    return unreadable(variable, path)


def serves_https(settings: Settings) -> bool:
    """Return whether a listener of HTTP has TLS."""
    return not settings.dev and (not settings.listen.http_plaintext or settings.listen.http_api != OFF)


def grpc_listeners(listen: ListenSettings) -> int:
    """Return how many listeners of gRPC there are."""
    return (listen.grpc != OFF) + (listen.mtls is not None) + (listen.sidecar is not None)


def listens_for_others_but_ops(listen: ListenSettings) -> bool:
    """Return whether other machines reach listen.http, and listen.ops is on loopback because nobody has set it."""
    return not _is_private(listen.http) and "ops" not in listen.model_fields_set


def uses_workload_api(mtls: MtlsSettings) -> bool:
    """Return whether the certificates of listen.mtls come from the Workload API."""
    if mtls.source is not None:
        return mtls.source == "workload-api"
    return endpoint_socket() != "" and not any(mtls.files.values())


def endpoint_socket() -> str:
    """Return the socket of the Workload API from SPIFFE's variable; empty if that is not set."""
    return os.environ.get(ENDPOINT_SOCKET, "")


def _problems_of_mtls(mtls: MtlsSettings) -> list[str]:
    if not uses_workload_api(mtls):
        return [problem for name, path in mtls.files.items() for problem in problems_of_file("mtls", name, path)]
    given = [f"{PREFIX}MTLS__{name}".upper() for name, path in mtls.files.items() if path is not None]
    problems = [f"{name}: not with {PREFIX}MTLS__SOURCE=workload-api" for name in given]
    socket = endpoint_socket()
    if not socket:
        problems.append(f"{ENDPOINT_SOCKET} is required with {PREFIX}MTLS__SOURCE=workload-api")
    elif not socket.startswith(UNIX) or not Path("/" + socket.removeprefix(UNIX).lstrip("/")).is_socket():
        problems.append(f"{ENDPOINT_SOCKET}: {socket} is not the unix:///PATH of a socket")
    return problems


def _is_private(address: str) -> bool:
    """Return whether only this machine can connect. No name passes, not even `localhost`: a resolver decides on it."""
    if address.startswith(UNIX):
        return True
    host = address.rpartition(":")[0].strip("[]")
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
