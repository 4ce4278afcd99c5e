"""Ask before something that cannot be undone."""

from __future__ import annotations

import sys

from typing import Final

import click

from tokenauthority.cli.output import print_text, printable


yes_option: Final = click.option("--yes", is_flag=True, help="Do not ask for confirmation.")


def confirm(question: str) -> None:
    """Ask *question*, and end the command unless the answer is yes.

    Raises:
        UsageError: nobody can answer, because standard input is no terminal and has ended.
        Abort: the answer is no.
    """
    try:
        confirmed = click.confirm(printable(question), err=True)
    except click.Abort:
        if sys.stdin.isatty():
            raise
        print_text("", err=True)
        raise click.UsageError("nobody can confirm: standard input is no terminal; give --yes") from None
    if not confirmed:
        raise click.Abort
