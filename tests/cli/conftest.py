"""Runs the command line in this process, against a real authority."""

from __future__ import annotations

import json
import os
import subprocess
import sys

from collections.abc import Mapping
from typing import Protocol

import attrs
import pytest

from click.testing import CliRunner

from tests.support.authority import RunningAuthority, clean_environment
from tokenauthority.cli.app import root
from tokenauthority.client.environment import CLIENT_VARIABLES


@attrs.frozen
class Outcome:
    """What a command did."""

    exit_code: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, object]:
        """What it printed, as one JSON object."""
        value = json.loads(self.out)
        assert isinstance(value, dict)
        return value

    @property
    def rows(self) -> list[dict[str, object]]:
        """What it printed, as a JSON list of objects."""
        value = json.loads(self.out)
        assert isinstance(value, list)
        return value

    def text(self, name: str) -> str:
        """One text of the JSON object that it printed."""
        value = self.json[name]
        assert isinstance(value, str)
        return value


class Run(Protocol):
    """Runs `tokenauthority` with *arguments*."""

    def __call__(self, *arguments: str, stdin: str = "", env: Mapping[str, str] | None = None) -> Outcome:
        """*stdin* is its standard input; *env* is added to the environment."""
        ...


@pytest.fixture
def run_alone(monkeypatch: pytest.MonkeyPatch) -> Run:
    """Without any authority."""
    for name in CLIENT_VARIABLES:
        monkeypatch.delenv(name, raising=False)

    def run(*arguments: str, stdin: str = "", env: Mapping[str, str] | None = None) -> Outcome:
        result = CliRunner().invoke(root, arguments, input=stdin, env=env, prog_name="tokenauthority")
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return Outcome(result.exit_code, result.stdout, result.stderr)

    return run


@pytest.fixture
def run(running_authority: RunningAuthority, run_alone: Run) -> Run:
    """With a running authority, as its environment says."""

    def run_there(*arguments: str, stdin: str = "", env: Mapping[str, str] | None = None) -> Outcome:
        return run_alone(*arguments, stdin=stdin, env={**running_authority.environment, **(env or {})})

    return run_there


@pytest.fixture
def session_id(run: Run) -> str:
    """A session of the running authority."""
    return run("sessions", "create", "--json").text("session_id")


def python(*arguments: str, path: str = "") -> subprocess.CompletedProcess[str]:
    """Run a fresh interpreter; *path* goes before the rest of its modules."""
    modules = os.pathsep.join(filter(None, (path, os.environ.get("PYTHONPATH", ""))))
    return subprocess.run(
        [sys.executable, *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**clean_environment(), "PYTHONPATH": modules},
    )
