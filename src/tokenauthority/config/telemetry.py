"""Check the settings of traces and metrics, and read the headers that prove this server to the collector."""

from __future__ import annotations

import os
import re
import ssl

from pathlib import Path
from typing import Final

from tokenauthority.config.telemetry_settings import TelemetrySettings
from tokenauthority.config.wording import unreadable, variable_of
from tokenauthority.files import open_regular


MAX_FILE: Final = 8192
"""Largest size in bytes of the file of headers."""

MAX_HEADERS: Final = 16

LOOPBACK_URL: Final = re.compile(r"^http://(127(\.[0-9]{1,3}){3}|localhost|\[::1\])(:|/|$)")
"""What needs no TLS, because it does not leave the machine."""

_HEADER: Final = re.compile(r"(?!grpc-)([a-z0-9_.-]*[a-z0-9_.])(?<!-bin):[ \t]*([!-~]([ -~]*[!-~])?)[ \t]*")
"""Metadata that gRPC sends as it is: its own names are reserved, and values of `-bin` are base64."""

_EXPECTED: Final = (
    "must be `name: value` in ASCII, the name in lower case, without `grpc-` before it or `-bin` after it"
)

_ENDPOINT: Final = variable_of(("telemetry", "endpoint"))
_PLAINTEXT: Final = variable_of(("telemetry", "plaintext"))
_HEADERS: Final = variable_of(("telemetry", "headers_file"))
_CA: Final = variable_of(("telemetry", "ca_file"))
_CERT: Final = variable_of(("telemetry", "cert_file"))
_KEY: Final = variable_of(("telemetry", "key_file"))


def problems_of_telemetry(telemetry: TelemetrySettings) -> list[str]:
    """Return why nothing can be sent with these settings; empty if it can, or if nothing is to be sent."""
    files = {_CA: telemetry.ca_file, _CERT: telemetry.cert_file, _KEY: telemetry.key_file}
    given = {variable: path for variable, path in files.items() if path is not None}
    if not telemetry.endpoint:
        unused = [*given, *([_HEADERS] if telemetry.headers_file is not None else [])]
        return [f"{variable} is for {_ENDPOINT}, which is not set" for variable in unused]
    problems = []
    if telemetry.endpoint.startswith("https://"):
        if telemetry.plaintext:
            problems.append(f"{_PLAINTEXT} is for http:// in {_ENDPOINT}")
        problems += [problem for variable, path in given.items() for problem in unreadable(variable, path)]
        problems = problems or _problems_of_tls(telemetry)
    else:
        problems += [f"{variable} is for https:// in {_ENDPOINT}" for variable in given]
        if not telemetry.plaintext and not LOOPBACK_URL.match(telemetry.endpoint):
            problems.append(f"{_ENDPOINT} must begin with https://, or be on loopback; {_PLAINTEXT}=true allows others")
    if not (telemetry.traces or telemetry.metrics):
        traces, metrics = variable_of(("telemetry", "traces")), variable_of(("telemetry", "metrics"))
        problems.append(f"one of {traces} and {metrics} must be true with {_ENDPOINT}")
    return problems + read_headers(telemetry.headers_file)[1]


def read_headers(path: Path | None) -> tuple[tuple[tuple[str, str], ...], list[str]]:
    """Return the headers in their order, and what is wrong with the file, without any part of a value."""
    if path is None:
        return (), []
    try:
        with open_regular(path) as file:
            content = file.read(MAX_FILE + 1)
    except OSError as error:
        return (), [f"{_HEADERS}: {path} cannot be read by uid {os.geteuid()}: {error.strerror}"]
    if len(content) > MAX_FILE:
        return (), [f"{_HEADERS}: {path} has more than {MAX_FILE} bytes"]
    lines = [(number, line) for number, line in enumerate(content.decode("latin-1").splitlines(), 1) if line.strip()]
    found = [(number, _HEADER.fullmatch(line)) for number, line in lines]
    wrong = [f"line {number} {_EXPECTED}" for number, match in found if match is None]
    if not 1 <= len(lines) <= MAX_HEADERS:
        wrong.append(f"must have 1 to {MAX_HEADERS} headers, one a line, has {len(lines)}")
    headers = tuple((match[1], match[2]) for _, match in found if match is not None)
    return headers, [f"{_HEADERS}: {path} {problem}" for problem in wrong]


def _problems_of_tls(telemetry: TelemetrySettings) -> list[str]:
    """Return what is wrong with files that can be read."""
    cert, key = telemetry.cert_file, telemetry.key_file
    if (cert is None) != (key is None):
        return [f"{_CERT} and {_KEY} are required together"]
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    problems = []
    if telemetry.ca_file is not None:
        try:
            context.load_verify_locations(telemetry.ca_file)
        except (OSError, ssl.SSLError):
            problems.append(f"{_CA}: {telemetry.ca_file} is not a PEM file with certificates")
    if cert is not None and key is not None:
        try:
            # An encrypted key would else ask for its password on the terminal.
            context.load_cert_chain(cert, key, password=b"")
        except (OSError, ssl.SSLError):
            problems.append(f"{_CERT} and {_KEY} are not PEM files with a certificate and its unencrypted key")
    return problems
