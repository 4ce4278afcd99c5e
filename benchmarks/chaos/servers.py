"""Servers as they run in production, each behind an address that stays when the server is started again."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

from pathlib import Path
from typing import Final

import attrs

from benchmarks.chaos.disks import SmallDisk
from tests.support.authority import WAIT, clean_environment, eventually
from tests.support.cable import Cable


ROOT: Final = Path(__file__).resolve().parents[2]

DESCRIPTORS: Final = 1024
"""The limit of a server's file descriptors: what systemd gives a unit that asks for nothing."""


@attrs.define(kw_only=True)
class ChaosServer:
    """A server with a disk of its own, or what is left of it."""

    name: str
    home: Path
    """Where the settings file is."""

    disk: SmallDisk
    cable: Cable
    variables: dict[str, str]
    process: subprocess.Popen[bytes] | None = None
    starts: int = 0

    @property
    def pid(self) -> int:
        """The id of the process, also of one that has ended."""
        assert self.process is not None
        return self.process.pid

    @property
    def address(self) -> str:
        """Where its callers reach it, whichever process it is."""
        return f"127.0.0.1:{self.cable.port}"

    @property
    def own_address(self) -> str:
        """Where the process itself listens."""
        return str(self.events("server.started")[0]["grpc"])

    @property
    def metrics_address(self) -> str:
        """Where the process serves metrics."""
        return str(self.events("server.started")[0]["ops"])

    @property
    def audit_files(self) -> list[Path]:
        """The files of its audit log."""
        return sorted(self.disk.directory.glob("audit*.jsonl"))

    @property
    def log_path(self) -> Path:
        """What the present process writes."""
        return self.home / f"{self.name}-{self.starts}.log"

    def events(self, name: str) -> list[dict[str, object]]:
        """The events of that name in the operational log of the present process."""
        lines = self.log_path.read_text(encoding="utf-8").splitlines()
        return [event for line in lines if line.startswith("{") if (event := json.loads(line))["event"] == name]

    def start(self, **environment: str) -> None:
        """Start it, and return when it serves."""
        self.starts += 1
        given = {"DATA_DIR": str(self.disk.directory), **self.variables}
        mine = {f"TOKENAUTHORITY_{name}": value for name, value in given.items()}
        command = [sys.executable, "-m", "tokenauthority.cli", "serve", "--config", "authority.toml"]
        with self.log_path.open("w") as log:
            self.process = subprocess.Popen(
                ["/bin/sh", "-c", f'ulimit -n {DESCRIPTORS}; exec "$@"', "sh", *command],
                cwd=self.home,
                env=clean_environment(
                    PYTHONPATH=os.pathsep.join([str(ROOT), str(ROOT / "src")]), **mine, **environment
                ),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        eventually(lambda: bool(self.events("server.started")) or not self.is_running(), f"{self.name} hangs")
        if not self.is_running():
            raise RuntimeError(f"{self.name} does not start: {self.log_path.read_text()[-2000:]}")
        self.cable.lead_to(int(self.own_address.rpartition(":")[2]))

    def is_running(self) -> bool:
        """Return whether the process has not ended."""
        return self.process is not None and self.process.poll() is None

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the process."""
        if self.process is not None:
            self.process.send_signal(number)

    def kill(self) -> None:
        """End it at once, and its connections."""
        if self.process is not None:
            self.process.kill()
            self.process.wait(WAIT)
        self.cable.cut()

    def stop(self) -> int:
        """Let it end as a supervisor does; the exit status."""
        self.send(signal.SIGTERM)
        assert self.process is not None
        return self.process.wait(2 * WAIT)
