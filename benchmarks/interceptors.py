"""What each interceptor costs a call, in this process: the chain with none, one, two ... of them around a handler.

The interceptors, the audit log and its fsync are real; gRPC's context is the least that they need. A step is the
difference of two neighbours in one round, measured in turn, so that a machine whose speed drifts slows both alike.
"""

from __future__ import annotations

import asyncio
import logging
import time

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Final, cast

import attrs
import grpc
import structlog
import uvloop

from prometheus_client import CollectorRegistry

from benchmarks.calls import GENERATE
from benchmarks.measure import Spread
from tokenauthority.audit.writing.log import FileAuditLog
from tokenauthority.audit.writing.log_file import Disk
from tokenauthority.authority.caller_leases import CallerLeases
from tokenauthority.callers.api_keys import digest, new_api_key
from tokenauthority.callers.bearer import BearerAuthenticator
from tokenauthority.callers.identity import ApiKeyIdentity
from tokenauthority.callers.issuer_keys import IssuerKeyCaches
from tokenauthority.callers.jwt import JwtVerifier
from tokenauthority.callers.registry import CallerEntry, CallerRegistry, CurrentCallers
from tokenauthority.contract import METHODS
from tokenauthority.domain.caller import Action, Caller, CallerKind, Grant, Rate
from tokenauthority.domain.counts import counted
from tokenauthority.domain.leases import CallerUsage, Lease, LeaseRequest
from tokenauthority.domain.times import Millis
from tokenauthority.interceptors.admission import Admission, AdmissionInterceptor, PlacesInterceptor
from tokenauthority.interceptors.audit import AuditInterceptor
from tokenauthority.interceptors.auth_failures import AuthFailureLimiter
from tokenauthority.interceptors.authentication import AuthenticationInterceptor
from tokenauthority.interceptors.authorization import PUBLIC, AuthorizationInterceptor, required_actions
from tokenauthority.interceptors.chain import InterceptorChain
from tokenauthority.interceptors.decision_log import DecisionLog
from tokenauthority.interceptors.deliveries import Deliveries
from tokenauthority.interceptors.errors import ErrorsInterceptor
from tokenauthority.interceptors.message_memory import MessageMemoryInterceptor
from tokenauthority.interceptors.metrics import MetricsInterceptor
from tokenauthority.interceptors.rate_limiter import CallerRateLimiter
from tokenauthority.interceptors.read_pool import ReadPool
from tokenauthority.interceptors.receiving import ReceivingInterceptor
from tokenauthority.interceptors.refusal_summarizer import RefusalSummarizer
from tokenauthority.interceptors.request import RequestInterceptor
from tokenauthority.server.wiring import system_clock


if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
    from pathlib import Path

    from tokenauthority.interceptors.call import Context, Interceptor
    from tokenauthority.interceptors.chain import Handler


_AT_ONCE: Final = 100
_CALLS: Final = 2000
_AUDIT: Final = f"audit, {_AT_ONCE} calls sharing a sync"
_SHARING: Final = (1, 10, 100)
_ENOUGH: Final = Rate(1_000_000, 1_000_000)


@attrs.frozen
class Shared:
    """The audit log with so many calls `at_once`: all CPU of a call, and how many records one sync had."""

    at_once: int
    cpu: Spread
    wall: Spread
    records: float


@attrs.frozen
class Costs:
    """Microseconds of CPU, all threads: of the bare chain, and what each interceptor adds, in their order."""

    bare: Spread
    steps: Mapping[str, Spread]
    shared: Sequence[Shared]

    def as_text(self) -> str:
        """Two tables."""
        lines = ["", f"{'What each interceptor adds, CPU in microseconds':<56}{'median':>9}  quartiles", ""]
        for name, spread in {"chain without any": self.bare, **self.steps}.items():
            lines.append(f"{name:<56}{spread.median:>9.1f}  {spread.lower:.1f} to {spread.upper:.1f}")
        total = sum(spread.median for spread in self.steps.values())
        lines += [
            f"{'all of them':<56}{total:>9.1f}",
            "",
            "Each step is a difference of two runs. One below 0, and those beside it, are noise: measure more rounds.",
            "",
        ]
        lines += [
            f"{'A call with its record on the disk, microseconds':<56}{'CPU':>9}{'wall':>9}  records in one commit",
            "",
        ]
        for each in self.shared:
            name = counted(each.at_once, "call") + " at once"
            lines.append(f"{name:<56}{each.cpu.median:>9.1f}{each.wall.median:>9.1f}  {each.records:.1f}")
        return "\n".join(lines) + "\n"

    def as_json(self) -> dict[str, object]:
        """The same for programs."""
        return {
            "bare": self.bare.median,
            "steps": {name: spread.median for name, spread in self.steps.items()},
            "audit": [
                {"at_once": s.at_once, "cpu": s.cpu.median, "wall": s.wall.median, "records_per_sync": s.records}
                for s in self.shared
            ],
        }


class _AmpleStore:
    async def lease(self, requests: Sequence[LeaseRequest], now: Millis) -> Sequence[Lease]:
        day = Millis(24 * 60 * 60 * 1000)
        return [Lease(caller=each.caller, items=10**12, day=now // day, ends_in=day) for each in requests]

    async def list_usage(self) -> Sequence[CallerUsage]:
        return []


def measure(directory: Path, rounds: int) -> Costs:
    """Measure all of them; the audit log is in *directory*."""
    # Else the log's checkpoints would be printed between the tables.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_measure(directory, rounds))


async def _measure(directory: Path, rounds: int) -> Costs:
    key = new_api_key()
    disk = _CountingDisk()
    log = FileAuditLog(directory / "chain.jsonl", directory / "chain.key", clock=system_clock, disk=disk)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(log.running())
        named = await _interceptors(key, log)
        # The audit step last: a disk is so noisy that no step around it would be seen.
        order = sorted(named, key=lambda name: name == _AUDIT)
        sets = [set(order[:number]) for number in range(len(order) + 1)]
        chains = [await _calling([each for name, each in named.items() if name in used], key) for used in sets]
        samples: list[list[float]] = [[] for _ in chains]
        for number in range(rounds):
            turn = range(len(chains))
            for index in reversed(turn) if number % 2 else turn:
                samples[index].append((await _timed(chains[index], _AT_ONCE, _CALLS))[0])
        shared = [await _shared(chains[-1], at_once, rounds, disk) for at_once in _SHARING]
    steps = {
        name: Spread.of([with_it - without for without, with_it in zip(*samples[index : index + 2], strict=True)])
        for index, name in enumerate(order)
    }
    return Costs(Spread.of(samples[0]), steps, shared)


async def _interceptors(key: str, log: FileAuditLog) -> dict[str, Interceptor]:
    """As the server has them, outermost first, for a caller with a rate and a quota."""
    registry = CollectorRegistry()
    grant = Grant(projects=frozenset({"*"}), actions=frozenset(Action), rate=_ENOUGH, daily_quota=1_000_000_000_000)
    caller = Caller(name="bench", kind=CallerKind.API_KEY, identity="sha256:bench", grant=grant)
    callers = CurrentCallers(CallerRegistry([CallerEntry(caller, ApiKeyIdentity(digest(key)))]))
    bearer = BearerAuthenticator(callers, JwtVerifier(IssuerKeyCaches(callers, refresh=60, max_stale=60)), system_clock)
    auth_failures = AuthFailureLimiter(registry, system_clock, each=_ENOUGH, throttled=_ENOUGH)
    refusals = RefusalSummarizer(log, registry, system_clock, each=_ENOUGH, together=_ENOUGH)
    leases = CallerLeases(_AmpleStore(), system_clock)
    # One lease for all calls: to lease is a matter of the store.
    await asyncio.gather(leases.obtain(caller, 1), leases.renew())
    # On a busy machine calls would else lose their places; their messages are there at once.
    admission, pool = Admission(10_000, 10_000, 10_000), ReadPool(8, 512, patience=60, contended=60 * 8)
    limits = CallerRateLimiter(registry, callers, leases, system_clock, 1024)
    return {
        "request": RequestInterceptor(system_clock, 30.0),
        "metrics": MetricsInterceptor(registry, {GENERATE}),
        _AUDIT: AuditInterceptor(refusals, unrecorded=(), finishing=()),
        "errors": ErrorsInterceptor(DecisionLog(callers, limits)),
        "admission": AdmissionInterceptor(admission, ()),
        "authentication, cached API key": AuthenticationInterceptor(bearer, PUBLIC, auth_failures),
        "limits, rate and quota": limits,
        "authorization": AuthorizationInterceptor(required_actions(METHODS.values())),
        "receiving": ReceivingInterceptor({GENERATE: 65_536}, callers=pool, strangers=pool),
        "memory of messages": MessageMemoryInterceptor(2**30, {}),
        "places": PlacesInterceptor(admission, public=()),
    }


async def _calling(interceptors: Sequence[Interceptor], key: str) -> Callable[[], Awaitable[object]]:
    """What makes one call through a chain of *interceptors*."""
    handler = cast("Handler", grpc.unary_unary_rpc_method_handler(_answer, bytes, bytes))

    async def found(_: grpc.HandlerCallDetails) -> Handler:
        return handler

    wrapped = await InterceptorChain(interceptors, Deliveries()).intercept_service(
        found, cast("grpc.HandlerCallDetails", _Details())
    )
    run = wrapped.stream_unary
    assert run is not None
    context = cast("Context", _Context(key))

    async def call() -> object:
        answer = run(_messages(), context)
        return await cast("Awaitable[object]", answer)

    return call


async def _messages() -> AsyncIterator[bytes]:
    """What gRPC hands over of a unary call: one message."""
    yield b""


async def _timed(call: Callable[[], Awaitable[object]], at_once: int, calls: int) -> tuple[float, float]:
    """Microseconds of CPU and of wall time that a call takes."""
    started, cpu = time.perf_counter_ns(), time.process_time_ns()
    for _ in range(calls // at_once):
        # Each in a task of its own, as gRPC runs them.
        await asyncio.gather(*(asyncio.ensure_future(call()) for _ in range(at_once)))
    cpu, wall = time.process_time_ns() - cpu, time.perf_counter_ns() - started
    return cpu / 1000 / calls, wall / 1000 / calls


async def _shared(call: Callable[[], Awaitable[object]], at_once: int, rounds: int, disk: _CountingDisk) -> Shared:
    calls = 200 if at_once == 1 else _CALLS
    before = disk.syncs
    taken = [await _timed(call, at_once, calls) for _ in range(rounds)]
    cpu, wall = zip(*taken, strict=True)
    return Shared(at_once, Spread.of(cpu), Spread.of(wall), calls * rounds / (disk.syncs - before))


async def _answer(_request: bytes, _context: object) -> bytes:
    return b""


class _CountingDisk(Disk):
    def __init__(self) -> None:
        self.syncs = 0

    def sync(self, descriptor: int) -> None:
        super().sync(descriptor)
        self.syncs += 1


class _Details:
    method = GENERATE
    invocation_metadata = ()


class _Context:
    """What gRPC gives: the headers of a real call, no deadline."""

    def __init__(self, key: str) -> None:
        self._metadata = (
            ("user-agent", "grpc-python/1.85.1 grpc-c/55.0.0 (linux; chttp2)"),
            ("authorization", f"Bearer {key}"),
        )

    def invocation_metadata(self) -> tuple[tuple[str, str], ...]:
        return self._metadata

    def set_trailing_metadata(self, metadata: object) -> None:
        pass

    def time_remaining(self) -> None:
        return None

    def peer(self) -> str:
        return "ipv4:127.0.0.1:50000"

    def auth_context(self) -> dict[str, list[bytes]]:
        return {}

    async def read(self) -> bytes:
        return b""

    async def abort_with_status(self, status: grpc.Status) -> None:
        raise RuntimeError(f"a measured call was refused: {status.details}")
