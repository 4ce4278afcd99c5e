"""Variables that make no client, in each language: the error names the variable, and never the key."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest

from clients.interop.client import Client


CASES: Final = {
    "no address": ({"ADDRESS": ""}, ["ADDRESS"]),
    "no port": ({"ADDRESS": "localhost"}, ["ADDRESS"]),
    "a URL": ({"ADDRESS": "https://localhost:50051"}, ["ADDRESS"]),
    "no credentials": ({"API_KEY": ""}, ["API_KEY", "TOKEN_FILE", "CLIENT_CERT_FILE"]),
    "two keys": ({"API_KEY_FILE": "{file}"}, ["API_KEY", "API_KEY_FILE"]),
    "a key and a token": ({"TOKEN_FILE": "{file}"}, ["API_KEY", "TOKEN_FILE"]),
    "two files": ({"API_KEY": "", "API_KEY_FILE": "{file}", "TOKEN_FILE": "{file}"}, ["API_KEY_FILE", "TOKEN_FILE"]),
    "a key that no header carries": ({"API_KEY": "tak_hidden\nsecond"}, ["API_KEY"]),
    "a file without a key": ({"API_KEY": "", "API_KEY_FILE": "{empty}"}, ["API_KEY_FILE"]),
    "plaintext with a CA": ({"PLAINTEXT": "1"}, ["PLAINTEXT", "CA_FILE"]),
    "plaintext with a certificate": (
        {"PLAINTEXT": "true", "CA_FILE": "", "CLIENT_CERT_FILE": "{cert}", "CLIENT_KEY_FILE": "{key}"},
        ["PLAINTEXT", "CLIENT_CERT_FILE"],
    ),
    "plaintext that is no flag": ({"PLAINTEXT": "maybe", "CA_FILE": ""}, ["PLAINTEXT"]),
    "a certificate without its key": ({"CLIENT_CERT_FILE": "{cert}"}, ["CLIENT_CERT_FILE", "CLIENT_KEY_FILE"]),
    "a key without its certificate": ({"CLIENT_KEY_FILE": "{key}"}, ["CLIENT_CERT_FILE", "CLIENT_KEY_FILE"]),
    "a CA that is none": ({"CA_FILE": "{empty}"}, ["CA_FILE"]),
    "a timeout that is no number": ({"TIMEOUT": "soon"}, ["TIMEOUT"]),
    "no time": ({"TIMEOUT": "0"}, ["TIMEOUT"]),
    "less than no time": ({"TIMEOUT": "-1"}, ["TIMEOUT"]),
    "a timeout without an end": ({"TIMEOUT": "inf"}, ["TIMEOUT"]),
}
"""What the environment of a working client is changed to, and the variables that the error names."""


@pytest.mark.parametrize(("changes", "named"), CASES.values(), ids=CASES.keys())
def test_an_invalid_variable_is_named(
    client: Client, tmp_path: Path, changes: dict[str, str], named: list[str]
) -> None:
    """At the start and not with the first call; the driver goes on."""
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
