"""Signing keys rotate under load, under kills and without the store: no token that was handed out is ever refused."""

from __future__ import annotations

import asyncio
import random
import threading
import time

from collections.abc import Sequence
from itertools import combinations, pairwise
from pathlib import Path
from typing import Self

import attrs
import grpc
import httpx
import jwt

from tests.scenarios.fleet import ISSUER, Fleet, Loops, fleet_of
from tests.support.authority import NO_TRUST, WAIT, eventually
from tests.support.cable import cable_to
from tests.support.postgres import PostgresServer
from tokenauthority.client import Authority, AuthorityError, Token
from tokenauthority.domain.key import KeyState, StoredKey
from tokenauthority.storage.sql import open_store
from tokenauthority.v1 import key_pb2


PERIOD = 3
"""Seconds: the shortest of which a quarter is more than a busy machine stands still."""

SHORT = {
    "KEYS__ROTATION_PERIOD": str(PERIOD),
    "ISSUANCE__JWKS_MAX_AGE": "1",
    "ISSUANCE__LEEWAY": "0",
    "DATABASE__POLL_INTERVAL": "0.05",
}
ROTATIONS = 3
KILLS = 4


@attrs.frozen(kw_only=True)
class Answer:
    """One answer of the JWKS: when it was requested and received, for how long it may be cached, and the kids in it."""

    asked: float
    there: float
    max_age: int
    key_ids: frozenset[str]


@attrs.define
class KeyCache:
    """The JWKS as an offline verifier caches it: fetched anew when its max-age is over, and for no other reason."""

    urls: Sequence[str]
    answers: list[Answer] = attrs.Factory(list)
    _keys: dict[str, jwt.PyJWK] = attrs.Factory(dict)
    _turns: int = 0

    def check(self, token: Token) -> None:
        """Verify a token without asking anybody about it. KeyError: its key is not in what may still be cached."""
        if not self.answers or time.monotonic() >= self.answers[-1].asked + self.answers[-1].max_age:
            self.fetch()
        key = self._keys[token.key_id]
        jwt.decode(token.token, key, algorithms=["ES256"], issuer=ISSUER, audience=token.project_id)

    def fetch(self) -> None:
        """Ask the servers in turn."""
        url = self.urls[self._turns % len(self.urls)]
        self._turns += 1
        asked = time.monotonic()
        answer = httpx.get(f"{url}/.well-known/jwks.json", timeout=WAIT, verify=NO_TRUST)
        # `no-cache` where the keys are about to change: it may be used once.
        max_age = int(answer.headers["cache-control"].partition("max-age=")[2] or 0)
        self._keys = {jwk.key_id or "": jwk for jwk in jwt.PyJWKSet.from_dict(answer.json()).keys}
        self.answers.append(Answer(asked=asked, there=time.monotonic(), max_age=max_age, key_ids=frozenset(self._keys)))


def test_no_token_is_refused_while_keys_rotate_under_load(fleet: Fleet) -> None:
    """Two servers make tokens, both and an offline verifier check each at once and later, over several rotations.

    First the keys rotate by themselves, then also by hand, as fast as that is allowed.
    """
    fleet.variables |= SHORT
    servers = fleet.start_together(2)
    clients = [fleet.client(server) for server in servers]
    session = clients[0].create_session().session_id
    *caches, watching = (KeyCache([server.http_url for server in servers]) for _ in range(len(clients) + 1))
    made: list[Token] = []
    key_ids: set[str] = set()

    def work(number: int) -> None:
        token = clients[number].generate_token(session)
        caches[number].check(token)
        assert all(client.verify_token(token).active for client in clients), f"{token} is refused"
        made.append(token)
        key_ids.add(token.key_id)

    with Loops() as loops:
        for number in range(len(clients)):
            loops.start(lambda number=number: work(number))  # type: ignore[misc]  # mypy cannot infer a lambda with a default
        loops.start(watching.fetch)
        loops.go_on_until(lambda: len(key_ids) > ROTATIONS, "the keys do not rotate")
        by_itself = list(watching.answers)
        for client in clients:
            fresh = client.keys.PrepareSigningKey(key_pb2.PrepareSigningKeyRequest()).key.key_id
            loops.go_on_until(lambda: signs(client, fresh) and fresh in key_ids, "no key is activated by hand")  # noqa: B023 - it is over before the next turn
    oldest = list({token.key_id: token for token in reversed(made)}.values())

    assert [True] * len(oldest) == [clients[0].verify_token(token).active for token in oldest]
    # A change that a person makes cannot be foreseen; it hurts nobody, because a key is published before it signs.
    assert [] == outlived_a_change(by_itself)
    assert 1 == max(answer.max_age for answer in by_itself)


def signs(client: Authority, key_id: str) -> bool:
    """Whether the key signs or did; it is activated as soon as the server allows it."""
    try:
        client.keys.ActivateSigningKey(key_pb2.ActivateSigningKeyRequest(key_id=key_id))
    except grpc.RpcError as error:
        return "not PREPARED" in str(error)
    return True


def outlived_a_change(answers: Sequence[Answer]) -> list[tuple[Answer, Answer]]:
    """Answers that might have been cached though there was a key already that they lack.

    A later answer may lack a key: its server has not yet seen that the other one has made the key.
    """
    return [
        (one, later)
        for one, later in combinations(answers, 2)
        if later.key_ids - one.key_ids and later.there < one.asked + one.max_age
    ]


def test_servers_that_are_killed_amid_rotations_rotate_once(fleet: Fleet) -> None:
    """Killed at about the moment at which both would rotate: the ring is always whole, and no period has two keys."""
    fleet.variables |= {**SHORT, "KEYS__ROTATION_PERIOD": "1"}
    servers = fleet.start_together(2)
    chance = random.Random(4)
    rings = Rings(fleet.url)
    with rings:
        for index in (0, 1) * (KILLS // 2):
            active = rings.wait_for_another()
            rotation = (active.activate_time or 0) / 1000 + 1
            threading.Event().wait(max(0, rotation - time.time() + chance.uniform(-0.03, 0.03)))
            fleet.kill(servers[index])
            servers[index] = fleet.start()
        rings.wait_for_another()
    states = [[key.state for key in ring] for ring in rings.seen]
    key_ids = [{key.key_id for key in ring} for ring in rings.seen]
    began = sorted(key.activate_time for key in rings.seen[-1] if key.activate_time is not None)

    assert {1} == {ring.count(KeyState.ACTIVE) for ring in states}
    assert {0, 1} == {ring.count(KeyState.PREPARED) for ring in states}
    assert [] == [before - after for before, after in pairwise(key_ids) if before - after]
    assert [] == [(one, other) for one, other in pairwise(began) if other - one < 1000]
    assert len(began) > KILLS
    assert all(isinstance(fleet.client(server).create_session().generate_token(), Token) for server in servers)


class Rings:
    """Every state of the ring in the store, as far as one who looks all the time sees them."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._stop = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._look()), name="rings")
        self.seen: list[Sequence[StoredKey]] = []

    def __enter__(self) -> Self:
        """Look."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Look no more."""
        self._stop.set()
        self._thread.join(WAIT)

    def wait_for_another(self) -> StoredKey:
        """The key that signs, once it is another one than now."""
        eventually(lambda: bool(self.seen), "there is no ring")
        before = self._active().key_id
        eventually(lambda: self._active().key_id != before, "the keys do not rotate")
        return self._active()

    def _active(self) -> StoredKey:
        return next(key for key in self.seen[-1] if key.state is KeyState.ACTIVE)

    async def _look(self) -> None:
        store = open_store(self._url)
        try:
            while not self._stop.is_set():
                ring = await store.list_keys()
                if not self.seen or ring != self.seen[-1]:
                    self.seen.append(ring)
                await asyncio.sleep(0.002)
        finally:
            await store.close()


def test_a_server_without_its_store_signs_until_the_end_of_its_key(
    postgres_url: str, postgres_server: PostgresServer, tmp_path: Path
) -> None:
    """Not a moment longer: then it is SIGNING_KEY_ENDED, until the store is back; every token of before is valid."""
    with (
        cable_to(postgres_server.port) as cable,
        fleet_of(tmp_path, postgres_url.replace(f":{postgres_server.port}/", f":{cable.port}/"), **SHORT) as fleet,
    ):
        server = fleet.start(LIMITS__WATCH_HEARTBEAT="0.5")
        client = fleet.client(server)
        session = client.create_session().session_id
        # The server has then seen its own changes, and removes nothing more from its caches.
        watched = fleet.watch(server)
        assert [next(watched).WhichOneof("event") for _ in range(3)] == ["snapshot_end", "heartbeat", "heartbeat"]
        client.generate_token(session)
        cable.cut()
        made, refused = signed_until_refused(client, session)
        cable.mend()
        eventually(lambda: signed(client, session) is not None, "it does not sign again")
        verdicts = [client.verify_token(token) for _, token in made]
        ring = {key.key_id: key for key in asyncio.run(ring_of(postgres_url))}

    ends = {ring[token.key_id].sign_until for _, token in made[-1:]}
    assert [True] * len(made) == [verdict.active for verdict in verdicts]
    assert [] == [asked for asked, token in made if asked >= (ring[token.key_id].sign_until or 0)]
    assert all(end is not None and end <= refused for end in ends)


def signed_until_refused(client: Authority, session: str) -> tuple[list[tuple[float, Token]], float]:
    """Tokens, with the millisecond in which each was asked for, and the one in which the first was refused."""
    made, until = [], time.monotonic() + WAIT
    while time.monotonic() < until:
        asked = time.time() * 1000
        try:
            made.append((asked, client.generate_token(session)))
        except AuthorityError as error:
            if error.reason != "SIGNING_KEY_ENDED":
                raise
            return made, time.time() * 1000
    raise AssertionError("it signs on and on")


def signed(client: Authority, session: str) -> Token | None:
    """A token, if there is one to be had."""
    try:
        return client.generate_token(session)
    except AuthorityError:
        return None


async def ring_of(url: str) -> Sequence[StoredKey]:
    """The ring as it is stored."""
    store = open_store(url)
    try:
        return await store.list_keys()
    finally:
        await store.close()
