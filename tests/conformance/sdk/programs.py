"""Programs of other languages, from the system or the virtual environment."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import NoReturn, TypeAlias

import pytest


Announce: TypeAlias = Callable[[str], None]
"""Says what takes so long, to whoever waits for the tests."""


@pytest.fixture(scope="session")
def announce(request: pytest.FixtureRequest) -> Announce:
    """Writes to the terminal, whatever pytest captures."""
    capture = request.config.pluginmanager.getplugin("capturemanager")

    def write(text: str) -> None:
        with capture.global_and_fixture_disabled() if capture else nullcontext():
            sys.stderr.write(f"\n{text}\n")

    return write


def find(name: str, package: str, fits: Callable[[str], bool] = lambda _: True) -> str:
    """The path of the program *name* that *fits*.

    Raises:
        RuntimeError: there is none on the PATH, nor in the virtual environment, where *package* brings it.
    """
    found = next(filter(fits, _candidates(name)), None)
    if found is None:
        raise RuntimeError(f"no {name} that fits is on the PATH or in the virtual environment (package {package})")
    return found


def report_missing(reason: str) -> NoReturn:
    """Fail the test where `CI` is set in the environment; else skip it and report *reason*."""
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(f"not run: {reason}")


def run(
    command: Sequence[str], where: Path, seconds: float, text: str = "", variables: Mapping[str, str] | None = None
) -> str:
    """What *command* writes to its standard output.

    Raises:
        RuntimeError: it failed.
    """
    # A program may start another by name, such as npm node, and both may be in the virtual environment alone.
    path = os.pathsep.join([str(Path(command[0]).parent), os.environ.get("PATH", os.defpath)])
    done = subprocess.run(
        command,
        check=False,
        capture_output=True,
        cwd=where,
        encoding="utf-8",
        env={**os.environ, "PATH": path, **(variables or {})},
        input=text,
        timeout=seconds,
    )
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)} failed with {done.returncode}:\n{(done.stdout + done.stderr)[-4000:]}")
    return done.stdout


def _candidates(name: str) -> Iterator[str]:
    # The system's come first: they are set up for the network that they are in, such as a proxy with a CA of its own.
    own = str(Path(sys.executable).parent)
    others = [place for place in os.environ.get("PATH", os.defpath).split(os.pathsep) if place != own]
    for place in (*others, own):
        found = shutil.which(name, path=place)
        if found is not None:
            yield found
