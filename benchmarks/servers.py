"""Starts the servers that are measured, each a process of its own, and asks them what they have answered."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
import threading
import urllib.request

from pathlib import Path
from typing import TYPE_CHECKING, Final

import attrs

from tokenauthority.callers.api_keys import new_api_key


if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence


_WAIT: Final = 60.0
"""Seconds for a server to start or to stop."""

_ADDRESS: Final = re.compile(r"^ *(gRPC|probes) +(?:http://)?([0-9.]+:[0-9]+)", re.MULTILINE)
_ANSWERED: Final = re.compile(
    r'^tokenauthority_rpcs_total\{code="OK",method="([^"]+)",transport="grpc"\} ([0-9.e+]+)$', re.MULTILINE
)
_AUDITED: Final = re.compile(r"^tokenauthority_audit_(records|commits)_total ([0-9.e+]+)$", re.MULTILINE)


class ServerError(Exception):
    """A server did not start, or did not answer."""


@attrs.frozen(kw_only=True)
class Server:
    """A running server. All but `pid` and `address` are there for an authority only; see `benchmarks.beating`."""

    pid: int
    address: str
    ops: str = ""
    pauses: Path = Path()
    api_key: str = attrs.field(default="", repr=False)

    def answered(self) -> dict[str, int]:
        """How many RPCs this authority has answered with OK, by method."""
        return {method: int(float(count)) for method, count in _ANSWERED.findall(self._metrics())}

    def audited(self) -> tuple[int, int]:
        """How many records this authority has written, and in how many commits."""
        found = dict(_AUDITED.findall(self._metrics()))
        return int(float(found["records"])), int(float(found["commits"]))

    def _metrics(self) -> str:
        with urllib.request.urlopen(f"http://{self.ops}/metrics", timeout=_WAIT) as answer:
            return bytes(answer.read()).decode()


@contextlib.contextmanager
def authority(directory: Path, **variables: str) -> Iterator[Server]:
    """`tokenauthority serve --dev` in *directory*, with what it keeps there already, and *variables* without prefix.

    Raises:
        ServerError: it did not start.
    """
    api_key, pauses = new_api_key(), directory / "pauses.log"
    command = ["-m", "benchmarks.beating", str(pauses), "serve", "--dev", "--dev-api-key", api_key]
    with _process(command, directory, "tokens generate", variables) as (pid, text):
        found = dict(_ADDRESS.findall(text))
        yield Server(pid=pid, address=found["gRPC"], ops=found["probes"], pauses=pauses, api_key=api_key)


@contextlib.contextmanager
def empty(directory: Path) -> Iterator[Server]:
    """A server whose one RPC does nothing; see `benchmarks.empty_server`.

    Raises:
        ServerError: it did not start.
    """
    with _process(["-m", "benchmarks.empty_server"], directory, "gRPC") as (pid, text):
        yield Server(pid=pid, address=dict(_ADDRESS.findall(text))["gRPC"])


@contextlib.contextmanager
def floor(directory: Path) -> Iterator[Server]:
    """A server of one function with the duties of GenerateToken; see `benchmarks.floor`.

    Raises:
        ServerError: it did not start.
    """
    api_key = new_api_key()
    with _process(["-m", "benchmarks.floor", api_key], directory, "gRPC") as (pid, text):
        yield Server(pid=pid, address=dict(_ADDRESS.findall(text))["gRPC"], api_key=api_key)


@contextlib.contextmanager
def _process(
    arguments: Sequence[str], directory: Path, marker: str, variables: Mapping[str, str] | None = None
) -> Iterator[tuple[int, str]]:
    """A Python process and what it printed up to the line with *marker*; stopped at the end of the block."""
    directory.mkdir(parents=True, exist_ok=True)
    with (
        (directory / "stderr.log").open("w+") as log,
        subprocess.Popen(
            [sys.executable, *arguments],
            cwd=directory,
            env=_environment() | {f"TOKENAUTHORITY_{name}": text for name, text in (variables or {}).items()},
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        ) as process,
    ):
        # Reading ends where the process does, so one that says nothing is made to end.
        timer = threading.Timer(_WAIT, process.kill)
        timer.start()
        try:
            lines = []
            for line in process.stdout or ():
                lines.append(line)
                if marker in line:
                    break
            else:
                log.seek(0)
                raise ServerError(f"{' '.join(arguments[:3])} did not start: {log.read()[-2000:].strip()}")
            timer.cancel()
            yield process.pid, "".join(lines)
        finally:
            timer.cancel()
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_WAIT)
            process.kill()


def _environment() -> dict[str, str]:
    """This process's environment, with free ports and none of our other variables, and where to find this package."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TOKENAUTHORITY_")}
    here = str(Path(__file__).resolve().parent.parent)
    path = os.pathsep.join(filter(None, (here, os.environ.get("PYTHONPATH"))))
    ports = {f"TOKENAUTHORITY_LISTEN__{name}": "127.0.0.1:0" for name in ("GRPC", "HTTP", "HTTP_API", "OPS")}
    return {**kept, **ports, "PYTHONPATH": path}
