"""What MediaMTX sends becomes a question about one session and one permission."""

from __future__ import annotations

import json

from pathlib import Path

import pytest

from hypothesis import given
from hypothesis import strategies as st

from tokenauthority.domain.errors import InvalidRequestError
from tokenauthority.domain.profile import MEDIAMTX, Member
from tokenauthority.v1.role_pb2 import PERMISSION_PUBLISH, PERMISSION_SUBSCRIBE, Permission
from tokenauthority.web.mediamtx import mediamtx_request


RECORDED = (Path(__file__).parents[1] / "vectors" / "mediamtx_hook.jsonl").read_text(encoding="utf-8").splitlines()
"""What MediaMTX 1.20.1 sent: RTSP with the token in the URL and without one, RTMP, SRT, WHIP, and HLS with the token as
bearer, in the URL and as the password."""

WHIP = json.loads(next(line for line in RECORDED if '"webrtc"' in line))


def asked(**changes: object) -> tuple[str, str, list[int]]:
    """What is asked of VerifyToken: token, session, permissions."""
    request = mediamtx_request(json.dumps({**WHIP, **changes}).encode())
    return request.token, request.session_id, list(request.required_permissions)


def test_reads_what_mediamtx_sends_for_each_protocol() -> None:
    """The token, wherever the protocol has it; the path; and what its bearer wants to do."""
    requests = [mediamtx_request(line.encode()) for line in RECORDED]

    assert ["a.b.c", "-", "a.b.c", "a.b.c", "T1==abc", "a.b.c", "a.b.c", "a.b.c"] == [each.token for each in requests]
    assert {"standup"} == {each.session_id for each in requests}
    assert [PERMISSION_PUBLISH] * 5 + [PERMISSION_SUBSCRIBE] * 3 == [
        permission for each in requests for permission in each.required_permissions
    ]


@pytest.mark.parametrize(
    ("action", "permission"),
    [("publish", PERMISSION_PUBLISH), ("read", PERMISSION_SUBSCRIBE), ("playback", PERMISSION_SUBSCRIBE)],
)
def test_the_path_is_the_session_and_the_action_the_permission(action: str, permission: int) -> None:
    """For live streams and for records of them."""
    assert ("T1==abc", "standup", [permission]) == asked(action=action)


def test_actions_mean_what_they_mean_in_a_claim_for_mediamtx() -> None:
    """So a token may do the same whichever way MediaMTX is set up."""
    for row in MEDIAMTX.rights:
        assert isinstance(row, Member)
        assert not isinstance(row.member, str)
        (permission,) = row.permissions
        wanted = Permission.Value(f"PERMISSION_{permission.name}")
        assert [wanted] == asked(action=row.member["action"])[2]


@pytest.mark.parametrize(
    ("changes", "token"),
    [
        ({"token": "", "user": "x", "password": "T1==pass"}, "T1==pass"),
        ({"token": "", "query": "jwt=T1%3D%3Dquery&x=1"}, "T1==query"),
        ({"token": "", "query": "token=a.b.c"}, "a.b.c"),
        ({"token": "", "query": "token=a&jwt=b"}, "-"),
        ({"token": "", "query": "token=a&token=b"}, "-"),
        ({"token": "", "query": "&".join(["x=1"] * 40) + "&token=a"}, "-"),
        ({"token": "", "query": "token="}, "-"),
        ({"token": ""}, "-"),
        ({"query": "jwt=other", "password": "other"}, "T1==abc"),
        ({"id": None}, "T1==abc"),
        ({"a_new_member": {"x": [1]}}, "T1==abc"),
    ],
)
def test_finds_the_token_where_each_protocol_has_it(changes: dict[str, object], token: str) -> None:
    """No token, or two of them in a query, is a token that is not valid."""
    assert token == asked(**changes)[0]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"{}",
        b'{"action":"read"}',
        b'{"action":"read","path":null}',
        b'{"action":"read","path":1}',
        b'{"action":"read","path":"\xff"}',
        b'{"action":"read","path":"x\\ud800x"}',
        b'{"x":' + b"[" * 16_000,
        *(json.dumps({**WHIP, "action": action}).encode() for action in ("api", "metrics", "pprof", "", "Publish")),
        json.dumps({**WHIP, "path": ""}).encode(),
    ],
)
def test_refuses_whatever_else_comes(body: bytes) -> None:
    """As a mistake of the asker, and without a word of the body."""
    with pytest.raises(InvalidRequestError) as caught:
        mediamtx_request(body)

    assert "T1==abc" not in str(caught.value)


JSON = st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists, max_leaves=5)
MEMBERS = st.dictionaries(st.sampled_from([*WHIP, "x"]), JSON | st.sampled_from(["read", "standup", "token=a%"]))


@given(st.binary() | MEMBERS.map(lambda members: json.dumps(members).encode()))
def test_any_other_bytes_are_a_question_or_a_mistake(body: bytes) -> None:
    """Never an error of ours, which would be 500."""
    try:
        request = mediamtx_request(body)
    except InvalidRequestError:
        return
    assert request.token
    assert request.session_id
    assert request.required_permissions
