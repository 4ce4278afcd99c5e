"""A server that gets a signal at any moment of its life drains and ends with 0; one that cannot go on, with 1."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import forkserver
from tests.support.authority import WAIT, clean_environment, eventually
from tests.support.faulty_store import FaultyStore
from tests.support.forkserver import ForkedProcess
from tests.support.logs import capture_logs
from tokenauthority.server import main


@pytest.fixture
def starting(tmp_path: Path) -> Iterator[ForkedProcess]:
    """A development server that has just been started, its two streams to be read."""
    ports = {f"TOKENAUTHORITY_LISTEN__{name}": "127.0.0.1:0" for name in ("GRPC", "HTTP", "HTTP_API", "OPS")}
    with forkserver.start(
        ["serve", "--dev"],
        cwd=tmp_path,
        env=clean_environment(**ports),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        timer = threading.Timer(WAIT, process.kill)
        timer.start()
        yield process
        timer.cancel()
        process.kill()


def end(process: ForkedProcess, number: signal.Signals) -> tuple[int, str]:
    """Send the signal; the exit status and what it still wrote on standard error."""
    assert process.stderr is not None
    process.send_signal(number)
    log = process.stderr.read()
    return process.wait(WAIT), log


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("stream", ["stderr", "stdout"])
def test_stops_cleanly_as_soon_as_it_says_that_it_serves(
    starting: ForkedProcess, stream: str, number: signal.Signals
) -> None:
    """Its first line, in the log or for a person, is the first that anyone can act on."""
    source = starting.stderr if stream == "stderr" else starting.stdout
    assert source is not None
    source.readline()

    status, log = end(starting, number)

    assert 0 == status
    assert "server.stopped" in log


@pytest.mark.parametrize("file", ["dev-api-key", "audit.jsonl"])
def test_stops_cleanly_before_it_serves(starting: ForkedProcess, tmp_path: Path, file: str) -> None:
    """From its first step on, of which a file is the sign, it drains instead of dying."""
    eventually((tmp_path / ".tokenauthority" / file).exists, "it makes no files")

    status, log = end(starting, signal.SIGTERM)

    assert 0 == status
    assert "server.stopped" in log


FATAL = """
import sys
from tokenauthority.cli import main
from tokenauthority.server import http

async def serve(self):
    raise ZeroDivisionError

http.HttpServer.serve = serve
sys.argv[0] = "tokenauthority"
main()
"""


def test_a_server_that_cannot_go_on_ends_with_an_error(tmp_path: Path) -> None:
    """It drains as at a signal, and its exit status has it started again by whatever looks after it."""
    ports = {f"TOKENAUTHORITY_LISTEN__{name}": "127.0.0.1:0" for name in ("GRPC", "HTTP", "HTTP_API", "OPS")}
    ended = subprocess.run(
        [sys.executable, "-c", FATAL, "serve", "--dev"],
        cwd=tmp_path,
        env=clean_environment(**ports),
        capture_output=True,
        text=True,
        timeout=WAIT,
        check=False,
    )

    assert 1 == ended.returncode
    assert "background.failed" in ended.stderr
    assert "ZeroDivisionError" in ended.stderr
    assert "server.draining" in ended.stderr


async def test_a_store_that_does_not_close_is_logged(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is no error of the settings."""
    monkeypatch.setattr(main, "_CLOSE_TIMEOUT", 0.01)
    store = FaultyStore()
    store.hold("close")
    with capture_logs() as events:
        await main._close(store)

    assert ["store.slow_to_close"] == [event["event"] for event in events]
