"""The extra `cli` is all that an operator's machine needs; it has none of the server's heavy parts."""

from __future__ import annotations

import os
import subprocess

from pathlib import Path

import attrs
import pytest

from tests.packaging.environments import REQUIREMENTS, RUN_SECONDS, environment, install
from tests.packaging.wheels import Wheels
from tests.support.authority import RunningAuthority


LOCK = REQUIREMENTS / "cli.txt"


@attrs.frozen
class Installed:
    """The command line, in an environment of its own."""

    python: str
    packages: Path
    authority: RunningAuthority

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run it to its end, as the environment of the authority says."""
        variables = {**os.environ, **self.authority.environment, "PYTHONPATH": str(self.packages)}
        return subprocess.run(
            [self.python, "-m", "tokenauthority.cli", *arguments],
            capture_output=True,
            text=True,
            timeout=RUN_SECONDS,
            check=False,
            stdin=subprocess.DEVNULL,
            env=variables,
        )


@pytest.fixture
def installed(running_authority: RunningAuthority, wheels: Wheels, tmp_path: Path) -> Installed:
    """Both wheels, with the packages of the extra and nothing else."""
    install(tmp_path, wheels.client, wheels.server)
    return Installed(environment(LOCK), tmp_path, running_authority)


def test_the_extra_runs_the_commands_that_call_an_authority(installed: Installed) -> None:
    """Each group of them, as a table and as JSON; and it shows audit logs."""
    commands = [
        ["keys", "list"],
        ["keys", "jwks"],
        ["projects", "list", "--json"],
        ["roles", "list"],
        ["sessions", "create"],
        ["tokens", "revoke", "--subject", "nobody"],
        ["audit", "show", str(installed.authority.audit_path)],
        ["completion", "bash"],
    ]
    done = {" ".join(command): installed.run(*command) for command in commands}

    assert {} == {name: each.stderr for name, each in done.items() if each.returncode}
    assert "publisher" in done["roles list"].stdout


@pytest.mark.parametrize(
    "command", [["serve", "--dev"], ["config", "show"], ["callers", "list", "x.toml"], ["health"], ["export"]]
)
def test_another_command_says_what_it_needs(installed: Installed, command: list[str]) -> None:
    """In one line."""
    done = installed.run(*command)

    assert (1, 1) == (done.returncode, done.stderr.count("\n"))
    assert "pip install 'tokenauthority[server]'" in done.stderr


def test_the_lock_has_nothing_that_only_a_server_needs() -> None:
    """An operator's machine gets a dozen packages, and not fifty."""
    locked = {line.partition("==")[0] for line in LOCK.read_text().splitlines() if "==" in line}

    assert {"click", "grpcio", "rich"} <= locked
    assert not locked & {"cryptography", "psycopg", "pydantic", "sqlalchemy", "starlette", "uvicorn"}
