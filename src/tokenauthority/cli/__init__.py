"""Provide the command line, `tokenauthority`, which runs a server and calls a running one."""

from __future__ import annotations

import os
import sys


def main() -> None:
    """Run the command line and exit with its code; without the server's requirements, print how to install them."""
    # Without gRPC's own lines on standard error: they repeat our one line at length, and any stranger can cause one by
    # a failed handshake with a server. Read when grpc is imported.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    try:
        from tokenauthority.cli.app import root
    except ModuleNotFoundError as error:
        if error.name != "click":
            raise
        sys.stderr.write("error: the command line needs more: pip install '.[server]' in the checkout\n")
        sys.exit(1)
    root(prog_name="tokenauthority")
