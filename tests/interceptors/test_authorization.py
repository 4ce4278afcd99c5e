"""A caller does what its grant names; the contract states an action for every method, and everything else is denied."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import replace

import attrs
import grpc
import grpc.aio
import pytest

from prometheus_client import CollectorRegistry

from tests.support.authority import EVERYTHING, RunningAuthority, StartAuthority, make_caller
from tests.support.memory_store import MemoryStore
from tests.support.wire import GENERATE, LIST_PROJECTS, Connect, Wire, records
from tokenauthority.audit.record import AuditRecord
from tokenauthority.audit.writing.log import AuditLog
from tokenauthority.authority.caller_leases import CallerLeases
from tokenauthority.callers.api_keys import digest, new_api_key
from tokenauthority.callers.bearer import BearerAuthenticator
from tokenauthority.callers.identity import ApiKeyIdentity
from tokenauthority.callers.issuer_keys import IssuerKeyCaches
from tokenauthority.callers.jwt import JwtVerifier
from tokenauthority.callers.registry import CallerEntry, CallerRegistry, CurrentCallers
from tokenauthority.contract import METHODS
from tokenauthority.domain.caller import Action, Rate
from tokenauthority.interceptors.audit import AuditInterceptor
from tokenauthority.interceptors.auth_failures import AuthFailureLimiter
from tokenauthority.interceptors.authentication import AuthenticationInterceptor
from tokenauthority.interceptors.authorization import (
    HEALTH_METHODS,
    PUBLIC,
    REFLECTION_METHODS,
    AuthorizationInterceptor,
    AuthorizationTableError,
    required_actions,
)
from tokenauthority.interceptors.chain import InterceptorChain
from tokenauthority.interceptors.decision_log import DecisionLog
from tokenauthority.interceptors.deliveries import Deliveries
from tokenauthority.interceptors.errors import ErrorsInterceptor
from tokenauthority.interceptors.rate_limiter import CallerRateLimiter
from tokenauthority.interceptors.request import RequestInterceptor
from tokenauthority.server.wiring import system_clock


KEY = new_api_key()
BEARER = (("authorization", f"Bearer {KEY}"),)

ACTIONS = required_actions(METHODS.values())

UNKNOWN = (
    "/tokenauthority.v1.TokenService/Steal",
    "/tokenauthority.v2.TokenService/GenerateToken",
    LIST_PROJECTS.removeprefix("/"),
    "/" + LIST_PROJECTS,
    LIST_PROJECTS + "/",
    LIST_PROJECTS.lower(),
    LIST_PROJECTS + "?a=b",
    LIST_PROJECTS.replace("List", "%4cist"),
    "/",
)


def test_the_contract_gives_out_every_action() -> None:
    """No grant can name an action that allows nothing."""
    assert set(Action) == set(ACTIONS.values())


@pytest.mark.parametrize("action", ["", "tokens.steal", "TOKENS_GENERATE"])
def test_refuses_to_start_on_a_method_without_a_known_action(action: str) -> None:
    """A method with a gap is named; those that are complete are not."""
    undeclared = replace(METHODS[GENERATE], name="Steal", required_action=action)
    with pytest.raises(AuthorizationTableError) as caught:
        required_actions([*METHODS.values(), undeclared])

    assert "methods of the contract without a known required_action: /tokenauthority.v1.TokenService/Steal" == str(
        caught.value
    )


def test_public_methods_are_health_and_reflection_only() -> None:
    """What needs no caller is a short list, and nothing of ours is on it."""
    assert HEALTH_METHODS | REFLECTION_METHODS == PUBLIC
    assert not [method for method in PUBLIC if method.startswith("/tokenauthority.")]


def test_refuses_each_method_whose_action_is_not_granted(start_authority: StartAuthority, connect: Connect) -> None:
    """A grant of every action but one does not open the methods of that one, whatever the bytes are."""
    keys = {action: new_api_key() for action in Action}
    lacking = {
        keys[action]: make_caller(action, attrs.evolve(EVERYTHING, actions=frozenset(Action) - {action}))
        for action in Action
    }
    authority = start_authority(callers=lacking)
    wire = connect(authority)
    outcomes = {method: wire.call(method, b"\xff\xff", api_key=keys[action]) for method, action in ACTIONS.items()}

    assert dict.fromkeys(ACTIONS, ("PERMISSION_DENIED", "ACTION_NOT_GRANTED", "actions")) == {
        method: (outcome.code, outcome.reason, outcome.error_info.metadata["limit"])
        for method, outcome in outcomes.items()
    }
    assert [(method, "PERMISSION_DENIED", action, action) for method, action in ACTIONS.items()] == [
        (record["method"], record["code"], record["caller"], record["action"])
        for record in records(authority.audit_path)
    ]


def test_denies_an_unknown_method_to_everybody(running_authority: RunningAuthority, wire: Wire) -> None:
    """Only the registered name itself is a method (CVE-2026-33186); each try is recorded under the name it used."""
    outcomes = {method: wire.call(method) for method in UNKNOWN}

    assert dict.fromkeys(UNKNOWN, ("UNIMPLEMENTED", "UNIMPLEMENTED")) == {
        method: (outcome.code, outcome.reason) for method, outcome in outcomes.items()
    }
    assert [(method, "UNIMPLEMENTED", "tester") for method in UNKNOWN] == [
        (record["method"], record["code"], record["caller"]) for record in records(running_authority.audit_path)
    ]


def test_shows_no_stranger_which_methods_there_are(wire: Wire) -> None:
    """Without a credential an unknown method looks as a known one does."""
    unknown, known = wire.call("/a/B", api_key=""), wire.call(LIST_PROJECTS, api_key="")

    assert (known.code, known.message) == (unknown.code, unknown.message)


class _Kept(AuditLog):
    """An audit log in memory."""

    def __init__(self) -> None:
        self.records: list[AuditRecord] = []

    async def append(self, record: AuditRecord, *, more: bool = False) -> None:
        """See `AuditLog`."""
        self.records.append(record)

    async def note(self, kind: str, fields: Mapping[str, object]) -> None:
        """See `AuditLog`."""


class _Extra(grpc.GenericRpcHandler):
    """A service that nobody thought of: it answers each of its methods."""

    def __init__(self) -> None:
        self.reached: list[str] = []

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[bytes, bytes]:
        """See grpc."""
        method = handler_call_details.method

        async def unary(request: bytes, context: object) -> bytes:
            self.reached.append(method)
            return b"answered"

        async def stream(request: bytes, context: object) -> AsyncIterator[bytes]:
            self.reached.append(method)
            yield b"answered"

        if method.endswith("Stream"):
            return grpc.unary_stream_rpc_method_handler(stream, bytes, bytes)
        return grpc.unary_unary_rpc_method_handler(unary, bytes, bytes)


@pytest.fixture
async def extra() -> AsyncIterator[tuple[_Extra, _Kept, str]]:
    """A real server with a registered service that the table does not list; its log and its address."""
    handler, log = _Extra(), _Kept()
    callers = CurrentCallers(CallerRegistry([CallerEntry(make_caller(), ApiKeyIdentity(digest(KEY)))]))
    bearer = BearerAuthenticator(callers, JwtVerifier(IssuerKeyCaches(callers, refresh=60, max_stale=60)), system_clock)
    enough = Rate(100, 100)
    auth_failures = AuthFailureLimiter(CollectorRegistry(), system_clock, each=enough, throttled=enough)
    limits = CallerRateLimiter(CollectorRegistry(), callers, CallerLeases(MemoryStore(), system_clock), system_clock, 1)
    server = grpc.aio.server(
        interceptors=[
            InterceptorChain(
                [
                    RequestInterceptor(system_clock, 30.0),
                    AuditInterceptor(log, unrecorded=(), finishing=()),
                    ErrorsInterceptor(DecisionLog(callers, limits)),
                    AuthenticationInterceptor(bearer, (), auth_failures),
                    AuthorizationInterceptor({"/extra/Listed": Action.KEYS_READ}),
                ],
                Deliveries(),
            )
        ]
    )
    server.add_generic_rpc_handlers((handler,))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    yield handler, log, f"127.0.0.1:{port}"
    await server.stop(None)


@pytest.mark.parametrize(("method", "expected"), [("/extra/Listed", "OK"), ("/extra/Unlisted", "UNIMPLEMENTED")])
async def test_denies_a_registered_method_that_is_not_listed(
    extra: tuple[_Extra, _Kept, str], method: str, expected: str
) -> None:
    """Default deny: to be registered is not enough, even for a caller who may do everything."""
    handler, log, address = extra
    async with grpc.aio.insecure_channel(address) as channel:
        send: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(method)
        code = await send(b"", metadata=BEARER).code()

    assert (expected, expected == "OK") == (code.name, handler.reached == [method])
    assert [(method, expected)] == [(record.method, record.code) for record in log.records]


async def test_denies_a_registered_stream_that_is_not_listed(extra: tuple[_Extra, _Kept, str]) -> None:
    """The same holds for streams, which have no deadline and no body in the chain."""
    handler, log, address = extra
    async with grpc.aio.insecure_channel(address) as channel:
        send: grpc.aio.UnaryStreamMultiCallable[bytes, bytes] = channel.unary_stream("/extra/UnlistedStream")
        code = await send(b"", metadata=BEARER).code()

    assert ("UNIMPLEMENTED", []) == (code.name, handler.reached)
    assert ["UNIMPLEMENTED"] == [record.code for record in log.records]
