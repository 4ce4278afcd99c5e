"""Generate: what goes into a token comes out of it, and a batch neither hogs the server nor floods its caller."""

from __future__ import annotations

import asyncio
import functools
import re

from typing import Any

import attrs
import jwt
import msgspec
import pytest

from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.authority.world import NOW, World, make_world, platform_session, rsa_pem
from tests.support.authority import EVERYTHING, make_caller
from tests.support.faulty_store import FaultyStore
from tokenauthority.authority import time_slice
from tokenauthority.authority.project_spec import ProjectSpec, VonageImport
from tokenauthority.authority.time_slice import TimeSlice
from tokenauthority.domain.errors import (
    FieldViolation,
    InvalidRequestError,
    PermissionDeniedError,
    Reason,
    UnavailableError,
)
from tokenauthority.domain.role import BUILT_IN_ROLES
from tokenauthority.domain.times import Seconds, whole_seconds
from tokenauthority.domain.token import MAX_BATCH, TokenSpec
from tokenauthority.domain.token_format import TokenFormat


APPLICATION = "29f760f8-7ce1-46c9-ade3-f2dedee4ed5f"
FORMATS = st.sampled_from([TokenFormat.SESSION_JWT, TokenFormat.OPENTOK_JWT, TokenFormat.OPENTOK_T1])
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=1000)
CLASSES = st.lists(
    st.text(
        st.characters(exclude_categories=["Cs", "Zs", "Zl", "Zp", "Cc"], exclude_characters="&="),
        min_size=1,
        max_size=20,
    ),
    max_size=20,
)


@functools.cache
def shared_world() -> World:
    """A world for tests that change nothing."""
    return asyncio.run(make_world())


@settings(max_examples=100, deadline=None)
@given(
    token_format=FORMATS,
    role=st.sampled_from(list(BUILT_IN_ROLES)),
    data=TEXT,
    classes=CLASSES,
    ttl=st.integers(1, 2_592_000),
)
@example(
    token_format=TokenFormat.OPENTOK_T1,
    role="publisher",
    data="a+b%2B&c=d\r\n\n\x00;é\N{GRINNING FACE}",
    classes=["+%2B~*'()"],
    ttl=1,
)
@example(token_format=TokenFormat.OPENTOK_JWT, role="publisher", data='"\\\u2028', classes=["a+b", "%"], ttl=1)
def test_a_token_says_exactly_what_was_asked_for(
    token_format: TokenFormat, role: str, data: str, classes: list[str], ttl: int
) -> None:
    """Data, layout classes, role and times come back from a fresh token as they went in, whatever they hold."""
    shared = shared_world()

    async def go_round() -> tuple[object, ...]:
        request = TokenSpec(
            session_id=shared.session.session_id,
            role=role,
            data=data,
            ttl=Seconds(ttl),
            format=token_format,
            initial_layout_class_list=tuple(classes),
        )
        generated = await shared.generate.one(request, EVERYTHING, NOW)
        verdict = await shared.verify.check(generated.token, EVERYTHING, NOW)
        assert verdict.signed is not None, verdict.detail
        said = verdict.signed.claims
        assert (None, generated.token_id, generated.terms.key_id) == (
            verdict.reason,
            said.token_id,
            verdict.signed.key_id,
        )
        return said.role, said.data, said.initial_layout_class_list, said.issue_time, said.expire_time

    now = whole_seconds(NOW)

    assert (role, data, tuple(classes), now, now + ttl) == asyncio.run(go_round())


@pytest.mark.parametrize("data", ["", "line\nline\r\nline\r", "\N{GRINNING FACE}" * 1000, "a=b&c=d"], ids=len)
async def test_a_vonage_token_says_exactly_what_was_asked_for(data: str) -> None:
    """The same for the format of a Vonage application."""
    world = await make_world()
    source = VonageImport(application_id=APPLICATION, private_key=rsa_pem())
    project = await world.projects.import_vonage(ProjectSpec(), source, make_caller(), NOW)
    session_id = platform_session(APPLICATION)

    request = TokenSpec(session_id=session_id, data=data, initial_layout_class_list=("a", "b"))
    generated = await world.generate.one(request, EVERYTHING, NOW)
    verdict = await world.verify.check(generated.token, EVERYTHING, NOW, session_id=session_id)

    assert verdict.reason is None, verdict.detail
    assert verdict.signed is not None
    signed = verdict.signed
    assert TokenFormat.VONAGE_JWT is generated.terms.format
    assert (project.project_id, generated.terms.key_id) == (signed.project_id, signed.key_id)
    assert (data, ("a", "b")) == (signed.claims.data, signed.claims.initial_layout_class_list)


def many(world: World, count: int, **values: Any) -> list[TokenSpec]:
    """So many requests for the world's session."""
    return [msgspec.structs.replace(TokenSpec(session_id=world.session.session_id), **values)] * count


async def test_a_batch_lets_others_have_their_turn() -> None:
    """While 1000 tokens are made, the event loop serves other tasks again and again."""
    world = await make_world()
    turns = 0
    made = asyncio.Event()

    async def other() -> None:
        nonlocal turns
        while not made.is_set():
            turns += 1
            await asyncio.sleep(0)

    waiting = asyncio.create_task(other())
    await asyncio.sleep(0)
    before = turns
    tokens = await world.generate.batch(many(world, MAX_BATCH), EVERYTHING, NOW, TimeSlice())
    during = turns - before
    made.set()
    await waiting

    assert MAX_BATCH == len({token.token_id for token in tokens})
    assert during > 0


async def test_a_batch_lets_others_have_their_turn_at_each_item(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also before any token is made, and where all items are on the same terms."""
    monkeypatch.setattr(time_slice, "_SHARE", 0.0)
    world = await make_world()
    items = [*many(world, 100), *many(world, 1, ttl=Seconds(0))]
    turns = 0
    batch = asyncio.ensure_future(world.generate.batch(items, EVERYTHING, NOW, TimeSlice()))
    while not batch.done():
        turns += 1
        await asyncio.sleep(0)

    assert isinstance(batch.exception(), InvalidRequestError)
    assert turns > len(items)


class _UsedUp(TimeSlice):
    """A share that is over, and of which no other one is begun."""

    def __init__(self) -> None:
        super().__init__()
        self.end = 0.0
        self.turns = 0

    async def next(self) -> None:
        """Count the turn."""
        self.turns += 1


async def test_a_batch_has_only_the_time_that_its_call_has_left() -> None:
    """The call may have used it up before, to decode the items: then each look at an item and each signature waits."""
    world = await make_world()
    used_up = _UsedUp()

    await world.generate.batch(many(world, 10), EVERYTHING, NOW, used_up)

    assert 2 * 10 == used_up.turns


async def test_a_batch_reads_each_session_once() -> None:
    """A thousand tokens of a session that nothing is known of cost one read."""
    store = FaultyStore()
    world = await make_world(store)
    source = VonageImport(application_id=APPLICATION, private_key=rsa_pem())
    await world.projects.import_vonage(ProjectSpec(), source, make_caller(), NOW)
    before = store.count("get_session")
    wanted = [TokenSpec(session_id=platform_session(APPLICATION))] * 10

    await world.generate.batch(wanted, EVERYTHING, NOW, TimeSlice())

    assert 1 == store.count("get_session") - before


async def test_a_store_that_fails_fails_the_batch() -> None:
    """An unreadable session is no violation of its item: the caller is to try again."""
    store = FaultyStore()
    world = await make_world(store)
    absent = platform_session(world.project_id)
    store.fail("get_session")

    with pytest.raises(UnavailableError):
        await world.generate.batch([*many(world, 1), TokenSpec(session_id=absent)], EVERYTHING, NOW, TimeSlice())


async def test_a_batch_names_all_violations() -> None:
    """What fits into an answer is decided where it is sent."""
    world = await make_world()
    bad = many(world, MAX_BATCH, data="x" * 1001, subject="x" * 256, ttl=Seconds(0))

    with pytest.raises(InvalidRequestError) as caught:
        await world.generate.batch(bad, EVERYTHING, NOW, TimeSlice())

    assert 3 * MAX_BATCH == len(caught.value.violations)


async def test_an_item_outside_the_grant_is_named() -> None:
    """The refusal of a batch says which item it is about."""
    world = await make_world()
    grant = attrs.evolve(EVERYTHING, roles=frozenset({"publisher"}))
    wanted = [*many(world, 3), *many(world, 1, role="moderator")]

    with pytest.raises(PermissionDeniedError) as caught:
        await world.generate.batch(wanted, grant, NOW, TimeSlice())

    assert (Reason.ROLE_NOT_GRANTED, "requests[3].role") == (caught.value.reason, caught.value.field)


@pytest.mark.parametrize(
    "change",
    [
        {"role": "moderator"},
        {"ttl": Seconds(60)},
        {"expire_time": Seconds(whole_seconds(NOW) + 61)},
        {"format": TokenFormat.OPENTOK_JWT},
        {"initial_layout_class_list": ("focus",)},
        {"subject": "alice"},
        {"data": "name=alice"},
    ],
    ids=lambda change: next(iter(change)),
)
async def test_an_item_of_a_batch_says_what_it_would_say_alone(change: dict[str, Any]) -> None:
    """Also between items that differ from it in one field."""
    world = await make_world()
    plain = TokenSpec(session_id=world.session.session_id)
    requests = [plain, msgspec.structs.replace(plain, **change), plain]

    async def said(token: str) -> object:
        signed = (await world.verify.check(token, EVERYTHING, NOW)).signed
        assert signed is not None
        return signed.format, msgspec.structs.replace(signed.claims, token_id="")

    alone = [await said((await world.generate.one(request, EVERYTHING, NOW)).token) for request in requests]
    together = [await said(each.token) for each in await world.generate.batch(requests, EVERYTHING, NOW, TimeSlice())]

    assert alone == together
    assert alone[0] != alone[1]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"subject": "alice"}, "subject"),
        ({"problems": (FieldViolation("format", "has the unknown value 99"),)}, "format"),
    ],
)
async def test_an_invalid_item_of_a_batch_is_named_alone(change: dict[str, Any], field: str) -> None:
    """Items that differ from it in one field, such as the subject that their format cannot carry, are valid."""
    world = await make_world()
    plain = TokenSpec(session_id=world.session.session_id, format=TokenFormat.OPENTOK_T1)

    with pytest.raises(InvalidRequestError) as caught:
        await world.generate.batch(
            [plain, msgspec.structs.replace(plain, **change), plain], EVERYTHING, NOW, TimeSlice()
        )

    assert [f"requests[1].{field}"] == [violation.field for violation in caught.value.violations]


async def test_a_token_is_unique_by_128_bits_or_by_a_nonce() -> None:
    """The `jti` where the format has one, else a number that every JSON parser reads exactly."""
    world = await make_world()
    formats = (TokenFormat.SESSION_JWT, TokenFormat.OPENTOK_JWT)
    asked = [TokenSpec(session_id=world.session.session_id, format=each) for each in formats]

    session_jwt, opentok_jwt = await world.generate.batch(asked, EVERYTHING, NOW, TimeSlice())
    nonce = jwt.decode(opentok_jwt.token, options={"verify_signature": False})["nonce"]

    assert re.fullmatch("[0-9a-f]{32}", session_jwt.token_id)
    assert isinstance(nonce, int)
    assert 0 <= nonce < 2**53
