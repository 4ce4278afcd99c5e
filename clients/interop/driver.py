"""A driver: the process of a client in any language, which does what a test asks by JSON, one line each way."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import queue
import signal
import subprocess
import threading

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec

from google.protobuf.message import Message


ANSWER_SECONDS: Final = 120

Answer = TypeVar("Answer", bound=Message)


class Violation(msgspec.Struct, frozen=True):
    """One invalid field, as a client showed it."""

    field: str
    problem: str


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """An error, as a client showed it."""

    code: str
    message: str
    reason: str = ""
    violations: list[Violation] = []
    retry_after: float | None = None


class Reply(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A line of a driver: one of the two."""

    ok: dict[str, Any] | None = None
    error: Failure | None = None


class Driver:
    """A running driver. One test at a time asks it."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self._process = process
        self._log = log
        self._lines: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self._reader = threading.Thread(target=self._read, name="driver", daemon=True)
        self._reader.start()

    def reply(self, op: str, **fields: object) -> Reply:
        """What it answers."""
        self.send(op, **fields)
        return self.receive()

    def send(self, op: str, **fields: object) -> None:
        """Ask, and leave the answer for `receive`."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps({"op": op, **fields}).encode() + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise AssertionError(f"the driver has ended:\n{self._stderr()}") from None

    def receive(self) -> Reply:
        """The answer to what was sent first."""
        try:
            line = self._lines.get(timeout=ANSWER_SECONDS)
        except queue.Empty:
            self._process.kill()
            raise AssertionError(f"the driver does not answer:\n{self._stderr()}") from None
        assert line, f"the driver has ended:\n{self._stderr()}"
        reply = msgspec.json.decode(line, type=Reply)
        assert (reply.ok is None) != (reply.error is None), f"neither ok nor error, or both: {line[:1000]!r}"
        return reply

    def ok(self, op: str, **fields: object) -> dict[str, Any]:
        """What it answers; an error fails the test."""
        reply = self.reply(op, **fields)
        assert reply.ok is not None, f"{op} failed: {reply.error}"
        return reply.ok

    def failure(self, op: str, **fields: object) -> Failure:
        """The error that it answers; without one the test fails."""
        reply = self.reply(op, **fields)
        assert reply.error is not None, f"{op} did not fail: {str(reply.ok)[:1000]}"
        return reply.error

    def call(self, method: str, request: Message, answer: type[Answer]) -> Answer:
        """The answer of an RPC, such as `RoleService/GetRole`, made with the stubs of the driver's language."""
        return answer.FromString(base64.b64decode(self.ok("call", **packed(method, request))["response"]))

    def close(self) -> int:
        """Close its standard input and wait: the exit status."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        return self._process.wait(ANSWER_SECONDS)

    def read_to_the_end(self) -> None:
        """Wait for the end of the output of a driver that has ended. Before, it may not be closed."""
        self._reader.join(ANSWER_SECONDS)

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.put(line)
        self._lines.put(b"")

    def _stderr(self) -> str:
        return self._log.read_text(encoding="utf-8", errors="replace")[-4000:]


def packed(method: str, request: Message) -> dict[str, str]:
    """The fields of `call`."""
    return {
        "method": f"tokenauthority.v1.{method}",
        "request": base64.b64encode(request.SerializeToString()).decode(),
    }


@contextlib.contextmanager
def running_driver(command: Sequence[str], where: Path, variables: Mapping[str, str], log: Path) -> Iterator[Driver]:
    """A driver for as long as the block runs. Its standard error goes to *log*."""
    pipe = subprocess.PIPE
    with (
        log.open("ab") as stderr,
        subprocess.Popen(
            command, cwd=where, env=variables, stdin=pipe, stdout=pipe, stderr=stderr, start_new_session=True
        ) as process,
    ):
        driver = Driver(process, log)
        try:
            yield driver
        finally:
            # All of the group: a program may be a script that starts the real one, which would go on, and `with` waits
            # for the end of its output.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            driver.read_to_the_end()
