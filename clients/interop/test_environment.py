"""Variables that make no client, in each language: the error names the variable, and never the key."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest

from clients.interop.client import Client


HOST_PORT: Final = "must be HOST:PORT, such as localhost:50051"
ONE_OF_THEM: Final = "are set: set only one of them"
HEADER_SAFE: Final = "1 to 8192 characters of printable ASCII without spaces"
TOGETHER: Final = "go together: set both or neither"
SECONDS: Final = "must be a number of seconds above 0"

CASES: Final = {
    "no address": ({"ADDRESS": ""}, ["ADDRESS"], "is not set"),
    "no port": ({"ADDRESS": "localhost"}, ["ADDRESS"], HOST_PORT),
    "a URL": ({"ADDRESS": "https://localhost:50051"}, ["ADDRESS"], HOST_PORT),
    "no credentials": ({"API_KEY": ""}, ["API_KEY", "TOKEN_FILE", "CLIENT_CERT_FILE"], "no credentials: set "),
    "two keys": ({"API_KEY_FILE": "{file}"}, ["API_KEY", "API_KEY_FILE"], ONE_OF_THEM),
    "a key and a token": ({"TOKEN_FILE": "{file}"}, ["API_KEY", "TOKEN_FILE"], ONE_OF_THEM),
    "two files": (
        {"API_KEY": "", "API_KEY_FILE": "{file}", "TOKEN_FILE": "{file}"},
        ["API_KEY_FILE", "TOKEN_FILE"],
        ONE_OF_THEM,
    ),
    "a key that no header carries": ({"API_KEY": "tak_hidden\nsecond"}, ["API_KEY"], HEADER_SAFE),
    "a file without a key": ({"API_KEY": "", "API_KEY_FILE": "{empty}"}, ["API_KEY_FILE"], HEADER_SAFE),
    "plaintext with a CA": ({"PLAINTEXT": "1"}, ["PLAINTEXT", "CA_FILE"], "does not go with"),
    "plaintext with a certificate": (
        {"PLAINTEXT": "true", "CA_FILE": "", "CLIENT_CERT_FILE": "{cert}", "CLIENT_KEY_FILE": "{key}"},
        ["PLAINTEXT", "CLIENT_CERT_FILE"],
        "does not go with",
    ),
    "plaintext that is no flag": (
        {"PLAINTEXT": "maybe", "CA_FILE": ""},
        ["PLAINTEXT"],
        "must be one of 1, true, yes, on, 0, false, no, off",
    ),
    "a certificate without its key": (
        {"CLIENT_CERT_FILE": "{cert}"},
        ["CLIENT_CERT_FILE", "CLIENT_KEY_FILE"],
        TOGETHER,
    ),
    "a key without its certificate": ({"CLIENT_KEY_FILE": "{key}"}, ["CLIENT_CERT_FILE", "CLIENT_KEY_FILE"], TOGETHER),
    "a CA that is none": ({"CA_FILE": "{empty}"}, ["CA_FILE"], "holds no certificate in PEM"),
    "a timeout that is no number": ({"TIMEOUT": "soon"}, ["TIMEOUT"], SECONDS),
    "no time": ({"TIMEOUT": "0"}, ["TIMEOUT"], SECONDS),
    "less than no time": ({"TIMEOUT": "-1"}, ["TIMEOUT"], SECONDS),
    "a timeout without an end": ({"TIMEOUT": "inf"}, ["TIMEOUT"], SECONDS),
}
"""What the environment of a working client is changed to, the variables that the error names, and what else it says."""


@pytest.mark.parametrize(("changes", "named", "says"), CASES.values(), ids=CASES.keys())
def test_an_invalid_variable_is_named(
    client: Client, tmp_path: Path, changes: dict[str, str], named: list[str], says: str
) -> None:
    """At the start and not with the first call; the driver goes on. All languages say what is allowed alike."""
    for name, text in {"file": "tak_hidden", "empty": "\n"}.items():
        (tmp_path / name).write_text(text)
    places = {"file": tmp_path / "file", "empty": tmp_path / "empty"}
    places |= {"cert": client.world.directory / "client.pem", "key": client.world.directory / "client.key"}
    filled = {name: value.format_map(places) for name, value in changes.items()}
    with client.started(client.world.environment(**filled)) as driver:
        failures = [driver.failure("create_session", options={}) for _ in range(2)]

    assert ["CLIENT"] * 2 == [failure.code for failure in failures]
    for failure in failures:
        assert [] == [name for name in named if f"TOKENAUTHORITY_{name}" not in failure.message], failure.message
        assert says in failure.message
        assert client.world.keys["backend"] not in failure.message
        assert "hidden" not in failure.message


@pytest.mark.parametrize("name", ["API_KEY_FILE", "CA_FILE", "CLIENT_CERT_FILE"])
def test_a_file_that_is_not_there_is_named(client: Client, tmp_path: Path, name: str) -> None:
    """By its variable or its path."""
    changes = {name: str(tmp_path / "absent.pem")}
    if name == "API_KEY_FILE":
        changes["API_KEY"] = ""
    if name == "CLIENT_CERT_FILE":
        changes["CLIENT_KEY_FILE"] = str(client.world.directory / "client.key")
    with client.started(client.world.environment(**changes)) as driver:
        failure = driver.failure("create_session", options={})

    assert "CLIENT" == failure.code
    assert f"TOKENAUTHORITY_{name}" in failure.message or "absent.pem" in failure.message


@pytest.mark.parametrize("value", ["0", "false", "No", "OFF", ""])
def test_plaintext_may_be_denied(client: Client, value: str) -> None:
    """In the words of all clients; then TLS it is."""
    variables = {**client.world.environment(PROJECT_ID=client.project_id), "TOKENAUTHORITY_PLAINTEXT": value}
    with client.started(variables) as driver:
        assert driver.ok("create_session", options={})["session_id"]
