"""Clients and settings for tests of listeners that know a caller by a certificate."""

from __future__ import annotations

import contextlib
import socket
import ssl

from collections.abc import Iterator
from pathlib import Path

import grpc

from tests.support.authority import WAIT
from tests.support.production import Production, Server
from tests.support.spiffe import Issued, SpiffeCa
from tokenauthority.callers.api_keys import digest
from tokenauthority.v1 import project_pb2, project_pb2_grpc


ROOM_SERVICE = "/ns/video/sa/room-service"
"""The path of the caller `room-service`, who may read projects."""

ROOM_SERVICE_ID = f"spiffe://prod.example{ROOM_SERVICE}"


def write_callers(production: Production) -> None:
    """A callers file with `backend`, known by its API key, who may do everything, and `room-service`."""
    (production.directory / "callers.toml").write_text(
        f"""
        [[callers]]
        name = "backend"
        api_key_sha256 = "{digest(production.api_key)}"
        projects = ["*"]
        actions = ["*"]
        roles = ["*"]
        [[callers]]
        name = "room-service"
        spiffe_id = "{ROOM_SERVICE_ID}"
        projects = ["*"]
        actions = ["projects.read"]
        """
    )


def put(path: Path, content: bytes) -> None:
    """Write a file as tools that rotate certificates do: whole, under another name, then in its place."""
    new = path.with_suffix(".new")
    new.write_bytes(content)
    new.replace(path)


def mtls_settings(production: Production, server: Issued, clients: SpiffeCa) -> dict[str, str]:
    """Files for listen.mtls, and the variables that name them."""
    names = {"cert_file": server.chain, "key_file": server.key, "bundle_file": clients.bundle}
    for name, content in names.items():
        put(production.directory / f"mtls-{name}.pem", content)
    variables = {f"MTLS__{name.upper()}": f"mtls-{name}.pem" for name in names}
    return {"LISTEN__MTLS": "127.0.0.1:0", **variables}


@contextlib.contextmanager
def channel(address: str, roots: bytes, client: Issued | None = None) -> Iterator[grpc.Channel]:
    """A connection of its own, which shows the certificate of *client*."""
    credentials = (
        grpc.ssl_channel_credentials(roots)
        if client is None
        else grpc.ssl_channel_credentials(roots, client.key, client.chain)
    )
    options = [("grpc.use_local_subchannel_pool", 1), ("grpc.ssl_target_name_override", "localhost")]
    with grpc.secure_channel(address, credentials, options) as opened:
        yield opened


def ask(opened: grpc.Channel, *metadata: tuple[str, str | bytes], create: bool = False) -> str:
    """List projects (or create one); the status."""
    stub = project_pb2_grpc.ProjectServiceStub(opened)
    try:
        if create:
            stub.CreateProject(project_pb2.CreateProjectRequest(), timeout=WAIT, metadata=metadata)
        else:
            stub.ListProjects(project_pb2.ListProjectsRequest(), timeout=WAIT, metadata=metadata)
    except grpc.RpcError as error:
        return str(error.code().name)
    return "OK"


def ask_once(address: str, roots: bytes, client: Issued | None = None, *metadata: tuple[str, str | bytes]) -> str:
    """The same on a new connection."""
    with channel(address, roots, client) as opened:
        return ask(opened, *metadata)


def shown(address: str, directory: Path, client: Issued | None = None) -> bytes:
    """The certificate, in DER, that a new connection is shown, whoever signed it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    if client is not None:
        path = directory / f"client-{client.certificate.serial_number}.pem"
        path.write_bytes(client.chain + client.key)
        context.load_cert_chain(path)
    host, _, port = address.rpartition(":")
    with (
        socket.create_connection((host, int(port)), timeout=WAIT) as raw,
        context.wrap_socket(raw, server_hostname="localhost") as connection,
    ):
        return connection.getpeercert(binary_form=True) or b""


def last_call(server: Server) -> dict[str, object]:
    """The audit record of the last RPC."""
    return [record for record in server.audited() if "method" in record][-1]


def last_caller(server: Server) -> tuple[object, object, object]:
    """Name, kind and identity of its caller; empty texts for none."""
    record = last_call(server)
    return record.get("caller", ""), record.get("caller_kind", ""), record.get("caller_identity", "")
