"""Errors: one tree, one table, the same details with every one of them, and a limit to each."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import grpc

from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from tests.service.api import Api, Connect, failure
from tests.service.conftest import AWAY
from tokenauthority.domain.errors import Reason, TokenAuthorityError
from tokenauthority.interceptors.status import CODES, DOMAIN
from tokenauthority.v1 import error_pb2, key_pb2, project_pb2, role_pb2, session_pb2, token_pb2


MODULES = (session_pb2, token_pb2, role_pb2, project_pb2, key_pb2)


def errors_below(kind: type[TokenAuthorityError]) -> Iterator[type[TokenAuthorityError]]:
    """Every class below *kind*."""
    for below in kind.__subclasses__():
        yield below
        yield from errors_below(below)


def every_method(api: Api) -> dict[str, Callable[[], object]]:
    """A call of each method of the contract with an empty request."""
    stubs = (api.sessions, api.tokens, api.roles, api.projects, api.keys)
    services = [service for module in MODULES for service in module.DESCRIPTOR.services_by_name.values()]
    calls: dict[str, Callable[[], object]] = {}
    for stub, service in zip(stubs, services, strict=True):
        for method in service.methods:
            request: Message = GetMessageClass(method.input_type)()
            call = partial(getattr(stub, method.name), request)
            calls[method.name] = partial(_read, call) if method.server_streaming else call
    return calls


def _read(call: Callable[[], Iterator[object]]) -> object:
    """The first message of a stream: it fails when it is read."""
    return next(call())


def test_every_domain_error_has_a_row_in_the_table() -> None:
    """No error of the tree can reach a caller as a bug."""
    tree = set(errors_below(TokenAuthorityError))

    assert tree == set(CODES)


def test_every_reason_is_in_the_contract() -> None:
    """What ErrorInfo may say is what the proto lists."""
    listed = {name.removeprefix("ERROR_REASON_") for name in error_pb2.ErrorReason.keys()}  # noqa: SIM118 - an enum

    assert set() == {reason.name for reason in Reason} - listed
    assert all(reason.name == reason.value for reason in Reason)


def test_every_method_of_the_contract_is_there(api: Api) -> None:
    """Each answers, if only with what the empty request lacks."""
    outcomes = {}
    for name, call in every_method(api).items():
        try:
            call()
        except grpc.RpcError:
            outcomes[name] = failure(call).outcome

    assert {(grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD")} == set(outcomes.values())


def test_every_method_needs_an_action_of_the_grant(connect: Connect) -> None:
    """A caller without any may call nothing."""
    failures = {name: failure(call) for name, call in every_method(connect("idle")).items()}

    assert {(grpc.StatusCode.PERMISSION_DENIED, "ACTION_NOT_GRANTED")} == {f.outcome for f in failures.values()}
    assert {"actions"} == {failed.facts["limit"] for failed in failures.values()}


def test_every_method_needs_a_credential(api: Api, connect: Connect) -> None:
    """An unknown key is UNAUTHENTICATED everywhere, in one text."""
    stranger = connect(api_key="tak_" + "A" * 43)

    failures = [failure(call) for call in every_method(stranger).values()]

    assert {(grpc.StatusCode.UNAUTHENTICATED, "CREDENTIAL_INVALID")} == {failed.outcome for failed in failures}
    assert 1 == len({failed.message for failed in failures})


def test_every_error_says_whose_it_is_and_which_request_it_was(api: Api, connect: Connect, session_id: str) -> None:
    """The domain and the request id come with each kind of error."""
    api.end(session_id)
    calls: list[Callable[[], object]] = [
        partial(api.generate, ""),
        partial(api.generate, session_id),
        partial(api.generate, session_id, role="absent"),
        partial(connect("home").new_session, AWAY),
        partial(connect("idle").new_session, AWAY),
        partial(connect(api_key="x").new_session, AWAY),
        lambda: api.tokens.RevokeTokens(token_pb2.RevokeTokensRequest()),
    ]

    failures = [failure(call) for call in calls]

    assert {DOMAIN} == {failed.domain for failed in failures}
    assert len(calls) == len({failed.facts["request_id"] for failed in failures})
    assert all(failed.message for failed in failures)
