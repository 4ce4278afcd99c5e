"""A command that no test runs is still one that exists, with options that it has."""

from __future__ import annotations

import re
import shlex

from pathlib import Path

import click
import pytest

from tests.docs.blocks import BLOCKS
from tokenauthority.cli.app import root


REST = re.compile(r"\s*(?:[<>|#)]| {2}#).*$", re.DOTALL)
SHOWN = re.compile(r"(?:\w+=\S+ )*tokenauthority (.*)", re.DOTALL)
COMMANDS = [
    pytest.param(found[1], id=f"{block.page}: {' '.join(found[1].split()[:3])}")
    for block in BLOCKS
    if not block.runs
    for command in block.commands()
    if (found := SHOWN.match(command.text))
]


def test_there_are_commands() -> None:
    """Else the test below would pass without a word."""
    assert len(COMMANDS) > 3


@pytest.mark.parametrize("shown", COMMANDS)
def test_a_command_shown_can_be_given(shown: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Parse it as the shell and the command line do, with the files that it names; do not run it."""
    monkeypatch.chdir(tmp_path)
    words = []
    for word in shlex.split(REST.sub("", shown.replace("\\\n", " "))):
        file = re.fullmatch(r"(?:/etc/tokenauthority/)?([\w.-]+\.(?:jsonl|pem|toml|key))", word)
        if file:
            (tmp_path / file[1]).touch()
        words.append(file[1] if file else word)
    command: click.Command = root
    context = root.make_context("tokenauthority", words)
    while isinstance(command, click.Group):
        name, found, words = command.resolve_command(context, [*context._protected_args, *context.args])
        assert found is not None
        command = found
        context = command.make_context(name, words, parent=context)

    assert "--help" not in context.args
