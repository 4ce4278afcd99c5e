"""The command line as a whole: shared options, usage errors and help."""

from __future__ import annotations

import click
import pytest

from tests.cli.conftest import Run, python
from tokenauthority.cli.app import COMMANDS, root
from tokenauthority.cli.options import Command


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


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["projects", "list"], "no address"),
        (["projects", "list", "--address", "127.0.0.1:1"], "no credentials: set --api-key"),
        (["projects", "list", "--address", "x:1", "--api-key", "a", "--api-key-file", "b"], "set only one of them"),
        (["projects", "list", "--address", "x:1", "--token-file", "a", "--api-key-file", "b"], "set only one of them"),
        (["projects", "list", "--address", "x:1", "--client-cert-file", "a"], "set both or neither"),
        (["projects", "list", "--address", "x:1", "--api-key", "a b"], "api_key must be 1 to 8192 characters"),
        (
            ["projects", "list", "--address", "x:1", "--api-key", KEY, "--plaintext", "--ca-file", "/no/ca"],
            "--plaintext (TOKENAUTHORITY_PLAINTEXT) does not go with --ca-file",
        ),
        (["projects", "list", "--address", "x:1", "--api-key", KEY, "--timeout", "0"], "timeout must be"),
        (["projects", "lists"], "No such command"),
        (["nothing"], "No such command"),
        (["projcts"], "No such command 'projcts'; did you mean 'projects'?"),
        (["callers", "list", "/no/callers.toml"], "/no/callers.toml cannot be read: No such file"),
        (["callers", "validate", "/no/callers.toml"], "/no/callers.toml cannot be read: No such file"),
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
