"""The blocking client is what `scripts/blocking.py` makes of the asyncio one."""

from __future__ import annotations

import runpy
import subprocess
import sys

from pathlib import Path

import pytest


ROOT = Path(__file__).parents[2]
BLOCKING = ROOT / "src" / "tokenauthority" / "client" / "blocking"


def test_the_generated_code_is_that_of_the_source(tmp_path: Path) -> None:
    """A stale copy would be tested and shipped in place of what a reader sees in `aio/`."""
    script = runpy.run_path(str(ROOT / "scripts" / "blocking.py"))

    script["generate"](tmp_path / "blocking")

    made = {path.name: path.read_text() for path in (tmp_path / "blocking").glob("*.py")}
    assert {"__init__.py", "administration.py", "authority.py", "calls.py", "watch.py"} == set(made)
    assert made == {path.name: path.read_text() for path in BLOCKING.glob("*.py")}


@pytest.mark.parametrize("word", ["async ", "await ", "Async", "grpc.aio", "client.aio"])
def test_nothing_asynchronous_is_left(word: str) -> None:
    """Not in a docstring either: the reference shows it."""
    assert [] == [path.name for path in BLOCKING.glob("*.py") if word in path.read_text().partition("\n")[2]]


def test_says_that_it_is_not_generated() -> None:
    """A checkout without the generated package names the command that makes it."""
    code = "import sys; sys.modules['tokenauthority.client.blocking'] = None; import tokenauthority.client"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)

    assert "the blocking client is not generated: run scripts/blocking.py, or `make protos`" in done.stderr
