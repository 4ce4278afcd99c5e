"""Check whether an authority serves: `tokenauthority health`."""

from __future__ import annotations

import socket
import ssl
import threading

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

import click
import grpc

from cryptography import x509
from grpc_health.v1 import health_pb2

from tokenauthority.cli.failures import ConfigurationFailure, Failure, UnreachableFailure
from tokenauthority.cli.options import Command, current
from tokenauthority.cli.output import show_record
from tokenauthority.cli.server import config_option, load_settings
from tokenauthority.client import translated_errors
from tokenauthority.client.connection import DEFAULT_TIMEOUT, Connection
from tokenauthority.config.listeners import OFF


if TYPE_CHECKING:
    from tokenauthority.config.settings import Settings


_LOOPBACK: Final = {IPv4Address(0): "127.0.0.1", IPv6Address(0): "[::1]"}
"""The address on this machine of a server that listens on all addresses."""


@click.command(cls=Command)
@click.option("--service", default="", metavar="NAME", help="Such as tokenauthority.v1.TokenService.")
@config_option
def health(service: str, config_file: Path | None) -> None:
    """Check whether an authority serves. Exit code 0 only if it does.

    The authority as a whole serves while it can sign and verify tokens and record each call. --service asks whether one
    of its services can do its work.

    Without --address, this command checks the server that the settings of this machine or container describe. If that
    server requires client certificates on every gRPC port, the command asks listen.ops whether the server is ready.
    """
    if current().address:
        connection = current().connection(with_key=False)
    else:
        settings = load_settings(config_file, complete=False)
        if settings.listen.grpc == OFF:
            _ask_http(settings, service)
            return
        connection = _local_connection(settings)
    with connection.open() as channel, translated_errors():
        check = channel.unary_unary(
            "/grpc.health.v1.Health/Check",
            request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
            response_deserializer=health_pb2.HealthCheckResponse.FromString,
        )
        try:
            answer = check(health_pb2.HealthCheckRequest(service=service))
        except grpc.RpcError as error:
            if error.code() is grpc.StatusCode.NOT_FOUND:
                raise _no_service(service) from error
            raise
    status = health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status)
    show_record({"status": status.lower()}, as_json=current().as_json)
    if status != "SERVING":
        raise Failure(f"the authority does not serve: {status}")


def _ask_http(settings: Settings, service: str) -> None:
    host, port = _reachable_at(settings.listen.ops)
    timeout = current().timeout or DEFAULT_TIMEOUT
    if settings.listen.http_plaintext:
        connection = HTTPConnection(host.strip("[]"), int(port), timeout=timeout)
    else:
        connection = HTTPSConnection(host.strip("[]"), int(port), timeout=timeout, context=_unverified())
    try:
        with _ended_after(timeout, connection):
            connection.request("GET", f"/readyz?service={quote(service)}")
            status = connection.getresponse().status
    except (OSError, HTTPException) as error:
        raise UnreachableFailure(f"the authority cannot be reached at {host}:{port}") from error
    finally:
        connection.close()
    if status == HTTPStatus.NOT_FOUND:
        raise _no_service(service)
    ready = status == HTTPStatus.OK
    show_record({"status": "serving" if ready else "not_serving"}, as_json=current().as_json)
    if not ready:
        raise Failure("the authority does not serve: it is not ready")


@contextmanager
def _ended_after(seconds: float, connection: HTTPConnection) -> Iterator[None]:
    """End *connection* after so many seconds: its own timeout counts anew for each byte and each interim response."""

    def end() -> None:
        if isinstance(connection.sock, socket.socket):
            with suppress(OSError):
                # Not the method of a TLS socket, which is not made for a call while another thread reads.
                socket.socket.shutdown(connection.sock, socket.SHUT_RDWR)

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _no_service(name: str) -> Failure:
    return Failure(f"the authority has no service {name}")


def _local_connection(settings: Settings) -> Connection:
    """Return the connection to the server of these settings. It trusts the server's certificate, whoever signed it."""
    if settings.tls.cert_file is None:
        raise ConfigurationFailure(
            "no address: give --address (after `make run`: source .tokenauthority/dev.env), "
            "or --config with the settings of a server that has a certificate"
        )
    host, port = _reachable_at(settings.listen.grpc)
    certificate = _shown_certificate(host, port)
    return Connection(
        address=f"{host}:{port}",
        api_key="",
        root_certificates=certificate,
        tls_server_name=_dns_name_of(certificate),
        timeout=current().timeout or DEFAULT_TIMEOUT,
    )


def _shown_certificate(host: str, port: str) -> bytes:
    """Return the certificate that the server shows, which need not be the one that the file holds by now."""
    context, timeout = _unverified(), current().timeout or DEFAULT_TIMEOUT
    context.set_alpn_protocols(["h2"])
    try:
        with (
            socket.create_connection((host.strip("[]"), int(port)), timeout) as line,
            context.wrap_socket(line) as opened,
        ):
            return ssl.DER_cert_to_PEM_cert(opened.getpeercert(binary_form=True) or b"").encode("ascii")
    except OSError as error:
        raise UnreachableFailure(f"the authority cannot be reached at {host}:{port}") from error


def _unverified() -> ssl.SSLContext:
    """Return a context for a server on this machine that is sent no secret, so its certificate need not be verified."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def _reachable_at(address: str) -> tuple[str, str]:
    """Return host and port at which this machine reaches the server that listens on *address*."""
    host, _, port = address.rpartition(":")
    # A host name is not an IP address and stays as it is.
    with suppress(ValueError):
        host = _LOOPBACK.get(ip_address(host.strip("[]")), host)
    return host, port


def _dns_name_of(certificate: bytes) -> str:
    """Return a DNS name of the certificate, or the empty text if it has none: then it must name the address."""
    leaf = x509.load_pem_x509_certificates(certificate)[0]
    try:
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ""
    found = names.get_values_for_type(x509.DNSName)
    return found[0].replace("*", "health") if found else ""
