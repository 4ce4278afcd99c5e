"""Generate the reference of the command line from the click commands."""

from __future__ import annotations

import inspect
import re

from collections.abc import Iterator

import click

from scripts.docs.markdown import code, page, table
from tokenauthority.cli.app import root


def commands_page() -> str:
    """Return the page of all commands, with their arguments and options."""
    context = click.Context(root, info_name="tokenauthority")
    parts = [
        _text(root.help),
        "## Shared options",
        "A command that calls a running authority takes these options, before its name or after it.",
        _options(root, context),
        "## Exit codes and `--json`",
        _text(root.epilog),
        *(_section(path, command, found) for path, command, found in _commands(context)),
    ]
    return page("Command line", *parts)


def command_names() -> frozenset[str]:
    """Return every command that can be run, such as `tokenauthority keys list`."""
    context = click.Context(root, info_name="tokenauthority")
    return frozenset(found.command_path for _, _, found in _commands(context))


def _commands(context: click.Context) -> Iterator[tuple[str, click.Command, click.Context]]:
    group = context.command
    if not isinstance(group, click.Group):
        return
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if command is None or command.hidden:
            continue
        found = click.Context(command, info_name=name, parent=context)
        yield found.command_path, command, found
        yield from _commands(found)


def _section(path: str, command: click.Command, context: click.Context) -> str:
    level = "#" * len(path.split())
    usage = " ".join([path, *command.collect_usage_pieces(context)])
    parts = [f"{level} `{path}`", _text(command.help)]
    if not isinstance(command, click.Group):
        parts += [f"```text\n{usage}\n```", _options(command, context)]
    return "\n\n".join(filter(None, parts))


def _options(command: click.Command, context: click.Context) -> str:
    rows = []
    for parameter in command.params:
        record = parameter.get_help_record(context)
        if isinstance(parameter, click.Option) and not parameter.hidden and record is not None:
            rows.append((code(record[0]), record[1]))
    return table(("option", "meaning"), rows) if rows else ""


def _text(text: str | None) -> str:
    """Return click's help text as Markdown; a part that click must not wrap becomes a code block."""
    parts = []
    for part in inspect.cleandoc(text or "").split("\n\n"):
        if part.startswith("\b"):
            parts.append("```text\n" + part.removeprefix("\b").strip("\n") + "\n```")
        else:
            parts.append(re.sub(r"(?<![\w`])(--[a-z][a-z-]*)(?![\w`])", r"`\1`", part))
    return "\n\n".join(parts)
