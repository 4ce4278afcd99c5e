"""The shared options stand before or after the command, and win over the environment."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.conftest import Run
from tests.support.authority import RunningAuthority
from tokenauthority.cli.options import shared_options
from tokenauthority.client.environment import CLIENT_VARIABLES


KEY = "tak_" + "k" * 43


def test_the_shared_options_have_the_clients_variables() -> None:
    """One each, and no other."""
    variables = {option.envvar for option in shared_options(hidden=False)}

    assert CLIENT_VARIABLES == variables


@pytest.mark.parametrize("place", ["before", "after"])
def test_shared_options_stand_before_or_after(
    run_alone: Run, running_authority: RunningAuthority, tmp_path: Path, place: str
) -> None:
    """Whichever comes to mind; the key comes from a file."""
    file = tmp_path / "key"
    file.write_text(running_authority.api_key + "\n")
    shared = (
        *("--address", running_authority.address, "--plaintext", "--api-key-file", str(file)),
        *("--project", running_authority.project_id, "--timeout", "10", "--json"),
    )
    command = ("sessions", "create")

    made = run_alone(*shared, *command) if place == "before" else run_alone(*command, *shared)

    assert running_authority.project_id == made.text("project_id")


def test_the_key_may_come_from_standard_input(run_alone: Run, running_authority: RunningAuthority) -> None:
    """Without a prompt."""
    shared = ("--address", running_authority.address, "--plaintext", "--api-key-file", "-")

    assert 0 == run_alone(*shared, "projects", "list", stdin=running_authority.api_key + "\n").exit_code


@pytest.mark.parametrize(
    ("given", "message", "exit_code"),
    [
        (("--token-file", "/no/token"), "token_file /no/token: No such file or directory", 1),
        (("--client-cert-file", "/no/cert", "--client-key-file", "/no/key"), "/no/key: No such file or directory", 1),
        (("--client-cert-file", __file__, "--client-key-file", __file__), "not a certificate and its private key", 2),
    ],
)
def test_names_a_file_that_proves_nobody(run_alone: Run, given: tuple[str, str], message: str, exit_code: int) -> None:
    """In one line, without a call."""
    refused = run_alone("projects", "list", "--address", "127.0.0.1:1", *given)

    assert message in refused.err
    assert exit_code == refused.exit_code


@pytest.mark.parametrize("source", ["--api-key", "--api-key-file", "--token-file"])
@pytest.mark.parametrize("place", ["before", "after"])
def test_the_command_line_beats_the_environment(
    run: Run, running_authority: RunningAuthority, tmp_path: Path, source: str, place: str
) -> None:
    """Also where one names a key and the other a file."""
    file = tmp_path / "key"
    file.write_text(running_authority.api_key)
    value = running_authority.api_key if source == "--api-key" else str(file)
    wrong = {"TOKENAUTHORITY_API_KEY": KEY, "TOKENAUTHORITY_API_KEY_FILE": ""}
    if source == "--api-key":
        wrong = {"TOKENAUTHORITY_API_KEY": "", "TOKENAUTHORITY_API_KEY_FILE": "/no/such/file"}
    arguments = ("projects", "list")

    listed = (
        run(source, value, *arguments, env=wrong) if place == "before" else run(*arguments, source, value, env=wrong)
    )

    assert "" == listed.err
    assert 0 == listed.exit_code
