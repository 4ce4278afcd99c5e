"""Receive the webhooks of LiveKit, which say who has joined, and believe those alone that its API key has signed."""

from __future__ import annotations

import asyncio
import base64
import hmac

from collections.abc import Awaitable, Callable, Mapping
from hashlib import sha256
from typing import Final

import attrs
import msgspec

from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from tokenauthority.domain.times import Millis
from tokenauthority.domain.token import TokenRejectedError
from tokenauthority.enforcer.metrics import EnforcerMetrics
from tokenauthority.signing.claims import numeric_date, require
from tokenauthority.signing.jose import SignatureVerifier, parse_compact


PATH: Final = "/livekit/{server}"

MAX_BODY: Final = 256 * 1024
"""Bytes of an event, which shows the room and one person with their metadata."""

_READ: Final = 10.0
"""Seconds for a whole body."""

_LEEWAY: Final = 60
"""Seconds by which the clock of LiveKit may differ."""


class _EventRoom(msgspec.Struct):
    name: str = ""


class _EventParticipant(msgspec.Struct):
    identity: str = ""


class _WebhookEvent(msgspec.Struct):
    event: str = ""
    room: _EventRoom = msgspec.field(default_factory=_EventRoom)
    participant: _EventParticipant = msgspec.field(default_factory=_EventParticipant)


class WebhookRefusedError(Exception):
    """The request is not one of the LiveKit whose key it must show."""


@attrs.frozen(kw_only=True)
class WebhookReceiver:
    """Verifies the webhooks of one LiveKit, by its API *key* and *secret*; *joined* is called for each who joined."""

    key: str
    secret: str = attrs.field(repr=False)
    joined: Callable[[str, str], Awaitable[None]]
    clock: Callable[[], Millis]

    def joined_in(self, authorization: str, body: bytes) -> tuple[str, str] | None:
        """Return the room and the identity of who has joined; None if the event is another one.

        Raises:
            WebhookRefusedError: the key has not signed it, it is expired, or the body is another one.
        """
        digest = base64.b64encode(sha256(body).digest())
        if not hmac.compare_digest(self.signed_digest(authorization), digest):
            raise WebhookRefusedError
        try:
            event = msgspec.json.decode(body, type=_WebhookEvent)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            raise WebhookRefusedError from None
        if event.event != "participant_joined" or not (event.room.name and event.participant.identity):
            return None
        return event.room.name, event.participant.identity

    def signed_digest(self, authorization: str) -> bytes:
        """Return what the key says to be the SHA-256 of the body, in base64; raise WebhookRefusedError.

        It is a claim of a JWT, signed by HS256 (livekit/protocol, webhook/verifier.go).
        """
        try:
            token = parse_compact(authorization.removeprefix("Bearer "))
            SignatureVerifier({"HS256": self.secret.encode()}).verify(token)
            require(token.payload, "iss", self.key)
            expired = numeric_date(token.payload, "exp") + _LEEWAY < self.clock() // 1000
        except TokenRejectedError as error:
            raise WebhookRefusedError from error
        digest = token.payload.get("sha256")
        if expired or not isinstance(digest, str):
            raise WebhookRefusedError
        return digest.encode()


def make_webhook_app(receivers: Mapping[str, WebhookReceiver], metrics: EnforcerMetrics) -> Starlette:
    """Return the application, with one path for each server of *receivers*."""

    async def receive(request: Request) -> Response:
        server = request.path_params["server"]
        receiver = receivers.get(server)
        if receiver is None:
            return Response(status_code=404)
        try:
            authorization = request.headers.get("authorization", "")
            # A body that nobody has signed is not even read.
            receiver.signed_digest(authorization)
            async with asyncio.timeout(_READ):
                body = await _read(request)
            joined = receiver.joined_in(authorization, body)
        except (WebhookRefusedError, ClientDisconnect, TimeoutError):
            metrics.webhooks.labels(server, "refused").inc()
            return Response(status_code=401)
        metrics.webhooks.labels(server, "accepted").inc()
        if joined is not None:
            await receiver.joined(*joined)
        return Response(status_code=200)

    return Starlette(routes=[Route(PATH, receive, methods=["POST"])])


async def _read(request: Request) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY:
            raise WebhookRefusedError
    return bytes(body)
