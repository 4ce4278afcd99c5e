"""Stock verifiers accept what an authority signs, and nothing else, by its issuer and audience alone."""

from __future__ import annotations

import base64
import contextlib
import json
import socket

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TypeAlias

import attrs
import pytest

from jwt import get_algorithm_by_name

from tests.conformance.sdk.gate import running_gate
from tests.conformance.sdk.go_programs import GoPrograms
from tests.conformance.sdk.node_sdk import node_with_packages
from tests.conformance.sdk.programs import Announce
from tests.conformance.sdk.verifiers import Program, PyJwt, RefusedError, Verifier, jose
from tests.service.api import Api
from tests.support.authority import RunningAuthority, StartAuthority
from tokenauthority.domain.key import Algorithm
from tokenauthority.domain.times import Millis
from tokenauthority.server.wiring import system_clock
from tokenauthority.signing.signing_key import SESSION_JWT_TYPE, SigningKey
from tokenauthority.v1 import project_pb2


Start: TypeAlias = Callable[..., Verifier]

REASONS: Mapping[str, Mapping[str, str]] = {
    "pyjwt": {
        "tampered": "InvalidSignatureError",
        "impostor": "InvalidSignatureError",
        "stranger": "PyJWKClientError: Unable to find a signing key",
        "unsigned": "InvalidAlgorithmError",
        "issuer": "InvalidIssuerError",
        "audience": "InvalidAudienceError",
        "expired": "ExpiredSignatureError",
    },
    "jose": {
        "tampered": "ERR_JWS_SIGNATURE_VERIFICATION_FAILED",
        "impostor": "ERR_JWS_SIGNATURE_VERIFICATION_FAILED",
        "stranger": "ERR_JWKS_NO_MATCHING_KEY",
        "unsigned": "ERR_JOSE_ALG_NOT_ALLOWED",
        "issuer": "ERR_JWT_CLAIM_VALIDATION_FAILED iss",
        "audience": "ERR_JWT_CLAIM_VALIDATION_FAILED aud",
        "expired": "ERR_JWT_EXPIRED exp",
    },
    "go-oidc": {
        "tampered": "failed to verify id token signature",
        "impostor": "failed to verify id token signature",
        "stranger": "failed to verify id token signature",
        "unsigned": "unexpected signature algorithm",
        "issuer": "issued by a different provider",
        "audience": "expected audience",
        "expired": "token is expired",
    },
    "envoy": {
        "tampered": "Jwt verification fails",
        "impostor": "Jwt verification fails",
        "stranger": "Jwks doesn't have key to match kid or alg from Jwt",
        "unsigned": "Jwt header [alg] is not supported",
        "issuer": "Jwt issuer is not configured",
        "audience": "Audiences in Jwt are not allowed",
        "expired": "Jwt is expired",
    },
}
"""How each verifier words each refusal: one for another reason than the test's would prove nothing."""

each_verifier = pytest.mark.parametrize("name", REASONS)
pytestmark = pytest.mark.timeout(700)


@attrs.frozen
class World:
    """An authority that is reached under the issuer of its tokens, and what it and others sign."""

    authority: RunningAuthority
    api: Api
    issuer: str

    @property
    def project_id(self) -> str:
        """The audience."""
        return self.authority.project_id

    @property
    def active(self) -> SigningKey:
        """The key that signs now."""
        return self.authority.app.keys.ring.active

    def token(self, project_id: str = "") -> str:
        """A genuine token, an hour long."""
        session = self.api.new_session(project_id or self.project_id)
        return self.api.generate(session.session_id, ttl=3600, subject="alice").token

    def old_token(self) -> str:
        """A genuine token whose hour has passed a while ago."""
        self.authority.clock.fixed = Millis(system_clock() - 3 * 3600 * 1000)
        try:
            return self.token()
        finally:
            self.authority.clock.fixed = None

    def refused_tokens(self) -> dict[str, str]:
        """What nobody may accept; but for one thing, each is as it should be."""
        genuine = self.token()
        header, payload, signature = genuine.split(".")
        claims = json.loads(decoded(payload))
        other = self.api.projects.CreateProject(project_pb2.CreateProjectRequest()).project.project_id
        stranger = SigningKey.generate(self.active.algorithm)
        foreign = json.dumps({**claims, "iss": "https://elsewhere.example"}).encode()
        more = encoded(json.dumps({**claims, "role": "moderator"}).encode())
        forged = stranger.signer.sign(decoded(payload))[0]
        impostor = signed_as(stranger, self.active.key_id, decoded(payload))
        unsigned = encoded(json.dumps({**json.loads(decoded(header)), "alg": "none"}).encode())
        return {
            "tampered": f"{header}.{more}.{signature}",
            "impostor": impostor,
            "stranger": forged,
            "unsigned": f"{unsigned}.{payload}.{signature}",
            "issuer": self.active.signer.sign(foreign)[0],
            "audience": self.token(other),
            "expired": self.old_token(),
        }


@pytest.fixture
def world(start_authority: StartAuthority) -> Iterator[Callable[..., World]]:
    """Starts an authority that signs with *algorithm*; *path* ends its issuer."""
    with contextlib.ExitStack() as stack:

        def start(algorithm: Algorithm = Algorithm.ES256, path: str = "") -> World:
            with socket.create_server(("127.0.0.1", 0)) as free:
                place = f"127.0.0.1:{free.getsockname()[1]}"
            issuer = f"http://{place}{path}"
            authority = start_authority(
                settings={
                    "listen": {"grpc": "127.0.0.1:0", "http": place, "ops": "127.0.0.1:0"},
                    "issuance": {"issuer": issuer},
                    "keys": {"algorithm": algorithm},
                },
            )
            api = Api(authority, authority.api_key)
            stack.callback(api.close)
            return World(authority, api, issuer)

        yield start


@pytest.fixture
def start_verifier(request: pytest.FixtureRequest, tmp_path: Path, announce: Announce) -> Iterator[Start]:
    """Starts a verifier by name, for a world; *patient* False: it asks at once for a key that it does not know."""
    with contextlib.ExitStack() as stack:

        def start(name: str, world: World, *, patient: bool = True) -> Verifier:
            issuer, audience = world.issuer, world.project_id
            verifier: Verifier
            match name:
                case "pyjwt":
                    verifier = PyJwt(issuer, audience) if patient else PyJwt(issuer, audience, cooldown=0)
                case "jose":
                    verifier = jose(node_with_packages(announce), issuer, audience, *([] if patient else ["0"]))
                case "go-oidc":
                    programs: GoPrograms = request.getfixturevalue("go_programs")
                    verifier = Program([str(programs.verifier), issuer, audience], tmp_path)
                case _:
                    verifier = stack.enter_context(running_gate(tmp_path, issuer, audience))
            stack.callback(verifier.close)
            return verifier

        yield start


@pytest.mark.parametrize("algorithm", Algorithm)
@each_verifier
def test_accepts_what_the_authority_signs_and_nothing_else(
    world: Callable[..., World], start_verifier: Start, name: str, algorithm: Algorithm
) -> None:
    """Of each algorithm; each refusal is for its own reason, and afterwards a valid token is still valid."""
    authority = world(algorithm)
    verifier = start_verifier(name, authority)
    token = authority.token()

    claims = verifier.verify(token)
    answers = {case: refusal(verifier, refused) for case, refused in authority.refused_tokens().items()}

    assert algorithm == json.loads(decoded(token.split(".")[0]))["alg"]
    assert "alice" == claims["sub"]
    assert json.loads(decoded(token.split(".")[1]))["session_id"] == claims["session_id"]
    assert REASONS[name].keys() == answers.keys()
    assert {} == {case: said for case, said in answers.items() if REASONS[name][case] not in said}
    assert claims == verifier.verify(token)


@pytest.mark.parametrize("path", ["/", "/video", "/video/a.b/"])
@each_verifier
def test_finds_the_keys_of_an_issuer_with_a_path(
    world: Callable[..., World], start_verifier: Start, name: str, path: str
) -> None:
    """And of one that ends with a slash; the issuer without it would be another one."""
    authority = world(path=path)

    assert "alice" == start_verifier(name, authority).verify(authority.token())["sub"]


@each_verifier
def test_a_key_that_was_published_before_it_signs_needs_no_fetch(
    world: Callable[..., World], start_verifier: Start, name: str
) -> None:
    """Whoever has fetched the keys since then accepts its tokens, by its defaults and without waiting."""
    authority = world()
    following = prepare(authority)
    verifier = start_verifier(name, authority)
    before = authority.token()

    accepted = [verifier.verify(before)["sub"]]
    activate(authority, following)
    accepted += [verifier.verify(token)["sub"] for token in (authority.token(), before)]

    assert ["alice"] * 3 == accepted


@pytest.mark.parametrize("name", ["pyjwt", "jose", "go-oidc"])
def test_a_key_that_is_not_known_yet_is_fetched(world: Callable[..., World], start_verifier: Start, name: str) -> None:
    """A verifier whose key set is older than the key asks again."""
    authority = world()
    verifier = start_verifier(name, authority, patient=False)
    before = authority.token()

    accepted = [verifier.verify(before)["sub"]]
    activate(authority, prepare(authority))
    accepted += [verifier.verify(token)["sub"] for token in (authority.token(), before)]

    assert ["alice"] * 3 == accepted


def test_envoy_does_not_ask_for_a_key_that_it_does_not_know(world: Callable[..., World], start_verifier: Start) -> None:
    """Why its cache_duration must not be longer than what the JWKS allows, as the documentation says."""
    authority = world()
    verifier = start_verifier("envoy", authority)
    before = authority.token()

    accepted = verifier.verify(before)["sub"]
    activate(authority, prepare(authority))

    assert "Jwks doesn't have key to match kid or alg from Jwt" == refusal(verifier, authority.token())
    assert "alice" == accepted == verifier.verify(before)["sub"]


@pytest.mark.parametrize(
    ("name", "outcome"),
    [
        ("jose", "ERR_JWT_CLAIM_VALIDATION_FAILED typ"),
        ("pyjwt", "accepted"),
        ("go-oidc", "accepted"),
        ("envoy", "accepted"),
    ],
)
def test_who_can_looks_at_the_type(world: Callable[..., World], start_verifier: Start, name: str, outcome: str) -> None:
    """What the same key signs for another purpose is no session token (RFC 8725, section 3.11), but few can ask."""
    authority = world()
    verifier = start_verifier(name, authority)
    payload = decoded(authority.token().split(".")[1])
    same, other = (
        signed_as(authority.active, authority.active.key_id, payload, typ) for typ in (SESSION_JWT_TYPE, "JWT")
    )

    said = "accepted"
    try:
        verifier.verify(other)
    except RefusedError as error:
        said = str(error)

    assert outcome == said
    assert "alice" == verifier.verify(same)["sub"]


def prepare(world: World) -> str:
    """Publish a key that does not sign yet, as if some time ago; its id."""
    earlier = Millis(system_clock() - 3600 * 1000)
    return world.authority.do(world.authority.app.keys.prepare(None, earlier)).key_id


def activate(world: World, key_id: str) -> None:
    """Have a published key sign in place of the active one."""
    world.authority.do(world.authority.app.keys.activate(key_id, system_clock()))


def signed_as(key: SigningKey, key_id: str, payload: bytes, typ: str = SESSION_JWT_TYPE) -> str:
    """A token with any header, signed with *key*."""
    head = encoded(json.dumps({"alg": key.algorithm, "typ": typ, "kid": key_id}).encode())
    signing_input = f"{head}.{encoded(payload)}"
    signature = get_algorithm_by_name(key.algorithm).sign(signing_input.encode(), key.private_key)
    return f"{signing_input}.{encoded(signature)}"


def refusal(verifier: Verifier, token: str) -> str:
    """How *verifier* words that it does not accept *token*."""
    with pytest.raises(RefusedError) as caught:
        verifier.verify(token)
    return str(caught.value)


def decoded(segment: str) -> bytes:
    """The bytes of a JOSE segment."""
    return base64.urlsafe_b64decode(segment + "==")


def encoded(data: bytes) -> str:
    """A JOSE segment."""
    return base64.urlsafe_b64encode(data).decode().rstrip("=")
