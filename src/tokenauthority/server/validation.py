"""Find all for which `serve` would refuse to start, in one run that serves nothing and changes nothing."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socket

from collections.abc import Callable
from pathlib import Path
from typing import Final

from prometheus_client import CollectorRegistry

from tokenauthority.callers.registry import CallerRegistry
from tokenauthority.config.listeners import OFF, UNIX, endpoint_socket, serves_https, uses_workload_api
from tokenauthority.config.loading import ConfigError, problems_of
from tokenauthority.config.settings import PREFIX, Settings
from tokenauthority.config.wording import unreadable
from tokenauthority.server import descriptors, master_keys
from tokenauthority.server.core import build_core
from tokenauthority.server.http_certificate import HttpCertificate
from tokenauthority.server.problems import callers_file_of, start_errors
from tokenauthority.server.tls import CertificateFiles
from tokenauthority.server.tls_credentials import CertificateMetrics
from tokenauthority.server.wiring import system_clock
from tokenauthority.storage.address import SqliteAddress
from tokenauthority.storage.migrate import check_schema, schema_state
from tokenauthority.storage.sql import open_store


_UNBOUND: Final = {
    errno.EACCES: "this user may not listen on that port",
    errno.EADDRNOTAVAIL: "this machine has no such address",
    socket.EAI_NONAME: "there is no such host",
}


def problems_of_start(settings: Settings) -> list[str]:
    """Return why a server with *settings* cannot start; empty if it can. It blocks: call it outside of an event loop.

    The store, the key provider and the files are read as by a server. Nothing is created, and a server may run.
    """
    found = problems_of(settings)
    for check in _CHECKS:
        try:
            with start_errors(settings):
                check(settings)
        except ConfigError as error:
            found += error.problems
    # One file may stop several listeners.
    return list(dict.fromkeys(found))


def _readable(*files: Path) -> bool:
    """Return whether *files* can be read; if not, the check of the settings has said so."""
    return not any(unreadable("", file) for file in files)


def _certificate_of_grpc(settings: Settings) -> None:
    tls = settings.tls
    served = not settings.dev and settings.listen.grpc != OFF
    if served and tls.cert_file and tls.key_file and _readable(tls.cert_file, tls.key_file):
        CertificateFiles(tls.cert_file, tls.key_file).read()


def _certificate_of_http(settings: Settings) -> None:
    tls = settings.tls
    if serves_https(settings) and tls.cert_file and tls.key_file and _readable(tls.cert_file, tls.key_file):
        HttpCertificate(tls, CertificateMetrics(CollectorRegistry()))


def _certificates_of_mtls(settings: Settings) -> None:
    if settings.listen.mtls is None:
        return
    if uses_workload_api(settings.mtls):
        from tokenauthority.server.workload_api import WorkloadApi  # noqa: PLC0415 - 0.3 s that few servers need

        WorkloadApi(endpoint_socket()).close()
        return
    files = [path for path in settings.mtls.files.values() if path is not None]
    if len(files) == len(settings.mtls.files) and _readable(*files):
        CertificateFiles(*files).read()


def _callers(settings: Settings) -> None:
    if not settings.dev and settings.callers.file is not None and _readable(settings.callers.file):
        callers_file_of(settings).load()


def _directories(settings: Settings) -> None:
    """Check that the directories of the audit log and of the embedded store can be written, or made."""
    places = [(f"{PREFIX}AUDIT__PATH", settings.audit_path)]
    if isinstance(settings.store_address, SqliteAddress):
        places.append((f"{PREFIX}DATA_DIR", settings.store_address.path))
    problems = [f"{variable}: {problem}" for variable, path in places if (problem := _unwritable(path))]
    if problems:
        raise ConfigError(problems)


def _open_files(settings: Settings) -> None:
    descriptors.connection_limits(settings, descriptors.allowed_files())


def _addresses(settings: Settings) -> None:
    listen = settings.listen
    named = {name: getattr(listen, name) for name in ("grpc", "mtls", "sidecar", "http", "http_api", "ops")}
    problems = [
        f"{PREFIX}LISTEN__{name.upper()}: {address}: {problem}"
        for name, address in named.items()
        if address is not None and address != OFF and not address.startswith(UNIX) and (problem := _unbound(address))
    ]
    if problems:
        raise ConfigError(problems)


def _store(settings: Settings) -> None:
    """Open the store, all that is sealed in it, and the key that signs."""
    address = settings.store_address
    if isinstance(address, SqliteAddress):
        if not address.path.exists():
            # A server makes it; but its keys are to be read.
            if not settings.dev:
                master_keys.read_master_keys(settings)
            return
        state = schema_state(address)
        state.require_known()
        if state.pending:
            # A server upgrades it first.
            return
    else:
        check_schema(address)
    asyncio.run(_open_store(settings))


async def _open_store(settings: Settings) -> None:
    store = open_store(settings.store_address)
    try:
        core = build_core(
            settings,
            store=store,
            sealer=await master_keys.sealer_for(settings, store),
            callers_naming=CallerRegistry([]).callers_naming,
            clock=system_clock,
            cautious_clock=system_clock,
            registry=CollectorRegistry(),
        )
        # A server makes the first key.
        if await store.list_keys():
            await core.keys.refresh()
            await core.keys.prove_active_key()
    finally:
        await store.close()


def _unwritable(path: Path) -> str:
    """Return why this user cannot write the file at *path*, which may not be there yet; empty if that is possible."""
    if path.exists():
        if not path.is_file():
            return f"{path} is not a file"
        return "" if os.access(path, os.R_OK | os.W_OK) else f"{path} cannot be written by uid {os.geteuid()}"
    nearest = next(parent for parent in path.absolute().parents if parent.exists())
    writable = nearest.is_dir() and os.access(nearest, os.W_OK | os.X_OK)
    return "" if writable else f"{nearest} cannot be written by uid {os.geteuid()}"


def _unbound(address: str) -> str:
    """Return why no socket can be bound to *address*; empty if it can, or if a server is there."""
    host, _, port = address.rpartition(":")
    try:
        found = socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_STREAM)
        family, kind, protocol, _, place = found[0]
        with contextlib.closing(socket.socket(family, kind, protocol)) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(place)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            return ""
        return _UNBOUND.get(error.errno or 0, str(error.strerror))
    return ""


_CHECKS: Final[tuple[Callable[[Settings], None], ...]] = (
    _certificate_of_grpc,
    _certificate_of_http,
    _certificates_of_mtls,
    _callers,
    _directories,
    _open_files,
    _addresses,
    _store,
)
