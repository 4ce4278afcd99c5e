"""`tokenauthority enforce` removes people from real servers whose tokens are revoked; who returns does not stay.

LiveKit's people are its own WebRTC client. Who returns is a client without media: the other one would be removed before
it has joined.
"""

from __future__ import annotations

import asyncio
import contextlib

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import attrs
import jwt
import pytest

from livekit import rtc

from media import centrifugo, livekit
from tests.service.api import Api
from tests.support.authority import WAIT
from tests.support.enforcer import key_file, running_enforcer, settings_text
from tokenauthority.v1 import project_pb2, session_pb2, token_pb2


ADMIN_KEY = "APIadmin"
ADMIN_SECRET = "of-the-enforcer-0123456789abcdef0123456789"
LIVEKIT = token_pb2.TOKEN_FORMAT_LIVEKIT_JWT
REMOVED = rtc.DisconnectReason.PARTICIPANT_REMOVED
DELETED = rtc.DisconnectReason.ROOM_DELETED


@attrs.frozen(kw_only=True)
class Enforced:
    """A project, and the servers from which an enforcer removes its people."""

    api: Api
    project_id: str
    livekit: livekit.LiveKit
    centrifugo: centrifugo.Centrifugo

    def settings(self, directory: Path, *, poll_interval: float = 0.2) -> str:
        """The settings of an enforcer."""
        shared = {"project_id": self.project_id, "token_lifetime": 600}
        return settings_text(
            directory / "enforcer",
            {
                **shared,
                "name": "video",
                "kind": "livekit",
                "url": self.livekit.url,
                "key": ADMIN_KEY,
                "key_file": key_file(directory, ADMIN_SECRET),
            },
            {
                **shared,
                "name": "chat",
                "kind": "centrifugo",
                "url": self.centrifugo.url,
                "key_file": key_file(directory, self.centrifugo.api_key),
            },
            poll_interval=poll_interval,
        )

    def new_session(self, name: str = "") -> session_pb2.Session:
        """A session of the project."""
        return self.api.new_session(self.project_id, name=name)

    def token(self, session: session_pb2.Session, subject: str = "") -> token_pb2.Token:
        """A token for LiveKit."""
        return self.api.generate(session.session_id, format=LIVEKIT, subject=subject)

    def revoke(self, *, subject: str = "", token: str = "", session_id: str = "") -> None:
        """Revoke the tokens of one target."""
        if subject:
            request = token_pb2.RevokeTokensRequest(project_id=self.project_id, subject=subject)
        elif token:
            request = token_pb2.RevokeTokensRequest(token=token)
        else:
            request = token_pb2.RevokeTokensRequest(session_id=session_id)
        self.api.tokens.RevokeTokens(request)


@pytest.fixture(scope="module")
def servers(api: Api, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Enforced]:
    """Without an enforcer."""
    request = project_pb2.CreateProjectRequest(claims_for=[project_pb2.REAL_TIME_SERVER_CENTRIFUGO])
    made = api.projects.CreateProject(request)
    project_id, directory = made.project.project_id, tmp_path_factory.mktemp("servers")
    token = api.generate(api.new_session(project_id).session_id)
    issuer = jwt.decode(token.token, options={"verify_signature": False})["iss"]
    jwks_url = f"{api.authority.http_url}/.well-known/jwks.json"
    keys = {made.secret.secret_id: made.secret.secret, ADMIN_KEY: ADMIN_SECRET}
    with contextlib.ExitStack() as stack:
        yield Enforced(
            api=api,
            project_id=project_id,
            livekit=stack.enter_context(livekit.running(directory, keys)),
            centrifugo=stack.enter_context(centrifugo.running(directory, jwks_url, issuer, project_id)),
        )


@pytest.fixture(scope="module")
def enforced(servers: Enforced, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Enforced]:
    """With an enforcer that gets no webhooks: its turns find who returns."""
    directory = tmp_path_factory.mktemp("enforcer")
    with running_enforcer(directory, servers.settings(directory), servers.api.authority.environment):
        yield servers


async def test_a_revoked_subject_leaves_livekit_for_good(enforced: Enforced) -> None:
    """Neither the same token nor the one that LiveKit has refreshed lets the person stay. Somebody else stays."""
    session = enforced.new_session()
    token = enforced.token(session, "alice").token
    copy = await enforced.livekit.copy_of(token)
    async with _inside(enforced, enforced.token(session, "bob").token) as bob:
        async with _inside(enforced, token) as alice:
            enforced.revoke(subject="alice")
            assert REMOVED == await alice.gone()

        for again in (token, copy):
            await _returns_in_vain(enforced, again, REMOVED)
        assert bob.is_inside


async def test_a_revoked_token_without_a_subject_leaves_livekit(enforced: Enforced) -> None:
    """By its id, which is the identity there. Somebody else with such a token stays."""
    session = enforced.new_session()
    token, other = enforced.token(session), enforced.token(session)
    async with _inside(enforced, other.token) as bob, _inside(enforced, token.token) as alice:
        enforced.revoke(token=token.token)

        assert REMOVED == await alice.gone()
        assert bob.is_inside


@pytest.mark.parametrize("name", ["", "retro"])
async def test_a_revoked_session_is_emptied_on_livekit(enforced: Enforced, name: str) -> None:
    """By its id and by its name; nobody stays who returns, and who is in another session is not touched."""
    session = enforced.new_session(name)
    token, other = enforced.token(session, "carol").token, enforced.token(enforced.new_session(), "carol").token
    async with _inside(enforced, other) as elsewhere:
        async with _inside(enforced, token) as carol:
            enforced.revoke(session_id=session.session_id)
            assert DELETED == await carol.gone()

        await _returns_in_vain(enforced, token, DELETED)
        assert elsewhere.is_inside


async def test_an_ended_session_is_emptied_on_livekit(enforced: Enforced) -> None:
    """As a revoked one."""
    session = enforced.new_session("farewell")
    async with _inside(enforced, enforced.token(session, "dave").token) as dave:
        enforced.api.end(session.session_id)

        assert DELETED == await dave.gone()


async def test_a_revoked_subject_leaves_centrifugo_for_good(enforced: Enforced) -> None:
    """The same token does not let the person stay. Somebody else stays, and is heard."""
    session_id = enforced.new_session().session_id
    token, other = (enforced.api.generate(session_id, subject=name).token for name in ("frank", "grace"))
    async with enforced.centrifugo.connected(other) as grace:
        async with enforced.centrifugo.connected(token) as frank:
            enforced.revoke(subject="frank")
            await frank.closed()

        assert await _is_closed(enforced, token)
        await grace.publish(session_id, "hello")


async def test_a_revoked_session_is_emptied_on_centrifugo(enforced: Enforced) -> None:
    """By its channel. The same person stays in another session."""
    session, elsewhere = enforced.new_session("board"), enforced.new_session().session_id
    token, other = (enforced.api.generate(each, subject="heidi").token for each in (session.session_id, elsewhere))
    async with enforced.centrifugo.connected(other) as there:
        async with enforced.centrifugo.connected(token) as here:
            enforced.revoke(session_id=session.session_id)
            await here.closed()

        assert await _is_closed(enforced, token)
        await there.publish(elsewhere, "hello")


@attrs.frozen
class Guest:
    """Somebody who has joined a room of LiveKit."""

    room: rtc.Room
    disconnected: asyncio.Future[rtc.DisconnectReason.ValueType]

    @property
    def is_inside(self) -> bool:
        """Whether LiveKit has not ended the stay."""
        return not self.disconnected.done()

    async def gone(self) -> rtc.DisconnectReason.ValueType:
        """Wait until LiveKit has ended the stay; why it did."""
        return await asyncio.wait_for(self.disconnected, WAIT)


@contextlib.asynccontextmanager
async def _inside(enforced: Enforced, token: str) -> AsyncIterator[Guest]:
    """Join, and leave at the end of the block."""
    room = rtc.Room()
    guest = Guest(room, asyncio.get_running_loop().create_future())

    def end(reason: rtc.DisconnectReason.ValueType) -> None:
        if guest.is_inside:
            guest.disconnected.set_result(reason)

    room.on("disconnected", end)
    # Without a limit of our own: LiveKit's library ends the process if a call of `connect` is cancelled.
    await room.connect(enforced.livekit.url.replace("http", "ws", 1), token)
    try:
        yield guest
    finally:
        await room.disconnect()


async def _returns_in_vain(enforced: Enforced, token: str, reason: rtc.DisconnectReason.ValueType) -> None:
    """Join without media until the stay ends for *reason*: on a busy machine LiveKit may give up on the media first."""
    async with asyncio.timeout(2 * WAIT):
        while await enforced.livekit.end_of_stay(token) != reason:
            pass


async def _is_closed(enforced: Enforced, token: str) -> bool:
    """Connect again; whether Centrifugo ends the connection, maybe before it is complete."""
    try:
        async with enforced.centrifugo.connected(token) as person:
            await person.closed()
    except centrifugo.RefusedError:
        return True
    return True
