"""Each RPC of the contract is answered by the servicer method of its name, which takes and returns its messages."""

from __future__ import annotations

import asyncio
import inspect

from collections.abc import AsyncGenerator, Mapping
from types import SimpleNamespace
from typing import get_args, get_type_hints

import attrs
import pytest

from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from tests.authority.world import NOW, World, make_role, make_server, make_world
from tests.support.authority import EVERYTHING, WAIT, make_caller
from tokenauthority.audit.record import AuditRecord
from tokenauthority.authority import store_follower as follower_module
from tokenauthority.authority.project_deletion import ProjectDeletion
from tokenauthority.authority.roles import Roles
from tokenauthority.contract import METHODS, SERVICES
from tokenauthority.domain.role import Permission
from tokenauthority.domain.times import Millis
from tokenauthority.service import keys, projects, roles, sessions, tokens
from tokenauthority.service.rpc import Rpc, ServedMethod, ServicerTableError, bind_servicers, servicer_method_name
from tokenauthority.v1 import project_pb2, role_pb2, session_pb2, token_pb2


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


async def nothing() -> None:
    """Wait for no read."""


def test_names_a_servicer_method_in_snake_case() -> None:
    """Whoever knows the RPC finds its method."""
    assert ["generate_token", "get_json_web_key_set"] == [
        servicer_method_name(rpc) for rpc in ("GenerateToken", "GetJsonWebKeySet")
    ]


GENERATE = "/tokenauthority.v1.TokenService/GenerateToken"
"""Its answer is encoded as each token of a batch is."""


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

    if method.max_items:
        # A list is decoded and encoded piece by piece.
        (field,) = method.descriptor.input_type.fields
        assert field.message_type is not None
        assert ((GetMessageClass(field.message_type),), bytes) == (get_args(request), answer)
        return
    assert GetMessageClass(method.descriptor.input_type) is request
    assert Rpc is rpc
    assert (bytes if path == GENERATE else GetMessageClass(method.descriptor.output_type),) == messages


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

    assert set(METHODS) == set(bind_servicers(servicers, clock, nothing))
    assert set(SERVICES) == set(SERVICERS)


def test_refuses_to_start_on_an_rpc_without_a_servicer_method() -> None:
    """Every missing one is named, also those of a service without a servicer."""
    servicers: dict[str, object] = {service: servicer for service, (_, servicer) in SERVICERS.items()}
    servicers["tokenauthority.v1.RoleService"] = SimpleNamespace(list_roles=1, get_role=1, create_role=1)
    del servicers["tokenauthority.v1.KeyService"]
    with pytest.raises(ServicerTableError) as caught:
        bind_servicers(servicers, clock, nothing)

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

    served = ServedMethod(METHODS["/tokenauthority.v1.TokenService/VerifyToken"], verify_token, clock, nothing)
    with pytest.raises(LookupError):
        await served.answer(token_pb2.VerifyTokenRequest(), None, AuditRecord(time="", request_id="r", method="m"))

    assert [] == reached


async def test_answers_nothing_from_before_it_slept(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that was stopped reads the changes before it answers the first call, whatever that asks for."""
    moments = [1000.0]
    monkeypatch.setattr(follower_module, "monotonic", lambda: moments[-1])
    world = await make_world()
    other = make_server(world.store, world.sealer)
    await other.follower.start()
    served = served_of(world)
    session_id, follower = world.session.session_id, world.server.follower
    await world.store.create_role(make_role(world.project_id, Permission.PUBLISH))
    asked = {
        "ProjectService/GetProject": project_pb2.GetProjectRequest(project_id=world.project_id),
        "RoleService/GetRole": role_pb2.GetRoleRequest(project_id=world.project_id, name="host"),
        "SessionService/GetSession": session_pb2.GetSessionRequest(session_id=session_id),
    }
    before = [await ask(served, path, request) for path, request in asked.items()]
    await other.projects.update(world.project_id, {"display_name": "changed"})
    await world.store.update_role(world.project_id, "host", lambda role, _: attrs.evolve(role, description="changed"))
    await other.sessions.end(session_id, EVERYTHING, NOW)
    moments.append(1000.0 + WAIT + 3)
    answers = [asyncio.ensure_future(ask(served, path, request)) for path, request in asked.items()]
    await asyncio.wait_for(follower.woken.wait(), WAIT)
    await follower.catch_up()
    after = [await answer for answer in answers]

    assert [b"changed" not in answer for answer in before[:2]] == [b"changed" in answer for answer in after[:2]]
    assert session_pb2.SESSION_STATE_ENDED == session_pb2.GetSessionResponse.FromString(after[2]).session.state


def served_of(world: World) -> Mapping[str, ServedMethod]:
    """The RPCs of three services over what a world has cached."""
    server = world.server
    servicers: dict[str, object] = {
        **{service: servicer for service, (_, servicer) in SERVICERS.items()},
        "tokenauthority.v1.ProjectService": projects.ProjectServicer(
            server.projects,
            server.secrets,
            ProjectDeletion(world.store, server.tenants, server.revocations, server.follower.wake),
        ),
        "tokenauthority.v1.SessionService": sessions.SessionServicer(server.sessions),
        "tokenauthority.v1.RoleService": roles.RoleServicer(Roles(world.store, server.tenants, lambda *_: frozenset())),
    }
    return bind_servicers(servicers, clock, server.follower.wait_for_read)


async def ask(served: Mapping[str, ServedMethod], path: str, request: Message) -> bytes:
    """The encoded answer to a caller that may do everything."""
    record = AuditRecord(time="", request_id="r", method="m")
    return await served[f"/tokenauthority.v1.{path}"].answer(request, make_caller(), record)
