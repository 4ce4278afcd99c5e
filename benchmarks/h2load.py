"""Fires one request again and again from a native client, so that the server is what the processors are busy with."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time

from pathlib import Path
from typing import TYPE_CHECKING, Final

import attrs

from benchmarks import cpu


if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.servers import Server


_FRESH: Final = 5.0
"""Seconds in which an authority collects its metrics anew: it does so about once a second."""

_TIMEOUT: Final = 120.0
_DONE: Final = re.compile(r"^requests: .* (\d+) succeeded, (\d+) failed, (\d+) errored, (\d+) timeout$", re.MULTILINE)
_DATA: Final = re.compile(r"^traffic: .* \((\d+)\) data$", re.MULTILINE)

_INSTALL: Final = ("apt-get", "install", "--yes", "--no-install-recommends", "nghttp2-client")
_INSTALL_TIMEOUT: Final = 300.0


class LoadError(Exception):
    """No load could be made, or some call was not answered with OK."""


def require(say: Callable[[str], None]) -> None:
    """Make sure that h2load is there: root on Debian gets it installed, and hears so through *say*.

    Raises:
        LoadError: it is missing.
    """
    if shutil.which("h2load") is not None:
        return
    if os.geteuid() == 0 and Path("/etc/debian_version").exists() and shutil.which("apt-get") is not None:
        say(f"h2load is missing: {' '.join(_INSTALL)}")
        subprocess.run(_INSTALL, check=False, timeout=_INSTALL_TIMEOUT, stdout=subprocess.DEVNULL)
    if shutil.which("h2load") is None:
        raise LoadError(
            "h2load is missing, and nothing can be measured without it. "
            "It is part of nghttp2 (Debian and Ubuntu: apt-get install nghttp2-client)."
        )


def message(payload: bytes) -> bytes:
    """*payload* as gRPC frames it: not compressed, its length in four bytes."""
    return b"\0" + len(payload).to_bytes(4, "big") + payload


@attrs.frozen(kw_only=True)
class Load:
    """The same request, *calls* times to *server*; each call is worth *units* of what is measured.

    `body` is the file with the framed request. `answer_size` is the size of an OK answer, framed, where all are alike.
    `streams` calls are under way at once on each of the connections, of which there are `clients`.
    """

    server: Server
    method: str
    body: Path
    calls: int
    units: int = 1
    answer_size: int | None = None
    clients: int = 4
    streams: int = 8

    @property
    def in_flight(self) -> int:
        """How many calls are under way at once."""
        return self.clients * self.streams

    def measure(self) -> float:
        """Microseconds of the server's CPU per unit.

        Raises:
            LoadError: not every call was answered with OK. h2load sees HTTP's status only, which is 200 for every
                gRPC status, so an authority is asked what it has counted, and the bytes of the answers are.
        """
        before = self._answered()
        started = cpu.of_process(self.server.pid)
        printed = self._fire()
        spent = cpu.of_process(self.server.pid) - started
        self._check(printed, before)
        return spent / 1000 / (self.calls * self.units)

    def latencies(self, per_second: float, log: Path) -> list[int]:
        """Microseconds that each call takes, in order of size, where they come evenly. *log* is overwritten.

        Raises:
            LoadError: not every call was answered with OK.
        """
        log.unlink(missing_ok=True)
        before = self._answered()
        printed = self._fire(f"--rps={per_second / self.clients:.3f}", f"--log-file={log}")
        self._check(printed, before)
        return sorted(int(line.split("\t")[2]) for line in log.read_text(encoding="ascii").splitlines())

    def _fire(self, *options: str) -> str:
        clients = min(self.clients, self.calls)
        command = ["h2load", f"-n{self.calls}", f"-c{clients}", f"-m{self.streams}", f"-d{self.body}", *options]
        headers = ["content-type: application/grpc", "te: trailers"]
        if self.server.api_key:
            headers.append(f"authorization: Bearer {self.server.api_key}")
        for header in headers:
            command += ["-H", header]
        done = subprocess.run(
            [*command, f"http://{self.server.address}{self.method}"],
            capture_output=True,
            text=True,
            timeout=_TIMEOUT,
            check=False,
        )
        if done.returncode:
            raise LoadError(f"h2load ended with {done.returncode}: {done.stderr.strip()}")
        return done.stdout

    def _answered(self) -> int:
        return self.server.answered().get(self.method, 0) if self.server.ops else 0

    def _check(self, printed: str, before: int) -> None:
        done, data = _DONE.search(printed), _DATA.search(printed)
        if done is None or data is None:
            raise LoadError(f"h2load printed something unknown: {printed}")
        if done.groups() != (str(self.calls), "0", "0", "0"):
            raise LoadError(f"{self.method}: {done[0]}")
        deadline = time.monotonic() + _FRESH
        while self.server.ops and (answered := self._answered() - before) != self.calls:
            if time.monotonic() > deadline:
                raise LoadError(f"{self.method}: {answered} of {self.calls} calls were answered with OK")
            time.sleep(0.1)
        if self.answer_size is not None and int(data[1]) != self.calls * self.answer_size:
            raise LoadError(f"{self.method}: {self.calls} answers of {self.answer_size} bytes came as {data[1]} bytes")
