"""Print shell completion scripts: `tokenauthority completion`."""

from __future__ import annotations

from typing import Final

import click

from click.shell_completion import get_completion_class

from tokenauthority.cli.options import Command
from tokenauthority.cli.output import print_text


_HELP: Final = """Print the completion script of a shell.

\b
bash (4.4 or later), in ~/.bashrc:  eval "$(tokenauthority completion bash)"
zsh, in ~/.zshrc:                   eval "$(tokenauthority completion zsh)"
fish, in its config.fish:           tokenauthority completion fish | source
"""


@click.command(cls=Command, help=_HELP)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print the completion script of *shell*."""
    found = get_completion_class(shell)
    if found is None:
        raise click.UsageError(f"no completion for {shell}")
    root = context.find_root().command
    print_text(found(root, {}, "tokenauthority", "_TOKENAUTHORITY_COMPLETE").source())
