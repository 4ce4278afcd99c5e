"""Read the environment variables that describe a connection, for the library and the command line."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Final

from tokenauthority.client.connection import DEFAULT_TIMEOUT, Connection


ADDRESS: Final = "TOKENAUTHORITY_ADDRESS"
API_KEY: Final = "TOKENAUTHORITY_API_KEY"
API_KEY_FILE: Final = "TOKENAUTHORITY_API_KEY_FILE"
CA_FILE: Final = "TOKENAUTHORITY_CA_FILE"
PLAINTEXT: Final = "TOKENAUTHORITY_PLAINTEXT"
PROJECT_ID: Final = "TOKENAUTHORITY_PROJECT_ID"
TIMEOUT: Final = "TOKENAUTHORITY_TIMEOUT"

JSON: Final = "TOKENAUTHORITY_JSON"
"""Read by the command line only."""

CLIENT_VARIABLES: Final = frozenset({ADDRESS, API_KEY, CA_FILE, PLAINTEXT, PROJECT_ID, API_KEY_FILE, TIMEOUT, JSON})
"""All variables of clients. The server's settings share the prefix and must not take them for misspelt settings."""

_YES: Final = frozenset({"1", "true", "yes", "on", "t", "y"})
_NO: Final = frozenset({"", "0", "false", "no", "off", "f", "n"})
"""The values that click accepts for a flag."""


MAX_FILE: Final = 1 << 20
"""Bytes of a file that a variable names. A bundle of all public certificate authorities has a quarter of that."""


def open_disk_file(_: str, path: str) -> IO[bytes]:
    """Open the file at *path*."""
    return Path(path).open("rb")


def connection_from(
    environ: Mapping[str, str], *, with_key: bool = True, open_file: Callable[[str, str], IO[bytes]] = open_disk_file
) -> Connection:
    """Return the connection that variables describe.

    Args:
        environ: the variables; an empty one counts as not set.
        with_key: whether an API key is required; else none is read or sent.
        open_file: opens the file that a variable names, called with the variable and its value.

    Raises:
        ValueError: a required variable is missing, a value is invalid, or a file has more than `MAX_FILE` bytes. The
            message never holds the API key.
        OSError: the file of the API key or of the root certificates cannot be read.
    """
    if not environ.get(ADDRESS):
        raise ValueError(f"{ADDRESS} is not set")
    plaintext, ca_file = _parse_flag(environ, PLAINTEXT), environ.get(CA_FILE, "")
    if plaintext and ca_file:
        raise ValueError(f"{PLAINTEXT} does not go with {CA_FILE}")
    root_certificates = _read_file(CA_FILE, ca_file, open_file) if ca_file else None
    if root_certificates is not None and b"-----BEGIN CERTIFICATE-----" not in root_certificates:
        raise ValueError(f"{CA_FILE} {ca_file}: holds no certificate in PEM")
    return Connection(
        address=environ[ADDRESS],
        api_key=_find_api_key(environ, open_file) if with_key else "",
        project_id=environ.get(PROJECT_ID, ""),
        plaintext=plaintext,
        root_certificates=root_certificates,
        timeout=_parse_timeout(environ),
    )


def _find_api_key(environ: Mapping[str, str], open_file: Callable[[str, str], IO[bytes]]) -> str:
    key, file = environ.get(API_KEY, ""), environ.get(API_KEY_FILE, "")
    if key and file:
        raise ValueError(f"{API_KEY} and {API_KEY_FILE} are both set: set one, not both")
    if not (key or file):
        raise ValueError(f"no API key: set {API_KEY} or {API_KEY_FILE}")
    if key:
        return key
    try:
        content = _read_file(API_KEY_FILE, file, open_file).decode("ascii").strip()
    except UnicodeDecodeError:
        # Without the cause, which quotes the file.
        raise ValueError(f"{API_KEY_FILE}: the file holds no API key") from None
    if not content:
        raise ValueError(f"{API_KEY_FILE}: the file is empty")
    return content


def _read_file(variable: str, path: str, open_file: Callable[[str, str], IO[bytes]]) -> bytes:
    with open_file(variable, path) as file:
        content = file.read(MAX_FILE + 1)
    if len(content) > MAX_FILE:
        raise ValueError(f"{variable}: the file has more than {MAX_FILE} bytes")
    return content


def _parse_timeout(environ: Mapping[str, str]) -> float:
    text = environ.get(TIMEOUT, "")
    if not text:
        return DEFAULT_TIMEOUT
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"{TIMEOUT} must be a number of seconds") from None


def _parse_flag(environ: Mapping[str, str], name: str) -> bool:
    value = environ.get(name, "").strip().lower()
    if value not in _YES | _NO:
        raise ValueError(f"{name} must be one of 1, true, yes, on, 0, false, no, off")
    return value in _YES
