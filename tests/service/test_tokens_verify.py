"""VerifyToken: every verdict of the contract, in its order, and never an error about a token."""

from __future__ import annotations

import base64
import hashlib
import hmac

from typing import Any

import attrs
import grpc
import jwt
import opentok
import pytest
import time_machine

from tests.authority.world import platform_session, rsa_pem
from tests.service.api import FORCE_MUTE, PUBLISH, SIGNAL, SUBSCRIBE, Api, Connect, failure, reason_of
from tests.service.conftest import AWAY, HOME, NOW, NOWHERE
from tests.support.authority import Clock
from tokenauthority.domain.times import Millis
from tokenauthority.v1 import project_pb2, token_pb2


SECOND = NOW // 1000
LEEWAY = 30
FORMATS = [token_pb2.TOKEN_FORMAT_SESSION_JWT, token_pb2.TOKEN_FORMAT_OPENTOK_T1, token_pb2.TOKEN_FORMAT_OPENTOK_JWT]
EVERY_FORMAT = pytest.mark.parametrize("token_format", FORMATS, ids=token_pb2.TokenFormat.Name)


@attrs.frozen(kw_only=True)
class Place:
    """A project with its secret, and a session of it."""

    project_id: str
    secret: str
    session_id: str

    def jwt(self, **claims: Any) -> str:
        """An OPENTOK_JWT with the project's secret, valid but for *claims*; None leaves one out."""
        good = {
            "iss": self.project_id,
            "ist": "project",
            "iat": SECOND,
            "exp": SECOND + 3600,
            "nonce": 1,
            "role": "publisher",
            "scope": "session.connect",
            "session_id": self.session_id,
        }
        said = {name: value for name, value in {**good, **claims}.items() if value is not None}
        return jwt.encode(said, self.secret, algorithm="HS256")


@pytest.fixture
def place(api: Api, created: project_pb2.CreateProjectResponse, session_id: str) -> Place:
    """The test's project and session."""
    return Place(project_id=created.project.project_id, secret=created.secret.secret, session_id=session_id)


@pytest.fixture(autouse=True)
def _stopped(clock: Clock) -> None:
    """The clock stands at NOW."""


@EVERY_FORMAT
def test_a_valid_token_is_active_and_says_what_was_put_in(
    api: Api, place: Place, token_format: token_pb2.TokenFormat.ValueType
) -> None:
    """No reason, no detail, and every field of the claims."""
    data = "name=bob&x=é\N{GRINNING FACE}\r\n"
    token = api.generate(place.session_id, format=token_format, data=data, ttl=60, initial_layout_class_list=["a", "b"])

    verdict = api.verify(token.token, session_id=place.session_id, required=[PUBLISH])

    claims = token_pb2.TokenClaims(
        token_id=token.token_id,
        session_id=place.session_id,
        project_id=place.project_id,
        role="publisher",
        permissions=[SUBSCRIBE, PUBLISH, SIGNAL],
        data=data,
        initial_layout_class_list=["a", "b"],
        format=token_format,
        key_id=token.key_id,
        issue_time=token.issue_time,
        expire_time=token.expire_time,
    )
    assert token_pb2.VerifyTokenResponse(active=True, claims=claims) == verdict


@pytest.mark.parametrize("use_jwt", [True, False], ids=["JWT", "T1"])
@pytest.mark.parametrize("role", list(opentok.Roles), ids=lambda role: role.value)
def test_tokens_of_the_official_sdk_are_valid(api: Api, place: Place, role: opentok.Roles, *, use_jwt: bool) -> None:
    """What the OpenTok SDK makes with the project's secret says here what it was given there."""
    data = "name=bob&x=é\N{GRINNING FACE}\n+%"
    with time_machine.travel(SECOND, tick=False):
        sdk = opentok.Client(place.project_id, place.secret)
        token = sdk.generate_token(
            place.session_id,
            role=role,
            data=data,
            expire_time=SECOND + 60,
            initial_layout_class_list=["a", "b"],
            use_jwt=use_jwt,
        )

    verdict = api.verify(token, session_id=place.session_id)

    claims = verdict.claims
    expected = token_pb2.TOKEN_FORMAT_OPENTOK_JWT if use_jwt else token_pb2.TOKEN_FORMAT_OPENTOK_T1
    assert "ACTIVE" == reason_of(verdict), verdict.reason_detail
    assert (expected, role.value, data) == (claims.format, claims.role, claims.data)
    assert (["a", "b"], SECOND + 60) == (list(claims.initial_layout_class_list), claims.expire_time.seconds)


@pytest.mark.parametrize(
    "token",
    [
        "x",
        "T1==",
        "T1==!!!!",
        "a.b.c",
        "..",
        "x" * 40_960,
        "x" * 60_000,
        "\x00",
        "\N{GRINNING FACE}",
        " ",
        "T1==" + "A" * 2000,
    ],
    ids=lambda text: f"{text[:6]!r} {len(text)}",
)
def test_what_is_no_token_is_malformed(api: Api, token: str) -> None:
    """OK, with a reason and no claims."""
    verdict = api.verify(token)

    assert "MALFORMED" == reason_of(verdict)
    assert verdict.reason_detail
    assert not verdict.HasField("claims")


@pytest.mark.parametrize(
    "claims",
    [
        {"session_id": None},
        {"role": "boss"},
        {"scope": "x"},
        {"ist": "account"},
        {"iat": None},
        {"iss": "x"},
        {"exp": "soon"},
    ],
    ids=repr,
)
def test_a_token_with_impossible_fields_is_malformed(api: Api, place: Place, claims: dict[str, Any]) -> None:
    """Even one that is well signed."""
    assert "MALFORMED" == reason_of(api.verify(place.jwt(**claims)))


@EVERY_FORMAT
def test_a_token_that_was_changed_has_no_valid_signature(
    api: Api, place: Place, token_format: token_pb2.TokenFormat.ValueType
) -> None:
    """A role raised by hand is not believed, and nothing of the token is shown."""
    token = api.generate(place.session_id, format=token_format, role="subscriber").token
    if token_format == token_pb2.TOKEN_FORMAT_OPENTOK_T1:
        inner = base64.b64decode(token[4:]).replace(b"role=subscriber", b"role=moderator")
        changed = "T1==" + base64.b64encode(inner).decode()
    else:
        header, body, signature = token.split(".")
        raw = base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)).replace(b'"subscriber"', b'"moderator"')
        changed = f"{header}.{base64.urlsafe_b64encode(raw).rstrip(b'=').decode()}.{signature}"

    verdict = api.verify(changed)

    assert "SIGNATURE_INVALID" == reason_of(verdict)
    assert not verdict.HasField("claims")


def test_another_projects_secret_is_not_believed(api: Api, place: Place) -> None:
    """A secret signs for its own project alone."""
    other = api.projects.CreateProject(project_pb2.CreateProjectRequest())
    forged = attrs.evolve(place, secret=other.secret.secret).jwt()

    assert "SIGNATURE_INVALID" == reason_of(api.verify(forged))


def test_a_signature_of_no_algorithm_is_not_believed(api: Api, place: Place) -> None:
    """`alg: none` and an algorithm that is not the key's are signatures that do not hold."""
    claims = jwt.decode(place.jwt(), options={"verify_signature": False})
    unsigned = jwt.encode(claims, "", algorithm="none")
    other = jwt.encode(claims, place.secret + place.secret, algorithm="HS512")

    reasons = [reason_of(api.verify(token)) for token in (unsigned, other)]
    assert {"MALFORMED", "SIGNATURE_INVALID"} >= set(reasons)


def test_a_key_that_is_not_ours_is_unknown(api: Api, place: Place) -> None:
    """A native token of a key that the ring does not have."""
    token = api.generate(place.session_id).token
    claims = jwt.decode(token, options={"verify_signature": False})
    key = jwt.get_algorithm_by_name("RS256").prepare_key(rsa_pem())
    forged = jwt.encode(claims, key, algorithm="RS256", headers={"typ": "session+jwt", "kid": "another"})

    assert "KEY_UNKNOWN" == reason_of(api.verify(forged))


def test_a_project_without_the_key_does_not_know_it(api: Api, place: Place) -> None:
    """An application's project has no secret that an OpenTok token could be signed with."""
    vonage = project_pb2.VonageCredential(application_id="00000000-0000-4000-8000-00000000000a", private_key=rsa_pem())
    project = api.projects.ImportProject(project_pb2.ImportProjectRequest(vonage=vonage)).project

    assert "KEY_UNKNOWN" == reason_of(api.verify(place.jwt(iss=project.project_id)))


@pytest.mark.parametrize("project", [NOWHERE, AWAY])
@pytest.mark.parametrize("kind", ["JWT", "T1", "native"])
def test_the_project_is_unknown_whether_it_is_outside_the_grant_or_does_not_exist(
    api: Api, connect: Connect, place: Place, project: str, kind: str
) -> None:
    """The two answers are the same, so nothing can be probed; valid, forged or native makes no difference."""
    home = connect("home")
    if kind == "native":
        token = api.generate(
            (api.new_session(AWAY) if project == AWAY else api.new_session(place.project_id)).session_id
        ).token
    elif kind == "JWT":
        token = place.jwt(iss=project)
    else:
        data = f"session_id={platform_session(project)}&create_time={SECOND}&role=publisher&nonce=1"
        signature = hmac.new(b"x", data.encode(), hashlib.sha1).hexdigest()
        token = "T1==" + base64.b64encode(f"partner_id={project}&sig={signature}:{data}".encode()).decode()

    verdict = home.verify(token)

    assert (
        token_pb2.VerifyTokenResponse(
            reason=token_pb2.INACTIVE_REASON_PROJECT_UNKNOWN,
            reason_detail="the token's project is not known to the caller",
        )
        == verdict
    )


@pytest.mark.parametrize(("ahead", "expected"), [(0, "ACTIVE"), (LEEWAY, "ACTIVE"), (LEEWAY + 1, "NOT_YET_VALID")])
def test_a_clock_may_run_30_seconds_ahead(api: Api, place: Place, ahead: int, expected: str) -> None:
    """A token that was issued further in the future is not yet valid."""
    verdict = api.verify(place.jwt(iat=SECOND + ahead))

    assert expected == reason_of(verdict)
    assert verdict.HasField("claims")


@pytest.mark.parametrize(("ahead", "expected"), [(-1, "ACTIVE"), (LEEWAY, "ACTIVE"), (LEEWAY + 1, "NOT_YET_VALID")])
def test_a_token_is_invalid_before_its_nbf(api: Api, place: Place, ahead: int, expected: str) -> None:
    """No SDK writes it; who signs with a project's secret may."""
    verdict = api.verify(place.jwt(nbf=SECOND + ahead))

    assert expected == reason_of(verdict)
    assert verdict.HasField("claims")


@pytest.mark.parametrize(
    ("later", "expected"), [(59, "ACTIVE"), (60 + LEEWAY - 1, "ACTIVE"), (60 + LEEWAY, "EXPIRED"), (10**9, "EXPIRED")]
)
@EVERY_FORMAT
def test_a_clock_may_run_30_seconds_behind(
    api: Api, place: Place, clock: Clock, *, token_format: token_pb2.TokenFormat.ValueType, later: int, expected: str
) -> None:
    """A token is valid for less than half a minute after its expiry."""
    token = api.generate(place.session_id, ttl=60, format=token_format).token
    clock.fixed = Millis((SECOND + later) * 1000)

    verdict = api.verify(token)

    assert expected == reason_of(verdict)
    assert SECOND + 60 == verdict.claims.expire_time.seconds


@pytest.mark.parametrize(("age", "expected"), [(30 * 86_400 + LEEWAY - 1, "ACTIVE"), (30 * 86_400 + LEEWAY, "EXPIRED")])
def test_no_token_outlives_30_days(api: Api, place: Place, age: int, expected: str) -> None:
    """Whatever expiry an SDK wrote, as Node's does without a limit."""
    issued = SECOND - age

    verdict = api.verify(place.jwt(iat=issued, exp=SECOND + 10**8))

    assert expected == reason_of(verdict)
    assert issued + 30 * 86_400 == verdict.claims.expire_time.seconds


@pytest.mark.parametrize(("age", "expected"), [(86_400 + LEEWAY - 1, "ACTIVE"), (86_400 + LEEWAY, "EXPIRED")])
def test_a_token_without_an_expiry_is_valid_for_a_day(api: Api, place: Place, age: int, expected: str) -> None:
    """As Ruby's and PHP's SDKs write it by default."""
    verdict = api.verify(place.jwt(iat=SECOND - age, exp=None))

    assert expected == reason_of(verdict)


def test_the_session_asked_about_must_be_the_tokens(api: Api, place: Place) -> None:
    """Compared whole; the claims still come with the answer."""
    other = api.new_session(place.project_id).session_id
    token = api.generate(place.session_id).token

    reasons = [
        reason_of(api.verify(token, session_id=asked))
        for asked in (place.session_id, other, place.session_id[:-1], "x")
    ]

    assert ["ACTIVE", "SESSION_MISMATCH", "SESSION_MISMATCH", "SESSION_MISMATCH"] == reasons
    assert place.session_id == api.verify(token, session_id=other).claims.session_id


def test_the_session_asked_about_may_have_its_name(api: Api, place: Place) -> None:
    """A server that people know by names asks by them. The name of another session is a mismatch, also elsewhere."""
    named = api.new_session(place.project_id, name="standup").session_id
    api.new_session(place.project_id, name="retro")
    api.new_session(AWAY, name="elsewhere")
    token, without_name = api.generate(named).token, api.generate(place.session_id).token

    reasons = [
        reason_of(api.verify(each, session_id=asked))
        for each, asked in (
            (token, "standup"),
            (token, named),
            (token, "retro"),
            (token, "elsewhere"),
            (token, "Standup"),
            (without_name, "standup"),
        )
    ]

    assert ["ACTIVE"] * 2 + ["SESSION_MISMATCH"] * 4 == reasons


def test_a_session_of_another_project_is_a_mismatch(api: Api, place: Place) -> None:
    """A secret does not sign for another project's session, whatever the token says."""
    foreign = api.new_session(AWAY).session_id

    reasons = [
        reason_of(api.verify(place.jwt(session_id=session_id)))
        for session_id in (
            foreign,
            "nonsense",
            platform_session(place.project_id),
            platform_session(f"{AWAY}~{place.project_id}"),
        )
    ]

    assert ["SESSION_MISMATCH"] * 4 == reasons


@pytest.mark.parametrize(
    ("role", "required", "expected"),
    [
        ("subscriber", [SUBSCRIBE], "ACTIVE"),
        ("subscriber", [SUBSCRIBE, PUBLISH], "PERMISSION_MISSING"),
        ("publisher", [SIGNAL, PUBLISH, PUBLISH], "ACTIVE"),
        ("publisheronly", [SIGNAL], "PERMISSION_MISSING"),
        ("publisher", [FORCE_MUTE], "PERMISSION_MISSING"),
        ("moderator", [FORCE_MUTE, SUBSCRIBE], "ACTIVE"),
    ],
)
@EVERY_FORMAT
def test_the_permissions_asked_for_must_be_the_tokens(
    api: Api,
    place: Place,
    *,
    token_format: token_pb2.TokenFormat.ValueType,
    role: str,
    required: list[Any],
    expected: str,
) -> None:
    """All of them."""
    token = api.generate(place.session_id, role=role, format=token_format).token

    assert expected == reason_of(api.verify(token, required=required))


def test_of_several_reasons_the_first_is_given(api: Api, place: Place, clock: Clock) -> None:
    """Each flaw is seen once those before it in the contract's order are mended."""
    future, past = SECOND + 1000, SECOND - 1000
    flawed = place.jwt(iat=future, exp=past)
    other = api.new_session(place.project_id).session_id
    forged = attrs.evolve(place, secret="0" * 40).jwt(iat=future, exp=past)
    expired = place.jwt(iat=past, exp=past)
    good = place.jwt()
    api.end(place.session_id)
    mismatched = place.jwt(session_id=other)
    asked = platform_session(HOME)

    reasons = [
        reason_of(api.verify(token, session_id=asked, required=[FORCE_MUTE]))
        for token in (forged, flawed, expired, good, mismatched)
    ]

    assert ["SIGNATURE_INVALID", "NOT_YET_VALID", "EXPIRED", "SESSION_ENDED", "SESSION_MISMATCH"] == reasons
    assert "PERMISSION_MISSING" == reason_of(api.verify(mismatched, session_id=other, required=[FORCE_MUTE]))


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        (token_pb2.VerifyTokenRequest(), ["token"]),
        (token_pb2.VerifyTokenRequest(token="x", session_id="x" * 256), ["session_id"]),
        (token_pb2.VerifyTokenRequest(token="x", required_permissions=[0]), ["required_permissions[0]"]),  # type: ignore[list-item]  # UNSPECIFIED, which is refused
        (
            token_pb2.VerifyTokenRequest(session_id="x" * 256, required_permissions=[PUBLISH, 99]),  # type: ignore[list-item]  # a number that no permission has
            ["token", "session_id", "required_permissions[1]"],
        ),
    ],
    ids=["no token", "long session id", "no permission", "all at once"],
)
def test_only_an_invalid_request_is_an_error(
    api: Api, request_: token_pb2.VerifyTokenRequest, expected: list[str]
) -> None:
    """INVALID_ARGUMENT names every invalid field of the request."""
    failed = failure(lambda: api.tokens.VerifyToken(request_))

    assert (grpc.StatusCode.INVALID_ARGUMENT, expected) == (failed.code, failed.fields)
