"""Provide the command line, `tokenauthority`, which runs a server and calls a running one."""

from __future__ import annotations

import io
import os
import sys

from tokenauthority.cli.core_dumps import disable_core_dumps


_LEAKS = ("GRPC_TRACE", "SSLKEYLOGFILE")
"""Variables of libraries that write API keys to standard error, or the keys of TLS connections to a file."""

_REDIRECTS = ("PGHOSTADDR", "PGSERVICE", "PGSERVICEFILE", "PGOPTIONS")
"""Variables of libpq that lead to another store than `database.url` says, or change how sessions with it behave."""


def main() -> None:
    """Run the command line and exit with its code; print what to install where a requirement is missing."""
    # Before anything secret is read: an API key, a master key.
    disable_core_dumps()
    for name in (*_LEAKS, *_REDIRECTS):
        os.environ.pop(name, None)
    # Read when gRPC is imported. Without its own lines on standard error: they repeat our one line at length, and any
    # stranger can cause one by a failed handshake with a server.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    for stream in (sys.stdout, sys.stderr):
        # For what is not printed by cli/output.py, such as help: no encoding of a console ends a command.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        from tokenauthority.cli.app import root

        root(prog_name="tokenauthority")
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing in {"", "tokenauthority"}:
            raise
        what, extra = ("the command line", "cli") if missing == "click" else ("this command", "server")
        sys.stderr.write(f"error: {what} needs {missing}: pip install 'tokenauthority[{extra}]'\n")
        sys.exit(1)
