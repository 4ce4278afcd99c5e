"""Write projects, roles and callers as a file that `tokenauthority apply` takes: `tokenauthority export`."""

from __future__ import annotations

from pathlib import Path

import click

from tokenauthority.callers.file_models import CallerTable
from tokenauthority.cli.callers_file import callers_option, read_target
from tokenauthority.cli.calls import authority
from tokenauthority.cli.declared_state import read_projects
from tokenauthority.cli.failures import ConfigurationFailure
from tokenauthority.cli.options import Command
from tokenauthority.cli.output import print_text, printable
from tokenauthority.cli.server import config_option
from tokenauthority.declaration.reading import CallersNow
from tokenauthority.declaration.written import write_declaration
from tokenauthority.files import replace_file


@click.command("export", cls=Command)
@callers_option
@config_option
@click.option(
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write to this file, whole or not at all; default: standard output.",
)
def export(*, callers_file: Path | None, config_file: Path | None, output: Path | None) -> None:
    """Write all projects that the caller may see, with their roles, and the callers of the callers file, in YAML.

    The same state is the same text. Never in it: secrets, private keys, API keys and the SHA-256 of API keys. Without a
    callers file, callers are left out. --project has no effect.
    """
    # What a link leads to is replaced, not the link; and no device, which root could replace too.
    # Before it is resolved: /dev/stdout can lead to a pipe, which has no path.
    if output is not None and output.exists() and not output.is_file():
        raise ConfigurationFailure(f"--output {output}: it is not a regular file")
    output = output and output.resolve()
    target = read_target(callers_file, config_file, create=False)
    if output is not None and target is not None and output == target.path.resolve():
        raise click.UsageError("--output is the callers file: name another file")
    callers = None
    if target is not None:
        tables = CallersNow.parse(target.data).callers.values()
        callers = [CallerTable.model_validate(table) for table in tables]
    with authority() as client:
        projects = [(found.project, found.roles) for found in read_projects(client).values()]
    text = "\n".join(map(printable, write_declaration(projects, callers).split("\n")))
    if output is None:
        print_text(text, end="")
    else:
        replace_file(output, text.encode(), like=output.stat() if output.exists() else None)
    if target is None:
        print_text("no callers file is named (--callers-file or --config): callers are left out", err=True)
