"""Join a room of LiveKit, say hello to everyone in it, and leave. Needs: pip install livekit."""

import asyncio
import sys

from livekit.rtc import Room


async def main(url: str, token: str) -> None:
    """Join the room of *token* at *url*."""
    room = Room()
    await room.connect(url, token)
    await room.local_participant.publish_data("hello")
    print(f"{room.local_participant.identity} is in {room.name}")
    await room.disconnect()


asyncio.run(main(*sys.argv[1:3]))
