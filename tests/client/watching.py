"""Read the events of a watch, and script what a server sends to it."""

from __future__ import annotations

import asyncio
import threading

from collections.abc import Callable

import grpc

from google.protobuf.message import Message

from tests.client.conftest import ScriptedServer, Watch, giving
from tests.support.authority import WAIT
from tokenauthority.client import (
    Heartbeat,
    Revocation,
    RevocationEvent,
    RevocationWatch,
    SessionEnd,
    SnapshotEnd,
)
from tokenauthority.v1 import token_pb2


async def next_event(watch: Watch) -> RevocationEvent:
    """The next event of either watch."""
    either: object = watch
    if isinstance(either, RevocationWatch):
        return next(either)
    return await asyncio.wait_for(anext(watch), WAIT)


async def named(watch: Watch, count: int) -> list[str]:
    """The next *count* events, heartbeats apart, each by what it is about."""
    found: list[str] = []
    while len(found) < count:
        event = await next_event(watch)
        if not isinstance(event, Heartbeat):
            found.append(name_of(event))
    return found


def name_of(event: RevocationEvent) -> str:
    """What an event is about."""
    match event:
        case Revocation():
            return event.token_id or event.session_id or event.subject
        case SessionEnd():
            return f"end of {event.session_id}"
        case SnapshotEnd():
            return "snapshot"
    return "heartbeat"


def revoked(resume_token: str, subject: str) -> Callable[[bytes, grpc.ServicerContext], Message]:
    """A scripted stream that sends one revocation and ends."""
    revocation = token_pb2.Revocation(subject=subject)
    return giving(token_pb2.WatchRevocationsResponse(resume_token=resume_token, revocation=revocation))


def hanging(release: threading.Event) -> Callable[[bytes, grpc.ServicerContext], Message]:
    """A stream that sends nothing until its reader has left."""

    def hang(_: bytes, context: grpc.ServicerContext) -> Message:
        context.add_callback(release.set)
        release.wait(WAIT)
        return token_pb2.WatchRevocationsResponse()

    return hang


def resumed(server: ScriptedServer) -> list[str]:
    """The resume tokens that the scripted server received."""
    return [token_pb2.WatchRevocationsRequest.FromString(request).resume_token for request in server.requests]
