"""What a back end that imports the client has to install."""

from __future__ import annotations

import subprocess
import sys


FORBIDDEN = {
    "alembic",
    "attr",
    "attrs",
    "cachetools",
    "click",
    "cryptography",
    "jwt",
    "msgspec",
    "pydantic",
    "rich",
    "sqlalchemy",
    "structlog",
    "uvicorn",
}


def test_the_client_needs_nothing_of_the_server() -> None:
    """A fresh interpreter that has imported it has loaded none of the server's requirements."""
    done = subprocess.run(
        [sys.executable, "-c", "import tokenauthority.client, sys; print(*sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    loaded = {name.split(".")[0] for name in done.stdout.split()}

    assert {"grpc", "google"} <= loaded
    assert set() == FORBIDDEN & loaded
