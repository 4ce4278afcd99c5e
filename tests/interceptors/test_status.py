"""Every domain error has a status, and every status the details that the contract promises."""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

import grpc
import pytest

from google.rpc.error_details_pb2 import (
    BadRequest,
    ErrorInfo,
    PreconditionFailure,
    QuotaFailure,
    ResourceInfo,
    RetryInfo,
)
from google.rpc.status_pb2 import Status

from tokenauthority.domain.errors import (
    AlreadyExistsError,
    ExhaustedError,
    FieldViolation,
    InvalidRequestError,
    NotFoundError,
    OverloadedError,
    PermissionDeniedError,
    PreconditionError,
    RateLimitError,
    Reason,
    TokenAuthorityError,
    UnauthenticatedError,
    UnavailableError,
    UnimplementedError,
)
from tokenauthority.interceptors import status
from tokenauthority.v1 import error_pb2


CASES: dict[TokenAuthorityError, tuple[str, list[str]]] = {
    InvalidRequestError([FieldViolation("role", "is bad")]): ("INVALID_ARGUMENT", ["ErrorInfo", "BadRequest"]),
    UnauthenticatedError(): ("UNAUTHENTICATED", ["ErrorInfo"]),
    PermissionDeniedError(Reason.ROLE_NOT_GRANTED, "no", limit="roles", field="role"): (
        "PERMISSION_DENIED",
        ["ErrorInfo"],
    ),
    NotFoundError.session("2_x"): ("NOT_FOUND", ["ErrorInfo", "ResourceInfo"]),
    AlreadyExistsError(Reason.PROJECT_EXISTS, "project", "47"): ("ALREADY_EXISTS", ["ErrorInfo", "ResourceInfo"]),
    PreconditionError(Reason.SESSION_ENDED, "2_x", "has ended"): (
        "FAILED_PRECONDITION",
        ["ErrorInfo", "PreconditionFailure"],
    ),
    OverloadedError(5): ("RESOURCE_EXHAUSTED", ["ErrorInfo", "QuotaFailure", "RetryInfo"]),
    RateLimitError("no", subject="caller:a", limit="rate", retry_after=0.5): (
        "RESOURCE_EXHAUSTED",
        ["ErrorInfo", "QuotaFailure", "RetryInfo"],
    ),
    ExhaustedError.slow_reader(): ("RESOURCE_EXHAUSTED", ["ErrorInfo"]),
    UnavailableError.store(): ("UNAVAILABLE", ["ErrorInfo", "RetryInfo"]),
    UnimplementedError(): ("UNIMPLEMENTED", ["ErrorInfo"]),
}


def _tree(root: type[TokenAuthorityError]) -> Iterator[type[TokenAuthorityError]]:
    for child in root.__subclasses__():
        yield child
        yield from _tree(child)


def _details(error: status.StatusError) -> Status:
    return Status.FromString(cast("bytes", dict(error.status.trailing_metadata)["grpc-status-details-bin"]))


def test_every_error_of_the_tree_has_a_row() -> None:
    """An error that somebody adds cannot be left out, in the table or here."""
    tree = set(_tree(TokenAuthorityError))

    assert tree == set(status.CODES)
    assert tree == {type(error) for error in CASES}


def test_every_reason_is_one_of_the_contract() -> None:
    """Clients switch on the names of `ErrorReason`."""
    values = error_pb2.ErrorReason.DESCRIPTOR.values
    of_contract = {value.name.removeprefix("ERROR_REASON_") for value in values}

    assert {reason.value for reason in Reason} <= of_contract


@pytest.mark.parametrize(("error", "expected"), CASES.items(), ids=lambda case: type(case).__name__)
def test_gives_each_error_its_status(error: TokenAuthorityError, expected: tuple[str, list[str]]) -> None:
    """Code, text, reason, domain and request id, and the kinds of details, in the gRPC status and in the rich one."""
    made = status.of_error(error, "call-1")
    rich = _details(made)
    info = ErrorInfo()
    rich.details[0].Unpack(info)

    assert expected == (made.code.name, [detail.TypeName().rpartition(".")[2] for detail in rich.details])
    assert (made.code, str(error)) == (made.status.code, made.status.details)
    assert (made.code.value[0], str(error)) == (rich.code, rich.message)
    assert ("tokenauthority", error.reason, "call-1") == (info.domain, info.reason, info.metadata["request_id"])
    assert made.reason == error.reason


def test_clients_wait_for_a_platform() -> None:
    """The server has tried it several times: their own attempts come after the pause, or not at all."""

    def pushback(error: TokenAuthorityError, patience: float) -> object:
        return dict(status.of_error(error, "", patience).status.trailing_metadata).get(status.PUSHBACK)

    away = UnavailableError.platform("47", "the answer has status 500", 2.0)

    assert ["2000", "-1"] == [pushback(away, patience) for patience in (5.0, 1.0)]
    assert pushback(UnavailableError.store(), 5.0) is None


def test_details_say_what_it_is_about() -> None:
    """Bad field, missing object, failed precondition, denied limit and time to wait are there for programs."""

    def second(error: TokenAuthorityError) -> Status:
        return _details(status.of_error(error, ""))

    bad, gone, failed, wait, denied = BadRequest(), ResourceInfo(), PreconditionFailure(), RetryInfo(), ErrorInfo()
    second(InvalidRequestError([FieldViolation("a", "x"), FieldViolation("b[1].c", "y")])).details[1].Unpack(bad)
    second(NotFoundError.project("47")).details[1].Unpack(gone)
    second(PreconditionError(Reason.KEY_STATE, "kid-1", "is not PREPARED")).details[1].Unpack(failed)
    second(UnavailableError(Reason.DRAINING, "later", 2.5)).details[1].Unpack(wait)
    second(PermissionDeniedError(Reason.ROLE_NOT_GRANTED, "no", limit="roles", field="role")).details[0].Unpack(denied)

    assert [("a", "x"), ("b[1].c", "y")] == [(v.field, v.description) for v in bad.field_violations]
    assert ("project", "47") == (gone.resource_type, gone.resource_name)
    assert [("KEY_STATE", "kid-1")] == [(v.type, v.subject) for v in failed.violations]
    assert 2500 == wait.retry_delay.ToMilliseconds()
    assert {"request_id": "", "limit": "roles", "field": "role"} == dict(denied.metadata)


def test_pushes_back_only_where_the_server_is_overloaded() -> None:
    """GRFC A6's trailer is in milliseconds; other errors leave the pace to the client's own policy."""
    overloaded = dict(status.of_error(OverloadedError(5, 1.25), "").status.trailing_metadata)
    away = dict(status.of_error(UnavailableError.store(), "").status.trailing_metadata)

    assert ("1250", False) == (overloaded["grpc-retry-pushback-ms"], "grpc-retry-pushback-ms" in away)


@pytest.mark.parametrize(
    ("retry_after", "patience", "expected"),
    [
        (0.289, 30.0, ("289", 289)),
        (1.001, 1.001, ("1001", 1001)),
        (1.002, 1.001, ("-1", 1002)),
        (3600.0, 30.0, ("-1", 3_600_000)),
        (None, 30.0, ("-1", None)),
    ],
)
def test_tells_a_client_to_wait_only_where_that_helps(
    retry_after: float | None, patience: float, expected: tuple[str, int | None]
) -> None:
    """To the millisecond. Beyond its deadline gRPC's own retry is called off; people and programs learn the wait."""
    error = RateLimitError("no", subject="caller:a", limit="rate", retry_after=retry_after)
    made = status.of_error(error, "", patience)
    wait, quota, info = RetryInfo(), QuotaFailure(), ErrorInfo()
    told = [detail.Unpack(wait) for detail in _details(made).details]
    _details(made).details[0].Unpack(info)
    _details(made).details[1].Unpack(quota)

    assert expected == (
        dict(made.status.trailing_metadata)["grpc-retry-pushback-ms"],
        wait.retry_delay.ToMilliseconds() if any(told) else None,
    )
    assert [("caller:a", "no")] == [(violation.subject, violation.description) for violation in quota.violations]
    assert "rate" == info.metadata["limit"]


def test_a_plain_status_has_an_error_info_too() -> None:
    """A bug and a deadline, which no domain error stands behind, look as all other errors do."""
    made = status.plain(grpc.StatusCode.INTERNAL, "INTERNAL", "fixed", "call-2")
    info = ErrorInfo()
    _details(made).details[0].Unpack(info)

    assert ("INTERNAL", "fixed", "INTERNAL", "call-2") == (
        made.code.name,
        made.status.details,
        info.reason,
        info.metadata["request_id"],
    )
