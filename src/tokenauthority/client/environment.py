"""Read the environment variables that describe a connection, for the library and the command line."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final

from tokenauthority.client.arguments import wrong_type
from tokenauthority.client.connection import DEFAULT_TIMEOUT, Connection
from tokenauthority.client.credentials import HEADER_SAFE, holds_certificate, is_header_safe, read_certificate


ADDRESS: Final = "TOKENAUTHORITY_ADDRESS"
API_KEY: Final = "TOKENAUTHORITY_API_KEY"
API_KEY_FILE: Final = "TOKENAUTHORITY_API_KEY_FILE"
TOKEN_FILE: Final = "TOKENAUTHORITY_TOKEN_FILE"  # noqa: S105 - the name of an environment variable, whose value is a path
CLIENT_CERT_FILE: Final = "TOKENAUTHORITY_CLIENT_CERT_FILE"
CLIENT_KEY_FILE: Final = "TOKENAUTHORITY_CLIENT_KEY_FILE"
CA_FILE: Final = "TOKENAUTHORITY_CA_FILE"
PLAINTEXT: Final = "TOKENAUTHORITY_PLAINTEXT"
PROJECT_ID: Final = "TOKENAUTHORITY_PROJECT_ID"
TIMEOUT: Final = "TOKENAUTHORITY_TIMEOUT"

JSON: Final = "TOKENAUTHORITY_JSON"
"""Read by the command line only."""

CLIENT_VARIABLES: Final = frozenset(
    {
        ADDRESS,
        API_KEY,
        API_KEY_FILE,
        TOKEN_FILE,
        CLIENT_CERT_FILE,
        CLIENT_KEY_FILE,
        CA_FILE,
        PLAINTEXT,
        PROJECT_ID,
        TIMEOUT,
        JSON,
    }
)
"""All variables of clients. The server's settings share the prefix and must not take them for misspelt settings."""

_YES: Final = frozenset({"1", "true", "yes", "on", "t", "y"})
_NO: Final = frozenset({"", "0", "false", "no", "off", "f", "n"})
"""The values that click accepts for a flag."""


MAX_FILE: Final = 1 << 20
"""Bytes of a file that a variable names. A bundle of all public certificate authorities has a quarter of that."""


_ARGUMENTS: Final = {
    "address": ADDRESS,
    "cert_file": CLIENT_CERT_FILE,
    "key_file": CLIENT_KEY_FILE,
    "timeout": TIMEOUT,
}
"""The variable of each argument with which the message of a ValueError begins."""


def open_disk_file(_: str, path: str) -> IO[bytes]:
    """Open the file at *path*."""
    return Path(path).open("rb")


def connection_from(
    environ: Mapping[str, str], *, with_key: bool = True, open_file: Callable[[str, str], IO[bytes]] = open_disk_file
) -> Connection:
    """Return the connection that variables describe.

    Args:
        environ: the variables; an empty one counts as not set.
        with_key: whether credentials are required; else no bearer credential is read or sent.
        open_file: opens the file that a variable names, called with the variable and its value.

    Raises:
        ValueError: a required variable is missing, a value is invalid, or a file has more than `MAX_FILE` bytes. The
            message never holds the API key.
        OSError: the file of the API key, or one with certificates, cannot be read.
    """
    if not isinstance(environ, Mapping):
        raise wrong_type("environ", environ, "a mapping")
    if not environ.get(ADDRESS):
        raise ValueError(f"{ADDRESS} is not set")
    plaintext = _find_plaintext(environ)
    cert_file, key_file = _find_certificate(environ)
    if with_key:
        _require_credentials(environ)
    api_key = _find_api_key(environ, open_file) if with_key else ""
    root_certificates = _find_roots(environ, open_file)
    timeout = _parse_timeout(environ)
    with _naming_the_variable(API_KEY_FILE if environ.get(API_KEY_FILE) else API_KEY):
        return Connection(
            address=environ[ADDRESS],
            api_key=api_key,
            token_file=environ.get(TOKEN_FILE, "") if with_key else "",
            cert_file=cert_file,
            key_file=key_file,
            project_id=environ.get(PROJECT_ID, ""),
            plaintext=plaintext,
            root_certificates=root_certificates,
            timeout=timeout,
        )


@contextmanager
def _naming_the_variable(of_key: str = API_KEY) -> Iterator[None]:
    """Name the variable in a ValueError within it: *of_key*, unless the message begins with another argument."""
    try:
        yield
    except ValueError as error:
        variable = _ARGUMENTS.get(str(error).partition(" ")[0], of_key)
        raise ValueError(f"{variable}: {error}") from None


def _find_plaintext(environ: Mapping[str, str]) -> bool:
    plaintext = _parse_flag(environ, PLAINTEXT)
    for variable in (CA_FILE, CLIENT_CERT_FILE):
        if plaintext and environ.get(variable):
            raise ValueError(f"{PLAINTEXT} does not go with {variable}")
    return plaintext


def _find_certificate(environ: Mapping[str, str]) -> tuple[str, str]:
    cert_file, key_file = environ.get(CLIENT_CERT_FILE, ""), environ.get(CLIENT_KEY_FILE, "")
    if bool(cert_file) != bool(key_file):
        raise ValueError(f"{CLIENT_CERT_FILE} and {CLIENT_KEY_FILE} go together: set both or neither")
    if cert_file:
        with _naming_the_variable():
            read_certificate(cert_file, key_file)
    return cert_file, key_file


def _find_roots(environ: Mapping[str, str], open_file: Callable[[str, str], IO[bytes]]) -> bytes | None:
    ca_file = environ.get(CA_FILE, "")
    if not ca_file:
        return None
    found = _read_file(CA_FILE, ca_file, open_file)
    if not holds_certificate(found):
        raise ValueError(f"{CA_FILE} {ca_file}: holds no certificate in PEM")
    return found


def _require_credentials(environ: Mapping[str, str]) -> None:
    found = [name for name in (API_KEY, API_KEY_FILE, TOKEN_FILE) if environ.get(name)]
    if len(found) > 1:
        raise ValueError(f"{' and '.join(found)} are set: set only one of them")
    if not (found or environ.get(CLIENT_CERT_FILE)):
        raise ValueError(
            f"no credentials: set {API_KEY}, {API_KEY_FILE} or {TOKEN_FILE}, "
            f"or {CLIENT_CERT_FILE} with {CLIENT_KEY_FILE}"
        )


def _find_api_key(environ: Mapping[str, str], open_file: Callable[[str, str], IO[bytes]]) -> str:
    file = environ.get(API_KEY_FILE, "")
    if not file:
        return environ.get(API_KEY, "")
    content = _read_file(API_KEY_FILE, file, open_file).decode("ascii", "replace").strip()
    if not is_header_safe(content):
        raise ValueError(f"{API_KEY_FILE}: the file must hold {HEADER_SAFE}")
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
        raise ValueError(f"{TIMEOUT} must be a number of seconds above 0") from None


def _parse_flag(environ: Mapping[str, str], name: str) -> bool:
    value = environ.get(name, "").strip().lower()
    if value not in _YES | _NO:
        raise ValueError(f"{name} must be one of 1, true, yes, on, 0, false, no, off")
    return value in _YES
