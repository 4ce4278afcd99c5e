"""The command line, `tokenauthority`: runs a server, and talks to a running one."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line and exit with its code; without the server's requirements, say how to get them."""
    try:
        import click  # noqa: F401 - only to see whether it is there
    except ModuleNotFoundError:
        print("the command line needs more: install tokenauthority[server]", file=sys.stderr)  # noqa: T201
        sys.exit(1)
    from tokenauthority.cli.app import root

    root(prog_name="tokenauthority")
