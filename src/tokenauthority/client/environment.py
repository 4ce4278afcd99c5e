"""The environment variables of clients: the library reads the first five, the command line all."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from tokenauthority.client.connection import Connection


if TYPE_CHECKING:
    from collections.abc import Mapping


ADDRESS: Final = "TOKENAUTHORITY_ADDRESS"
API_KEY: Final = "TOKENAUTHORITY_API_KEY"
CA_FILE: Final = "TOKENAUTHORITY_CA_FILE"
PLAINTEXT: Final = "TOKENAUTHORITY_PLAINTEXT"
PROJECT_ID: Final = "TOKENAUTHORITY_PROJECT_ID"

API_KEY_FILE: Final = "TOKENAUTHORITY_API_KEY_FILE"
TIMEOUT: Final = "TOKENAUTHORITY_TIMEOUT"
JSON: Final = "TOKENAUTHORITY_JSON"

CLIENT_VARIABLES: Final = frozenset(
    {ADDRESS, API_KEY, CA_FILE, PLAINTEXT, PROJECT_ID, API_KEY_FILE, TIMEOUT, JSON},
)
"""All of them, so that the server's settings, which share the prefix, can tell them from misspelt ones."""


def connection_from(environ: Mapping[str, str]) -> Connection:
    """The connection that *environ* describes.

    Raises:
        ValueError: a required variable is missing or has a bad value; the message never holds the key.
        OSError: the file of root certificates cannot be read.
    """
    ca_file = environ.get(CA_FILE, "")
    return Connection(
        address=_required(environ, ADDRESS),
        api_key=_required(environ, API_KEY),
        project_id=environ.get(PROJECT_ID, ""),
        plaintext=_flag(environ, PLAINTEXT),
        root_certificates=Path(ca_file).read_bytes() if ca_file else None,
    )


def _required(environ: Mapping[str, str], name: str) -> str:
    value = environ.get(name, "")
    if not value:
        raise ValueError(f"{name} is not set")
    return value


def _flag(environ: Mapping[str, str], name: str) -> bool:
    value = environ.get(name, "")
    if value not in {"", "0", "1"}:
        raise ValueError(f"{name} must be 1 or 0")
    return value == "1"
