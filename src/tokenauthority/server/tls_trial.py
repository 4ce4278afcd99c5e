"""Serve one handshake with a certificate, by the library that is to serve with it, before any client meets it.

Each library has a parser of its own: what one loads, another refuses, such as a byte order mark, or a curve.
"""

from __future__ import annotations

import os
import socket
import ssl

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import Final

import grpc


_TIMEOUT: Final = 5.0
"""Seconds of a handshake with ourselves."""

_PLACE: Final = "127.0.0.1"
_TURNS: Final = 8
"""Turns of a handshake in memory, at most; TLS 1.3 needs two."""


def grpc_serves(chain: bytes, key: bytes, roots: bytes | None) -> bool:
    """Return whether gRPC loads the PEM texts, and a client sees the certificate. gRPC does not say why it did not.

    Raises:
        OSError: there is no answer to that, as the trial needs a port, descriptors, a thread and five seconds.
    """
    credentials = grpc.ssl_server_credentials([(key, chain)], root_certificates=roots)
    with ThreadPoolExecutor(1) as threads:
        server = grpc.server(threads, options=[("grpc.so_reuseport", 0)])
        try:
            try:
                port = server.add_secure_port(f"{_PLACE}:0", credentials)
            except RuntimeError:
                # gRPC has one error for texts that it refuses and for a port that it does not get. Is it the port?
                server.add_insecure_port(f"{_PLACE}:0")
                return False
            server.start()
            _see(port)
        except RuntimeError as error:
            raise OSError(str(error)) from error
        else:
            return True
        finally:
            server.stop(None).wait(_TIMEOUT)


def try_https(chain: bytes, key: bytes) -> None:
    """Return if OpenSSL serves with the PEM texts; raise ssl.SSLError if not, and OSError if it cannot be asked."""
    trial = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    load_https(trial, chain, key)
    _shake_hands(trial)


def load_https(context: ssl.SSLContext, chain: bytes, key: bytes) -> None:
    """Have *context* serve with PEM texts that were tried from now on; raise OSError, and change nothing, if it cannot.

    Call this on the thread that serves: OpenSSL does not lock a context.
    """
    # OpenSSL reads files only. These two exist in memory alone.
    with _in_memory(chain) as chain_file, _in_memory(key) as key_file:
        context.load_cert_chain(chain_file, key_file)


def _see(port: int) -> None:
    client = _client()
    client.set_alpn_protocols(["h2"])
    with socket.create_connection((_PLACE, port), _TIMEOUT) as line, client.wrap_socket(line):
        pass


def _shake_hands(server_context: ssl.SSLContext) -> None:
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = server_context.wrap_bio(to_server, to_client, server_side=True)
    client = _client().wrap_bio(to_client, to_server)
    for _ in range(_TURNS):
        for side in (client, server):
            with suppress(ssl.SSLWantReadError):
                side.do_handshake()
    if client.version() is None or server.version() is None:
        raise ssl.SSLError("the handshake does not end")


def _client() -> ssl.SSLContext:
    """Return a client that verifies nothing: whether clients trust the certificate is theirs to say."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


@contextmanager
def _in_memory(text: bytes) -> Iterator[str]:
    file = os.memfd_create("tls")
    try:
        os.write(file, text)
        yield f"/proc/self/fd/{file}"
    finally:
        os.close(file)
