"""Which connection the environment variables describe, and which of them is named as wrong."""

from __future__ import annotations

from pathlib import Path

import click
import pytest
import trustme

from tokenauthority.client import Authority
from tokenauthority.client.connection import Connection
from tokenauthority.client.environment import ADDRESS, API_KEY, MAX_FILE, PLAINTEXT, connection_from


KEY = "tak_" + "k" * 43
CLIENT_FILES = ("TOKENAUTHORITY_CLIENT_CERT_FILE", "TOKENAUTHORITY_CLIENT_KEY_FILE")


def test_reads_the_environment(tmp_path: Path) -> None:
    """All five variables count."""
    ca_file = tmp_path / "ca.pem"
    ca_file.write_bytes(trustme.CA().cert_pem.bytes())
    with Authority.from_environment(
        {
            "TOKENAUTHORITY_ADDRESS": "localhost:1",
            "TOKENAUTHORITY_API_KEY": KEY,
            "TOKENAUTHORITY_CA_FILE": str(ca_file),
            "TOKENAUTHORITY_PLAINTEXT": "0",
            "TOKENAUTHORITY_PROJECT_ID": "47",
        }
    ) as authority:
        expected = Connection(
            address="localhost:1", api_key=KEY, project_id="47", root_certificates=ca_file.read_bytes()
        )

        assert expected == authority._connection


@pytest.mark.parametrize("value", ["1", "true", "yes", "on", "t", "y", "TRUE", "0", "false", "no", "off", "f", "n"])
def test_takes_what_the_command_line_takes_for_plaintext(value: str) -> None:
    """One environment serves both."""
    environ = {ADDRESS: "localhost:1", API_KEY: KEY, PLAINTEXT: value}

    assert click.BOOL.convert(value, None, None) == connection_from(environ).plaintext


def test_the_environment_names_files_and_a_timeout(tmp_path: Path) -> None:
    """The key may be in a file, as the command line takes it."""
    file = tmp_path / "key"
    file.write_text(KEY + "\n")
    with Authority.from_environment(
        {
            "TOKENAUTHORITY_ADDRESS": "dns:///localhost:1",
            "TOKENAUTHORITY_API_KEY_FILE": str(file),
            "TOKENAUTHORITY_TIMEOUT": "2.5",
        }
    ) as authority:
        assert Connection(address="dns:///localhost:1", api_key=KEY, timeout=2.5) == authority._connection


@pytest.mark.parametrize("content", [b"", b" \n", b"\xff\xfe"])
def test_a_file_without_a_key_is_named(tmp_path: Path, content: bytes) -> None:
    """By its variable."""
    file = tmp_path / "key"
    file.write_bytes(content)
    environ = {"TOKENAUTHORITY_ADDRESS": "localhost:1", "TOKENAUTHORITY_API_KEY_FILE": str(file)}

    with pytest.raises(ValueError, match="TOKENAUTHORITY_API_KEY_FILE: the file"):
        Authority.from_environment(environ)


@pytest.mark.parametrize(
    ("environ", "message"),
    [
        ({"TOKENAUTHORITY_API_KEY": KEY}, "TOKENAUTHORITY_ADDRESS is not set"),
        (
            {"TOKENAUTHORITY_ADDRESS": "localhost:1"},
            "no credentials: set TOKENAUTHORITY_API_KEY, TOKENAUTHORITY_API_KEY_FILE or TOKENAUTHORITY_TOKEN_FILE",
        ),
        (
            {
                "TOKENAUTHORITY_ADDRESS": "localhost:1",
                "TOKENAUTHORITY_API_KEY": KEY,
                "TOKENAUTHORITY_API_KEY_FILE": "key",
            },
            "TOKENAUTHORITY_API_KEY and TOKENAUTHORITY_API_KEY_FILE are set",
        ),
        (
            {"TOKENAUTHORITY_ADDRESS": "localhost:1", API_KEY: KEY, "TOKENAUTHORITY_TOKEN_FILE": "token"},
            "TOKENAUTHORITY_API_KEY and TOKENAUTHORITY_TOKEN_FILE are set",
        ),
        (
            {"TOKENAUTHORITY_ADDRESS": "localhost:1", "TOKENAUTHORITY_CLIENT_KEY_FILE": "key"},
            "TOKENAUTHORITY_CLIENT_CERT_FILE and TOKENAUTHORITY_CLIENT_KEY_FILE go together",
        ),
        (
            {"TOKENAUTHORITY_ADDRESS": "localhost:1", PLAINTEXT: "1", **dict.fromkeys(CLIENT_FILES, "file")},
            "TOKENAUTHORITY_PLAINTEXT does not go with TOKENAUTHORITY_CLIENT_CERT_FILE",
        ),
        (
            {"TOKENAUTHORITY_ADDRESS": "localhost:1", "TOKENAUTHORITY_API_KEY": KEY, "TOKENAUTHORITY_TIMEOUT": "soon"},
            "TOKENAUTHORITY_TIMEOUT must be a number",
        ),
        (
            {"TOKENAUTHORITY_ADDRESS": "http://localhost:1", "TOKENAUTHORITY_API_KEY": KEY},
            "TOKENAUTHORITY_ADDRESS: address .* without http://",
        ),
        (
            {"TOKENAUTHORITY_ADDRESS": "localhost:1", "TOKENAUTHORITY_API_KEY": KEY, "TOKENAUTHORITY_TIMEOUT": "0"},
            "TOKENAUTHORITY_TIMEOUT: timeout must be a number of seconds above 0",
        ),
        ({"TOKENAUTHORITY_ADDRESS": "localhost:1", "TOKENAUTHORITY_API_KEY": KEY + " x"}, "TOKENAUTHORITY_API_KEY: "),
        (
            {
                "TOKENAUTHORITY_ADDRESS": "localhost:1",
                "TOKENAUTHORITY_API_KEY": KEY,
                "TOKENAUTHORITY_PLAINTEXT": "maybe",
            },
            "TOKENAUTHORITY_PLAINTEXT must be one of 1, true, yes, on, 0, false, no, off",
        ),
    ],
)
def test_says_which_variable_is_wrong(environ: dict[str, str], message: str) -> None:
    """By its name, without the key."""
    with pytest.raises(ValueError, match=message) as caught:
        Authority.from_environment(environ)

    assert KEY not in str(caught.value)


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"TOKENAUTHORITY_PLAINTEXT": "1"}, "TOKENAUTHORITY_PLAINTEXT does not go with TOKENAUTHORITY_CA_FILE"),
        ({}, "TOKENAUTHORITY_CA_FILE .*: holds no certificate in PEM"),
    ],
    ids=["plaintext", "no-certificate"],
)
def test_refuses_root_certificates_that_cannot_be_used(tmp_path: Path, variables: dict[str, str], message: str) -> None:
    """At once, and not by a handshake that fails with the first call."""
    file = tmp_path / "ca.pem"
    file.write_text("no certificate")

    with pytest.raises(ValueError, match=message):
        connection_from({ADDRESS: "localhost:1", API_KEY: KEY, "TOKENAUTHORITY_CA_FILE": str(file), **variables})


@pytest.mark.parametrize("variable", ["TOKENAUTHORITY_API_KEY_FILE", "TOKENAUTHORITY_CA_FILE"])
def test_refuses_a_file_that_is_too_long(tmp_path: Path, variable: str) -> None:
    """No more of a file is read than the limit, and the variable is named."""
    file = tmp_path / "file"
    file.write_bytes(b"-----BEGIN CERTIFICATE-----" + bytes(MAX_FILE))
    keys = {} if variable.endswith("KEY_FILE") else {API_KEY: KEY}

    with pytest.raises(ValueError, match=f"^{variable}: the file has more than {MAX_FILE} bytes$"):
        connection_from({ADDRESS: "localhost:1", variable: str(file), **keys})
