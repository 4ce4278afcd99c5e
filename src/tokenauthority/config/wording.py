"""Word the problem of a setting: name its variable and its key in the file, without its value."""

from __future__ import annotations

import os
import re

from pathlib import Path
from typing import Final

from tokenauthority.config.settings import PREFIX


_CREDENTIAL: Final = "must be the name of a credential: letters, digits, _, - and ., no . at its start"
_PATTERNS: Final = {
    ("listen", "grpc"): "must be HOST:PORT, such as 0.0.0.0:50051 or [::]:50051",
    ("listen", "http"): "must be HOST:PORT, such as 0.0.0.0:8080 or [::]:8080",
    ("listen", "ops"): "must be HOST:PORT, such as 127.0.0.1:8081 or [::1]:8081",
    ("listen", "mtls"): "must be HOST:PORT, such as 0.0.0.0:50052 or [::]:50052",
    ("listen", "sidecar"): "must be unix:PATH or a loopback address such as 127.0.0.1:50053",
    ("mtls", "trust_domain"): "must be a SPIFFE trust domain, such as prod.example: a-z, 0-9, ., _ and -",
    ("listen", "http_api"): "must be HOST:PORT, such as 0.0.0.0:8082 or [::]:8082, or off",
    ("issuance", "issuer"): "must be a URL, such as https://tokens.example.com",
    ("platform", "urls"): "must be URLs such as https://api.opentok.com, with a space between two and no / at an end",
    ("telemetry", "endpoint"): "must be a URL with a port and no path, such as https://collector.example.com:4317",
    ("keys", "master_key_credential"): _CREDENTIAL,
    ("keys", "previous_master_key_credential"): _CREDENTIAL,
}
"""What a value must be, for the fields with a pattern."""


def variable_of(path: tuple[str, ...]) -> str:
    """Return the variable of the setting at *path*, such as `TOKENAUTHORITY_LISTEN__GRPC`."""
    return PREFIX + "__".join(path).upper()


def worded(path: tuple[str, ...], kind: str, message: str) -> str:
    """Return the problem of the setting at *path*; *kind* and *message* are pydantic's."""
    key = ".".join(path)
    if not path:
        return _plain(message)
    if kind == "extra_forbidden":
        return f"{key} in the file is not a setting"
    if kind == "model_type":
        return f"{key} in the file must be a table: [{key}]"
    problem = _PATTERNS[path] if kind == "string_pattern_mismatch" and path in _PATTERNS else _plain(message)
    return f"{variable_of(path)} ({key} in the file) {problem}"


def unreadable(variable: str, path: Path) -> list[str]:
    """Return why this process cannot read the file that *variable* names; empty if it can."""
    try:
        if not path.is_file():
            return [f"{variable}: {path} is not a file"]
        with path.open("rb"):
            return []
    except OSError as error:
        return [f"{variable}: {path} cannot be read by uid {os.geteuid()}: {error.strerror}"]


def _plain(message: str) -> str:
    return re.sub(r"^(?:Input|String|Value|Path|List) should ", "must ", message)
