"""Connect to Centrifugo, say hello in each channel of the token, and leave. Needs: pip install aiohttp."""

import asyncio
import json
import sys

from collections.abc import AsyncIterator
from typing import Any

import aiohttp


async def main(url: str, token: str) -> None:
    """Connect with *token* to *url*, such as `ws://127.0.0.1:8000/connection/websocket`."""
    async with aiohttp.ClientSession() as session, session.ws_connect(url) as socket:
        messages = received(socket)
        await socket.send_json({"id": 1, "connect": {"token": token}})
        connected = (await anext(messages))["connect"]
        for channel in connected["subs"]:
            await socket.send_json({"id": 2, "publish": {"channel": channel, "data": "hello"}})
            published = await anext(message["push"]["pub"] async for message in messages if "push" in message)
            print(f"{published['info']['user']} is in {channel}")


async def received(socket: aiohttp.ClientWebSocketResponse) -> AsyncIterator[dict[str, Any]]:
    """Receive messages: a frame has one a line."""
    async for frame in socket:
        for line in frame.data.splitlines():
            yield json.loads(line)


asyncio.run(main(*sys.argv[1:3]))
