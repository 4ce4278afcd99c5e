"""The command line as a whole: shared options, usage errors and help."""

from __future__ import annotations

from pathlib import Path

import click
import pytest

from tests.cli.conftest import Run, python
from tests.support.authority import RunningAuthority
from tokenauthority.cli.app import COMMANDS, root
from tokenauthority.cli.options import Command, shared_options
from tokenauthority.client.environment import CLIENT_VARIABLES


KEY = "tak_" + "k" * 43


def leaves(command: click.Command, name: str) -> list[tuple[str, click.Command]]:
    """All commands below *command* that do something."""
    if not isinstance(command, click.Group):
        return [(name, command)]
    context = click.Context(command)
    found = []
    for child in command.list_commands(context):
        below = command.get_command(context, child)
        assert below is not None
        found += leaves(below, f"{name} {child}".strip())
    return found


def test_every_command_has_help_and_reports_failures(run_alone: Run) -> None:
    """The table of commands is complete and right, and each takes the shared options."""
    found = leaves(root, "")

    assert len(COMMANDS) < len(found)
    for name, command in found:
        assert isinstance(command, Command), name
        shown = run_alone(*name.split(), "--help")
        assert 0 == shown.exit_code
        assert shown.out.splitlines()[-1].startswith("Shared options")
        assert shown.out.endswith("tokenauthority --help\n")
        assert command.help
        assert all(isinstance(p, click.Argument) or p.help for p in command.params), name


def test_the_short_help_of_each_command_is_that_of_its_module() -> None:
    """The table repeats it, so that --help loads nothing; it must not drift in meaning."""
    context = click.Context(root)
    for name, (_, text) in COMMANDS.items():
        command = root.get_command(context, name)
        assert command is not None
        assert text.rstrip(".").split()[0] == command.get_short_help_str().split()[0], name


def test_help_loads_neither_grpc_nor_the_server() -> None:
    """It is what one waits for most often."""
    script = (
        "import sys, tokenauthority.cli.app as a\n"
        "a.root(['--help'], prog_name='tokenauthority', standalone_mode=False)\n"
        "print(*sorted({m.split('.')[0] for m in sys.modules}))"
    )
    loaded = set(python("-c", script).stdout.splitlines()[-1].split())

    assert "click" in loaded
    assert set() == {"grpc", "google", "rich", "sqlalchemy", "pydantic", "cryptography", "jwt"} & loaded


def test_says_what_to_install_where_click_is_missing(tmp_path: Path) -> None:
    """A back end has installed the client alone."""
    (tmp_path / "click.py").write_text("raise ModuleNotFoundError('no click', name='click')\n")

    done = python("-m", "tokenauthority.cli", "--help", path=str(tmp_path))

    assert 1 == done.returncode
    assert "pip install '.[server]'" in done.stderr
    assert "Traceback" not in done.stderr


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


@pytest.mark.parametrize("source", ["--api-key", "--api-key-file"])
@pytest.mark.parametrize("place", ["before", "after"])
def test_the_command_line_beats_the_environment(
    run: Run, running_authority: RunningAuthority, tmp_path: Path, source: str, place: str
) -> None:
    """Also where one names a key and the other a file."""
    file = tmp_path / "key"
    file.write_text(running_authority.api_key)
    value = str(file) if source == "--api-key-file" else running_authority.api_key
    wrong = {"TOKENAUTHORITY_API_KEY": KEY, "TOKENAUTHORITY_API_KEY_FILE": ""}
    if source == "--api-key":
        wrong = {"TOKENAUTHORITY_API_KEY": "", "TOKENAUTHORITY_API_KEY_FILE": "/no/such/file"}
    arguments = ("projects", "list")

    listed = (
        run(source, value, *arguments, env=wrong) if place == "before" else run(*arguments, source, value, env=wrong)
    )

    assert "" == listed.err
    assert 0 == listed.exit_code


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["projects", "list"], "no address"),
        (["projects", "list", "--address", "127.0.0.1:1"], "no API key"),
        (["projects", "list", "--address", "x:1", "--api-key", "a", "--api-key-file", "b"], "not both"),
        (["projects", "list", "--address", "x:1", "--api-key", "a b"], "api_key has characters"),
        (
            ["projects", "list", "--address", "x:1", "--api-key", KEY, "--plaintext", "--ca-file", "/no/ca"],
            "--plaintext (TOKENAUTHORITY_PLAINTEXT) does not go with --ca-file",
        ),
        (["projects", "list", "--address", "x:1", "--api-key", KEY, "--timeout", "0"], "timeout must be"),
        (["projects", "lists"], "No such command"),
        (["nothing"], "No such command"),
        (["serve", "--dev-api-key", KEY], "requires --dev"),
        (["tokens", "generate"], "Missing option '--session'"),
        (["sessions", "create", "--media-mode", "x"], "Invalid value for '--media-mode'"),
        (["--no-such-option"], "No such option"),
        (["projects", "list", "--address", "https://x:1", "--api-key", KEY], "without https://"),
        (["projects", "list", "--address", "x:1", "--api-key-file", "/no/key"], "--api-key-file /no/key: No such"),
        (
            ["projects", "list", "--address", "x:1", "--api-key", KEY, "--ca-file", "/no/ca"],
            "--ca-file /no/ca: No such",
        ),
        (["projects", "list", "--address", "x:1", "--api-key", KEY, "--ca-file", __file__], "no certificate in PEM"),
    ],
)
def test_a_wrong_command_line_exits_with_2(run_alone: Run, arguments: list[str], message: str) -> None:
    """It says what is wrong, without the key."""
    refused = run_alone(*arguments)

    assert 2 == refused.exit_code
    assert message in refused.err
    assert refused.err.startswith("error: ")
    assert 1 == len(refused.err.splitlines())
    assert KEY not in refused.err


def test_says_where_an_address_comes_from(run_alone: Run) -> None:
    """The first thing that a new user meets says what to do next."""
    assert (
        "error: no address: give --address or set TOKENAUTHORITY_ADDRESS "
        "(after `make run`: source .tokenauthority/dev.env)\n"
    ) == run_alone("sessions", "list").err
