"""A server that stops says so first, refuses what is new, and loses nothing that is under way."""

from __future__ import annotations

import asyncio

from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from threading import Event
from typing import TypeAlias, cast

import attrs
import grpc
import grpc.aio
import httpx
import pytest

from grpc_health.v1 import health_pb2

from tests.support.authority import NO_TRUST, WAIT, eventually, make_caller
from tests.support.faulty_store import FaultyStore
from tests.support.production import Production, Server
from tests.support.wire import GENERATE, LIST_PROJECTS, records
from tokenauthority.callers.api_keys import digest, new_api_key
from tokenauthority.callers.identity import ApiKeyIdentity
from tokenauthority.callers.registry import CallerEntry, CallerRegistry, CurrentCallers
from tokenauthority.client import AuthorityError
from tokenauthority.config.settings import Settings
from tokenauthority.contract import SERVICES
from tokenauthority.interceptors.deliveries import RPC_TASK
from tokenauthority.server import lifecycle
from tokenauthority.server.lifecycle import Addresses, serving
from tokenauthority.server.wiring import App, build
from tokenauthority.signing.sealing import MasterKey, Sealer
from tokenauthority.v1 import project_pb2


KEY = new_api_key()
HEALTH = "/grpc.health.v1.Health/"
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
CLIENTS = 4

Disturb: TypeAlias = Callable[[Callable[[], int]], None]


@attrs.frozen(kw_only=True)
class Draining:
    """A server on the test's own event loop, which the test stops when it likes."""

    app: App
    store: FaultyStore
    addresses: Addresses
    channel: grpc.aio.Channel
    audit_path: Path
    stop: Callable[[], Awaitable[object]]

    def list_projects(self) -> grpc.aio.UnaryUnaryCall[bytes, bytes]:
        """Begin a call that the store can hold."""
        send: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = self.channel.unary_unary(LIST_PROJECTS)
        return send(b"", timeout=WAIT, metadata=(("authorization", f"Bearer {KEY}"),))

    async def health(self, service: str = "") -> int:
        """The state that the health service reports."""
        request = health_pb2.HealthCheckRequest(service=service).SerializeToString()
        send: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = self.channel.unary_unary(HEALTH + "Check")
        return health_pb2.HealthCheckResponse.FromString(await send(request, timeout=WAIT)).status

    def watch(self) -> AsyncGenerator[int]:
        """Follow the state of the whole server."""
        send: grpc.aio.UnaryStreamMultiCallable[bytes, bytes] = self.channel.unary_stream(HEALTH + "Watch")
        return _states(send(b"", timeout=WAIT))

    def codes(self) -> list[str]:
        """The recorded codes, in order."""
        return [str(record["code"]) for record in records(self.audit_path)]


async def _states(call: grpc.aio.UnaryStreamCall[bytes, bytes]) -> AsyncGenerator[int]:
    try:
        async for message in call:
            yield health_pb2.HealthCheckResponse.FromString(message).status
    finally:
        call.cancel()


@asynccontextmanager
async def running(directory: Path, **limits: float) -> AsyncIterator[Draining]:
    """Serve in this event loop with these limits."""
    settings = Settings.model_validate(
        {
            "dev": True,
            "data_dir": directory,
            "listen": {"grpc": "127.0.0.1:0", "http": "127.0.0.1:0", "ops": "127.0.0.1:0"},
            "limits": limits,
        }
    )
    store = FaultyStore()
    sealer = Sealer(MasterKey.generate())
    book = CallerRegistry([CallerEntry(make_caller(), ApiKeyIdentity(digest(KEY)))])
    app = build(settings, store=store, sealer=sealer, callers=CurrentCallers(book))
    server = AsyncExitStack()
    addresses = await server.enter_async_context(serving(app, settings))
    options = [("grpc.use_local_subchannel_pool", 1), ("grpc.enable_retries", 0)]
    async with server, grpc.aio.insecure_channel(addresses.grpc, options) as channel:
        yield Draining(
            app=app,
            store=store,
            addresses=addresses,
            channel=channel,
            audit_path=settings.audit_path,
            stop=server.aclose,
        )


async def test_serves_each_service_and_the_whole(tmp_path: Path) -> None:
    """Health knows the server by the empty name and every service by its own, without a credential."""
    async with running(tmp_path) as server:
        states = {service: await server.health(service) for service in ("", *SERVICES)}

    assert dict.fromkeys(("", *SERVICES), SERVING) == states


async def test_says_first_that_it_stops(tmp_path: Path) -> None:
    """Until balancers have noticed (drain_delay), health and readiness say no, and calls are still answered."""
    async with running(tmp_path, drain_delay=300) as server:
        watch = server.watch()
        before = await anext(watch)
        stopping = asyncio.ensure_future(server.stop())
        after = await anext(watch)
        states = {await server.health(service) for service in ("", *SERVICES)}
        async with httpx.AsyncClient(verify=NO_TRUST) as client:
            ready = await client.get(f"http://{server.addresses.ops}/readyz")
        answered = await server.list_projects().code()
        await watch.aclose()
        stopping.cancel()
        await asyncio.wait([stopping], timeout=WAIT)
        await server.app.listeners[0][1].stop(None)

    assert (SERVING, NOT_SERVING, {NOT_SERVING}) == (before, after, states)
    assert (503, {"server": "draining"}) == (ready.status_code, ready.json()["problems"])
    assert grpc.StatusCode.OK == answered


async def test_finishes_what_is_under_way(tmp_path: Path) -> None:
    """A call in flight is answered and recorded, while new ones are refused so that clients go elsewhere."""
    async with running(tmp_path) as server:
        held = server.store.hold("list_projects")
        under_way = server.list_projects()
        await held.reached()
        watch = server.watch()
        before = await anext(watch)
        stopping = asyncio.ensure_future(server.stop())
        after = await anext(watch)
        await watch.aclose()
        refused = await server.list_projects().code()
        still_held = not under_way.done() and not stopping.done()
        held.release()
        answer = await under_way.code()
        await asyncio.wait_for(stopping, WAIT)

    assert (SERVING, NOT_SERVING, True) == (before, after, still_held)
    assert refused in {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED}
    assert grpc.StatusCode.OK == answer
    assert "OK" == server.codes()[-1]


async def test_a_stream_that_stays_open_does_not_hold_the_stop(tmp_path: Path) -> None:
    """It gets its last word, and then an error that its reader may retry elsewhere."""
    async with running(tmp_path, drain_grace=300) as server:
        watch = server.watch()
        states = [await anext(watch)]
        stopping = asyncio.ensure_future(server.stop())
        with pytest.raises(grpc.aio.AioRpcError) as ended:
            states.extend([state async for state in watch])
        await asyncio.wait_for(stopping, WAIT)

    assert SERVING == states[0]
    assert grpc.StatusCode.UNAVAILABLE == ended.value.code()


async def test_cuts_off_what_does_not_end(tmp_path: Path) -> None:
    """After drain_grace a call that hangs is cancelled, and that is recorded too, before the log is closed."""
    async with running(tmp_path, drain_grace=0.05) as server:
        held = server.store.hold("list_projects")
        hanging = server.list_projects()
        await held.reached()
        await asyncio.wait_for(server.stop(), WAIT)
        code = await hanging.code()

    assert code in {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED}
    assert ["CANCELLED"] == server.codes()


@attrs.define
class Held:
    """A server that holds an RPC of which grpc.aio knows nothing: gRPC makes one only in a race."""

    cut_off: asyncio.Event = attrs.Factory(asyncio.Event)

    async def stop(self, grace: float | None) -> None:
        """Wait for the RPC, or cut it off."""
        if grace is None:
            self.cut_off.set()
        await self.cut_off.wait()


async def test_cuts_off_what_was_handed_to_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """As soon as no other RPC is under way, and not before."""
    monkeypatch.setattr(lifecycle, "_QUIET", 0.001)
    ended = asyncio.Event()
    under_way = asyncio.create_task(ended.wait(), name=RPC_TASK)
    server = cast("grpc.aio.Server", Held())
    stopping = asyncio.create_task(lifecycle._stop([server], 300))
    done, _ = await asyncio.wait([stopping], timeout=0.1)
    ended.set()
    await asyncio.wait_for(asyncio.gather(stopping, under_way), WAIT)

    assert not done


@pytest.fixture
def session_id(production: Production) -> str:
    """A session in the store of `production`, made by a server that has stopped again."""
    server = production.start()
    with production.client(server.address) as client:
        project = client.projects.CreateProject(project_pb2.CreateProjectRequest()).project
    with production.client(server.address, project_id=project.project_id) as client:
        session = client.create_session()
    assert 0 == server.stop()
    return session.session_id


@attrs.define
class Tally:
    """How the calls of several clients ended."""

    answered: int = 0
    failed: Counter[str] = attrs.Factory(Counter)


def generate_until(production: Production, address: str, session_id: str, stop: Event, tally: Tally) -> None:
    """Make tokens, each by its own call, until the test stops it."""
    with production.client(address) as client:
        while not stop.is_set():
            try:
                client.generate_token(session_id)
                tally.answered += 1
            except AuthorityError as error:
                tally.failed[error.code.name] += 1


def recorded(*servers: Server) -> int:
    """How many tokens the servers recorded as given out."""
    return sum(
        record["method"] == GENERATE and record["code"] == "OK" for server in servers for record in server.audited()
    )


def under_load(
    production: Production, address: str, session_id: str, disturb: Callable[[Callable[[], int]], None]
) -> Tally:
    """Run several clients while *disturb* does its work; it is given how to count answers."""
    stop = Event()
    tallies = [Tally() for _ in range(CLIENTS)]
    with ThreadPoolExecutor(CLIENTS) as pool:
        work = [pool.submit(generate_until, production, address, session_id, stop, tally) for tally in tallies]
        try:
            disturb(lambda: sum(tally.answered for tally in tallies))
        finally:
            stop.set()
        for done in work:
            done.result(WAIT)
    failed: Counter[str] = sum((tally.failed for tally in tallies), Counter())
    return Tally(sum(tally.answered for tally in tallies), failed)


def test_a_stopped_server_gave_out_what_it_recorded(production: Production, session_id: str) -> None:
    """SIGTERM under load: every token that the log has as given out reached its client, and the reverse."""
    server = production.start()

    def disturb(answered: Callable[[], int]) -> None:
        eventually(lambda: answered() >= 50, "no calls are answered")
        assert 0 == server.stop()

    tally = under_load(production, server.address, session_id, disturb)

    assert recorded(server) == tally.answered
    assert {"UNAVAILABLE", "CANCELLED", "DEADLINE_EXCEEDED"} >= set(tally.failed)
