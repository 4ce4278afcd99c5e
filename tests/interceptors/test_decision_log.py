"""At the level debug each call that is allowed is explained by the callers file; above it, no call is."""

from __future__ import annotations

import json
import logging

from collections.abc import MutableMapping
from pathlib import Path
from typing import Any

import attrs
import pytest

from tests.support.authority import WAIT, RunningAuthority, StartAuthority
from tests.support.wire import GENERATE, LIST_PROJECTS, V1, Connect, Wire
from tokenauthority.callers.api_keys import digest, new_api_key
from tokenauthority.callers.file import CallersFile
from tokenauthority.server.wiring import system_clock
from tokenauthority.v1 import session_pb2, token_pb2
from tokenauthority.v1.token_pb2_grpc import TokenServiceStub


KEY = new_api_key()
SUBJECT = "subject-7b0e"
FILE = f"""
[[callers]]
name           = "room-service"
api_key_sha256 = "{digest(KEY)}"
projects       = ["*"]
actions        = ["sessions.create", "tokens.generate", "tokens.verify", "tokens.watch"]
roles          = ["publisher"]
max_ttl        = "1h"
rate           = "1/d"
burst          = 40
daily_quota    = 50
"""


@attrs.frozen
class Explained:
    """A caller of a file, and what its authority logs."""

    wire: Wire
    authority: RunningAuthority
    events: list[MutableMapping[str, Any]]

    def decisions(self) -> list[MutableMapping[str, Any]]:
        """The decisions so far."""
        return [event for event in self.events if event["event"] in {"rpc.allowed", "rpc.refused"}]


@pytest.fixture
def explained(
    start_authority: StartAuthority, connect: Connect, log: list[MutableMapping[str, Any]], tmp_path: Path
) -> Explained:
    """An authority that has read the file."""
    authority = start_authority()
    registry = CallersFile(tmp_path / "callers.toml", "").parse(FILE.encode())

    async def replaced() -> None:
        authority.app.rate_limiter._callers.replace(registry)

    authority.do(replaced())
    # No midnight passes, which would begin a new quota.
    authority.clock.fixed = system_clock()
    return Explained(attrs.evolve(connect(authority), api_key=KEY), authority, log)


def generate(explained: Explained) -> str:
    """Make a token in a new session."""
    wire, wanted = explained.wire, session_pb2.CreateSessionRequest(project_id=explained.authority.project_id)
    created = wire.call(V1 + "SessionService/CreateSession", wanted).body
    session_id = session_pb2.CreateSessionResponse.FromString(created).session.session_id
    wanted_token = token_pb2.TokenRequest(session_id=session_id, role="publisher", subject=SUBJECT, data=SUBJECT)
    wanted_token.ttl.FromSeconds(90)
    made = wire.call(GENERATE, token_pb2.GenerateTokenRequest(request=wanted_token)).body
    return token_pb2.GenerateTokenResponse.FromString(made).token.token


def test_names_the_lines_that_allow_a_call(explained: Explained, caplog: pytest.LogCaptureFixture) -> None:
    """With what is left of the limits, and without the credential, the token and whom it is for."""
    caplog.set_level(logging.DEBUG)
    token = generate(explained)
    event = explained.decisions()[-1]

    assert ("rpc.allowed", GENERATE, "room-service", "OK", 38, 48) == tuple(
        event[name] for name in ("event", "method", "caller", "outcome", "burst_left", "left_today")
    )
    assert [
        "line 6: actions allows tokens.generate",
        f"line 5: projects allows project {explained.authority.project_id}",
        "line 7: roles allows role publisher",
        "line 2: formats is left out, which allows format SESSION_JWT",
        "line 8: max_ttl allows 90s",
        "line 10: burst allows 1 item at once",
        "line 11: daily_quota allows 1 item a day",
    ] == event["allowed_by"]
    assert token
    assert not any(secret in json.dumps(explained.decisions()) for secret in (token, KEY, SUBJECT))


def test_judges_no_role_that_a_caller_only_asks_about(explained: Explained, caplog: pytest.LogCaptureFixture) -> None:
    """The role of a token that is verified needs no grant; the outcome says what became of the token."""
    token = generate(explained)
    caplog.set_level(logging.DEBUG)
    explained.wire.call(V1 + "TokenService/VerifyToken", token_pb2.VerifyTokenRequest(token=token))
    explained.wire.call(V1 + "TokenService/VerifyToken", token_pb2.VerifyTokenRequest(token="no token"))
    good, bad = explained.decisions()

    assert ("OK", "MALFORMED") == (good["outcome"], bad["outcome"])
    assert ["actions", "projects", "burst", "daily_quota"] == [line.split()[2] for line in good["allowed_by"]]


def test_explains_a_stream_when_it_begins(explained: Explained, caplog: pytest.LogCaptureFixture) -> None:
    """Its end may be hours away."""
    caplog.set_level(logging.DEBUG)
    metadata = (("authorization", f"Bearer {KEY}"),)
    stub = TokenServiceStub(explained.wire.channel)
    stream = stub.WatchRevocations(token_pb2.WatchRevocationsRequest(), WAIT, metadata)
    next(stream)
    begun = explained.decisions()
    stream.cancel()

    assert ["rpc.allowed"] == [event["event"] for event in begun]


def test_explains_one_decision_for_a_refused_call(explained: Explained, caplog: pytest.LogCaptureFixture) -> None:
    """It is refused, and so not allowed too."""
    caplog.set_level(logging.DEBUG)
    explained.wire.call(LIST_PROJECTS)

    assert [("rpc.refused", "ACTION_NOT_GRANTED")] == [
        (event["event"], event["reason"]) for event in explained.decisions()
    ]


def test_knows_no_line_of_a_caller_that_no_file_names(
    explained: Explained, connect: Connect, caplog: pytest.LogCaptureFixture, start_authority: StartAuthority
) -> None:
    """Such as the caller of a development server; a health check is no decision."""
    caplog.set_level(logging.DEBUG)
    wire = connect(start_authority())
    wire.call("/grpc.health.v1.Health/Check", api_key="")
    wire.call(LIST_PROJECTS)

    assert [("tester", [], None, None)] == [
        tuple(event[name] for name in ("caller", "allowed_by", "burst_left", "left_today"))
        for event in explained.decisions()
    ]


@pytest.mark.parametrize("level", [logging.INFO, logging.WARNING])
def test_explains_nothing_above_debug(explained: Explained, caplog: pytest.LogCaptureFixture, level: int) -> None:
    """An explanation would cost more than most calls."""
    caplog.set_level(level)
    generate(explained)
    explained.wire.call(LIST_PROJECTS)

    assert [] == explained.decisions()
