"""An issuer is asked seldom, by one at a time, and its keys serve while it is down, for a bounded time."""

from __future__ import annotations

import asyncio

from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from tests.callers.issuer import (
    NAME,
    NOW,
    JwksServer,
    Key,
    World,
    forge,
    header,
    jwks,
    jwks_server,
    kubernetes_claims,
    make_issuer,
    make_registry,
    write_jwks,
)
from tests.support.authority import WAIT
from tests.support.logs import capture_logs
from tokenauthority.callers.issuer_keys import MAX_WAITING, MAX_WAITING_EACH
from tokenauthority.callers.registry import CallerRegistry


OLD = Key("key-1", "RS256")
NEW = Key("key-2", "RS256")
DAY = 86_400


@pytest.fixture(scope="module")
def roots() -> trustme.CA:
    """Who signs the server's certificate."""
    return trustme.CA()


@pytest.fixture
def server(roots: trustme.CA) -> Iterator[JwksServer]:
    """The issuer's HTTPS server."""
    with jwks_server(roots) as server:
        server.body = jwks(OLD)
        yield server


@pytest.fixture
async def world(server: JwksServer, roots: trustme.CA, tmp_path: Path) -> World:
    """An authority with one issuer, whose keys it has not asked for yet."""
    (tmp_path / "ca.pem").write_bytes(roots.cert_pem.bytes())
    return World(make_registry(make_issuer(jwks_url=server.url, ca_file=tmp_path / "ca.pem")))


def token(key: Key, world: World, **changes: object) -> str:
    """A token that *key* signs now."""
    return forge(
        key, claims=kubernetes_claims(iat=int(world.now), nbf=int(world.now), exp=int(world.now) + 600, **changes)
    )


async def refresh_keys(world: World) -> None:
    """Start the fetches that are due, and wait for them."""
    await world.caches.refresh_due()
    for issuer in world.callers.registry.issuers:
        flight = world.caches.cache_of(issuer)._fetch
        if flight is not None:
            await asyncio.wait_for(asyncio.shield(flight), WAIT)


async def test_the_first_caller_waits_for_the_keys(world: World, server: JwksServer) -> None:
    """And everyone who comes meanwhile, for the same one request."""
    server.gate.clear()
    calls = [asyncio.create_task(world.knows(token(OLD, world, jti=str(number)))) for number in range(20)]
    await asyncio.to_thread(server.asked.acquire, timeout=WAIT)
    server.gate.set()

    assert ["room-service"] * 20 == await asyncio.gather(*calls)
    assert 1 == len(server.requests)


async def test_made_up_kids_cost_one_request_a_minute(world: World, server: JwksServer) -> None:
    """However many there are, one by one and at once, and whatever else the authority does meanwhile."""
    assert "room-service" == await world.knows(token(OLD, world))
    for _ in range(3):
        world.pass_time(60)
        for flood in range(3):
            forged = [forge(NEW, head=header(NEW, kid=f"made-up-{flood}-{n}"),
                            claims=kubernetes_claims(iat=int(world.now), exp=int(world.now) + 60))
                      for n in range(40)]  # fmt: skip
            assert [None] * 40 == await asyncio.gather(*map(world.knows, forged))
            assert [None] * 5 == [await world.knows(each) for each in forged[:5]]
            await refresh_keys(world)
            assert "room-service" == await world.knows(token(OLD, world))
            world.pass_time(10)
        world.pass_time(-30)

    assert 4 == len(server.requests)


async def test_a_token_that_is_invalid_anyway_starts_no_fetch(world: World, server: JwksServer) -> None:
    """Expired, for somebody else, of an unknown issuer: the keys would not help."""
    for changes in ({"aud": "other"}, {"exp": NOW - 60}, {"iss": "https://other"}, {"sub": None}):
        assert await world.knows(forge(NEW, claims=kubernetes_claims(**changes))) is None
    assert await world.knows(forge(NEW, head=header(NEW, alg="HS256"))) is None

    assert [] == server.requests


async def test_a_key_that_the_issuer_changed_to_is_known_within_a_minute(world: World, server: JwksServer) -> None:
    """The first token of the new key starts a fetch; both keys are valid while both are published."""
    assert "room-service" == await world.knows(token(OLD, world))
    server.body = jwks(OLD, NEW)
    at_once = await world.knows(token(NEW, world))
    world.pass_time(60)

    assert (None, "room-service", "room-service") == (
        at_once,
        await world.knows(token(NEW, world)),
        await world.knows(token(OLD, world)),
    )
    assert 2 == len(server.requests)


async def test_a_key_that_the_issuer_withdrew_is_refused_after_the_next_refresh(
    world: World, server: JwksServer
) -> None:
    """Without anybody asking for another: keys are fetched anew in the background."""
    known = token(OLD, world)
    assert "room-service" == await world.knows(known)
    server.body = jwks(NEW)
    world.pass_time(299)
    await refresh_keys(world)
    before = await world.knows(known)
    world.pass_time(1)
    await refresh_keys(world)

    assert ("room-service", None) == (before, await world.knows(known))
    assert 2 == len(server.requests)


async def test_keys_serve_while_the_issuer_is_down_and_not_for_ever(world: World, server: JwksServer) -> None:
    """Up to a day after the last valid answer; failures before it change nothing."""
    assert "room-service" == await world.knows(token(OLD, world))
    server.status = 503
    for _ in range(3):
        world.pass_time(DAY / 4)
        await refresh_keys(world)
        assert "room-service" == await world.knows(token(OLD, world))
    assert [NAME] == world.caches.failing()
    world.pass_time(DAY / 4)
    last = await world.knows(cached := token(OLD, world))
    world.pass_time(1)

    assert ("room-service", None, None) == (
        last,
        await world.knows(cached),
        await world.knows(token(OLD, world)),
    )


async def test_a_failing_issuer_is_asked_once_a_minute_until_it_answers(world: World, server: JwksServer) -> None:
    """By the background refresh and by callers; what it then answers counts at once, and each change is logged once."""
    server.status = 500
    with capture_logs() as logs:
        for _ in range(3):
            await refresh_keys(world)
            assert await world.knows(token(OLD, world)) is None
            world.pass_time(59)
            await refresh_keys(world)
            assert await world.knows(token(OLD, world)) is None
            world.pass_time(1)
        assert 3 == len(server.requests)
        server.status = 200
        await refresh_keys(world)

    assert "room-service" == await world.knows(token(OLD, world))
    assert (4, []) == (len(server.requests), world.caches.failing())
    assert ["jwks.failed", "jwks.loaded"] == [event["event"] for event in logs]


@pytest.mark.parametrize("body", [b"<html>", b'{"keys":7}', b"", b" " * 300_000])
async def test_nonsense_does_not_replace_the_keys(world: World, server: JwksServer, body: bytes) -> None:
    """A captive portal in between takes nobody's access away."""
    assert "room-service" == await world.knows(token(OLD, world))
    server.body = body
    world.pass_time(300)
    await refresh_keys(world)

    assert "room-service" == await world.knows(token(OLD, world))
    assert 2 == len(server.requests)


async def test_a_slow_issuer_holds_up_only_so_many(world: World, server: JwksServer) -> None:
    """Those beyond are refused at once, of one address and of all; the others get their answer."""
    server.gate.clear()
    origins = [f"ipv4:10.0.0.{number}" for number in range(MAX_WAITING // MAX_WAITING_EACH)]
    each = [*origins * MAX_WAITING_EACH, "ipv4:10.0.1.1", *["ipv4:10.0.0.0"] * 5]
    calls = [asyncio.create_task(world.knows(token(OLD, world, jti=str(n)), origin)) for n, origin in enumerate(each)]
    await asyncio.to_thread(server.asked.acquire, timeout=WAIT)
    done = [call for call in calls if call.done()]
    server.gate.set()
    found = await asyncio.gather(*calls)

    assert [None] * 6 == [call.result() for call in done]
    assert MAX_WAITING == found.count("room-service")


async def test_one_address_leaves_places_for_others(world: World, server: JwksServer) -> None:
    """Invented key ids of a stranger do not keep a caller from the keys; the places come back."""
    server.gate.clear()
    forged = [forge(NEW, head=header(NEW, kid=f"made-up-{number}")) for number in range(2 * MAX_WAITING)]
    strangers = [asyncio.create_task(world.knows(each, "ipv4:10.0.0.1")) for each in forged]
    await asyncio.to_thread(server.asked.acquire, timeout=WAIT)
    caller = asyncio.create_task(world.knows(token(OLD, world), "ipv4:10.0.0.2"))
    await asyncio.sleep(0)
    server.gate.set()

    assert "room-service" == await caller
    assert {None} == set(await asyncio.gather(*strangers))
    assert 0 == world.caches.cache_of(world.callers.registry.issuers[0])._waiting.total()


async def test_a_call_that_is_cancelled_does_not_end_the_fetch(world: World, server: JwksServer) -> None:
    """The first to come may leave; the others still get the keys."""
    server.gate.clear()
    first = asyncio.create_task(world.knows(token(OLD, world)))
    await asyncio.to_thread(server.asked.acquire, timeout=WAIT)
    other = asyncio.create_task(world.knows(token(OLD, world, jti="other")))
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    server.gate.set()

    assert "room-service" == await other
    assert 1 == len(server.requests)


async def test_a_reload_keeps_the_keys_of_issuers_that_stay(world: World, server: JwksServer) -> None:
    """Else every edit of the callers file would ask every issuer."""
    assert "room-service" == await world.knows(token(OLD, world))
    (issuer,) = world.callers.registry.issuers
    world.callers.replace(make_registry(make_issuer(jwks_url=issuer.jwks_url, ca_file=issuer.ca_file)))
    await refresh_keys(world)

    assert "room-service" == await world.knows(token(OLD, world))
    assert 1 == len(server.requests)


async def test_a_reload_drops_issuers_that_the_file_no_longer_names(world: World, server: JwksServer) -> None:
    """With the fetches under way for them."""
    server.gate.clear()
    await world.caches.refresh_due()
    await asyncio.to_thread(server.asked.acquire, timeout=WAIT)
    cache = world.caches.cache_of(world.callers.registry.issuers[0])
    world.callers.replace(CallerRegistry([]))
    await asyncio.wait_for(world.caches.refresh_due(), WAIT)

    assert cache._fetch is not None
    assert cache._fetch.cancelled()
    assert not world.caches._caches


async def test_a_file_is_looked_at_every_second(tmp_path: Path) -> None:
    """A changed one counts then; an absent or invalid one leaves the keys as they are, for a day."""
    path = write_jwks(tmp_path / "jwks.json", OLD)
    world = World(make_registry(make_issuer(jwks_file=path)))
    await refresh_keys(world)
    assert "room-service" == await world.knows(token(OLD, world))
    path.write_bytes(b"{")
    world.pass_time(1)
    await refresh_keys(world)
    invalid = await world.knows(token(OLD, world))
    path.unlink()
    world.pass_time(1)
    await refresh_keys(world)
    absent = await world.knows(token(OLD, world))
    write_jwks(path, NEW)
    world.pass_time(1)
    await refresh_keys(world)

    assert ("room-service", "room-service") == (invalid, absent)
    assert (None, "room-service") == (await world.knows(token(OLD, world)), await world.knows(token(NEW, world)))


async def test_a_bug_in_a_source_leaves_the_keys_cached(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """It shows as a failing issuer, and the next attempt may succeed."""
    assert "room-service" == await world.knows(token(OLD, world))
    cache = world.caches.cache_of(world.callers.registry.issuers[0])

    async def fail() -> object:
        raise ZeroDivisionError

    with monkeypatch.context() as patch:
        patch.setattr(cache._source, "load", fail)
        world.pass_time(300)
        await refresh_keys(world)
        assert [NAME] == world.caches.failing()
        assert "room-service" == await world.knows(token(OLD, world))
    world.pass_time(60)
    await refresh_keys(world)

    assert [] == world.caches.failing()


async def test_closing_ends_what_is_under_way(world: World, server: JwksServer) -> None:
    """A server that stops does not wait for an issuer."""
    server.gate.clear()
    await world.caches.refresh_due()
    await asyncio.to_thread(server.asked.acquire, timeout=WAIT)
    await asyncio.wait_for(world.caches.close(), WAIT)
    flight = world.caches.cache_of(world.callers.registry.issuers[0])._fetch

    assert flight is not None
    assert flight.done()


async def test_names_the_keys_that_cannot_be_used(tmp_path: Path) -> None:
    """In the log once for each change, and in the details for as long as they are there; the others serve."""
    path = write_jwks(tmp_path / "jwks.json", OLD, NEW.jwk(use="enc"), {"kty": "oct"})
    world = World(make_registry(make_issuer(jwks_file=path)))
    texts = ['kid "key-2" has a use other than sig and jwt-svid', "key 3 has no kid of 1 to 255 characters"]
    with capture_logs() as logs:
        for _ in range(3):
            await refresh_keys(world)
            world.pass_time(1)
        assert "room-service" == await world.knows(token(OLD, world))
        assert {"issuer_keys": f"{NAME}: {', '.join(texts)}"} == world.caches.details()
        write_jwks(path, OLD)
        await refresh_keys(world)

    assert {} == world.caches.details()
    assert [texts, []] == [event["unusable"] for event in logs if event["event"] == "jwks.loaded"]


async def test_an_issuer_without_a_usable_key_is_a_problem(tmp_path: Path) -> None:
    """Its JWTs are refused, and nobody would know why. An issuer without any key has said so itself."""
    path = write_jwks(tmp_path / "jwks.json", NEW.jwk(use="enc"))
    world = World(make_registry(make_issuer(jwks_file=path)))
    with capture_logs() as logs:
        await refresh_keys(world)
        found = world.caches.details()
        write_jwks(path)
        world.pass_time(1)
        await refresh_keys(world)

    assert f"no key can be used of: {NAME}" == found["issuers"]
    assert {} == world.caches.details()
    assert ["jwks.no_usable_key"] == [event["event"] for event in logs if event["log_level"] == "warning"]
