"""Exactly one valid bearer credential is a caller, and it is cached no longer than it is valid."""

from __future__ import annotations

import re

from pathlib import Path
from typing import NoReturn

import pytest

from hypothesis import given
from hypothesis import strategies as st

from tests.callers.issuer import (
    NOW,
    Key,
    World,
    forge,
    kubernetes_claims,
    make_issuer,
    make_registry,
    write_jwks,
)
from tests.support.authority import make_caller
from tokenauthority.callers.api_keys import digest, new_api_key
from tokenauthority.callers.authenticator import CredentialError, PresentedCredentials
from tokenauthority.callers.identity import ApiKeyIdentity
from tokenauthority.callers.jwt import JwtVerifier
from tokenauthority.callers.registry import CallerEntry, CallerRegistry
from tokenauthority.domain.times import Millis


KEYS = {name: new_api_key() for name in ("first", "second", "third")}
REGISTRY = CallerRegistry(CallerEntry(make_caller(name), ApiKeyIdentity(digest(key))) for name, key in KEYS.items())
EC = Key("ec-1")


def refuse_to_verify() -> bool:
    """What the limiter says to an address with too many failures."""
    return False


async def warm(world: World, credential: str) -> str | None:
    """The caller, if nothing but memory is asked."""
    presented = PresentedCredentials(authorization=[f"Bearer {credential}"], may_verify=refuse_to_verify)
    try:
        return (await world.authenticator.authenticate(presented)).name
    except CredentialError:
        return None


@pytest.fixture
def world(tmp_path: Path) -> World:
    """One caller, who sends JWTs."""
    return World(make_registry(make_issuer(jwks_file=write_jwks(tmp_path / "jwks.json", EC))))


@pytest.mark.parametrize("name", KEYS)
async def test_finds_the_caller_of_a_key(name: str) -> None:
    """Wherever it stands in the file."""
    assert name == await World(REGISTRY).knows(KEYS[name])


async def test_knows_no_other_key() -> None:
    """A key of the right shape that nobody was given."""
    assert await World(REGISTRY).knows(new_api_key()) is None


async def test_a_key_is_valid_until_it_expires() -> None:
    """Also where it is cached. The audit record says why; the other key of its caller counts."""
    caller, expires = make_caller("first"), Millis(int(NOW * 1000) + 500)
    entries = [
        CallerEntry(caller, ApiKeyIdentity(digest(KEYS["first"])), expires=expires),
        CallerEntry(caller, ApiKeyIdentity(digest(KEYS["second"]))),
    ]
    world = World(CallerRegistry(entries))
    before = await world.problem(KEYS["first"])
    world.pass_time(0.5)

    assert "" == before
    assert re.fullmatch(
        r"the API key sha256:[0-9a-f]{16} of first has expired at 20\S+Z", await world.problem(KEYS["first"])
    )
    assert "first" == await world.knows(KEYS["second"])


async def test_a_digest_is_no_credential() -> None:
    """Whoever reads the callers file cannot call with what it holds."""
    assert await World(REGISTRY).knows(digest(KEYS["first"])) is None


@given(st.text(st.characters(exclude_categories=())), st.sampled_from(["", "tak_", "ey", "ey.", "ey.."]))
async def test_takes_any_text(text: str, start: str) -> None:
    """No text is a caller, and none makes it fail: not lone surrogates, not NUL, not other digits."""
    assert await World(REGISTRY).knows(start + text) is None


@pytest.mark.parametrize(
    "values",
    [
        [],
        ["x"],
        [b"Bearer x"],
        ["Bearer {key}", "Bearer {key}"],
        ["Bearer {key}", "Bearer x"],
        ["Bearer x", "Bearer {key}"],
        ["Basic {key}"],
        ["{key}"],
        ["Bearer  {key}"],
    ],
)
async def test_takes_exactly_one_bearer(values: list[str | bytes]) -> None:
    """Two credentials are two minds; another scheme is another credential."""
    given = [value.format(key=KEYS["first"]) if isinstance(value, str) else value for value in values]

    with pytest.raises(CredentialError):
        await World(REGISTRY).authenticator.authenticate(PresentedCredentials(authorization=given))


async def test_without_callers_knows_nobody() -> None:
    """An empty registry has no callers."""
    assert await World(CallerRegistry([])).knows(KEYS["first"]) is None


async def test_caches_a_key() -> None:
    """The second call compares nothing: it is served where the first would not even be looked at."""
    world = World(REGISTRY)

    assert (None, "first", "first") == (
        await warm(world, KEYS["first"]),
        await world.knows(KEYS["first"]),
        await warm(world, KEYS["first"]),
    )


async def test_caches_a_jwt_until_it_expires(world: World) -> None:
    """Not a millisecond longer, though the leeway still lets it in after a full look."""
    token = forge(EC, claims=kubernetes_claims(exp=NOW + 60))
    assert "room-service" == await world.knows(token)
    world.now = NOW + 59.999
    before = await warm(world, token)
    world.now = NOW + 60
    after = await warm(world, token)

    assert ("room-service", None, "room-service") == (before, after, await world.knows(token))


async def test_does_not_cache_an_invalid_credential(world: World) -> None:
    """A token becomes valid once the issuer publishes its key."""
    other = Key("ec-2")
    token = forge(other)
    path = world.callers.registry.issuers[0].jwks_file
    assert await world.knows(token) is None
    assert path is not None
    write_jwks(path, EC, other)
    world.pass_time(1)

    assert "room-service" == await world.knows(token)


@pytest.mark.parametrize("kind", ["key", "jwt"])
async def test_a_reload_invalidates_the_cache(world: World, kind: str) -> None:
    """Also where the new file says the same of the caller; and one who is no longer in it is nobody at once."""
    issuers = world.callers.registry.issuers
    named = [CallerEntry(make_caller(name), ApiKeyIdentity(digest(key))) for name, key in KEYS.items()]
    world.callers.replace(CallerRegistry([*named, *world.callers.registry.entries], issuers))
    credential, name = (KEYS["first"], "first") if kind == "key" else (forge(EC), "room-service")
    assert name == await world.knows(credential)
    world.callers.replace(world.callers.registry)
    after_same = await warm(world, credential)
    assert name == await world.knows(credential)
    world.callers.replace(CallerRegistry([], issuers))

    assert (None, None) == (after_same, await world.knows(credential))


async def test_drops_the_credentials_of_a_key_that_the_issuer_withdrew(world: World) -> None:
    """From the moment that the JWKS without it is known; with another key under the same kid too."""
    token = forge(EC)
    path = world.callers.registry.issuers[0].jwks_file
    assert path is not None
    for removed in ([Key("ec-2")], [Key("ec-1")], []):
        write_jwks(path, EC)
        world.pass_time(1)
        await world.caches.refresh_due()
        assert "room-service" == await settled(world, token, "room-service")
        write_jwks(path, *removed)
        world.pass_time(1)
        await world.caches.refresh_due()

        assert await settled(world, token, None) is None


async def settled(world: World, token: str, expected: str | None) -> str | None:
    """Who *token* is once what was begun has ended: `refresh_due` does not wait for it."""
    cache = world.caches.cache_of(world.callers.registry.issuers[0])
    assert cache._fetch is not None
    await cache._fetch
    return await warm(world, token) if expected is None else await world.knows(token)


async def test_a_refresh_without_a_change_preserves_the_cache(world: World) -> None:
    """The same keys again, and one more, do not make every caller's next call a cold one."""
    token = forge(EC)
    path = world.callers.registry.issuers[0].jwks_file
    assert path is not None
    assert "room-service" == await world.knows(token)
    write_jwks(path, Key("ec-2"), EC)
    world.pass_time(1)
    await world.caches.refresh_due()
    cache = world.caches.cache_of(world.callers.registry.issuers[0])
    assert cache._fetch is not None
    await cache._fetch

    assert cache.cached_key("ec-2") is not None
    assert "room-service" == await warm(world, token)


async def test_an_issuer_that_a_reload_changes_decides_anew(world: World, tmp_path: Path) -> None:
    """A file that no longer accepts an audience refuses its tokens, cached or not."""
    token = forge(EC)
    assert "room-service" == await world.knows(token)
    stricter = make_issuer(jwks_file=tmp_path / "jwks.json", audience="other")
    world.callers.replace(make_registry(stricter))

    assert await world.knows(token) is None


async def test_a_reload_while_keys_are_fetched_decides(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was right when the call came and is not when the keys arrive is refused."""
    cache = world.caches.cache_of(world.callers.registry.issuers[0])
    load = cache._source.load

    async def load_after_reload() -> object:
        world.callers.replace(CallerRegistry(world.callers.registry.entries, []))
        return await load()

    monkeypatch.setattr(cache._source, "load", load_after_reload)

    assert await world.knows(forge(EC)) is None


async def test_a_known_jwt_is_not_verified_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The warm way parses nothing: it would fail here."""
    token = forge(EC)
    assert "room-service" == await world.knows(token)

    def fail(*_: object) -> NoReturn:
        raise AssertionError

    monkeypatch.setattr(JwtVerifier, "verify_jwt", fail)

    assert "room-service" == await world.knows(token)
