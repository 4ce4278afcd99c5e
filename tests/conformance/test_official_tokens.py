"""VerifyToken accepts what each official SDK makes, over the wire, once its project is imported."""

from __future__ import annotations

import base64
import hashlib
import hmac

from collections.abc import Mapping
from typing import Any

import jwt
import pytest

from tests.fuzzing.target import VECTORS
from tests.service.api import Api, reason_of
from tests.support.authority import Clock, RunningAuthority
from tokenauthority.domain.times import Millis
from tokenauthority.v1 import project_pb2, token_pb2


NOW: int = VECTORS["now"]
PROJECT: str = VECTORS["api_key"]
SECRET: str = VECTORS["api_secret"]
SESSION: str = VECTORS["session_id"]
APPLICATION: str = VECTORS["vonage"]["application_id"]
PEM: str = VECTORS["vonage"]["rsa_test_private_key_pem"]
FORMATS = {
    "T1": token_pb2.TOKEN_FORMAT_OPENTOK_T1,
    "JWT": token_pb2.TOKEN_FORMAT_OPENTOK_JWT,
    "JWT-RS256": token_pb2.TOKEN_FORMAT_VONAGE_JWT,
}
SDKS = {
    "opentok-python": {"T1", "JWT"},
    "opentok-node": {"T1", "JWT"},
    "opentok-ruby": {"T1", "JWT"},
    "opentok-python (Vonage credentials)": {"JWT-RS256"},
    "opentok-node (Vonage credentials)": {"JWT-RS256"},
    "vonage-video (python)": {"JWT-RS256"},
    "@vonage/video": {"JWT-RS256"},
    "vonage-ruby (claims as video.rb, via vonage-jwt gem code)": {"JWT-RS256"},
}
"""The SDKs that made the vectors, and their formats."""


@pytest.fixture(scope="module")
def imported(shared: RunningAuthority, api_keys: Mapping[str, str]) -> str:
    """The project and the application of the vectors, as an operator brings them here; the application's project."""
    operator = Api(shared, api_keys["tester"])
    credential = project_pb2.OpenTokCredential(api_key=PROJECT, api_secret=SECRET)
    operator.projects.ImportProject(project_pb2.ImportProjectRequest(opentok=credential))
    application = project_pb2.VonageCredential(application_id=APPLICATION, private_key=PEM)
    made = operator.projects.ImportProject(project_pb2.ImportProjectRequest(vonage=application))
    operator.close()
    return made.project.project_id


@pytest.fixture(autouse=True)
def _then(clock: Clock) -> None:
    """It is the moment at which the SDKs were run."""
    clock.fixed = Millis(NOW * 1000 + 500)


def _name(vector: Mapping[str, Any]) -> str:
    return "-".join((vector["sdk"], vector["format"], vector["case"])).replace(" ", "_")


@pytest.mark.parametrize("vector", VECTORS["vectors"], ids=_name)
def test_what_an_official_sdk_made_is_valid(api: Api, imported: str, vector: Mapping[str, Any]) -> None:
    """Active, in its format, for its session and of its project."""
    verdict = api.verify(vector["token"], session_id=vector["session_id"])

    project = imported if vector["format"] == "JWT-RS256" else PROJECT
    assert "ACTIVE" == reason_of(verdict), verdict.reason_detail
    assert (FORMATS[vector["format"]], project, vector["session_id"]) == (
        verdict.claims.format,
        verdict.claims.project_id,
        verdict.claims.session_id,
    )


def test_the_vectors_are_of_every_sdk_that_was_run() -> None:
    """None of them can be lost unnoticed."""
    found: dict[str, set[str]] = {}
    for vector in VECTORS["vectors"]:
        found.setdefault(vector["sdk"], set()).add(vector["format"])

    assert SDKS == found


def t1(data: str) -> str:
    """A T1 token of the project, of that signed part."""
    signature = hmac.digest(SECRET.encode(), data.encode(), hashlib.sha1).hex()
    return "T1==" + base64.b64encode(f"partner_id={PROJECT}&sig={signature}:{data}".encode()).decode()


def hs256(header: Mapping[str, Any], claims: Mapping[str, Any]) -> str:
    """A JWT of the project with claims in their order."""
    return jwt.encode(dict(claims), SECRET, "HS256", headers=dict(header))


CREATED = f"create_time={NOW}"
READ: dict[str, tuple[str, str]] = {
    "Java T1": (
        t1(
            f"{CREATED}&expire_time={NOW + 60}&session_id={SESSION}&nonce=-2012345678&role=moderator"
            "&scope=session.connect&initial_layout_class_list=focus 50%&connection_data=a%3D1+%7E"
        ).translate(str.maketrans("+/", "-_")),
        "a=1 ~",
    ),
    ".NET T1": (
        t1(
            f"session_id={SESSION}&{CREATED}&nonce=999998&role=publisher&initial_layout_class_list=focus small"
            "&connection_data=a%3db%0a"
        ),
        "a=b\n",
    ),
    "PHP T1": (
        t1(
            f"session_id={SESSION}&{CREATED}&role=publisher&nonce=1700000000.1234424242&expire_time={NOW + 60}.5"
            "&connection_data=%7E&initial_layout_class_list="
        ),
        "~",
    ),
    "Java JWT": (
        hs256(
            {"typ": None},
            {
                "session_id": SESSION,
                "nonce": -2_012_345_678,
                "role": "publisher",
                "scope": "session.connect",
                "initial_layout_class_list": "focus small",
                "connection_data": "é",
                "ist": "project",
                "iss": PROJECT,
                "jti": "x",
                "exp": NOW + 60,
                "iat": NOW,
            },
        ),
        "é",
    ),
    ".NET JWT": (
        hs256(
            {},
            {
                "iss": PROJECT,
                "ist": "project",
                "role": "publisher",
                "session_id": SESSION,
                "scope": "session.connect",
                "iat": NOW,
                "jti": "x",
                "initial_layout_list": "focus",
                "nonce": 7,
                "connection_data": "d",
                "exp": NOW + 300,
            },
        ),
        "d",
    ),
    "PHP JWT": (
        hs256(
            {},
            {
                "iss": PROJECT,
                "iat": NOW,
                "session_id": SESSION,
                "role": "publisher",
                "ist": "project",
                "nonce": 1_234_424_242,
                "scope": "session.connect",
                "data": None,
                "expireTime": None,
                "initial_layout_class_list": "a+b",
            },
        ),
        "",
    ),
}
"""Tokens as the SDKs that were not run write them, by their sources, and the data in them."""


@pytest.mark.parametrize(("token", "data"), READ.values(), ids=READ)
def test_what_an_official_sdk_would_make_is_valid(api: Api, imported: str, token: str, data: str) -> None:
    """Java's, .NET's and PHP's differ from all others in order, escaping, base64 or the names of claims."""
    verdict = api.verify(token, session_id=SESSION)

    assert ("ACTIVE", data) == (reason_of(verdict), verdict.claims.data), verdict.reason_detail


def test_javas_token_with_vonage_credentials_is_valid(api: Api, imported: str) -> None:
    """It has neither `sub` nor `acl`."""
    session_id = VECTORS["vonage"]["session_id"]
    claims = {
        "session_id": session_id,
        "nonce": 1,
        "role": "moderator",
        "scope": "session.connect",
        "exp": NOW + 60,
        "application_id": APPLICATION,
        "jti": "x",
        "iat": NOW,
    }

    verdict = api.verify(jwt.encode(claims, PEM, "RS256"), session_id=session_id)

    assert ("ACTIVE", imported) == (reason_of(verdict), verdict.claims.project_id), verdict.reason_detail


def test_the_same_tokens_are_invalid_a_month_later(api: Api, imported: str, clock: Clock) -> None:
    """The control: it is the moment that made them valid."""
    clock.fixed = Millis((NOW + 31 * 86_400) * 1000)

    assert {"EXPIRED"} == {reason_of(api.verify(vector["token"])) for vector in VECTORS["vectors"]}
