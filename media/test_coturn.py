"""A real coturn relays for those to whom the authority gives credentials, and for nobody else."""

from __future__ import annotations

import contextlib
import socket

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeAlias

import pytest

from media import coturn
from media.coturn import Coturn, RefusedError
from tests.support.authority import (
    RunningAuthority,
    StartAuthority,
    eventually,
    start_authority,  # noqa: F401 - pytest finds the fixture by its name in this module
)
from tests.support.turn import SECRETS, turn_settings
from tokenauthority.client import Authority, TurnCredentials
from tokenauthority.domain.times import Millis
from tokenauthority.server.wiring import system_clock


HOUR = 3600


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Coturn]:
    """A coturn that accepts both secrets; one that is not installed is a failure, not a skip."""
    with coturn.running(tmp_path_factory.mktemp("coturn"), SECRETS) as running:
        yield running


class Back:
    """A back end: the authority that it calls, and a session of its own."""

    def __init__(self, running: RunningAuthority, client: Authority) -> None:
        self.running = running
        self._client = client
        self._session_id = client.create_session().session_id

    def create(self, subject: str = "", ttl: int | None = None) -> TurnCredentials:
        """Create credentials for a client."""
        return self._client.create_turn_credentials(self._session_id, subject=subject, ttl=ttl)


StartBack: TypeAlias = Callable[..., Back]


@pytest.fixture
def back_end_of(
    start_authority: StartAuthority,  # noqa: F811 - the parameter asks pytest for the imported fixture
    server: Coturn,
    tmp_path: Path,
) -> Iterator[StartBack]:
    """Makes the back end of an authority with other secrets."""
    with contextlib.ExitStack() as opened:

        def start(*secrets: str) -> Back:
            turn = turn_settings(tmp_path, [server.url], secrets)
            running = start_authority(settings={"turn": turn})
            client = Authority(
                running.address, api_key=running.api_key, plaintext=True, project_id=running.project_id, timeout=30
            )
            return Back(running, opened.enter_context(client))

        yield start


@pytest.fixture
def back_end(back_end_of: StartBack) -> Back:
    """The back end of an authority with both secrets."""
    return back_end_of(*SECRETS)


def refusal(server: Coturn, username: str, credential: str) -> int:
    """The code with which coturn refuses a relay; 0 if it does not."""
    try:
        with server.allocated(username, credential):
            return 0
    except RefusedError as error:
        return error.code


def allocated_in_time(
    server: Coturn, back_end: Back, relays: contextlib.ExitStack
) -> tuple[coturn.Relay, TurnCredentials]:
    """A relay whose credentials soon expire; a machine that is busy may be too late with the first ones."""
    for ttl in (5, 10, 20):
        made = back_end.create(ttl=ttl)
        with contextlib.suppress(RefusedError):
            return relays.enter_context(server.allocated(made.username, made.credential)), made
    raise AssertionError("coturn refuses them")


def test_a_client_relays_with_its_credentials(server: Coturn, back_end: Back) -> None:
    """Of whatever name the person has: packets reach a peer from the relay, and come back."""
    made = back_end.create("O'Brien; drop table \N{GRINNING FACE}")
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer,
        server.allocated(made.username, made.credential) as relay,
    ):
        peer.bind(("127.0.0.1", 0))
        received = relay.exchange(peer, b"there", b"back")

    assert (server.url,) == made.urls
    assert (b"there", relay.address, b"back") == received


@pytest.mark.parametrize("secret", SECRETS)
def test_each_of_two_secrets_works(server: Coturn, back_end_of: StartBack, secret: str) -> None:
    """So nobody notices a rotation: the authority goes from the one to the other while coturn has both."""
    made = back_end_of(secret).create()

    assert 0 == refusal(server, made.username, made.credential)


def test_refuses_credentials_of_another_secret(server: Coturn, back_end_of: StartBack) -> None:
    """They are well formed and in force."""
    made = back_end_of("another-secret-of-32-characters-and-more").create()

    assert 401 == refusal(server, made.username, made.credential)


def test_refuses_credentials_that_have_expired(server: Coturn, back_end: Back) -> None:
    """Made an hour ago, for a minute less."""
    back_end.running.clock.fixed = Millis(system_clock() - HOUR * 1000)
    made = back_end.create(ttl=HOUR - 60)

    assert 401 == refusal(server, made.username, made.credential)


def test_refuses_a_name_that_was_changed(server: Coturn, back_end: Back) -> None:
    """To live longer, or to be somebody else; and a password that was."""
    made = back_end.create("alice", ttl=600)
    expiry, pseudonym = made.username.split(":")
    other = back_end.create("bob").username.partition(":")[2]
    changed = [f"{int(expiry) + HOUR}:{pseudonym}", f"{expiry}:{other}", pseudonym, expiry, f"{made.username}0"]

    assert {401} == {refusal(server, username, made.credential) for username in changed}
    assert 401 == refusal(server, made.username, made.credential[:-2])
    assert 0 == refusal(server, made.username, made.credential)


def test_a_person_has_one_quota_with_all_credentials(server: Coturn, back_end: Back) -> None:
    """Coturn counts by the pseudonym, whatever the expiry; another person has another one."""
    mine = [back_end.create("carol", ttl=HOUR - number) for number in range(coturn.USER_QUOTA + 1)]
    other = back_end.create("dave")
    with contextlib.ExitStack() as relays:
        for made in mine[:-1]:
            relays.enter_context(server.allocated(made.username, made.credential))

        assert 486 == refusal(server, mine[-1].username, mine[-1].credential)
        assert 0 == refusal(server, other.username, other.credential)


def test_a_relay_outlives_its_credentials(server: Coturn, back_end: Back) -> None:
    """It can be refreshed after they have expired. The page about coturn says so; hold it to that."""
    with contextlib.ExitStack() as relays:
        relay, made = allocated_in_time(server, back_end, relays)
        eventually(lambda: refusal(server, made.username, made.credential) == 401, "the credentials do not expire")

        relay.refresh(300)
