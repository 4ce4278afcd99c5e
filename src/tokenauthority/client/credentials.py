"""What proves who a client is: the bearer credential of each call, and the client certificate of its connection."""

from __future__ import annotations

import re
import ssl

from collections.abc import Callable
from pathlib import Path
from typing import Final

import grpc

from tokenauthority.client.errors import Unauthenticated


MAX_TOKEN: Final = 8192
"""Bytes of a bearer credential; the server reads no longer one."""

MAX_PEM: Final = 1 << 20
"""Bytes of a file in PEM."""

HEADER_SAFE: Final = "1 to 8192 characters of printable ASCII without spaces"
"""What a bearer credential is, for errors."""

_HEADER_SAFE: Final = re.compile(r"[\x21-\x7e]+", re.ASCII)


def is_header_safe(credential: str) -> bool:
    """Return whether a header carries *credential*, and the server reads it."""
    return len(credential) <= MAX_TOKEN and _HEADER_SAFE.fullmatch(credential) is not None


def holds_certificate(pem: bytes) -> bool:
    """Return whether *pem* has a certificate. gRPC takes any bytes, and then trusts nobody."""
    return b"-----BEGIN CERTIFICATE-----" in pem


def read_roots(path: str) -> bytes:
    """Return the certificate authorities in the file at *path*, in PEM.

    Raises:
        OSError: it cannot be read.
        ValueError: it holds no certificate, or has more than `MAX_PEM` bytes.
    """
    try:
        roots = read_file(path, MAX_PEM)
    except ValueError as error:
        raise ValueError(f"ca_file {path}: {error}") from None
    if not holds_certificate(roots):
        raise ValueError(f"ca_file {path}: holds no certificate in PEM")
    return roots


def read_file(path: str, limit: int) -> bytes:
    """Return the content of the file at *path*.

    Raises:
        OSError: it cannot be read.
        ValueError: it is no regular file, which could block or have no end, or has more than *limit* bytes. The message
            does not name the file.
    """
    file = Path(path)
    if not file.is_file() and file.stat():
        raise ValueError("is not a regular file")
    with file.open("rb") as opened:
        content = opened.read(limit + 1)
    if len(content) > limit:
        raise ValueError(f"has more than {limit} bytes")
    return content


def read_token(path: str) -> str:
    """Return the bearer credential in the file at *path*, without the white space around it.

    Raises:
        Unauthenticated: the file cannot be read or holds none. The message names the file and does not quote it.
    """
    try:
        token = read_file(path, MAX_TOKEN).decode("ascii", "replace").strip()
    except OSError as error:
        raise _unusable(f"token_file {path}: {error.strerror}") from error
    except ValueError as error:
        raise _unusable(f"token_file {path}: {error}") from None
    if not is_header_safe(token):
        raise _unusable(f"token_file {path}: the file must hold {HEADER_SAFE}")
    return token


def call_credentials(credentials: Callable[[], str]) -> str:
    """Return the bearer credential that *credentials* returns.

    Raises:
        Unauthenticated: it failed, or returned something else. The message does not quote what it returned.
    """
    try:
        token: object = credentials()
    except Exception as error:
        raise _unusable(f"credentials() raised {type(error).__name__}") from error
    if not isinstance(token, str):
        raise _unusable(f"credentials() must return str, not {type(token).__name__}")
    if not is_header_safe(token):
        raise _unusable(f"credentials() must return {HEADER_SAFE}")
    return token


def read_certificate(cert_file: str, key_file: str) -> tuple[bytes, bytes]:
    """Return a client's private key and its certificate chain, in PEM.

    Raises:
        OSError: a file cannot be read.
        ValueError: they are no certificate and its private key, without a password. gRPC would say no more than that
            the handshake failed.
    """
    contents = []
    for name, path in (("key_file", key_file), ("cert_file", cert_file)):
        try:
            contents.append(read_file(path, MAX_PEM))
        except ValueError as error:
            raise ValueError(f"{name} {path}: {error}") from None
        if not contents[-1]:
            # The check below reads it again, and gRPC aborts the whole process at an empty certificate or key.
            raise ValueError(f"{name} {path}: is empty")
    try:
        # Without a password OpenSSL would ask for one on the terminal.
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain(cert_file, key_file, password="")
    except ssl.SSLError:
        raise ValueError(
            f"cert_file {cert_file} and key_file {key_file}: not a certificate and its private key in PEM, "
            "without a password"
        ) from None
    return contents[0], contents[1]


def _unusable(problem: str) -> Unauthenticated:
    return Unauthenticated(problem, code=grpc.StatusCode.UNAUTHENTICATED)
