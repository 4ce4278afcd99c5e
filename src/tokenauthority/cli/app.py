"""Define the root command, which loads each command's module only when the command is used."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any, Final

import click

from click.shell_completion import CompletionItem

from tokenauthority.cli.failures import usage_in_one_line
from tokenauthority.cli.options import shared_options
from tokenauthority.domain.similar_names import did_you_mean


COMMANDS: Final[Mapping[str, tuple[str, str]]] = {
    "serve": ("server", "Run an authority."),
    "sessions": ("sessions", "Create, show and end sessions."),
    "tokens": ("tokens", "Generate, verify, revoke and inspect tokens."),
    "turn": ("turn", "Create credentials for TURN servers."),
    "projects": ("projects", "Create, import, show and change projects."),
    "roles": ("roles", "Create, show, change and delete the roles of a project."),
    "keys": ("keys", "Show and change the signing keys, and change the master key."),
    "apply": ("apply", "Apply a file that declares projects, roles and callers."),
    "export": ("export", "Write what there is as such a file."),
    "callers": ("callers", "Add, remove and check callers, and show what callers use."),
    "audit": ("audit", "Verify and search audit logs."),
    "enforce": ("enforce", "Remove people from real-time servers whose tokens were revoked."),
    "config": ("server", "Show the settings of a server."),
    "db": ("server", "Manage the server's database."),
    "health": ("health", "Check whether an authority serves."),
    "completion": ("completion", "Print the shell's completion script."),
}
"""The commands, each with its module and its line in the help."""


class _LazyGroup(click.Group):
    """A group that knows its commands by the table above and imports the module of the command that is called."""

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        with usage_in_one_line():
            return super().make_context(info_name, args, parent, **extra)

    def invoke(self, ctx: click.Context) -> object:
        with usage_in_one_line():
            return super().invoke(ctx)

    def list_commands(self, _ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, _ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command = getattr(import_module(f"tokenauthority.cli.{COMMANDS[cmd_name][0]}"), cmd_name)
        if not isinstance(command, click.Command):
            raise TypeError(f"COMMANDS names {cmd_name}, which is not a click command")
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            # click looks for similar names among the commands that it has loaded.
            raise click.UsageError(error.message.rstrip(".") + did_you_mean(args[0], COMMANDS), ctx) from None

    def format_commands(self, _ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        found = [CompletionItem(name, help=text) for name, (_, text) in COMMANDS.items() if name.startswith(incomplete)]
        return found + click.Command.shell_complete(self, ctx, incomplete)


root: Final = _LazyGroup(
    "tokenauthority",
    help="""Token Authority: generates and verifies the tokens of real-time sessions.

    The commands that call a running authority take the options below, before or after their own.
    """,
    epilog="""Exit codes: 0 success; 1 the authority refused the call, or the command failed; 2 the command line or the
    configuration is invalid; 3 the authority, or the store of a server, cannot be
    reached; 4 the token is not active; 5 the audit log is not
    as it was written; 6 what a file declares differs from what there is; 141 the reader of the output has closed it.

    With --json, answers are the contract's messages: its field names; enum values by their short names in
    lower case, reasons in upper case; times in RFC 3339, UTC; lifetimes in seconds; null for an unset field.
    """,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    params=shared_options(hidden=False),
)
click.version_option(package_name="tokenauthority")(root)
