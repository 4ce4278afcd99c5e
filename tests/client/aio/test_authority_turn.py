"""Both clients give TURN credentials out, each against a real authority whose settings name TURN servers."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.client.conftest import Client, done, new_session
from tests.support.authority import RunningAuthority, StartAuthority
from tests.support.turn import URLS, password_of, turn_settings
from tokenauthority.client import InvalidArgument


@pytest.fixture
def running_authority(start_authority: StartAuthority, tmp_path: Path) -> RunningAuthority:
    """The authority that `client` calls."""
    return start_authority(settings={"turn": turn_settings(tmp_path)})


async def test_credentials_are_those_of_an_ice_server(client: Client) -> None:
    """From the session or by its id, the same person in both; the `repr` shows no password."""
    session = await new_session(client)
    made = await done(session.create_turn_credentials(subject="alice"))
    other = await done(client.create_turn_credentials(session.session_id, subject="alice", ttl=timedelta(minutes=5)))

    assert (URLS, password_of(made.username)) == (made.urls, made.credential)
    assert made.username.partition(":")[0] == str(int(made.expire_time.timestamp()))
    assert made.username.partition(":")[2] == other.username.partition(":")[2]
    assert other.expire_time < made.expire_time <= datetime.now(UTC) + timedelta(hours=1)
    assert made.credential not in repr(made)


async def test_a_lifetime_of_nothing_is_refused(client: Client) -> None:
    """0 is a value, and no default."""
    session = await new_session(client)

    with pytest.raises(InvalidArgument) as caught:
        await done(session.create_turn_credentials(ttl=0))

    assert ["ttl"] == [violation.field for violation in caught.value.violations]


@pytest.mark.parametrize(
    ("options", "name"), [({"subject": 7}, "subject"), ({"ttl": "1h"}, "ttl"), ({"ttl": 1.5}, "ttl")]
)
async def test_an_option_of_the_wrong_type_is_named(client: Client, options: dict[str, object], name: str) -> None:
    """Before anything is sent."""
    session = await new_session(client)

    with pytest.raises(TypeError, match=f"^{name} must be"):
        await done(session.create_turn_credentials(**options))  # type: ignore[arg-type]  # the wrong type is the test
