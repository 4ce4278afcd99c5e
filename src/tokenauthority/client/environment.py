"""The environment variables of clients: the command line reads all, the library all but the last."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from tokenauthority.client.connection import DEFAULT_TIMEOUT, Connection


if TYPE_CHECKING:
    from collections.abc import Mapping


ADDRESS: Final = "TOKENAUTHORITY_ADDRESS"
API_KEY: Final = "TOKENAUTHORITY_API_KEY"
API_KEY_FILE: Final = "TOKENAUTHORITY_API_KEY_FILE"
CA_FILE: Final = "TOKENAUTHORITY_CA_FILE"
PLAINTEXT: Final = "TOKENAUTHORITY_PLAINTEXT"
PROJECT_ID: Final = "TOKENAUTHORITY_PROJECT_ID"
TIMEOUT: Final = "TOKENAUTHORITY_TIMEOUT"

JSON: Final = "TOKENAUTHORITY_JSON"

CLIENT_VARIABLES: Final = frozenset(
    {ADDRESS, API_KEY, CA_FILE, PLAINTEXT, PROJECT_ID, API_KEY_FILE, TIMEOUT, JSON},
)
"""All of them, so that the server's settings, which share the prefix, can tell them from misspelt ones."""

_YES: Final = frozenset({"1", "true", "yes", "on", "t", "y"})
_NO: Final = frozenset({"", "0", "false", "no", "off", "f", "n"})
"""What the command line takes for a flag too."""


def connection_from(environ: Mapping[str, str]) -> Connection:
    """The connection that *environ* describes.

    Raises:
        ValueError: a required variable is missing or has a bad value; the message never holds the key.
        OSError: the file of the API key or of root certificates cannot be read.
    """
    ca_file = environ.get(CA_FILE, "")
    return Connection(
        address=_required(environ, ADDRESS),
        api_key=_api_key(environ),
        project_id=environ.get(PROJECT_ID, ""),
        plaintext=_flag(environ, PLAINTEXT),
        root_certificates=Path(ca_file).read_bytes() if ca_file else None,
        timeout=_timeout(environ),
    )


def _api_key(environ: Mapping[str, str]) -> str:
    key, file = environ.get(API_KEY, ""), environ.get(API_KEY_FILE, "")
    if key and file:
        raise ValueError(f"{API_KEY} and {API_KEY_FILE} are both set: which one is meant?")
    if not (key or file):
        raise ValueError(f"neither {API_KEY} nor {API_KEY_FILE} is set")
    if key:
        return key
    try:
        kept = Path(file).read_text(encoding="ascii").strip()
    except UnicodeDecodeError:
        # Without the cause, which quotes the file.
        raise ValueError(f"{API_KEY_FILE}: the file holds no API key") from None
    if not kept:
        raise ValueError(f"{API_KEY_FILE}: the file is empty")
    return kept


def _timeout(environ: Mapping[str, str]) -> float:
    text = environ.get(TIMEOUT, "")
    if not text:
        return DEFAULT_TIMEOUT
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"{TIMEOUT} must be a number of seconds") from None


def _required(environ: Mapping[str, str], name: str) -> str:
    value = environ.get(name, "")
    if not value:
        raise ValueError(f"{name} is not set")
    return value


def _flag(environ: Mapping[str, str], name: str) -> bool:
    value = environ.get(name, "").strip().lower()
    if value not in _YES | _NO:
        raise ValueError(f"{name} must be one of 1, true, yes, on, 0, false, no, off")
    return value in _YES
