"""What a token names is never asked, opened or looked up: no address of it, and no id but where ids belong."""

from __future__ import annotations

import asyncio
import json

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jwt
import pytest

from tests.authority.world import ISSUER, NOW, World, make_world
from tests.callers import issuer
from tests.callers.issuer import JwksServer, Key, jwks, jwks_server, make_issuer, make_registry
from tests.fuzzing.target import LIVE, OWN, RING, SECOND, SECRETS, STRANGER
from tests.fuzzing.wire import VERIFY, Served, served
from tests.support.authority import EVERYTHING
from tests.support.faulty_store import FaultyStore, Observer
from tokenauthority.domain.key import KeyState
from tokenauthority.domain.token import InactiveReason
from tokenauthority.signing.signing_key import SigningKey
from tokenauthority.storage.migrate import migrate
from tokenauthority.storage.sql import open_store
from tokenauthority.v1 import token_pb2


ADDRESSES = ("jku", "x5u", "iss", "jwks_uri", "kid", "typ", "cty", "jwk")
"""Where a token could name an address, or something that holds one."""

IDS = ("project_id", "application_id", "session_id")
"""What the store is asked for by."""


@pytest.fixture
def attacker() -> Iterator[JwksServer]:
    """A real server of whoever wants to be asked; it would serve the attacker's key."""
    with jwks_server() as server:
        server.body = json.dumps({"keys": [STRANGER.public.jwk]}).encode()
        yield server


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A real authority with known keys."""
    with served(tmp_path_factory.mktemp("attacks") / "data") as one:
        yield one


def native(key: SigningKey, header: dict[str, Any], claims: dict[str, Any]) -> str:
    """A SESSION_JWT by *key*, valid but for *header* and *claims*."""
    said = {
        "iss": ISSUER,
        "aud": OWN,
        "jti": "x",
        "iat": SECOND,
        "exp": SECOND + 60,
        "scope": "session.connect",
        "session_id": LIVE[OWN].session_id,
        "role": "publisher",
        "permissions": ["publish"],
        **claims,
    }
    return jwt.encode(said, key.private_key, "ES256", {"typ": "session+jwt", "kid": key.key_id, **header})


def reason(server: Served, token: str) -> str:
    """What the authority says of *token*."""
    outcome = server.wire.call(VERIFY, token_pb2.VerifyTokenRequest(token=token))
    assert "OK" == outcome.code
    verdict = token_pb2.VerifyTokenResponse.FromString(outcome.body)
    return "active" if verdict.active else token_pb2.InactiveReason.Name(verdict.reason)


@pytest.mark.parametrize("name", ADDRESSES)
def test_no_address_in_a_token_is_asked(server: Served, attacker: JwksServer, name: str) -> None:
    """SSRF: whoever signed it, VerifyToken opens no connection; where the address changes nothing, it is ignored."""
    value: Any = {"jku": attacker.url, "x5u": attacker.url} if name == "jwk" else attacker.url
    header = {} if name in {"iss", "jwks_uri"} else {name: value}
    claims = {name: value} if name in {"iss", "jwks_uri"} else {}

    forged = reason(server, native(STRANGER, header, claims))
    genuine = reason(server, native(RING[KeyState.ACTIVE], header, claims))

    assert "active" != forged
    assert (name in {"jku", "x5u", "jwks_uri", "cty", "jwk"}) is (genuine == "active")
    assert [] == attacker.requests


@pytest.mark.parametrize("name", ADDRESSES)
async def test_no_address_in_a_callers_jwt_is_asked(attacker: JwksServer, name: str) -> None:
    """The keys come from where the callers file says, and from there alone, also for a `kid` that nobody knows."""
    key, stranger = Key("ec-1"), Key("ec-9")
    attacker.body = jwks(stranger)
    with jwks_server() as genuine:
        genuine.body = jwks(key)
        world = issuer.World(make_registry(make_issuer(jwks_url=genuine.url)))
        value: Any = {**stranger.jwk(), "jku": attacker.url} if name == "jwk" else attacker.url
        in_claims = name in {"iss", "jwks_uri"}
        tokens = [
            issuer.forge(
                signer,
                head=issuer.header(signer, **({} if in_claims else {name: value})),
                claims=issuer.kubernetes_claims(**({name: value} if in_claims else {})),
            )
            for signer in (stranger, key)
        ]
        known = [await world.knows(token) for token in tokens]
        good = await world.knows(issuer.forge(key))
        await world.caches.close()

    assert known[0] is None
    assert (name in {"jku", "x5u", "jwks_uri", "cty", "jwk"}) is (known[1] is not None)
    assert good is not None
    assert [] == attacker.requests
    assert {issuer.PATH} == {request["path"] for request in genuine.requests}


async def observed() -> tuple[World, Observer]:
    """Return a world that has nothing cached, and the look-ups in its store."""
    store = FaultyStore()
    world = await make_world(store)
    world.tenants._tenants.clear()
    world.tenants._sessions.clear()
    return world, store.observe("get_project", "find_vonage_project", "get_session")


@pytest.mark.parametrize("kid", ["../../../etc/passwd", "' OR 1=1 --", "x\0y", "k" * 255, "47000001", "*)(uid=*"])
async def test_a_kid_never_reaches_the_store(kid: str) -> None:
    """It is looked up in the ring, which is in memory, and is no path, no SQL and no id of anything else."""
    world, lookups = await observed()
    token = native(STRANGER, {"kid": kid}, {"aud": world.project_id})

    verdict = await world.verify.check(token, EVERYTHING, NOW)

    assert InactiveReason.KEY_UNKNOWN is verdict.reason
    assert [world.project_id] == lookups.arguments(*IDS)


@pytest.mark.parametrize("text", ["' OR 1=1 --", "../x", "*", "x" * 256, "\0", "47000001' --", "%27"])
async def test_only_the_shape_of_an_id_reaches_the_store(text: str) -> None:
    """Whose project it is must be a number or a UUID; and nothing of an unsigned token but that is looked up."""
    world, lookups = await observed()
    unsigned = [
        jwt.encode({"iss": text, "ist": "project"}, SECRETS[OWN][0], "HS256"),
        native(STRANGER, {}, {"aud": text, "session_id": text}),
        jwt.encode({"application_id": text, "session_id": text}, SECRETS[OWN][0], "HS256"),
        native(STRANGER, {}, {"aud": world.project_id, "session_id": text[:100].replace("\0", "x")}),
    ]
    for token in unsigned:
        assert (await world.verify.check(token, EVERYTHING, NOW)).reason is not None

    assert {world.project_id} == set(lookups.arguments(*IDS))


@pytest.mark.parametrize("text", ["' OR 1=1 --", "%", "_%", "x' UNION SELECT 1; --", "\\", '"'])
async def test_a_hostile_session_id_under_a_valid_signature_is_a_mismatch(tmp_path: Path, text: str) -> None:
    """What a tenant signs may say anything: in SQL too it finds the session of that very id, or none."""
    url = f"sqlite:///{tmp_path / 'authority.db'}"
    await asyncio.to_thread(migrate, url)
    store = open_store(url)
    world = await make_world(FaultyStore(store))
    claims = {
        "iss": world.project_id,
        "ist": "project",
        "iat": SECOND,
        "role": "publisher",
        "scope": "session.connect",
    }
    said = [{**claims, "session_id": session_id} for session_id in (text, world.session.session_id)]
    tokens = [jwt.encode(each, world.secret, "HS256") for each in said]
    reasons = [(await world.verify.check(token, EVERYTHING, NOW)).reason for token in tokens]
    await store.close()

    assert [InactiveReason.SESSION_MISMATCH, None] == reasons
