"""Taking tokens back: one, a session's or a subject's; durable, seen at once, and refused with every cause named."""

from __future__ import annotations

from typing import Any, Final

import pytest

from tests.authority.world import LEEWAY, NOW, World, make_server, make_world, platform_session
from tests.support.authority import EVERYTHING, make_caller
from tests.support.faulty_store import FaultyStore
from tokenauthority.authority.project_spec import ProjectSpec
from tokenauthority.authority.revoke import RevokeRequest
from tokenauthority.domain.caller import ANY, Grant
from tokenauthority.domain.errors import (
    ExhaustedError,
    InvalidRequestError,
    NotFoundError,
    PermissionDeniedError,
    Reason,
)
from tokenauthority.domain.revocation import RETENTION, StoredRevocation, TargetKind
from tokenauthority.domain.session import SessionSpec
from tokenauthority.domain.times import MAX_LEEWAY, Millis, Seconds, whole_seconds
from tokenauthority.domain.token import GeneratedToken, InactiveReason, TokenSpec
from tokenauthority.domain.token_format import TokenFormat


SECOND: Final = whole_seconds(NOW)
NOWHERE: Final = "2147483647"
OPENTOK: Final = (TokenFormat.OPENTOK_T1, TokenFormat.OPENTOK_JWT)
FORMATS: Final = (TokenFormat.SESSION_JWT, *OPENTOK)


@pytest.fixture
async def world() -> World:
    """A server with a project and a session."""
    return await make_world(FaultyStore())


async def generated(
    world: World,
    token_format: TokenFormat = TokenFormat.SESSION_JWT,
    *,
    subject: str = "",
    session_id: str = "",
    now: Millis = NOW,
) -> GeneratedToken:
    """A token just made."""
    request = TokenSpec(session_id=session_id or world.session.session_id, format=token_format, subject=subject)
    return await world.generate.one(request, EVERYTHING, now)


async def reason_of(world: World, token: GeneratedToken, now: Millis = NOW) -> InactiveReason | None:
    """Why the token is not good, on this server."""
    return (await world.verify.check(token.token, EVERYTHING, now)).reason


async def revoke(world: World, grant: Grant = EVERYTHING, now: Millis = NOW, **fields: Any) -> StoredRevocation:
    """Take tokens back."""
    return await world.server.revoke.revoke(RevokeRequest(**fields), grant, now)


async def refused(world: World, grant: Grant = EVERYTHING, **fields: Any) -> list[str]:
    """The fields that a request is refused for, after which nothing was revoked."""
    with pytest.raises(InvalidRequestError) as caught:
        await revoke(world, grant, **fields)
    assert [] == await world.store.list_revocations(after="", limit=10, now=NOW)
    return [violation.field for violation in caught.value.violations]


def only(*project_ids: str) -> Grant:
    """A grant of these projects alone."""
    return Grant(projects=frozenset(project_ids), actions=EVERYTHING.actions, roles=frozenset({ANY}))


@pytest.mark.parametrize("token_format", FORMATS)
@pytest.mark.parametrize("by_id", [True, False])
async def test_one_token_is_revoked_and_no_other(world: World, token_format: TokenFormat, *, by_id: bool) -> None:
    """By itself or by its id, in every format; the next VerifyToken sees it."""
    token, other = await generated(world, token_format), await generated(world, token_format)
    by_name: dict[str, Any] = {"token_id": token.token_id, "project_id": world.project_id}
    target = by_name if by_id else {"token": token.token}
    revocation = await revoke(world, comment="lost", **target)

    assert (TargetKind.TOKEN, token.token_id, "lost") == (revocation.kind, revocation.target, revocation.comment)
    assert (world.project_id, NOW) == (revocation.project_id, revocation.create_time)
    assert [InactiveReason.REVOKED, None] == [await reason_of(world, one) for one in (token, other)]
    assert [revocation] == await world.store.list_revocations(after="", limit=10, now=NOW)


async def test_every_token_of_a_session_is_revoked_up_to_now(world: World) -> None:
    """Of any format; those made from the next second on are valid, and those of other sessions."""
    other = await world.sessions.create(world.project_id, SessionSpec(), "", make_caller(), NOW)
    tokens = [await generated(world, token_format) for token_format in FORMATS]
    elsewhere = await generated(world, session_id=other.session_id)
    revocation = await revoke(world, session_id=world.session.session_id)
    later = Millis(NOW + 1000)
    again = await generated(world, now=later)

    assert (TargetKind.SESSION, SECOND) == (revocation.kind, revocation.issued_before)
    assert [InactiveReason.REVOKED] * 3 == [await reason_of(world, token) for token in tokens]
    assert [None, None] == [await reason_of(world, token, later) for token in (elsewhere, again)]


async def test_every_token_of_a_subject_is_revoked_in_its_project(world: World) -> None:
    """Not those of the same subject in another project, nor those of nobody."""
    project, _ = await world.projects.create(ProjectSpec(), EVERYTHING, NOW)
    session = await world.sessions.create(project.project_id, SessionSpec(), "", make_caller(), NOW)
    alice, nobody = await generated(world, subject="alice"), await generated(world)
    elsewhere = await generated(world, subject="alice", session_id=session.session_id)
    revocation = await revoke(world, subject="alice", project_id=world.project_id)

    assert (TargetKind.SUBJECT, "alice") == (revocation.kind, revocation.target)
    assert [InactiveReason.REVOKED, None, None] == [
        await reason_of(world, token) for token in (alice, nobody, elsewhere)
    ]


async def test_only_tokens_issued_up_to_the_moment_are_revoked(world: World) -> None:
    """To the second."""
    early, late = await generated(world, now=Millis(NOW - 10_000)), await generated(world, now=Millis(NOW - 9000))
    await revoke(world, session_id=world.session.session_id, issued_before=Seconds(SECOND - 10))

    assert [InactiveReason.REVOKED, None] == [await reason_of(world, token) for token in (early, late)]


async def test_a_single_token_is_meant_though_its_servers_clock_was_ahead(world: World) -> None:
    """As far ahead as clocks may be; it is no reason to leave that one token in force."""
    ahead = await generated(world, now=Millis(NOW + LEEWAY * 1000))
    revocation = await revoke(world, token=ahead.token)

    assert SECOND + MAX_LEEWAY == revocation.issued_before
    assert InactiveReason.REVOKED is await reason_of(world, ahead)


async def test_a_single_token_of_a_clock_that_is_days_ahead_never_becomes_valid(world: World) -> None:
    """OK means that it is revoked, also once its second has come; what must be kept for years is refused."""
    day = 86_400_000
    ahead = await generated(world, TokenFormat.OPENTOK_JWT, now=Millis(NOW + 2 * day))
    month = await generated(world, TokenFormat.OPENTOK_JWT, now=Millis(NOW + 30 * day))
    years = await generated(world, TokenFormat.OPENTOK_JWT, now=Millis(NOW + 30 * day + 1000))
    await revoke(world, token=ahead.token)
    await revoke(world, token=month.token)
    with pytest.raises(InvalidRequestError, match="more than 30 days in the future"):
        await revoke(world, token=years.token)

    assert InactiveReason.REVOKED is await reason_of(world, ahead, Millis(NOW + 2 * day))
    assert InactiveReason.REVOKED is await reason_of(world, ahead, Millis(NOW + 3 * day - 1000))
    assert InactiveReason.REVOKED is await reason_of(world, month, Millis(NOW + 30 * day))


async def test_another_server_knows_once_it_has_followed(world: World) -> None:
    """And this one looks at once, so that those who watch it are told."""
    other = make_server(world.store, world.sealer)
    await other.follower.start()
    token = await generated(world)
    world.server.follower.woken.clear()
    await revoke(world, token=token.token)
    await other.follower.catch_up()

    assert world.server.follower.woken.is_set()
    assert InactiveReason.REVOKED is (await other.verify.check(token.token, EVERYTHING, NOW)).reason


async def test_a_token_out_of_force_can_be_revoked(world: World) -> None:
    """Its signature holds, and clocks may differ."""
    token = await generated(world, now=Millis(NOW - RETENTION * 1000))
    before = await reason_of(world, token)
    await revoke(world, token=token.token)

    assert InactiveReason.EXPIRED is before


async def test_a_statement_that_covers_as_much_is_answered_instead(world: World) -> None:
    """Doing it twice does no harm; a later moment renews it under its id."""
    first = await revoke(world, session_id=world.session.session_id, comment="first")
    same = await revoke(world, session_id=world.session.session_id, comment="second")
    later = await revoke(world, session_id=world.session.session_id, now=Millis(NOW + 1000), comment="third")

    assert first == same
    assert (first.revocation_id, SECOND + 1, "third") == (later.revocation_id, later.issued_before, later.comment)
    assert [later] == await world.store.list_revocations(after="", limit=10, now=NOW)


async def test_the_callers_only_project_is_meant_where_none_is_named(world: World) -> None:
    """A caller with several has to say which."""
    revocation = await revoke(world, only(world.project_id), subject="alice")

    assert world.project_id == revocation.project_id


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, ["target"]),
        ({"token_id": "x"}, ["project_id"]),
        ({"subject": "x"}, ["project_id"]),
        ({"token_id": "x", "project_id": "x"}, ["project_id"]),
        ({"subject": "x", "project_id": "0"}, ["project_id"]),
        ({"token_id": "x" * 256, "project_id": "1"}, ["token_id"]),
        ({"subject": "x" * 256, "project_id": "1"}, ["subject"]),
        ({"subject": "a\0", "project_id": "1"}, ["subject"]),
        ({"session_id": "x"}, ["session_id"]),
        ({"session_id": "2_" + "x" * 300}, ["session_id"]),
        ({"token": "x"}, ["token"]),
        ({"token": "T1==" + "A" * 50_000}, ["token"]),
        ({"token": "a.b.c", "project_id": "1"}, ["token", "project_id"]),
        ({"subject": "x", "project_id": "1", "comment": "x" * 257}, ["comment"]),
        ({"subject": "x", "project_id": "1", "issued_before": Seconds(SECOND + 1)}, ["issued_before"]),
        ({"subject": "x", "project_id": "1", "issued_before": Seconds(SECOND - RETENTION - 1)}, ["issued_before"]),
    ],
)
async def test_refuses_what_is_wrong_by_its_field(world: World, fields: dict[str, Any], expected: list[str]) -> None:
    """And takes nothing back."""
    assert expected == await refused(world, **fields)


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ({}, ["target"]),
        ({"token_id": "x" * 256}, ["token_id", "project_id"]),
        ({"subject": "\0"}, ["subject", "project_id"]),
        ({"session_id": "x"}, ["session_id"]),
        ({"session_id": "x", "project_id": "1"}, ["project_id", "session_id"]),
        ({"token": "x"}, ["token"]),
        ({"token": "x", "project_id": "1"}, ["token", "project_id"]),
    ],
)
async def test_names_everything_that_is_wrong_at_once(
    world: World, target: dict[str, Any], expected: list[str]
) -> None:
    """Whatever the target."""
    fields = await refused(world, comment="x" * 257, issued_before=Seconds(SECOND + 1), **target)

    assert {*expected, "comment", "issued_before"} == set(fields)
    assert len(expected) + 2 == len(fields)


async def test_a_valid_token_does_not_hide_what_else_is_wrong(world: World) -> None:
    """The comment is refused all the same."""
    token = await generated(world)

    assert ["comment"] == await refused(world, token=token.token, comment="x" * 257)
    assert ["project_id"] == await refused(world, token=token.token, project_id=world.project_id)
    assert ["project_id"] == await refused(world, session_id=world.session.session_id, project_id=world.project_id)


@pytest.mark.parametrize("target", ["token_id", "subject", "session_id"])
async def test_a_project_outside_the_grant_is_denied_without_a_look(world: World, target: str) -> None:
    """With one error whether it exists or not, and not even the time tells."""
    assert isinstance(world.store, FaultyStore)
    world.tenants.clear()
    before = world.store.count("get_project")
    refusals = []
    for project_id in (world.project_id, NOWHERE):
        fields: dict[str, Any] = {target: "x", "project_id": project_id}
        if target == "session_id":
            fields = {target: platform_session(project_id)}
        with pytest.raises(PermissionDeniedError) as denied:
            await revoke(world, only("1"), **fields)
        error = denied.value
        refusals.append((error.reason, error.field, error.limit, str(error).replace(project_id, "P")))

    assert refusals[0] == refusals[1]
    field = "session_id" if target == "session_id" else "project_id"
    assert (Reason.PROJECT_NOT_GRANTED, field) == refusals[0][:2]
    assert before == world.store.count("get_project")


@pytest.mark.parametrize("token_format", FORMATS)
async def test_a_token_outside_the_grant_is_as_one_of_a_project_that_is_not_there(
    world: World, token_format: TokenFormat
) -> None:
    """Its project cannot be found out, nor can it be revoked."""
    token = await generated(world, token_format)
    problems = []
    for store_knows in (True, False):
        if not store_knows:
            world.tenants.clear()
            world.store.execute("PRAGMA foreign_keys=OFF")
            world.store.execute("DELETE FROM projects")
        with pytest.raises(InvalidRequestError) as unknown:
            await revoke(world, only("1"), token=token.token)
        problems.append(unknown.value.violations)

    assert problems[0] == problems[1]
    assert ["token"] == [violation.field for violation in problems[0]]
    assert token.token not in problems[0][0].problem


async def test_a_token_that_nobody_here_signed_cannot_be_revoked(world: World) -> None:
    """Whoever could name it without its signature would fill the store with what is no token."""
    token = await generated(world, TokenFormat.OPENTOK_JWT)
    head, _, signature = token.token.rpartition(".")

    assert ["token"] == await refused(world, token=f"{head}.{signature[::-1]}")


@pytest.mark.parametrize("target", ["token_id", "subject", "session_id"])
async def test_a_project_that_is_not_there_is_not_found(world: World, target: str) -> None:
    """For a caller who may use any."""
    fields: dict[str, Any] = {target: "x", "project_id": NOWHERE}
    if target == "session_id":
        fields = {target: platform_session(NOWHERE)}
    with pytest.raises(NotFoundError) as absent:
        await revoke(world, **fields)

    assert (Reason.PROJECT_NOT_FOUND, NOWHERE) == (absent.value.reason, absent.value.name)


async def test_a_session_need_not_be_known(world: World) -> None:
    """A store that was put back has lost it, and its tokens are valid wherever they are verified without it."""
    lost = platform_session(world.project_id)
    revocation = await revoke(world, session_id=lost)

    assert (TargetKind.SESSION, lost, world.project_id) == (revocation.kind, revocation.target, revocation.project_id)


async def test_there_are_no_more_than_the_limit(world: World) -> None:
    """The refusal names the setting; what is in force stays so, and can be repeated."""
    world.server.revocations._limit = 2
    for subject in ("a", "b"):
        await revoke(world, subject=subject, project_id=world.project_id)
    with pytest.raises(ExhaustedError, match=r"2 revocations in force.* limits\.max_revocations") as full:
        await revoke(world, subject="c", project_id=world.project_id)

    repeated = await revoke(world, subject="a", project_id=world.project_id)

    assert Reason.REVOCATION_LIMIT is full.value.reason
    assert "a" == repeated.target
    assert 2 == len(await world.store.list_revocations(after="", limit=10, now=NOW))
