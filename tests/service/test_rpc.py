"""Each RPC of the contract is answered by the servicer method of its name, which takes and returns its messages."""

from __future__ import annotations

import inspect

from collections.abc import AsyncGenerator
from types import SimpleNamespace
from typing import get_args, get_type_hints

import pytest

from google.protobuf.message_factory import GetMessageClass

from tokenauthority.audit.record import AuditRecord
from tokenauthority.contract import METHODS, SERVICES
from tokenauthority.domain.times import Millis
from tokenauthority.service import keys, projects, roles, sessions, tokens
from tokenauthority.service.rpc import Rpc, ServedMethod, ServicerTableError, bind_servicers, servicer_method_name
from tokenauthority.v1 import token_pb2


SERVICERS = {
    "tokenauthority.v1.SessionService": (sessions, sessions.SessionServicer),
    "tokenauthority.v1.TokenService": (tokens, tokens.TokenServicer),
    "tokenauthority.v1.RoleService": (roles, roles.RoleServicer),
    "tokenauthority.v1.ProjectService": (projects, projects.ProjectServicer),
    "tokenauthority.v1.KeyService": (keys, keys.KeyServicer),
}


def clock() -> Millis:
    """A clock that stands still."""
    return Millis(1)


def test_names_a_servicer_method_in_snake_case() -> None:
    """Whoever knows the RPC finds its method."""
    assert ["generate_token", "get_json_web_key_set"] == [
        servicer_method_name(rpc) for rpc in ("GenerateToken", "GetJsonWebKeySet")
    ]


@pytest.mark.parametrize("path", METHODS)
def test_a_servicer_method_takes_and_returns_the_messages_of_its_rpc(path: str) -> None:
    """The type checker does not see how a method is bound, so its annotations are compared with the contract."""
    method = METHODS[path]
    module, servicer = SERVICERS[method.service]
    function = getattr(servicer, servicer_method_name(method.name))
    # The module imports these two for the type checker alone.
    hints = get_type_hints(function, vars(module) | {"Rpc": Rpc, "AsyncGenerator": AsyncGenerator})
    request, rpc, answer = hints.values()
    messages = get_args(answer) if method.descriptor.server_streaming else (answer,)

    assert GetMessageClass(method.descriptor.input_type) is request
    assert Rpc is rpc
    assert (GetMessageClass(method.descriptor.output_type),) == messages


@pytest.mark.parametrize("path", METHODS)
def test_a_servicer_method_is_async(path: str) -> None:
    """A plain function would block the event loop, and all other RPCs with it."""
    method = METHODS[path]
    function = getattr(SERVICERS[method.service][1], servicer_method_name(method.name))

    assert method.descriptor.server_streaming is inspect.isasyncgenfunction(function)
    assert method.descriptor.server_streaming is not inspect.iscoroutinefunction(function)


def test_binds_every_rpc() -> None:
    """Whatever the contract has is served."""
    servicers = {service: servicer for service, (_, servicer) in SERVICERS.items()}

    assert set(METHODS) == set(bind_servicers(servicers, clock))
    assert set(SERVICES) == set(SERVICERS)


def test_refuses_to_start_on_an_rpc_without_a_servicer_method() -> None:
    """Every missing one is named, also those of a service without a servicer."""
    servicers: dict[str, object] = {service: servicer for service, (_, servicer) in SERVICERS.items()}
    servicers["tokenauthority.v1.RoleService"] = SimpleNamespace(list_roles=1, get_role=1, create_role=1)
    del servicers["tokenauthority.v1.KeyService"]
    with pytest.raises(ServicerTableError) as caught:
        bind_servicers(servicers, clock)

    missing = [f"RoleService/{name}" for name in ("UpdateRole", "DeleteRole")]
    missing += [path.rpartition(".")[2] for path in METHODS if "KeyService" in path]
    expected = ", ".join(f"/tokenauthority.v1.{name}" for name in missing)
    assert f"no servicer method for {expected}" == str(caught.value)


async def test_answers_nobody_without_a_caller() -> None:
    """A chain without authentication is a bug, and opens nothing."""
    reached = []

    async def verify_token(request: object, rpc: Rpc) -> token_pb2.VerifyTokenResponse:
        reached.append(request)
        return token_pb2.VerifyTokenResponse()

    served = ServedMethod(METHODS["/tokenauthority.v1.TokenService/VerifyToken"], verify_token, clock)
    with pytest.raises(LookupError):
        await served.answer(token_pb2.VerifyTokenRequest(), None, AuditRecord(time="", request_id="r", method="m"))

    assert [] == reached
