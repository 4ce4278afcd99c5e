"""Join a room of Janus's VideoRoom as a publisher, and leave. Needs: pip install aiohttp."""

import asyncio
import sys

from typing import Any

import aiohttp


async def main(url: str, api_secret: str, room: str, token: str) -> None:
    """Join *room* with *token* at *url*, such as `ws://127.0.0.1:8188`."""
    async with aiohttp.ClientSession() as session, session.ws_connect(url, protocols=["janus-protocol"]) as socket:

        async def call(**message: object) -> dict[str, Any]:
            await socket.send_json({**message, "apisecret": api_secret, "transaction": "1"})
            answer: dict[str, Any] = await socket.receive_json()
            # An acknowledgement comes before the answer of a plugin.
            return answer if answer["janus"] != "ack" else dict(await socket.receive_json())

        session_id = (await call(janus="create"))["data"]["id"]
        attached = await call(janus="attach", session_id=session_id, plugin="janus.plugin.videoroom")
        body = {"request": "join", "ptype": "publisher", "room": room, "token": token}
        answer = await call(janus="message", session_id=session_id, handle_id=attached["data"]["id"], body=body)
        joined = answer["plugindata"]["data"]
        print(f"in {joined['room']}" if "room" in joined else joined["error"])


asyncio.run(main(*sys.argv[1:5]))
