"""What proxies and media servers ask becomes a question to VerifyToken, and its answer a verdict."""

from __future__ import annotations

from http import HTTPStatus

import pytest

from tokenauthority.contract import METHODS
from tokenauthority.domain.errors import InvalidRequestError
from tokenauthority.domain.role import Permission
from tokenauthority.domain.token import InactiveReason
from tokenauthority.service.check import VERIFY_TOKEN, bearer_token, check_request, verdict_of
from tokenauthority.v1 import role_pb2, token_pb2


def test_is_an_rpc_of_the_contract() -> None:
    """The one whose action the asker needs."""
    assert "tokens.verify" == METHODS[VERIFY_TOKEN].required_action


@pytest.mark.parametrize("permission", list(Permission))
def test_asks_for_each_permission_by_its_name(permission: Permission) -> None:
    """As tokens and the command line write it."""
    asked = check_request("T1==abc", "standup", permission.value)

    wanted = role_pb2.Permission.Value(f"PERMISSION_{permission.name}")
    assert ("T1==abc", "standup", [wanted]) == (asked.token, asked.session_id, list(asked.required_permissions))


@pytest.mark.parametrize(
    ("session", "permission", "fields"),
    [
        ("", "subscribe", ["session_id"]),
        ("x", "", ["permission"]),
        ("x", "SUBSCRIBE", ["permission"]),
        ("", "read", ["session_id", "permission"]),
    ],
)
def test_never_asks_about_every_session_or_without_a_permission(
    session: str, permission: str, fields: list[str]
) -> None:
    """VerifyToken compares neither if it is empty, as it is where a configuration has a mistake."""
    with pytest.raises(InvalidRequestError) as caught:
        check_request("T1==abc", session, permission)

    assert fields == [violation.field for violation in caught.value.violations]


@pytest.mark.parametrize(
    ("header", "token"),
    [
        ("Bearer a.b.c", "a.b.c"),
        ("bearer  a.b.c ", "a.b.c"),
        ("Bearer T1%3D%3Dab%2Bc+d/%3D", "T1==ab+c+d/="),
        ("Bearer 1,janus.plugin.videoroom,sub=a%40b:c=", "1,janus.plugin.videoroom,sub=a%40b:c="),
        ("Bearer 1%2Cjanus.plugin.videoroom%2Csub%3Da%2540b%3Ac%3D", "1,janus.plugin.videoroom,sub=a%40b:c="),
        ("Bearer", ""),
        ("Bearer ", ""),
        ("", ""),
        ("a.b.c", ""),
        ("Basic YTpi", ""),
    ],
)
def test_reads_a_bearer_token(header: str, token: str) -> None:
    """Also one that a proxy has copied from a URL as it was."""
    assert token == bearer_token(header)


@pytest.mark.parametrize("reason", list(InactiveReason))
def test_only_another_session_or_a_missing_permission_is_403(reason: InactiveReason) -> None:
    """Whatever else a token lacks, it is not valid: 401."""
    answer = token_pb2.VerifyTokenResponse(
        reason=token_pb2.InactiveReason.Value(f"INACTIVE_REASON_{reason.value}"), reason_detail="because"
    )

    verdict = verdict_of(answer)

    is_403 = reason in {InactiveReason.SESSION_MISMATCH, InactiveReason.PERMISSION_MISSING}
    assert (403 if is_403 else 401, reason.value, "because") == (verdict.status, verdict.reason, verdict.detail)


def test_an_active_token_is_204_and_an_empty_answer_is_not() -> None:
    """An answer of a server that knows a reason we do not is no permission, either."""
    assert HTTPStatus.NO_CONTENT == verdict_of(token_pb2.VerifyTokenResponse(active=True)).status
    assert HTTPStatus.UNAUTHORIZED == verdict_of(token_pb2.VerifyTokenResponse()).status
