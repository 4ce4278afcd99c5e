"""What reaches a console: nothing that drives it, in any encoding, and no traceback in place of it."""

from __future__ import annotations

import contextlib
import fcntl
import io
import json
import os
import pty
import struct
import subprocess
import sys
import termios

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import click
import grpc
import pytest

from tests.cli.conftest import Run, python
from tests.cli.test_app import leaves
from tests.support import forkserver
from tests.support.authority import RunningAuthority, clean_environment
from tokenauthority.cli.app import root


HOSTILE = "\x1b]0;pwn\x07\x9b2J\u202egnp.exe\u2028\u2066\u200b\ufeff\x7f\U000e0041\ufe0f\u3164end"
"""A title, a cleared screen, bidirectional text, line ends, and characters that nobody sees."""

WIDE = "Zo\u00eb \u0141ukasz \U0001f600"
ENCODINGS = ["utf-8", "cp1252", "latin-1", "ascii", "cp437", "utf-16"]


def raw(text: str) -> list[str]:
    """The characters of *text* that do not belong on a console."""
    return [c for c in text if (not c.isprintable() and c != "\n") or c in "\ufe0f\u3164"]


@pytest.fixture
def hostile_token(run: Run, session_id: str) -> str:
    """A token whose data tries it all."""
    return run("tokens", "generate", "--session", session_id, "--data", HOSTILE + WIDE).out.strip()


@pytest.mark.parametrize("as_json", [True, False])
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_console_of_any_encoding_shows_everything(
    hostile_token: str, encoding: str, monkeypatch: pytest.MonkeyPatch, *, as_json: bool
) -> None:
    """What it lacks is escaped; JSON stays the same JSON."""
    console = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(console, encoding=encoding, errors="strict"))
    with pytest.raises(SystemExit) as ended:
        root(["tokens", "inspect", hostile_token, *(["--json"] if as_json else [])])

    shown = console.getvalue().decode(encoding)
    assert not ended.value.code
    assert [] == raw(shown)
    if as_json:
        assert HOSTILE + WIDE == json.loads(shown)["data"]
    else:
        assert r"\x1b]0;pwn\x07\x9b2J\u202egnp.exe" in shown


def test_what_others_wrote_reaches_no_terminal_raw(run: Run, running_authority: RunningAuthority) -> None:
    """In tables, in JSON and in the audit log: names, comments, subjects."""
    project = running_authority.project_id
    run("projects", "update", project, "--display-name", HOSTILE)
    session = run("sessions", "create", "-q").out.strip()
    run("tokens", "generate", "--session", session, "--subject", HOSTILE)
    commands = [
        ("tokens", "revoke", "--session", session, "--comment", HOSTILE),
        ("projects", "list"),
        ("projects", "show", project),
        ("tokens", "verify", HOSTILE.replace("\x00", "")),
        ("sessions", "show", HOSTILE),
        ("audit", "show", HOSTILE),
        (HOSTILE,),
        ("projects", "show", f"--{HOSTILE}"),
    ]

    for command in commands:
        for arguments in (command, (*command, "--json")):
            said = run(*arguments)
            assert [] == raw(said.out + said.err), arguments


@pytest.fixture
def hostile_address() -> Iterator[str]:
    """A server whose every answer is an error with such a text."""

    class Refusing(grpc.GenericRpcHandler):
        def service(self, _: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[bytes, bytes]:
            def refuse(_: bytes, context: grpc.ServicerContext) -> bytes:
                context.set_trailing_metadata((("x-request-id", "r\x7e"),))
                context.abort(grpc.StatusCode.PERMISSION_DENIED, f"first\nerror: second {HOSTILE}")

            return grpc.unary_unary_rpc_method_handler(refuse)

    server = grpc.server(ThreadPoolExecutor(1), handlers=[Refusing()])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield f"127.0.0.1:{port}"
    server.stop(0).wait(10)


def test_an_error_of_a_server_is_one_line_without_control_characters(run_alone: Run, hostile_address: str) -> None:
    """The server, or who is in its place, chooses the text."""
    said = run_alone("--address", hostile_address, "--plaintext", "--api-key", "tak_x", "projects", "list")

    assert 1 == said.exit_code
    assert 1 == len(said.err.splitlines())
    assert [] == raw(said.err)


def test_bytes_that_are_not_utf_8_are_refused_by_the_name_of_their_argument(run: Run) -> None:
    """Python gives them as lone surrogates, which no message can carry."""
    bad = "a\udcffb"
    for arguments, name in {
        ("tokens", "verify", bad): "TOKEN",
        ("sessions", "show", bad): "SESSION_ID",
        ("projects", "update", bad, "--external-sessions"): "PROJECT_ID",
        ("keys", "revoke", "x", "--yes", "--comment", bad): "--comment",
        ("tokens", "generate", "--session", "2_a", "--layout-class", bad): "--layout-class",
        ("--project", bad, "sessions", "create"): "--project",
        ("sessions", "create", "--project", bad): "--project",
    }.items():
        said = run(*arguments)
        assert 2 == said.exit_code, arguments
        assert "is not text in UTF-8" in said.err
        assert name in said.err
        assert 1 == len(said.err.splitlines())


def test_no_argument_of_any_command_ends_in_a_traceback(run_alone: Run) -> None:
    """Bytes that are not UTF-8 in each argument and option that takes a text: an error, or an answer."""
    for name, command in leaves(root, ""):
        if name in {"serve", "callers new-key"}:
            continue
        for parameter in command.params:
            if isinstance(parameter.type, click.types.StringParamType) and not getattr(parameter, "is_flag", False):
                option = [] if isinstance(parameter, click.Argument) else [parameter.opts[0]]
                said = run_alone(*name.split(), *option, "a\udcffb", "--address", "127.0.0.1:1", "--plaintext")
                assert said.exit_code in {1, 2, 3}, (name, parameter.name)


@contextlib.contextmanager
def broken_pipe() -> Iterator[io.TextIOWrapper]:
    """The end of a pipe that nobody reads."""
    reader, writer = os.pipe()
    os.close(reader)
    file = os.fdopen(writer, "w")
    yield file
    with contextlib.suppress(OSError):
        file.close()


def test_a_full_disk_is_an_error_and_no_traceback(tmp_path: Path) -> None:
    """The answer was lost, so the exit code says so."""
    with (
        Path("/dev/full").open("w") as full,
        forkserver.start(
            ["completion", "bash"], cwd=tmp_path, env=clean_environment(), stdout=full, stderr=subprocess.PIPE
        ) as process,
    ):
        assert process.stderr is not None
        assert "error: No space left on device\n" == process.stderr.read()
        assert 1 == process.wait(60)


def test_a_failure_that_nobody_reads_has_its_exit_code(tmp_path: Path) -> None:
    """A script that closed standard error still learns what happened."""
    arguments = ["projects", "list", "--address", "127.0.0.1:1", "--plaintext", "--api-key", "tak_x"]
    with (
        broken_pipe() as errors,
        forkserver.start(arguments, cwd=tmp_path, env=clean_environment(), stderr=errors) as process,
    ):
        assert 3 == process.wait(60)


def test_a_traced_grpc_does_not_show_the_key(running_authority: RunningAuthority) -> None:
    """GRPC_TRACE prints all metadata; the command line drops it before gRPC reads it."""
    done = python(
        "-c",
        "import os, sys; os.environ['GRPC_TRACE'] = 'all'; os.environ['GRPC_VERBOSITY'] = 'DEBUG'\n"
        f"sys.argv = ['tokenauthority', 'projects', 'list', '--plaintext', '--address', '{running_authority.address}',"
        f" '--api-key', '{running_authority.api_key}']\n"
        "from tokenauthority.cli import main; main()",
    )

    assert 0 == done.returncode
    assert running_authority.api_key not in done.stderr + done.stdout


def test_a_pipe_is_no_terminal_whatever_the_environment_says(run: Run, session_id: str) -> None:
    """FORCE_COLOR, which build servers set, must not break an id in two."""
    shown = run("sessions", "list", env={"FORCE_COLOR": "1", "COLUMNS": "20", "TTY_COMPATIBLE": "1"}).out

    assert session_id in shown
    assert "\x1b" not in shown


def test_a_narrow_terminal_breaks_no_id(run: Run, running_authority: RunningAuthority, session_id: str) -> None:
    """It wraps lines, and what a person selects there is the id."""
    terminal, inside = pty.openpty()
    fcntl.ioctl(inside, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 40, 0, 0))
    with os.fdopen(terminal, "rb", buffering=0) as screen, os.fdopen(inside, "wb", buffering=0) as console:
        done = subprocess.run(
            [sys.executable, "-m", "tokenauthority.cli", "sessions", "list"],
            env=clean_environment(**running_authority.environment, TERM="xterm"),
            stdin=subprocess.DEVNULL,
            stdout=console,
            stderr=subprocess.PIPE,
            timeout=60,
            check=False,
        )
        shown = screen.read(65_536).decode()

    assert (0, b"") == (done.returncode, done.stderr)
    assert session_id in shown
