"""The follower turns the events of a real authority into pending removals, and moves on only after that."""

from __future__ import annotations

import asyncio

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from pathlib import Path

import attrs
import pytest

from tests.enforcer.stand_ins import LiveKitStandIn, StandIn
from tests.enforcer.test_enforcement import World
from tests.support.authority import WAIT, RunningAuthority, StartAuthority, make_caller
from tokenauthority.callers.api_keys import new_api_key
from tokenauthority.client import AsyncAuthority, PermissionDenied
from tokenauthority.client.errors import InvalidArgument
from tokenauthority.domain.caller import ANY, Action, Grant
from tokenauthority.domain.ids import other_spelling
from tokenauthority.enforcer.admin_api import AdminApi
from tokenauthority.enforcer.enforcement import Enforcement
from tokenauthority.enforcer.follower import StreamFollower
from tokenauthority.enforcer.livekit import LiveKitDriver
from tokenauthority.enforcer.pending import PendingRemovals, Rules
from tokenauthority.server.wiring import system_clock


@attrs.frozen(kw_only=True)
class Followed:
    """A follower of the server `video`, what it has made pending, and a client who revokes."""

    client: AsyncAuthority
    follower: StreamFollower
    removals: PendingRemovals

    @property
    def targets(self) -> dict[str, tuple[str, ...]]:
        """What is pending: the rooms by subject."""
        return {each.subject: each.rooms for each in self.removals}

    @asynccontextmanager
    async def following(self) -> AsyncIterator[None]:
        """Follow while the block runs, once everything in force has been read."""
        task = asyncio.create_task(self.follower.follow())
        try:
            await until(lambda: not self.follower.problem or task.done())
            if task.done():
                await task
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


async def until(condition: Callable[[], bool]) -> None:
    """Wait for *condition*, for a bounded time."""
    async with asyncio.timeout(WAIT):
        while not condition():  # noqa: ASYNC110 - what is awaited changes without an event
            await asyncio.sleep(0.01)


Follow = Callable[..., AbstractAsyncContextManager[Followed]]


@pytest.fixture
def follow(tmp_path: Path, livekit: LiveKitStandIn, api_of: Callable[[StandIn], AdminApi]) -> Follow:
    """Makes a follower of an authority."""

    @asynccontextmanager
    async def make(
        authority: RunningAuthority, *, api_key: str = "", limit: int = 10, resume_token: str = ""
    ) -> AsyncIterator[Followed]:
        world = World(tmp_path, api_of)
        removals = PendingRemovals(limit, resume_token=resume_token)
        enforcement = Enforcement(
            Rules(server="video", project_id=authority.project_id, lifetime=600_000),
            LiveKitDriver(api_of(livekit), "APIkey", "s" * 40, system_clock),
            removals,
            notes=world.audit_log,
            metrics=world.metrics,
            clock=system_clock,
        )
        async with AsyncAuthority(
            authority.address, api_key=api_key or authority.api_key, project_id=authority.project_id, plaintext=True
        ) as client:
            follower = StreamFollower(
                client,
                [enforcement],
                removals,
                metrics=world.metrics,
                clock=system_clock,
                changed=asyncio.Event(),
            )
            yield Followed(client=client, follower=follower, removals=removals)

    return make


async def test_what_is_in_force_and_what_happens_is_pending(
    running_authority: RunningAuthority, follow: Follow
) -> None:
    """A subject, a token without a subject by its id, and a session by its ids and its name."""
    async with follow(running_authority) as followed:
        session = await followed.client.create_session(name="standup")
        plain = await followed.client.create_session()
        await followed.client.revoke_tokens(subject="alice")
        await followed.client.revoke_tokens(session_id=session.session_id)
        async with followed.following():
            token = await followed.client.generate_token(plain.session_id)
            await followed.client.revoke_tokens(token=token.token)
            await followed.client.end_session(plain.session_id)
            await until(lambda: len(followed.removals) == 4)

        rooms = [each.rooms for each in followed.removals if each.rooms]
        assert {"alice", token.token_id, ""} == followed.targets.keys()
        assert [
            (session.session_id, other_spelling(session.session_id), "standup"),
            (plain.session_id, other_spelling(plain.session_id)),
        ] == rooms


async def test_a_follower_resumes_at_its_place(running_authority: RunningAuthority, follow: Follow) -> None:
    """What it has read before does not come again; what happened meanwhile does."""
    async with follow(running_authority) as first:
        await first.client.revoke_tokens(subject="alice")
        async with first.following():
            await until(lambda: first.removals.resume_token != "")
        await first.client.revoke_tokens(subject="bob")
        place = first.removals.resume_token

    async with follow(running_authority, resume_token=place) as second, second.following():
        assert {"bob"} == second.targets.keys()


async def test_a_place_of_another_authority_is_given_up(running_authority: RunningAuthority, follow: Follow) -> None:
    """The supervisor calls again, and then everything in force is read."""
    async with follow(running_authority, resume_token="elsewhere") as followed:
        await followed.client.revoke_tokens(subject="alice")
        with pytest.raises(InvalidArgument):
            await followed.follower.follow()
        assert "" != followed.follower.problem

        async with followed.following():
            assert {"alice"} == followed.targets.keys()


async def test_reading_waits_while_as_much_is_pending_as_may_be(
    running_authority: RunningAuthority, follow: Follow
) -> None:
    """Nothing is left out: the place in the stream does not move past what was not taken in."""
    async with follow(running_authority, limit=1) as followed, followed.following():
        await followed.client.revoke_tokens(subject="alice")
        await until(lambda: len(followed.removals) == 1)
        await followed.client.revoke_tokens(subject="bob")
        await until(lambda: "max_pending" in followed.follower.problem)
        assert {"alice"} == followed.targets.keys()

        followed.removals.resume({}, system_clock())
        await until(lambda: {"bob"} == followed.targets.keys())
        await until(lambda: followed.follower.problem == "")


@pytest.mark.parametrize("missing", [Action.TOKENS_WATCH, Action.SESSIONS_READ])
async def test_a_grant_that_is_too_small_shows_at_the_start(
    start_authority: StartAuthority, follow: Follow, missing: Action
) -> None:
    """Not first when a session with a name is revoked."""
    api_key = new_api_key()
    needed = {Action.TOKENS_WATCH, Action.SESSIONS_READ}
    grant = Grant(projects=frozenset({ANY}), actions=frozenset(needed - {missing}), roles=frozenset())
    authority = start_authority(callers={api_key: make_caller("enforcer", grant)})

    async with follow(authority, api_key=api_key) as followed:
        with pytest.raises(PermissionDenied, match=missing.value):
            await followed.follower.follow()

        assert missing.value in followed.follower.problem
