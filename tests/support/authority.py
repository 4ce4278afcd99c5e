"""Real authorities for tests: one in this process over any store, and one as a process of its own."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import ssl
import subprocess
import threading

from collections.abc import Callable, Coroutine, Iterator, Mapping
from pathlib import Path
from typing import IO, Protocol, TypeVar

import attrs
import pytest

from tests.support import forkserver
from tests.support.forkserver import ForkedProcess
from tests.support.memory_store import MemoryStore
from tokenauthority.authority.project_spec import ProjectSpec
from tokenauthority.callers.api_keys import digest, new_api_key
from tokenauthority.callers.identity import ApiKeyIdentity
from tokenauthority.callers.registry import CallerEntry, CallerRegistry, CurrentCallers
from tokenauthority.config.settings import Settings
from tokenauthority.domain.caller import ANY, Action, Caller, CallerKind, Grant
from tokenauthority.domain.ids import make_session_id
from tokenauthority.domain.times import Millis
from tokenauthority.server.lifecycle import serving
from tokenauthority.server.wiring import App, build, system_clock
from tokenauthority.signing.sealing import MasterKey, Sealer
from tokenauthority.storage.store import Store


T = TypeVar("T")

WAIT = 60.0
"""Seconds that a test waits for something that should come at once."""

NO_TRUST = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""For httpx where nothing is encrypted: it would else read the certificates of every authority, at each request."""

EVERYTHING = Grant(projects=frozenset({ANY}), actions=frozenset(Action), roles=frozenset({ANY}))


def absent_session(project_id: str) -> str:
    """A well-formed session id that nobody made."""
    return make_session_id(project_id, "", relayed=True, now=Millis(1_700_000_000_000), random=bytes(18))


def make_caller(name: str = "tester", grant: Grant = EVERYTHING) -> Caller:
    """A caller with *grant*."""
    return Caller(name=name, kind=CallerKind.API_KEY, identity="sha256:test", grant=grant)


class Clock:
    """The wall clock, until a test sets it."""

    def __init__(self) -> None:
        self.fixed: Millis | None = None

    def __call__(self) -> Millis:
        """The moment."""
        return system_clock() if self.fixed is None else self.fixed


@attrs.define(kw_only=True)
class RunningAuthority:
    """An authority that serves in this process, on a thread and event loop of its own."""

    address: str
    http_url: str
    api_url: str
    ops_url: str
    api_key: str
    project_id: str
    audit_path: Path
    clock: Clock
    app: App
    callers: CurrentCallers
    loop: asyncio.AbstractEventLoop

    @property
    def environment(self) -> dict[str, str]:
        """What a client or the command line reads."""
        return {
            "TOKENAUTHORITY_ADDRESS": self.address,
            "TOKENAUTHORITY_PLAINTEXT": "1",
            "TOKENAUTHORITY_API_KEY": self.api_key,
            "TOKENAUTHORITY_PROJECT_ID": self.project_id,
        }

    def do(self, work: Coroutine[object, object, T]) -> T:
        """Run *work* on the authority's loop and wait for it."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(WAIT)


class StartAuthority(Protocol):
    """Starts an authority that the test's end stops."""

    def __call__(
        self,
        *,
        callers: Mapping[str, Caller] | None = None,
        store: Store | None = None,
        sealer: Sealer | None = None,
        settings: Mapping[str, object] | None = None,
    ) -> RunningAuthority:
        """Start it; see `start_authority`."""


@pytest.fixture
def start_authority(tmp_path: Path) -> Iterator[StartAuthority]:
    """A factory; *callers* are by API key, and one called `tester` who may do everything is always there."""
    with contextlib.ExitStack() as stack:
        number = iter(range(100))

        def start(
            *,
            callers: Mapping[str, Caller] | None = None,
            store: Store | None = None,
            sealer: Sealer | None = None,
            settings: Mapping[str, object] | None = None,
        ) -> RunningAuthority:
            values = {
                "dev": True,
                "data_dir": tmp_path / f"authority-{next(number)}",
                "listen": {**dict.fromkeys(("grpc", "http", "http_api", "ops"), "127.0.0.1:0"), "reflection": True},
                "database": {"poll_interval": 0.05},
                **(settings or {}),
            }
            api_key = new_api_key()
            everyone = {digest(key): caller for key, caller in {api_key: make_caller(), **(callers or {})}.items()}
            return stack.enter_context(
                _running(
                    Settings.model_validate(values),
                    store or MemoryStore(),
                    sealer or Sealer(MasterKey.generate()),
                    everyone,
                    api_key,
                )
            )

        yield start


@pytest.fixture
def running_authority(start_authority: StartAuthority) -> RunningAuthority:
    """An authority over a store in memory, with one project and one caller who may do everything."""
    return start_authority()


@contextlib.contextmanager
def _running(
    settings: Settings,
    store: Store,
    sealer: Sealer,
    callers: Mapping[str, Caller],
    api_key: str,
    *,
    thread_name: str = "authority",
) -> Iterator[RunningAuthority]:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name=thread_name, daemon=True)
    thread.start()
    clock = Clock()
    book = CallerRegistry(CallerEntry(caller, ApiKeyIdentity(known)) for known, caller in callers.items())
    stop = asyncio.Event()
    ready: asyncio.Future[RunningAuthority] = loop.create_future()

    async def serve() -> None:
        try:
            callers_now = CurrentCallers(book)
            app = build(settings, store=store, sealer=sealer, callers=callers_now, clock=clock)
            async with serving(app, settings) as addresses:
                project, _ = await app.projects.create(ProjectSpec(), EVERYTHING, clock())
                ready.set_result(
                    RunningAuthority(
                        address=addresses.grpc,
                        http_url=f"http://{addresses.http}",
                        api_url=f"http://{addresses.http_api}",
                        ops_url=f"http://{addresses.ops}",
                        api_key=api_key,
                        project_id=project.project_id,
                        audit_path=settings.audit_path,
                        clock=clock,
                        app=app,
                        callers=callers_now,
                        loop=loop,
                    )
                )
                await stop.wait()
        except Exception as error:
            if ready.done():
                raise
            ready.set_exception(error)

    async def wait_ready() -> RunningAuthority:
        return await ready

    serving_now = asyncio.run_coroutine_threadsafe(serve(), loop)
    try:
        yield asyncio.run_coroutine_threadsafe(wait_ready(), loop).result(WAIT)
    finally:
        loop.call_soon_threadsafe(stop.set)
        serving_now.result(WAIT)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(WAIT)
        loop.close()


@attrs.define(kw_only=True)
class AuthorityProcess:
    """A real `tokenauthority serve --dev`, with what it printed on standard output until it served."""

    process: ForkedProcess
    directory: Path
    environment: dict[str, str]
    http_url: str
    api_url: str
    ops_url: str
    welcome: str

    @property
    def address(self) -> str:
        """Where gRPC is."""
        return self.environment["TOKENAUTHORITY_ADDRESS"]

    @property
    def api_key(self) -> str:
        """The key of the one caller."""
        return self.environment["TOKENAUTHORITY_API_KEY"]

    @property
    def project_id(self) -> str:
        """The one project."""
        return self.environment["TOKENAUTHORITY_PROJECT_ID"]

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send the signal and wait; the exit status."""
        self.process.send_signal(number)
        return self.process.wait(WAIT)


def clean_environment(**more: str) -> dict[str, str]:
    """This process's environment without any of our variables, and *more*."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TOKENAUTHORITY_")}
    return {**kept, **more}


def launch(directory: Path, *arguments: str, **variables: str) -> AuthorityProcess:
    """Start a development server in *directory* on free ports and wait until it serves."""
    ports = {f"TOKENAUTHORITY_LISTEN__{name}": "127.0.0.1:0" for name in ("GRPC", "HTTP", "HTTP_API", "OPS")}
    with (directory / "stderr.log").open("a") as log:
        process = forkserver.start(
            ["serve", "--dev", *arguments],
            cwd=directory,
            env=clean_environment(**ports, **variables),
            stdout=subprocess.PIPE,
            stderr=log,
        )
    lines = _read_until(process.stdout, "tokens generate", process)
    kept = (directory / ".tokenauthority" / "dev.env").read_text()
    environment = dict(line.removeprefix("export ").split("=", 1) for line in kept.splitlines())
    urls = dict(line.split() for line in lines if line.split()[:1] in (["HTTP"], ["JSON"], ["probes"]))
    return AuthorityProcess(
        process=process,
        directory=directory,
        environment=environment,
        http_url=urls["HTTP"].removesuffix("/.well-known/jwks.json"),
        api_url=urls["JSON"].removesuffix("/"),
        ops_url=urls["probes"].removesuffix("/readyz"),
        welcome="".join(lines),
    )


@pytest.fixture
def authority_process(tmp_path: Path) -> Iterator[AuthorityProcess]:
    """A real `tokenauthority serve --dev` in a directory of its own."""
    authority = launch(tmp_path)
    try:
        yield authority
    finally:
        authority.process.kill()
        authority.process.wait(WAIT)
        if authority.process.stdout is not None:
            authority.process.stdout.close()


def _read_until(stream: IO[str] | None, marker: str, process: ForkedProcess) -> list[str]:
    """Read lines up to the one with *marker*; a server that says nothing is killed, which ends the reading."""
    lines: list[str] = []
    timer = threading.Timer(WAIT, process.kill)
    timer.start()
    try:
        for line in stream or ():
            lines.append(line)
            if marker in line:
                return lines
    finally:
        timer.cancel()
    raise AssertionError(f"the server ended before it served; it printed {lines}")


def eventually(condition: Callable[[], bool], reason: str) -> None:
    """Wait, for a bounded time, until *condition* holds."""
    done = threading.Event()
    for _ in range(int(WAIT / 0.01)):
        if condition():
            return
        done.wait(0.01)
    raise AssertionError(reason)
