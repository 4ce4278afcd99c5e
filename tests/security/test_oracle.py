"""A refusal says nothing about what is known: not by its bytes, and not by how much was compared."""

from __future__ import annotations

import hmac
import time

from collections.abc import Iterator

import attrs
import grpc
import pytest

from tests.callers.issuer import AUDIENCE, NAME, SUBJECT, Key, forge, header, kubernetes_claims, write_jwks
from tests.support.authority import make_caller
from tests.support.production import Production
from tests.support.wire import GENERATE, LIST_PROJECTS, V1, Outcome, Wire
from tokenauthority.callers.api_keys import digest, new_api_key
from tokenauthority.callers.identity import ApiKeyIdentity
from tokenauthority.callers.registry import CallerEntry, CallerRegistry
from tokenauthority.v1 import project_pb2, session_pb2, token_pb2


OURS = Key("ours")
THEIRS = Key("ours")
UNKNOWN = Key("unknown")


@attrs.frozen
class Target:
    """A server that takes keys and JWTs, a token that it made for somebody to join with, and a good JWT."""

    wire: Wire
    session_token: str
    good_jwt: str

    def ask(self, credential: str) -> Outcome:
        """Call with a credential; all calls have one request id, so that their answers may be the same."""
        metadata = (
            [("authorization", credential), ("x-request-id", "same")] if credential else [("x-request-id", "same")]
        )
        return self.wire.call(LIST_PROJECTS, metadata=metadata, api_key="")


@pytest.fixture
def target(production: Production) -> Iterator[Target]:
    """One caller by API key, one by a service account of the issuer."""
    write_jwks(production.directory / "jwks.json", OURS)
    callers = production.directory / "callers.toml"
    grant = 'projects = ["*"]\nactions = ["*"]\nroles = ["*"]\n'
    production.write_callers(*grant.splitlines())
    callers.write_text(
        callers.read_text()
        + f'[[callers]]\nname = "account"\njwt = {{ issuer = "{NAME}", subject = "{SUBJECT}" }}\n{grant}'
        + f'[[issuers]]\nissuer = "{NAME}"\naudience = "{AUDIENCE}"\nalgorithms = ["ES256"]\njwks_file = "jwks.json"\n'
    )
    server = production.start()
    trust = grpc.ssl_channel_credentials(production.root_certificates)
    with grpc.secure_channel(server.address, trust) as channel:
        wire = Wire(channel=channel, api_key=production.api_key)
        yield Target(wire, _session_token(wire), forge(OURS, claims=claims()))


def claims(**changes: object) -> dict[str, object]:
    """Those of a good JWT now, with *changes*."""
    now = int(time.time())
    return kubernetes_claims(**{"iat": now, "nbf": now, "exp": now + 600, **changes})


def _session_token(wire: Wire) -> str:
    made = wire.call(V1 + "ProjectService/CreateProject", project_pb2.CreateProjectRequest())
    project = project_pb2.CreateProjectResponse.FromString(made.body).project.project_id
    made = wire.call(V1 + "SessionService/CreateSession", session_pb2.CreateSessionRequest(project_id=project))
    session = session_pb2.CreateSessionResponse.FromString(made.body).session.session_id
    request = token_pb2.GenerateTokenRequest(request=token_pb2.TokenRequest(session_id=session))
    return token_pb2.GenerateTokenResponse.FromString(wire.call(GENERATE, request).body).token.token


def bad_credentials(target: Target) -> dict[str, str]:
    """One for every way in which a credential can be bad, the near misses above all."""
    key, now = target.wire.api_key, int(time.time())
    jwts = {
        "expired": forge(OURS, claims=claims(iat=now - 700, nbf=now - 700, exp=now - 100)),
        "not yet good": forge(OURS, claims=claims(iat=now + 300, nbf=now + 300)),
        "for somebody else": forge(OURS, claims=claims(aud=["https://other.example"])),
        "of a subject without a row": forge(OURS, claims=claims(sub=SUBJECT + "2")),
        "of an unknown issuer": forge(OURS, claims=claims(iss="https://other.example")),
        "signed by another key of that name": forge(THEIRS, claims=claims()),
        "signed by an unknown key": forge(UNKNOWN, claims=claims()),
        "without an algorithm": forge(OURS, head=header(OURS, alg="none"), claims=claims(), sign=lambda _: b""),
        "without claims": forge(OURS, claims={}),
        "no JSON": forge(OURS, claims=b"\xff"),
        "cut off": target.good_jwt[:-4],
        "a token to join with": target.session_token,
    }
    keys = {
        "unknown": new_api_key(),
        "one character off": key[:-1] + ("A" if key[-1] != "A" else "B"),
        "too short": key[:-1],
        "a digest": digest(key),
        "no key": "x",
        "long": "tak_" + "a" * 4000,
    }
    return {
        **{f"JWT {name}": f"Bearer {value}" for name, value in jwts.items()},
        **{f"key {name}": f"Bearer {value}" for name, value in keys.items()},
        "nothing": "",
        "another scheme": f"Basic {key}",
        "two": f"Bearer {key}, Bearer {key}",
    }


def test_all_refusals_of_credentials_are_the_same_bytes(target: Target) -> None:
    """Code, text, details and trailers, byte for byte, for every cause."""
    good = [target.ask(f"Bearer {target.wire.api_key}").code, target.ask(f"Bearer {target.good_jwt}").code]
    bad = bad_credentials(target)
    refused = {name: target.ask(credential) for name, credential in bad.items()}
    first = refused["nothing"]

    assert ["OK", "OK"] == good
    assert ("UNAUTHENTICATED", "CREDENTIAL_INVALID") == (first.code, first.reason)
    assert dict.fromkeys(bad, first) == refused


def test_projects_of_others_and_projects_that_are_not_there_are_the_same_bytes(production: Production) -> None:
    """A caller cannot find out which projects and sessions there are outside of its grant."""
    production.write_callers('projects = ["47000001"]', 'actions = ["*"]', 'roles = ["*"]')
    callers = production.directory / "callers.toml"
    operator = new_api_key()
    callers.write_text(
        callers.read_text()
        + f'[[callers]]\nname = "operator"\napi_key_sha256 = "{digest(operator)}"\n'
        + 'projects = ["*"]\nactions = ["*"]\nroles = ["*"]\n'
    )
    server = production.start()
    trust = grpc.ssl_channel_credentials(production.root_certificates)
    with grpc.secure_channel(server.address, trust) as channel:
        wire = Wire(channel=channel, api_key=production.api_key)
        there = _import(attrs.evolve(wire, api_key=operator), "47000002")
        answers = [
            wire.call(
                V1 + "ProjectService/GetProject",
                project_pb2.GetProjectRequest(project_id=project),
                metadata=[("x-request-id", "same")],
            )
            for project in ("47000002", "47000003")
        ]

    assert "OK" == there
    assert "PERMISSION_DENIED" == answers[0].code
    assert answers[0] == answers[1]


def _import(wire: Wire, project: str) -> str:
    credential = project_pb2.OpenTokCredential(api_key=project, api_secret="0" * 39 + "1")
    request = project_pb2.ImportProjectRequest(opentok=credential)
    return wire.call(V1 + "ProjectService/ImportProject", request).code


@pytest.mark.parametrize("presented", ["first", "middle", "last", "unknown", "near"])
def test_every_known_key_is_compared_whichever_it_is(presented: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The time of a look does not depend on where the key is, or whether it is there: each takes 100 comparisons."""
    keys = {name: new_api_key() for name in ("first", *map(str, range(49)), "middle", *map(str, range(49, 97)), "last")}
    book = CallerRegistry(CallerEntry(make_caller(name), ApiKeyIdentity(digest(key))) for name, key in keys.items())
    near = digest(keys["last"])[:-1] + "x"
    asked = near if presented == "near" else digest(keys.get(presented, new_api_key()))
    compared: list[bytes] = []
    genuine = hmac.compare_digest

    def counting(known: bytes, other: bytes) -> bool:
        compared.append(known)
        return genuine(known, other)

    monkeypatch.setattr("tokenauthority.callers.registry.hmac.compare_digest", counting)
    found = book.find_by_digest(asked)

    assert len(keys) == len(compared)
    assert (presented if presented in keys else None) == (found.caller.name if found else None)
