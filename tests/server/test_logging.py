"""The operational log is for machines or for a person, and holds no local variables and no secrets."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys

from functools import cache

import grpc
import pytest

from tests.support.authority import eventually
from tests.support.production import Production, Server
from tests.support.wire import LIST_PROJECTS, Wire
from tokenauthority.callers.api_keys import new_api_key


UNKNOWN = new_api_key()

CANARY = "canary-58e1"

PROGRAM = """
import logging, sys
import structlog
from tokenauthority.interceptors.request import current_request_id
from tokenauthority.telemetry.call_trace import CallTrace, current_trace
from tokenauthority.config.groups import LoggingSettings
from tokenauthority.server import logging as ours

canary = sys.argv[3]
ours.configure(LoggingSettings(format=sys.argv[1], level=sys.argv[2]))
log = structlog.stdlib.get_logger("tokenauthority.x")
log.debug("event.debug")
log.info("event.info", method="/a/B")
logging.getLogger("foreign").warning("a foreign %s", "message")
logging.getLogger("grpc._cython.cygrpc").error("ExecuteBatchError raised in core by servicer method [%s]", "/a/B",
    exc_info=(ValueError, ValueError("gone"), None))
logging.getLogger("sqlalchemy.engine").info("SELECT %s", canary)
logging.getLogger("sqlalchemy.pool.impl.QueuePool").error("Exception during reset or similar", exc_info=True)
current_request_id.set("call-3")
current_trace.set(CallTrace(trace_id="ab" * 16))

def broken(argument):
    secret = argument + "."
    raise ValueError("boom")

try:
    broken(canary)
except ValueError:
    log.exception("event.bug")
"""


@cache
def logged(form: str, level: str = "info") -> str:
    """What a program that logs writes on standard error; it runs once for all tests."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, form, level, CANARY], check=True, capture_output=True, text=True, timeout=60
    )
    assert "" == done.stdout
    return done.stderr


def test_a_signal_switches_to_debug_and_back(production: Production) -> None:
    """Each refusal is then explained by its request id, without the credential; the server serves on."""
    server = production.start(LOGGING__LEVEL="info")
    trust = grpc.ssl_channel_credentials(production.root_certificates)
    with grpc.secure_channel(server.address, trust) as channel:
        wire = Wire(channel=channel, api_key=UNKNOWN)
        wire.call(LIST_PROJECTS)
        levels: list[object] = []
        for _ in range(2):
            server.process.send_signal(signal.SIGUSR1)
            levels.append(_next_level(server, len(levels)))
            wire.call(LIST_PROJECTS)
    [refused] = server.events("rpc.refused")

    assert ["debug", "info"] == levels
    assert (LIST_PROJECTS, "CREDENTIAL_INVALID") == (refused["method"], refused["reason"])
    assert refused["request_id"]
    assert UNKNOWN not in server.log()


def _next_level(server: Server, before: int) -> object:
    """The level that the log has after a signal, where *before* signals came earlier."""
    eventually(lambda: len(server.events("log.level")) > before, "the level does not change")
    return server.events("log.level")[before]["level_from_now"]


def test_writes_one_json_object_for_each_event() -> None:
    """Ours and foreign ones alike, with time, level and logger, and the request id within an RPC."""
    events = [json.loads(line) for line in logged("json").splitlines()]

    assert [
        ("event.info", "info", "tokenauthority.x"),
        ("a foreign message", "warning", "foreign"),
        ("event.bug", "error", "tokenauthority.x"),
    ] == [(event["event"], event["level"], event["logger"]) for event in events]
    assert all(event["timestamp"].endswith("Z") for event in events)
    assert ("/a/B", None, "call-3") == (events[0]["method"], events[0].get("request_id"), events[2]["request_id"])
    assert (None, "ab" * 16) == (events[0].get("trace_id"), events[2]["trace_id"])
    assert "ValueError: boom" in events[2]["exception"]


def test_writes_lines_for_a_person() -> None:
    """Readable, without colours where nobody looks at a terminal."""
    text = logged("text")

    assert "event.info" in text
    assert "ValueError: boom" in text
    assert "\x1b[" not in text


@pytest.mark.parametrize("form", ["json", "text"])
def test_shows_no_local_variables(form: str) -> None:
    """Those of a traceback's frames hold keys and tokens; the values of a failed call stay out of every format."""
    text = logged(form, "debug")

    assert "ValueError: boom" in text
    assert CANARY not in text


def test_shows_as_much_as_the_settings_say() -> None:
    """The level holds for all events, and libraries stay quiet at any level."""
    assert "event.debug" in logged("json", "debug")
    assert ["event.bug"] == [json.loads(line)["event"] for line in logged("json", "error").splitlines()]


def test_a_client_that_has_gone_is_no_error() -> None:
    """grpc.aio logs an error with a traceback; it is a line for who looks for something."""
    gone = [json.loads(line) for line in logged("json", "debug").splitlines() if "raised in core" in line]

    assert [("debug", False)] == [(event["level"], "exception" in event) for event in gone]
    assert "raised in core" not in logged("json", "info")


@pytest.mark.parametrize(("no_color", "colored"), [("", True), ("1", False)])
def test_a_terminal_has_colors_unless_its_user_wants_none(no_color: str, *, colored: bool) -> None:
    """NO_COLOR says so (no-color.org), with any value but the empty one."""
    terminal, inside = pty.openpty()
    with os.fdopen(terminal, "rb", buffering=0) as screen, os.fdopen(inside, "wb", buffering=0) as console:
        subprocess.run(
            [sys.executable, "-c", PROGRAM, "text", "info", CANARY],
            env={**os.environ, "NO_COLOR": no_color},
            check=True,
            stderr=console,
            timeout=60,
        )
        shown = screen.read(65_536)

    assert b"event.info" in shown
    assert colored == (b"\x1b[" in shown)
