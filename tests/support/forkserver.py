"""Start processes of the command line by fork from one that has imported it all: a start costs a tenth of the CPU.

The forked processes are real: each has its own pid, environment, directory, files and signals, and ends as any other.
Tests of what happens before and during the imports start an interpreter of their own instead.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import json
import os
import resource
import select
import signal
import socket
import subprocess
import sys
import threading
import traceback

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import IO, Final, NoReturn, Self


ROOT: Final = Path(__file__).resolve().parents[2]
_MAX_REQUEST: Final = 1 << 20
_STREAMS: Final = 3
"""Standard input, output and error, in this order, and then the pipe for the exit status."""


class ForkedProcess:
    """A process that the fork server started; the part of `subprocess.Popen` that tests use."""

    def __init__(self, pid: int, status: int, stdout: int | None, stderr: int | None) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self.stdout = None if stdout is None else os.fdopen(stdout, encoding="utf-8")
        self.stderr = None if stderr is None else os.fdopen(stderr, encoding="utf-8")
        self._status = status
        self._lock = threading.Lock()

    def poll(self) -> int | None:
        """Return the exit status, negative for a signal, or None while the process runs."""
        with self._lock:
            return self._read(0)

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end and return the exit status.

        Raises:
            subprocess.TimeoutExpired: the process runs for longer than *timeout* seconds.
        """
        with self._lock:
            status = self._read(timeout)
        if status is None:
            raise subprocess.TimeoutExpired(str(self.pid), timeout or 0.0)
        return status

    def send_signal(self, number: int) -> None:
        """Send a signal; nothing once the process has ended."""
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def kill(self) -> None:
        """Send SIGKILL."""
        self.send_signal(signal.SIGKILL)

    def terminate(self) -> None:
        """Send SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for stream in (self.stdout, self.stderr):
            if stream is not None:
                stream.close()
        self.wait()

    def _read(self, timeout: float | None) -> int | None:
        if self.returncode is None:
            poller = select.poll()
            poller.register(self._status)
            if poller.poll(None if timeout is None else timeout * 1000):
                # Nothing in the pipe: the fork server was killed, and its children with it.
                self.returncode = int(os.read(self._status, 16) or -signal.SIGKILL)
                os.close(self._status)
        return self.returncode


def start(
    arguments: Sequence[str],
    *,
    cwd: Path,
    env: Mapping[str, str],
    stdout: IO[str] | int = subprocess.DEVNULL,
    stderr: IO[str] | int = subprocess.DEVNULL,
    open_files: tuple[int, int] | None = None,
) -> ForkedProcess:
    """Start `tokenauthority` with *arguments*; *stdout* and *stderr* are files, `PIPE`, `DEVNULL` or `STDOUT`.

    *open_files* is the soft and the hard limit of open files.
    """
    child = {"arguments": list(arguments), "cwd": str(cwd), "env": dict(env), "open_files": open_files}
    request = json.dumps(child).encode()
    with contextlib.ExitStack() as stack:
        devnull = stack.enter_context(Path(os.devnull).open("r+b")).fileno()
        status, status_end = _pipe(stack)
        output, output_end = _stream(stack, stdout, devnull, devnull)
        errors, errors_end = _stream(stack, stderr, devnull, output_end)
        pid = _ask(request, [devnull, output_end, errors_end, status_end])
    return ForkedProcess(pid, status, output, errors)


def run(
    arguments: Sequence[str], *, cwd: Path, env: Mapping[str, str], timeout: float
) -> subprocess.CompletedProcess[str]:
    """Run `tokenauthority` with *arguments* to its end, within *timeout* seconds."""
    with start(arguments, cwd=cwd, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        timer = threading.Timer(timeout, process.kill)
        timer.start()
        errors: list[str] = []
        reader = threading.Thread(target=lambda: errors.append(process.stderr.read() if process.stderr else ""))
        reader.start()
        output = process.stdout.read() if process.stdout else ""
        reader.join()
        status = process.wait(timeout)
        timer.cancel()
    return subprocess.CompletedProcess(list(arguments), status, output, errors[0])


_asking: Final = threading.Lock()


def _ask(request: bytes, files: list[int]) -> int:
    with _asking:
        line = server()
        socket.send_fds(line, [request], files)
        answer = line.recv(16)
    assert answer, "the fork server has ended"
    return int(answer)


def _stream(stack: contextlib.ExitStack, wanted: IO[str] | int, devnull: int, output: int) -> tuple[int | None, int]:
    """The end that the test reads, if there is one, and the end that the process writes to."""
    if wanted == subprocess.PIPE:
        return _pipe(stack)
    if wanted == subprocess.DEVNULL:
        return None, devnull
    if wanted == subprocess.STDOUT:
        return None, output
    assert not isinstance(wanted, int)
    return None, wanted.fileno()


def _pipe(stack: contextlib.ExitStack) -> tuple[int, int]:
    reader, writer = os.pipe()
    stack.callback(os.close, writer)
    return reader, writer


@cache
def server() -> socket.socket:
    """The line to the fork server, which ends, and kills what it started, when this process ends.

    Send a request with three streams and a pipe for the exit status; the answer is the pid.
    """
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _MAX_REQUEST)
    with theirs:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.forkserver", str(theirs.fileno())],
            cwd=ROOT,
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            # As the command line sets it before gRPC is imported; and no handlers of gRPC around a fork.
            env={**os.environ, "GRPC_VERBOSITY": "NONE", "GRPC_ENABLE_FORK_SUPPORT": "0"},
        )
    atexit.register(_end, ours, process)
    return ours


def _end(line: socket.socket, process: subprocess.Popen[bytes]) -> None:
    # Not only closed: a command that another process started may have the line too.
    line.shutdown(socket.SHUT_RDWR)
    line.close()
    process.wait()


class _ForkServer:
    """Forks a child for each request and writes its exit status to the pipe that came with the request."""

    def __init__(self, line: socket.socket) -> None:
        self._line = line
        self._statuses: dict[int, int] = {}

    def serve(self) -> list[str]:
        """Serve until the test process closes the line; in a child, return the arguments that the child shall run."""
        wake, wake_end = os.pipe()
        os.set_blocking(wake_end, False)
        signal.set_wakeup_fd(wake_end, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        while True:
            ready, _, _ = select.select([self._line.fileno(), wake], [], [])
            if wake in ready:
                os.read(wake, 4096)
                self._reap()
            if self._line.fileno() in ready:
                request, files, _, _ = socket.recv_fds(self._line, _MAX_REQUEST, _STREAMS + 1)
                if not request:
                    self._kill_all()
                pid = os.fork()
                if not pid:
                    signal.set_wakeup_fd(-1)
                    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                    for file in (wake, wake_end, *self._statuses.values()):
                        os.close(file)
                    self._line.close()
                    return _become(json.loads(request), files)
                self._statuses[pid] = files.pop()
                for file in files:
                    os.close(file)
                self._line.send(str(pid).encode())

    def _reap(self) -> None:
        with contextlib.suppress(ChildProcessError):
            while (ended := os.waitpid(-1, os.WNOHANG))[0]:
                pid, status = ended
                pipe = self._statuses.pop(pid)
                with contextlib.suppress(BrokenPipeError):
                    os.write(pipe, str(os.waitstatus_to_exitcode(status)).encode())
                os.close(pipe)

    def _kill_all(self) -> NoReturn:
        for pid in self._statuses:
            os.kill(pid, signal.SIGKILL)
        sys.exit()


def _become(request: Mapping[str, object], files: list[int]) -> list[str]:
    """Take on the environment, the directory and the files that a child was asked to have."""
    arguments, env = request["arguments"], request["env"]
    assert isinstance(arguments, list)
    assert isinstance(env, dict)
    os.environ.clear()
    os.environ.update(env)
    os.chdir(str(request["cwd"]))
    if isinstance(limits := request.get("open_files"), list):
        resource.setrlimit(resource.RLIMIT_NOFILE, (limits[0], limits[1]))
    for number, file in enumerate(files[:_STREAMS]):
        os.dup2(file, number)
    for file in files:
        os.close(file)
    return [str(argument) for argument in arguments]


def _main() -> None:
    import alembic.command  # noqa: F401, PLC0415 - before the forks, and only in this process

    import tokenauthority.cli.server  # noqa: PLC0415 - likewise
    import tokenauthority.server.main  # noqa: F401, PLC0415 - likewise

    from tokenauthority.cli import main  # noqa: PLC0415 - likewise

    gc.freeze()
    # At the terminal, Ctrl-C is the test runner's; a child of a test has the default again.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    arguments = _ForkServer(socket.socket(fileno=int(sys.argv[1]))).serve()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    # The fork server's own streams know the files that it had at its start.
    sys.stdout = os.fdopen(1, "w", encoding="utf-8", closefd=False)
    sys.stderr = os.fdopen(2, "w", encoding="utf-8", errors="backslashreplace", buffering=1, closefd=False)
    sys.argv = ["tokenauthority", *arguments]
    status = 1
    try:
        main()
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:  # noqa: BLE001 - printed as the interpreter prints it
        traceback.print_exc()
    # As the interpreter ends, but for the taking apart of all modules, which costs half a second in a forked process.
    threading._shutdown()  # type: ignore[attr-defined]  # what the interpreter calls has no public name
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


if __name__ == "__main__":
    _main()
