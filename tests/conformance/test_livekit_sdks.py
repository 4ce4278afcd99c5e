"""LiveKit's official SDKs and we understand each other, and so do the tokens that LiveKit itself refreshes."""

from __future__ import annotations

import datetime as dt
import json

from pathlib import Path
from typing import Any

import jwt
import pytest
import time_machine

from livekit import api as livekit

from tests.conformance.sdk.node_sdk import NodeSdk
from tests.signing.builders import NOW, SECRET, SESSION, make_claims, make_token, verify
from tokenauthority.domain.role import BUILT_IN_ROLES, Permission
from tokenauthority.domain.token_format import TokenFormat
from tokenauthority.signing.formats.registry import read_token
from tokenauthority.signing.project_keys import ProjectKeys, ProjectSecret


VECTORS: dict[str, Any] = json.loads(
    (Path(__file__).parents[1] / "vectors" / "livekit_tokens.json").read_text(encoding="utf-8")
)
KEYS = ProjectKeys(VECTORS["project_id"], (ProjectSecret(VECTORS["secret_id"], VECTORS["secret"]),))
SUBSCRIBE, PUBLISH, SIGNAL = Permission.SUBSCRIBE, Permission.PUBLISH, Permission.SIGNAL
CASES = {
    "defaults": (SUBSCRIBE, PUBLISH, SIGNAL),
    "subscriber": (SUBSCRIBE,),
    "admin": tuple(Permission),
    "camera only": (SUBSCRIBE, SIGNAL),
}
"""What LiveKit gives for each case, whoever makes the token. A camera alone is not all that `publish` allows."""

ROLE_OF = {"defaults": "publisher", "subscriber": "subscriber", "admin": "moderator"}
"""The role that a case is here."""

GRANTS = {
    "subscriber": livekit.VideoGrants(can_publish=False, can_publish_data=False),
    "publisher": livekit.VideoGrants(),
    "publisheronly": livekit.VideoGrants(can_subscribe=False, can_publish_data=False),
    "moderator": livekit.VideoGrants(room_admin=True),
}
"""Our roles, as a caller of the SDK writes them."""


@pytest.mark.parametrize(
    "vector", VECTORS["vectors"], ids=lambda vector: f"{vector['maker'].partition(' ')[0]}-{vector['case']}"
)
def test_reads_and_verifies_what_livekit_made(vector: dict[str, Any]) -> None:
    """Session, subject, data, times and just the rights that LiveKit gives for it."""
    read = verify(vector["token"], KEYS).claims

    said = vector["claims"]
    given = CASES.get(vector["case"])
    if given is None:
        # Python's SDK writes the default of canPublishData, and the others leave it to LiveKit: it is canPublish.
        given = (SUBSCRIBE, SIGNAL) if "canPublishData" in said["video"] else (SUBSCRIBE,)
    assert TokenFormat.LIVEKIT_JWT is read_token(vector["token"]).format
    assert (SESSION, "alice", given) == (read.session_id, read.subject, read.permissions)
    assert (said.get("metadata", ""), said["nbf"], said["exp"]) == (read.data, read.issue_time, read.expire_time)
    assert read.token_id == jwt.utils.base64url_decode(vector["token"].rpartition(".")[2]).hex()


def test_the_vectors_are_of_every_maker() -> None:
    """None of them can be lost unnoticed."""
    makers = {(vector["maker"].partition(" ")[0], vector["case"]) for vector in VECTORS["vectors"]}

    cases = {*CASES, "no publishing"}
    assert makers == {
        (maker, case)
        for maker in ("livekit-api", "livekit-server-sdk", "livekit/protocol", "LiveKit")
        for case in cases
    }


@pytest.mark.parametrize(
    "vector",
    [vector for vector in VECTORS["vectors"] if vector["case"] in ROLE_OF],
    ids=lambda vector: f"{vector['maker'].partition(' ')[0]}-{vector['case']}",
)
def test_our_claims_are_those_of_each_maker(vector: dict[str, Any]) -> None:
    """Each claim that an SDK, or LiveKit itself, writes for the same inputs has the same value in ours."""
    theirs, role = vector["claims"], ROLE_OF[vector["case"]]
    said = make_claims(
        TokenFormat.LIVEKIT_JWT,
        role=role,
        permissions=BUILT_IN_ROLES[role].permissions,
        data=theirs.get("metadata", ""),
        issue_time=theirs["nbf"],
        expire_time=theirs["exp"],
    )

    ours = _payload(make_token(TokenFormat.LIVEKIT_JWT, said, key=KEYS.secrets[0]).token)

    assert theirs["video"] == {name: ours["video"][name] for name in theirs["video"]}
    # Go's writes the identity twice, and LiveKit also what kind of participant it is: every one is `standard` to it.
    further = {"identity": ours["sub"], "kind": "standard"}
    assert {} == {
        name: value for name, value in theirs.items() if name != "video" and {**further, **ours}.get(name) != value
    }


@pytest.mark.parametrize("role", BUILT_IN_ROLES)
def test_our_claims_are_the_python_sdks(role: str) -> None:
    """For the same inputs each claim of the SDK has the same value in ours, which say more."""
    with time_machine.travel(NOW, tick=False):
        grants = GRANTS[role]
        grants.room_join, grants.room = True, SESSION
        theirs = _payload(
            livekit.AccessToken(SECRET.key_id, SECRET.value)
            .with_identity("alice")
            .with_metadata("a=b")
            .with_ttl(dt.timedelta(hours=1))
            .with_grants(grants)
            .to_jwt()
        )
    permissions = BUILT_IN_ROLES[role].permissions
    said = make_claims(TokenFormat.LIVEKIT_JWT, role=role, permissions=permissions, data="a=b")

    ours = _payload(make_token(TokenFormat.LIVEKIT_JWT, said).token)

    # The SDK leaves out a false roomAdmin, which means the same.
    theirs["video"].setdefault("roomAdmin", False)
    assert theirs == {name: value for name, value in ours.items() if name in theirs}
    assert {"aud", "iat", "jti", "role"} == ours.keys() - theirs.keys()


@pytest.mark.timeout(400)
def test_reads_what_the_node_sdk_makes(node_sdk: NodeSdk) -> None:
    """It writes only the flags that it is given; what is absent LiveKit reads as yes."""
    grants: list[dict[str, Any]] = [{}, {"canPublish": False}, {"canSubscribe": False, "canPublishData": False}]
    shared = {"apiKey": SECRET.key_id, "apiSecret": SECRET.value, "identity": "alice", "metadata": "é"}

    tokens = node_sdk.generate_livekit_tokens(
        [{**shared, "grant": {"roomJoin": True, "room": SESSION, **grant}} for grant in grants]
    )

    read = [verify(token).claims for token in tokens]
    assert [(SUBSCRIBE, PUBLISH, SIGNAL), (SUBSCRIBE,), (PUBLISH,)] == [each.permissions for each in read]
    assert {("alice", "é", SESSION)} == {(each.subject, each.data, each.session_id) for each in read}


def _payload(token: str) -> dict[str, Any]:
    found: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
    return found
