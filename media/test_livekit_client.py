"""LiveKit's real client, with its WebRTC stack: who may publish is heard, and who may not is not."""

from __future__ import annotations

import asyncio
import contextlib

from collections.abc import AsyncIterator

import pytest

from livekit.rtc import AudioSource, LocalAudioTrack, Room
from livekit.rtc.participant import PublishTrackError

from media.conftest import World
from tests.support.authority import WAIT
from tokenauthority.v1 import token_pb2


REFUSAL = 5
"""Seconds in which LiveKit would have taken a track: it answers whoever may publish at once, and others never."""


class Listener:
    """A person in a room, and what comes to that person."""

    def __init__(self, room: Room) -> None:
        self.room = room
        self.data: asyncio.Queue[bytes] = asyncio.Queue()
        self.tracks: asyncio.Queue[str] = asyncio.Queue()
        room.on("data_received", lambda packet: self.data.put_nowait(packet.data))
        room.on("track_subscribed", lambda track, publication, person: self.tracks.put_nowait(person.identity))

    async def hears(self, speaker: Listener, text: bytes) -> list[bytes]:
        """All data that comes until *text* does, which *speaker* repeats: at first nobody may be there to hear it."""
        heard: list[bytes] = []
        async with asyncio.timeout(WAIT):
            while text not in heard:
                await speaker.room.local_participant.publish_data(text)
                with contextlib.suppress(TimeoutError):
                    heard.append(await asyncio.wait_for(self.data.get(), 1))
        return heard


@pytest.fixture
def session_id(world: World) -> str:
    """A session of the project."""
    return world.api.new_session(world.project_id).session_id


async def test_a_publisher_is_heard(world: World, session_id: str) -> None:
    """Data and an audio track reach a subscriber."""
    async with (
        _in_room(world, session_id, "subscriber", "bob") as bob,
        _in_room(world, session_id, "publisher", "alice") as alice,
    ):
        await asyncio.wait_for(alice.room.local_participant.publish_track(_microphone()), WAIT)

        assert b"hello" in await bob.hears(alice, b"hello")
        assert "alice" == await asyncio.wait_for(bob.tracks.get(), WAIT)


async def test_a_subscriber_is_not_heard(world: World, session_id: str) -> None:
    """Neither data nor a track of a subscriber reaches anybody; what a publisher sends before and after them does."""
    async with (
        _in_room(world, session_id, "subscriber", "bob") as bob,
        _in_room(world, session_id, "subscriber", "carol") as carol,
        _in_room(world, session_id, "publisher", "alice") as alice,
    ):
        await bob.hears(alice, b"before")
        await carol.room.local_participant.publish_data(b"carol")
        with pytest.raises((PublishTrackError, TimeoutError)):
            await asyncio.wait_for(carol.room.local_participant.publish_track(_microphone()), REFUSAL)
        heard = await bob.hears(alice, b"after")

        assert {b"before", b"after"} >= set(heard)
        assert bob.tracks.empty()


@contextlib.asynccontextmanager
async def _in_room(world: World, session_id: str, role: str, name: str) -> AsyncIterator[Listener]:
    token = world.api.generate(session_id, role=role, format=token_pb2.TOKEN_FORMAT_LIVEKIT_JWT, subject=name).token
    room = Room()
    listener = Listener(room)
    await asyncio.wait_for(room.connect(world.livekit.url.replace("http", "ws", 1), token), WAIT)
    try:
        yield listener
    finally:
        await room.disconnect()


def _microphone() -> LocalAudioTrack:
    return LocalAudioTrack.create_audio_track("microphone", AudioSource(48_000, 1))
