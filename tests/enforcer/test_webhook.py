"""A webhook counts only if the API key of its LiveKit has signed it."""

from __future__ import annotations

import base64
import hashlib
import json
import time

from collections.abc import AsyncIterator, Callable

import httpx
import jwt
import pytest

from prometheus_client import CollectorRegistry

from tests.enforcer.stand_ins import SECRET
from tokenauthority.enforcer.metrics import EnforcerMetrics
from tokenauthority.enforcer.webhook import MAX_BODY, WebhookReceiver, WebhookRefusedError, make_webhook_app
from tokenauthority.server.wiring import system_clock


BODY = json.dumps(
    {"event": "participant_joined", "room": {"name": "standup"}, "participant": {"identity": "alice"}, "id": "EV_1"}
).encode()


def sign(body: bytes, secret: str = SECRET, algorithm: str = "HS256", **changes: object) -> str:
    """What LiveKit sends as `authorization`; None takes a claim away."""
    digest = base64.b64encode(hashlib.sha256(body).digest()).decode()
    claims = {"iss": "APIkey", "nbf": int(time.time()), "exp": int(time.time()) + 300, "sha256": digest, **changes}
    return jwt.encode({k: v for k, v in claims.items() if v is not None}, secret, algorithm)


@pytest.fixture
def joined() -> list[tuple[str, str]]:
    """Who has joined."""
    return []


@pytest.fixture
def receiver(joined: list[tuple[str, str]]) -> WebhookReceiver:
    """The receiver of one LiveKit."""

    async def join(room: str, identity: str) -> None:
        joined.append((room, identity))

    return WebhookReceiver(key="APIkey", secret=SECRET, joined=join, clock=system_clock)


def test_who_joined_is_read_from_a_signed_webhook(receiver: WebhookReceiver) -> None:
    """LiveKit sends the token as it is; a proxy may want `Bearer` before it."""
    assert ("standup", "alice") == receiver.joined_in(sign(BODY), BODY)
    assert ("standup", "alice") == receiver.joined_in(f"Bearer {sign(BODY)}", BODY)


@pytest.mark.parametrize(
    "body", [b"{}", b'{"event":"room_started","room":{"name":"a"}}', b'{"event":"participant_joined"}']
)
def test_other_events_are_accepted_and_name_nobody(receiver: WebhookReceiver, body: bytes) -> None:
    """LiveKit sends all of its events to one URL."""
    assert receiver.joined_in(sign(body), body) is None


FORGED: dict[str, Callable[[], str]] = {
    "nothing": lambda: "",
    "no token": lambda: "Bearer",
    "three parts": lambda: "a.b.c",
    "another secret": lambda: sign(BODY, secret="x" * 40),
    "another algorithm": lambda: sign(BODY, secret="x" * 48, algorithm="HS384"),
    "no algorithm": lambda: jwt.encode({"iss": "APIkey"}, "", "none"),
    "another key": lambda: sign(BODY, iss="APIother"),
    "no key": lambda: sign(BODY, iss=None),
    "expired": lambda: sign(BODY, exp=int(time.time()) - 61),
    "no expiry": lambda: sign(BODY, exp=None),
    "no digest": lambda: sign(BODY, sha256=None),
    "a digest that is no text": lambda: sign(BODY, sha256=1),
    "another body": lambda: sign(BODY + b" "),
}


@pytest.mark.parametrize("forged", FORGED)
def test_what_livekit_did_not_sign_is_refused(receiver: WebhookReceiver, forged: str) -> None:
    """Another key, algorithm or issuer, an expired one, or one of another body."""
    with pytest.raises(WebhookRefusedError):
        receiver.joined_in(FORGED[forged](), BODY)


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'{"room":1}', b"\xff"])
def test_a_signed_body_that_is_no_event_is_refused(receiver: WebhookReceiver, body: bytes) -> None:
    """It raises nothing else."""
    with pytest.raises(WebhookRefusedError):
        receiver.joined_in(sign(body), body)


def test_no_secret_is_shown(receiver: WebhookReceiver) -> None:
    """As a log may show it."""
    assert SECRET not in repr(receiver)


@pytest.fixture
async def client(receiver: WebhookReceiver) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the application, for the server `video`."""
    metrics = EnforcerMetrics(CollectorRegistry())
    transport = httpx.ASGITransport(make_webhook_app({"video": receiver}, metrics))
    async with httpx.AsyncClient(transport=transport, base_url="http://enforcer") as client:
        yield client


async def test_the_listener_answers_by_what_it_receives(
    client: httpx.AsyncClient, joined: list[tuple[str, str]]
) -> None:
    """It passes on who joined; it refuses unknown servers, other methods, and what is unsigned or too large."""
    signed = {"authorization": sign(BODY)}
    large = BODY + b" " * MAX_BODY

    assert 200 == (await client.post("/livekit/video", content=BODY, headers=signed)).status_code
    assert 401 == (await client.post("/livekit/video", content=BODY)).status_code
    assert (
        401 == (await client.post("/livekit/video", content=large, headers={"authorization": sign(large)})).status_code
    )
    assert 404 == (await client.post("/livekit/audio", content=BODY, headers=signed)).status_code
    assert 405 == (await client.get("/livekit/video")).status_code
    assert [("standup", "alice")] == joined
