"""Every token that the official SDKs made under a frozen clock is read, and ours are theirs."""

from __future__ import annotations

import base64
import json

from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl

import jwt
import pytest

from tests.signing.builders import VECTORS, VONAGE, make_token, verify
from tokenauthority.domain.times import DAY, Seconds
from tokenauthority.domain.token import TokenClaims
from tokenauthority.domain.token_format import TokenFormat
from tokenauthority.signing.formats.registry import read_token
from tokenauthority.signing.project_keys import ProjectKeys, ProjectSecret
from tokenauthority.signing.results import Verified


Vector = Mapping[str, Any]

SECRET = ProjectSecret("s1", VECTORS["api_secret"])
KEYS = ProjectKeys(VECTORS["api_key"], (SECRET,), VONAGE)
FORMATS = {
    "T1": TokenFormat.OPENTOK_T1,
    "JWT": TokenFormat.OPENTOK_JWT,
    "JWT-RS256": TokenFormat.VONAGE_JWT,
}


def _name(vector: Vector) -> str:
    return "-".join((vector["sdk"], vector["format"], vector["case"])).replace(" ", "_")


def _chosen(sdk: str, kind: str) -> list[Any]:
    found = [v for v in VECTORS["vectors"] if v["sdk"] == sdk and v["format"] == kind]
    assert found

    return [pytest.param(vector, id=vector["case"]) for vector in found]


def _raw_claims(vector: Vector) -> dict[str, Any]:
    """What the vectors file says that the token holds, by the standard library alone."""
    if vector["format"] != "T1":
        claims: dict[str, Any] = json.loads(vector["jwt_payload"])
        return claims
    return dict(parse_qsl(vector["decoded"].partition(":")[2], keep_blank_values=True))


def _said(vector: Vector) -> TokenClaims:
    """The claims to expect, from the options that the SDK was called with."""
    opts, raw, now = vector["opts"], _raw_claims(vector), VECTORS["now"]
    expiry = opts.get("expire_time", opts.get("expireTime", opts.get("exp")))
    if vector["format"] == "JWT-RS256":
        # Vonage's own SDKs have shorter default lives, and Node's ignores the option.
        expiry = raw["exp"]
    classes = opts.get("initial_layout_class_list", opts.get("initialLayoutClassList", []))
    data = opts.get("data", opts.get("connection_data", ""))
    if (vector["sdk"], vector["format"]) == ("opentok-ruby", "T1"):
        data = "\r\n".join(data.splitlines())
    as_list = isinstance(raw.get("initial_layout_class_list"), list)
    return TokenClaims(
        session_id=vector["session_id"],
        role=opts.get("role", "publisher"),
        issue_time=Seconds(now),
        expire_time=Seconds(expiry or now + DAY),
        project_id=vector.get("api_key", ""),
        application_id=vector.get("application_id", ""),
        token_id=_token_id(vector),
        data=data,
        initial_layout_class_list=tuple(classes if as_list else " ".join(classes).split()),
    )


def _token_id(vector: Vector) -> str:
    if vector["format"] == "T1":
        return str(dict(parse_qsl(vector["decoded"].partition(":")[0]))["sig"])
    if vector["format"] == "JWT":
        return base64.urlsafe_b64decode(vector["token"].rpartition(".")[2] + "=").hex()
    return str(vector["frozen"]["jti"])


@pytest.mark.parametrize("vector", VECTORS["vectors"], ids=_name)
def test_reads_and_verifies_what_an_official_sdk_made(vector: Vector) -> None:
    """The format, the claims and the key of an official token are read right."""
    unverified = read_token(vector["token"])

    verified = verify(vector["token"], KEYS)

    assert FORMATS[vector["format"]] is unverified.format
    key_id = "vonage-key" if vector["format"] == "JWT-RS256" else "s1"
    assert Verified(claims=_said(vector), key_id=key_id) == verified


@pytest.mark.parametrize("vector", _chosen("opentok-python", "T1"))
def test_t1_is_the_python_sdks_byte_for_byte(vector: Vector) -> None:
    """With the same time and nonce our T1 is the official one."""
    token = make_token(TokenFormat.OPENTOK_T1, _said(vector), vector["frozen"]["nonce"], SECRET).token

    assert vector["token"] == token


@pytest.mark.parametrize("vector", _chosen("opentok-python", "JWT"))
def test_opentok_jwt_has_the_python_sdks_header_and_claims_in_order(vector: Vector) -> None:
    """With the same time and nonce our OPENTOK_JWT says the same, in the same order."""
    token = make_token(TokenFormat.OPENTOK_JWT, _said(vector), vector["frozen"]["nonce"], SECRET).token

    payload = jwt.decode(token, options={"verify_signature": False})
    assert list(json.loads(vector["jwt_payload"]).items()) == list(payload.items())
    assert vector["token"].partition(".")[0] == token.partition(".")[0]


@pytest.mark.parametrize("vector", _chosen("@vonage/video", "JWT-RS256"))
def test_vonage_jwt_is_the_node_sdks_byte_for_byte(vector: Vector) -> None:
    """RS256 is deterministic, so with the same time and `jti` our VONAGE_JWT is the official one."""
    token = make_token(TokenFormat.VONAGE_JWT, _said(vector)).token

    assert vector["token"] == token
