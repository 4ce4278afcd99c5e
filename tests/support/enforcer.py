"""A running `tokenauthority enforce`: a process of its own, with its settings, log, audit lines and state."""

from __future__ import annotations

import contextlib
import json
import subprocess

from collections.abc import Iterator, Mapping
from pathlib import Path

import attrs
import httpx

from tests.support import forkserver
from tests.support.authority import NO_TRUST, WAIT, clean_environment, eventually
from tests.support.forkserver import ForkedProcess


@attrs.frozen(kw_only=True)
class EnforcerProcess:
    """The process, or what is left of it."""

    process: ForkedProcess
    directory: Path
    log_path: Path

    def events(self, name: str) -> list[dict[str, object]]:
        """The log's events of that name."""
        lines = self.log_path.read_text(encoding="utf-8").splitlines(keepends=True)
        read = [json.loads(line) for line in lines if line.startswith("{") and line.endswith("\n")]
        return [event for event in read if event["event"] == name]

    @property
    def ops_url(self) -> str:
        """Where probes and metrics are."""
        return f"http://{self.events('enforcer.started')[0]['ops']}"

    @property
    def webhook_url(self) -> str:
        """Where the webhooks of the server `video` go."""
        return f"http://{self.events('enforcer.started')[0]['webhooks']}/livekit/video"

    @property
    def webhook_port(self) -> int:
        """The port of loopback for webhooks."""
        return int(str(self.events("enforcer.started")[0]["webhooks"]).rpartition(":")[2])

    def problems(self) -> dict[str, str]:
        """What fails, as /readyz says."""
        problems: dict[str, str] = self.get("/readyz").json()["problems"]
        return problems

    def get(self, path: str) -> httpx.Response:
        """What listen.ops answers."""
        return httpx.get(f"{self.ops_url}{path}", timeout=WAIT, verify=NO_TRUST)

    def removals(self) -> list[dict[str, object]]:
        """The audit lines of removals; the last one may be half written."""
        path = self.directory / "audit.jsonl"
        written = path.read_text(encoding="utf-8").splitlines(keepends=True)
        lines = [json.loads(line) for line in written if line.endswith("\n")]
        return [line for line in lines if line["type"] == "removal"]

    def state(self) -> dict[str, object]:
        """What is stored."""
        path = self.directory / "state.json"
        state: dict[str, object] = json.loads(path.read_bytes()) if path.exists() else {}
        return state


def settings_text(
    directory: Path, *servers: Mapping[str, object], poll_interval: float = 0.2, webhooks: str = "127.0.0.1:0"
) -> str:
    """Settings in TOML: the state in *directory*, and one table for each of *servers*."""
    values = {"ops": "127.0.0.1:0", "webhooks": webhooks}
    lines = [f"data_dir = {json.dumps(str(directory))}", f"poll_interval = {poll_interval}"]
    for name, table in [("[listen]", values), *(("[[servers]]", server) for server in servers)]:
        lines += [name, *(f"{key} = {json.dumps(value)}" for key, value in table.items())]
    return "\n".join(lines) + "\n"


def key_file(directory: Path, secret: str) -> str:
    """The path of a new file with *secret*."""
    path = directory / f"key-{len(list(directory.glob('key-*')))}"
    path.write_text(f"{secret}\n", encoding="utf-8")
    path.chmod(0o600)
    return str(path)


@contextlib.contextmanager
def running_enforcer(directory: Path, settings: str, environment: Mapping[str, str]) -> Iterator[EnforcerProcess]:
    """An enforcer from its start on; the end of the block stops it, and its directory stays."""
    path, log_path = directory / "enforcer.toml", directory / "enforcer.log"
    path.write_text(settings, encoding="utf-8")
    log_path.unlink(missing_ok=True)
    with log_path.open("w", encoding="utf-8") as log:
        process = forkserver.start(
            ["enforce", "--config", str(path)],
            cwd=directory,
            env=clean_environment(**environment),
            stderr=log,
            stdout=subprocess.DEVNULL,
        )
    enforcer = EnforcerProcess(process=process, directory=directory / "enforcer", log_path=log_path)
    try:
        eventually(
            lambda: bool(enforcer.events("enforcer.started")) or process.poll() is not None, "the enforcer says nothing"
        )
        assert process.poll() is None, log_path.read_text(encoding="utf-8")
        yield enforcer
    finally:
        process.terminate()
        process.wait(WAIT)
