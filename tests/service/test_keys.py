"""KeyService: the public keys are all that anyone needs to verify a native token."""

from __future__ import annotations

import json

from typing import Any

import grpc
import jwt
import pytest

from tests.service.api import FORCE_MUTE, Api, Connect, failure, wanted
from tests.support.authority import RunningAuthority, StartAuthority, eventually
from tests.support.faulty_store import FaultyStore
from tokenauthority.v1 import key_pb2, role_pb2


def key_set(api: Api) -> key_pb2.GetJsonWebKeySetResponse:
    """The public keys."""
    return api.keys.GetJsonWebKeySet(key_pb2.GetJsonWebKeySetRequest())


def decoded(api: Api, token: str, audience: str) -> dict[str, Any]:
    """A token as a stranger reads it who has nothing but PyJWT and the key set."""
    answer = key_set(api)
    header = jwt.get_unverified_header(token)
    key = jwt.PyJWKSet.from_json(answer.json)[header["kid"]]
    assert "session+jwt" == header["typ"]
    return jwt.decode(
        token,
        key,
        algorithms=[key.algorithm_name],
        audience=audience,
        issuer=answer.issuer,
        options={"require": ["iss", "aud", "jti", "iat", "exp"]},
    )


def test_anyone_verifies_a_native_token_with_the_key_set(api: Api, project_id: str, session_id: str) -> None:
    """With plain PyJWT; the claims are those of the contract and no others."""
    token = api.generate(
        session_id, data="é\n", ttl=60, subject="alice", initial_layout_class_list=["a", "b"], role="publisher"
    )

    claims = decoded(api, token.token, project_id)

    assert {
        "iss": key_set(api).issuer,
        "aud": project_id,
        "sub": "alice",
        "jti": token.token_id,
        "iat": token.issue_time.seconds,
        "exp": token.issue_time.seconds + 60,
        "scope": "session.connect",
        "session_id": session_id,
        "role": "publisher",
        "permissions": ["subscribe", "publish", "signal"],
        "connection_data": "é\n",
        "initial_layout_class_list": ["a", "b"],
    } == claims


def test_what_was_not_given_is_not_in_the_token(api: Api, project_id: str, session_id: str) -> None:
    """Without subject, data and classes there are no such claims; a custom role carries its own permissions."""
    api.roles.CreateRole(role_pb2.CreateRoleRequest(project_id=project_id, name="host", permissions=[FORCE_MUTE]))

    claims = decoded(api, api.generate(session_id, role="host").token, project_id)

    assert {"sub", "connection_data", "initial_layout_class_list"}.isdisjoint(claims)
    assert ("host", ["force_mute"]) == (claims["role"], claims["permissions"])


def test_a_token_of_one_project_is_not_for_another(api: Api, session_id: str) -> None:
    """`aud` keeps projects apart, for all have one key."""
    token = api.generate(session_id).token

    with pytest.raises(jwt.InvalidAudienceError):
        decoded(api, token, "1")


def test_the_key_set_is_the_same_as_messages_and_as_json(api: Api) -> None:
    """Public members alone, with how long they may be cached."""
    answer = key_set(api)

    members = [{field.name: value for field, value in key.ListFields()} for key in answer.keys]
    assert json.loads(answer.json) == {"keys": members}
    assert {frozenset({"kty", "use", "alg", "kid", "crv", "x", "y"})} == {frozenset(member) for member in members}
    assert 300 == answer.max_age.seconds


@pytest.mark.parametrize(
    ("algorithm", "members"),
    [("EdDSA", {"kty", "use", "alg", "kid", "crv", "x"}), ("RS256", {"kty", "use", "alg", "kid", "n", "e"})],
)
def test_other_algorithms_verify_in_the_same_way(
    start_authority: StartAuthority, connect: Connect, algorithm: str, members: set[str]
) -> None:
    """An authority that is configured so signs with EdDSA or RS256."""
    authority = start_authority(settings={"keys": {"algorithm": algorithm}})
    api = connect(authority=authority)
    session_id = api.new_session(authority.project_id).session_id
    [token] = api.batch([wanted(session_id)])

    claims = decoded(api, token.token, authority.project_id)

    key, _ = key_set(api).keys
    assert members == {field.name for field, _ in key.ListFields()}
    assert (algorithm, session_id) == (key.alg, claims["session_id"])


def test_lists_the_ring_without_key_material(running_authority: RunningAuthority, connect: Connect) -> None:
    """One ACTIVE key and others, which are those that the key set shows."""
    api = connect(authority=running_authority)
    keys = api.keys.ListSigningKeys(key_pb2.ListSigningKeysRequest()).keys
    [key] = [key for key in keys if key.state == key_pb2.SIGNING_KEY_STATE_ACTIVE]

    assert [key.key_id for key in keys] == [jwk.kid for jwk in key_set(api).keys]
    assert key_pb2.SIGNING_ALGORITHM_ES256 == key.algorithm
    assert key.create_time == key.activate_time
    assert not key.HasField("retire_time")
    assert not key.HasField("expire_time")


def test_a_server_that_may_have_missed_a_revocation_shows_no_keys(
    start_authority: StartAuthority, connect: Connect
) -> None:
    """At once what it shows may not be kept; once it has not read the store for too long, it shows nothing."""
    store = FaultyStore()
    authority = start_authority(store=store, settings={"issuance": {"max_staleness": 2}})
    api = connect(authority=authority)
    before = key_set(api).max_age.seconds
    store.fail("changes_after")
    eventually(lambda: _max_age(api) == 0, "what it shows may be kept")
    eventually(lambda: _max_age(api) is None, "it shows keys for ever")
    refused = failure(lambda: key_set(api))
    store.recover()
    eventually(lambda: bool(_max_age(api)), "it does not recover")

    assert before > 0
    assert (grpc.StatusCode.UNAVAILABLE, "STORE_UNAVAILABLE") == refused.outcome


def _max_age(api: Api) -> int | None:
    try:
        return key_set(api).max_age.seconds
    except grpc.RpcError:
        return None
