"""The official Node SDK accepts our session ids, and we accept its tokens."""

from __future__ import annotations

import time

import pytest

from tests.conformance.sdk.node_sdk import NodeSdk
from tests.signing.builders import KEYS, PROJECT, SECRET, verify
from tokenauthority.domain.ids import make_session_id
from tokenauthority.domain.role import BUILT_IN_ROLES
from tokenauthority.domain.times import Millis
from tokenauthority.domain.token_format import TokenFormat
from tokenauthority.signing.formats.registry import read_token


DATA = (
    "name=Johnny",
    "a=1&b=2 +%25:",
    "line\r\nline\n\ttab",
    "\x00\x1f\x7f\x85\u2028",
    "שלום \u202e עולם",
    "😀" * 512,
    "'()*!~-_.",
)
SESSIONS = tuple(
    make_session_id(PROJECT, location, relayed=relayed, now=Millis(1_700_000_000_000 + n), random=bytes([n]) * 18)
    for n, (location, relayed) in enumerate([("", True), ("", False), ("12.34.56.78", True), ("1.1.1.1", False)])
)


@pytest.mark.parametrize("legacy", [False, True], ids=["jwt", "t1"])
@pytest.mark.parametrize("session_id", SESSIONS)
@pytest.mark.timeout(400)
def test_nodes_tokens_for_our_sessions_are_read(node_sdk: NodeSdk, session_id: str, legacy: bool) -> None:  # noqa: FBT001 - the SDK's argument
    """Every role and kind of data comes back as it was given, under our session id."""
    expire_time = int(time.time()) + 3600
    options = [
        {"role": role, "expireTime": expire_time, "data": data, "initialLayoutClassList": ["focus", "a+b"]}
        for role in BUILT_IN_ROLES
        for data in DATA
    ]
    shared = {"apiKey": PROJECT, "apiSecret": SECRET.value, "sessionId": session_id, "legacy": legacy}

    tokens = node_sdk.generate_tokens([{**shared, "options": each} for each in options])

    verified = [verify(token, KEYS).claims for token in tokens]
    assert {TokenFormat.OPENTOK_T1 if legacy else TokenFormat.OPENTOK_JWT} == {
        read_token(token).format for token in tokens
    }
    assert [(each["role"], each["data"]) for each in options] == [(said.role, said.data) for said in verified]
    assert {(PROJECT, session_id, expire_time, ("focus", "a+b"))} == {
        (said.project_id, said.session_id, said.expire_time, said.initial_layout_class_list) for said in verified
    }


@pytest.mark.timeout(400)
def test_nodes_defaults_are_read(node_sdk: NodeSdk) -> None:
    """Publisher, a day, no data."""
    shared = {"apiKey": PROJECT, "apiSecret": SECRET.value, "sessionId": SESSIONS[0], "options": {}}

    tokens = node_sdk.generate_tokens([{**shared, "legacy": legacy} for legacy in (False, True)])

    said = [verify(token).claims for token in tokens]
    assert [("publisher", "", ())] * 2 == [(each.role, each.data, each.initial_layout_class_list) for each in said]
    # Node reads its clock twice, and rounds it once up or down and once down.
    assert {-1, 0, 1} >= {each.expire_time - each.issue_time - 86_400 for each in said}


@pytest.mark.timeout(400)
def test_node_refuses_a_session_of_another_project(node_sdk: NodeSdk) -> None:
    """The control of the tests above: the SDK does look into session ids."""
    request = {
        "apiKey": "47000001",
        "apiSecret": SECRET.value,
        "sessionId": SESSIONS[0],
        "options": {},
        "legacy": False,
    }

    with pytest.raises(RuntimeError, match="belongs to the API Key"):
        node_sdk.generate_tokens([request])
