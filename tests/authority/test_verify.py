"""Verify: a verdict about whatever comes, and no error."""

from __future__ import annotations

import asyncio
import functools
import json

import attrs
import pytest

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.authority.world import NOW, PUBLICATION, World, make_server, make_world
from tests.support.authority import EVERYTHING
from tests.support.faulty_store import FaultyStore
from tokenauthority.domain.errors import Reason, UnavailableError
from tokenauthority.domain.times import Millis
from tokenauthority.domain.token import InactiveReason, TokenSpec
from tokenauthority.domain.token_format import TokenFormat
from tokenauthority.signing.jose import encode_segment
from tokenauthority.signing.sealing import MasterKey, Sealer


ANYTHING = st.text() | st.text(alphabet='T1=abcdefghijklmnopqrstuvwxyz0123456789.-_+/%&:{}"', max_size=400)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=10,
)
NAMES = ("iss", "ist", "iat", "exp", "aud", "jti", "scope", "session_id", "role", "permissions", "application_id")
HEADERS = st.sampled_from(
    [
        {"alg": "HS256", "typ": "JWT"},
        {"alg": "none"},
        {"alg": "ES256", "typ": "session+jwt", "kid": "x"},
        {"alg": "RS256"},
    ]
)


async def reason_of(token: str) -> InactiveReason | None:
    """What a world says about *token*."""
    return (await shared_world().verify.check(token, EVERYTHING, NOW)).reason


@functools.cache
def shared_world() -> World:
    """A world for tests that change nothing."""
    return asyncio.run(make_world())


@settings(max_examples=60, deadline=None)
@given(ANYTHING | ANYTHING.map("T1==".__add__))
def test_any_text_gets_a_verdict(text: str) -> None:
    """Text that nobody signed is invalid, and never an error."""
    shared_world()

    assert asyncio.run(reason_of(text)) is not None


@settings(max_examples=60, deadline=None)
@given(HEADERS, JSON | st.dictionaries(st.sampled_from(NAMES), JSON))
def test_any_jwt_gets_a_verdict(header: dict[str, str], payload: object) -> None:
    """So is a well-formed JWT of any content."""
    segments = (json.dumps(header).encode(), json.dumps(payload).encode(), b"signature")
    token = ".".join(encode_segment(segment).decode() for segment in segments)
    shared_world()

    assert asyncio.run(reason_of(token)) is not None


@pytest.fixture
async def world() -> World:
    """Use cases with a project and a session."""
    return await make_world()


async def make_token(world: World, token_format: TokenFormat) -> str:
    """A valid token of the world's session."""
    request = TokenSpec(session_id=world.session.session_id, format=token_format, data="data")
    return (await world.generate.one(request, EVERYTHING, NOW)).token


@pytest.mark.parametrize("token_format", [TokenFormat.SESSION_JWT, TokenFormat.OPENTOK_JWT, TokenFormat.OPENTOK_T1])
async def test_a_token_of_which_any_character_is_changed_is_invalid(world: World, token_format: TokenFormat) -> None:
    """No single change, cut or addition goes unnoticed."""
    token = await make_token(world, token_format)
    changed = [token[:i] + ("A" if token[i] != "A" else "B") + token[i + 1 :] for i in range(len(token))]
    # T1 may come without the padding of its base64, as some SDKs write it.
    cut = [token[:i] for i in range(1, len(token)) if token[:i] != token.rstrip("=")]

    verdicts = [await world.verify.check(text, EVERYTHING, NOW) for text in (*changed, *cut, token + "A", " " + token)]

    assert (await world.verify.check(token, EVERYTHING, NOW)).reason is None
    assert all(verdict.reason is not None for verdict in verdicts)


async def test_what_another_issuer_signed_is_signed_by_an_unknown_key(world: World) -> None:
    """The issuer is part of what must fit."""
    token = await make_token(world, TokenFormat.SESSION_JWT)
    verify = attrs.evolve(world.verify, issuer="https://elsewhere.example")

    assert InactiveReason.KEY_UNKNOWN is (await verify.check(token, EVERYTHING, NOW)).reason


async def test_a_project_outside_the_grant_is_unknown(world: World) -> None:
    """A valid token of a project that the caller may not see reveals nothing, not even its claims."""
    token = await make_token(world, TokenFormat.OPENTOK_JWT)
    grant = attrs.evolve(EVERYTHING, projects=frozenset({"1"}))

    verdict = await world.verify.check(token, grant, NOW)

    assert InactiveReason.PROJECT_UNKNOWN is verdict.reason
    assert verdict.signed is None


async def test_a_store_that_fails_is_the_only_error() -> None:
    """Where the session's state cannot be read, there is no verdict."""
    store = FaultyStore()
    world = await make_world(store)
    token = await make_token(world, TokenFormat.SESSION_JWT)
    store.fail("get_session")
    world.tenants._sessions.clear()

    with pytest.raises(UnavailableError):
        await world.verify.check(token, EVERYTHING, NOW)


async def test_a_token_of_a_key_under_another_master_key_gets_no_verdict() -> None:
    """Another server knows its key. The tokens of all other keys are judged, also of one that it has retired."""
    ours, theirs = MasterKey.generate(), MasterKey.generate()
    world = await make_world(sealer=Sealer(ours))
    other = make_server(world.store, Sealer(theirs, ours))
    await other.follower.start()
    spec, later = TokenSpec(session_id=world.session.session_id), Millis(NOW + PUBLICATION)
    own = await world.generate.one(spec, EVERYTHING, later)
    foreign = await other.keys.prepare(None, NOW)
    await other.keys.activate(foreign.key_id, later)
    made = await other.generate.one(spec, EVERYTHING, later)
    await world.server.follower.catch_up()
    with pytest.raises(UnavailableError, match=f"cannot open signing key {foreign.key_id}") as refused:
        await world.verify.check(made.token, EVERYTHING, later)

    assert Reason.SEAL_BROKEN is refused.value.reason
    assert (await world.verify.check(own.token, EVERYTHING, later)).reason is None
