"""Every command that the documentation shows is one that there is, with options that it has."""

from __future__ import annotations

import re
import shlex

from pathlib import Path

import click
import pytest

from tokenauthority.cli.app import root


ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = sorted([*(ROOT / "docs").rglob("*.md"), *ROOT.glob("*.md")])
SHOWN = re.compile(r"^\s*\$ (?:S=\$\()?tokenauthority ((?:.*\\\n)*.*)$", re.MULTILINE)
REST = re.compile(r"\s*(?:[<>|#)]| {2}#).*$", re.DOTALL)
COMMANDS = [
    pytest.param(shown, id=f"{document.name}: {' '.join(shown.split()[:3])}")
    for document in DOCUMENTS
    for shown in SHOWN.findall(document.read_text(encoding="utf-8"))
]


def test_there_are_commands() -> None:
    """Else the test below would pass without a word."""
    assert len(COMMANDS) > 30


@pytest.mark.parametrize("shown", COMMANDS)
def test_a_command_shown_can_be_given(shown: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Read as the shell and the command line read it, and not run; files that it names are there."""
    monkeypatch.chdir(tmp_path)
    words = [_expanded(word) for word in shlex.split(REST.sub("", shown.replace("\\\n", " ")))]
    for word in words:
        if re.fullmatch(r"[\w.-]+\.(?:jsonl|pem|toml|key)", word):
            (tmp_path / word).touch()
    command: click.Command = root
    context = root.make_context("tokenauthority", words)
    while isinstance(command, click.Group):
        name, found, words = command.resolve_command(context, [*context._protected_args, *context.args])
        assert found is not None
        command = found
        context = command.make_context(name, words, parent=context)

    assert "--help" not in context.args


def _expanded(word: str) -> str:
    """A pattern finds a file of that name without its star; alone it is a word of its own."""
    return word if word == "*" else word.replace("*", "")
