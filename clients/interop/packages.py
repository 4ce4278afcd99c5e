"""The packages under `clients/`, as each `interop.toml` declares one: what it needs, how to build and to start it."""

from __future__ import annotations

import os
import subprocess
import sys

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Final

import msgspec

from tests.conformance.sdk.programs import run


CLIENTS: Final = Path(__file__).resolve().parents[1]
BUILD_SECONDS: Final = 1800
CHECK_SECONDS: Final = 120


class Package(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One `interop.toml`; clients/interop/README.md explains its keys."""

    needs: list[list[str]]
    install: str
    drivers: dict[str, list[str]]
    build: list[list[str]] = []
    tests: list[list[str]] = []
    examples: list[list[str]] = []
    environment: dict[str, str] = {}
    directory: Path = Path()

    def find_toolchain(self) -> Toolchain:
        """Return the toolchain: of the system, or of the virtual environment where the system has none that fits.

        Raises:
            LookupError: a command of `needs` fails with both.
        """
        own = str(Path(sys.executable).parent)
        system = [place for place in os.environ.get("PATH", os.defpath).split(os.pathsep) if place != own]
        problem = ""
        for places in ([*system, own], [own, *system]):
            toolchain = Toolchain(self, {**self.environment, "PATH": os.pathsep.join(places)})
            found = toolchain.find_problem()
            if not found:
                return toolchain
            problem = problem or found
        raise LookupError(f"{problem}; install {self.install}")


class Toolchain:
    """Builds a package and says how to start its drivers, with the programs that its *variables* find."""

    def __init__(self, package: Package, variables: Mapping[str, str]) -> None:
        self._package = package
        self.variables = variables

    def find_problem(self) -> str:
        """Return the first need that is not met; empty if there is none."""
        for command in map(self._filled, self._package.needs):
            try:
                run(command, self._package.directory, CHECK_SECONDS, variables=self.variables)
            except (OSError, RuntimeError, subprocess.TimeoutExpired) as error:
                return f"{' '.join(command)}: {error}"
        return ""

    def build(self, announce: Callable[[str], None]) -> None:
        """Build the package.

        Raises:
            RuntimeError: a command failed.
        """
        for command in map(self._filled, self._package.build):
            announce(f"{self._package.directory.name}: {' '.join(command)}")
            run(command, self._package.directory, BUILD_SECONDS, variables=self.variables)

    def run_tests(self) -> None:
        """Run the package's own tests.

        Raises:
            RuntimeError: a command failed.
        """
        for command in map(self._filled, self._package.tests):
            run(command, self._package.directory, BUILD_SECONDS, variables=self.variables)

    def run_examples(self, connection: Mapping[str, str]) -> None:
        """Run the package's examples with the variables of *connection*.

        Raises:
            RuntimeError: a command failed.
        """
        for command in map(self._filled, self._package.examples):
            run(command, self._package.directory, BUILD_SECONDS, variables={**self.variables, **connection})

    def command(self, driver: str) -> Sequence[str]:
        """Return the command that starts a driver."""
        return self._filled(self._package.drivers[driver])

    def _filled(self, command: Sequence[str]) -> list[str]:
        places = {"{build}": str(build_directory(self._package)), "{python}": sys.executable}
        for name, place in places.items():
            command = [part.replace(name, place) for part in command]
        return list(command)


def build_directory(package: Package) -> Path:
    """Return where a package is built: outside of the checkout, and another place for each checkout."""
    caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    directory = caches / "tokenauthority-interop" / str(CLIENTS.parent).strip("/").replace("/", "-")
    built = directory / package.directory.name
    built.mkdir(parents=True, exist_ok=True)
    return built


@cache
def packages() -> dict[str, Package]:
    """Return every package by the name of its driver; a package may have several."""
    found: dict[str, Package] = {}
    for path in sorted(CLIENTS.glob("*/interop.toml")):
        declared = msgspec.toml.decode(path.read_bytes(), type=Package)
        package = msgspec.structs.replace(declared, directory=path.parent)
        found |= dict.fromkeys(declared.drivers, package)
    return found
