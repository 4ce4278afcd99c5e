"""The driver of Centrifugo disconnects users, and who is in a channel. `media/` has the same with a real Centrifugo."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.enforcer.stand_ins import SECRET, CentrifugoStandIn, StandIn
from tests.enforcer.test_pending import ELSEWHERE, SESSION, pending
from tokenauthority.enforcer.admin_api import AdminApi, AdminApiError
from tokenauthority.enforcer.centrifugo import CentrifugoDriver
from tokenauthority.enforcer.driver import Outcome
from tokenauthority.enforcer.pending import Wanted


@pytest.fixture
def driver(centrifugo: CentrifugoStandIn, api_of: Callable[[StandIn], AdminApi]) -> CentrifugoDriver:
    """The driver of the stand-in."""
    return CentrifugoDriver(api_of(centrifugo), SECRET)


async def test_disconnects_a_user_everywhere_and_a_channel_alone(
    centrifugo: CentrifugoStandIn, driver: CentrifugoDriver
) -> None:
    """Who is in the channel of a session stays connected elsewhere."""
    centrifugo.inside = {"standup": {"c1": "alice", "c2": "bob"}, "lobby": {"c3": "alice", "c4": "bob"}}
    wanted = Wanted.of("47", [pending("rev_1"), pending("rev_2", subject="", rooms=("standup",))])

    found = await driver.find(wanted)
    outcomes = {(each.subject, each.room): await driver.remove(each) for each in found.people}

    assert {
        ("alice", ""): Outcome.ASKED,
        ("alice", "standup"): Outcome.REMOVED,
        ("bob", "standup"): Outcome.REMOVED,
    } == outcomes
    assert {"standup": {}, "lobby": {"c4": "bob"}} == centrifugo.inside


async def test_of_a_deleted_project_everybody_is_found(centrifugo: CentrifugoStandIn, driver: CentrifugoDriver) -> None:
    """In every channel but those of other projects."""
    centrifugo.inside = {"standup": {"c1": "alice"}, SESSION: {"c2": "bob"}, ELSEWHERE: {"c3": "alice"}}

    found = await driver.find(Wanted.of("47", [pending(subject="", everybody=True)]))

    assert {("standup", "alice"), (SESSION, "bob")} == {(each.room, each.subject) for each in found.people}


async def test_a_channel_without_presence_is_named(centrifugo: CentrifugoStandIn, driver: CentrifugoDriver) -> None:
    """Its people cannot be found; users are disconnected all the same."""
    centrifugo.silent.add("standup")
    wanted = Wanted.of("47", [pending("rev_1"), pending("rev_2", subject="", rooms=("standup",))])

    found = await driver.find(wanted)

    assert ["alice"] == [each.subject for each in found.people]
    assert "switch `presence` on" in str(found.problem)


async def test_without_a_list_of_channels_users_are_disconnected_all_the_same(
    centrifugo: CentrifugoStandIn, driver: CentrifugoDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And who is in the channels that are known by name."""
    centrifugo.inside = {"standup": {"c1": "bob"}, "lobby": {"c2": "carol"}}
    answer = centrifugo.answer
    monkeypatch.setattr(centrifugo, "answer", lambda r: (500, {}) if r.path == "/api/channels" else answer(r))
    wanted = [
        pending("rev_1"),
        pending("rev_2", subject="", rooms=("standup",)),
        pending("rev_3", subject="", everybody=True),
    ]

    found = await driver.find(Wanted.of("47", wanted))

    assert ["alice", "bob"] == [each.subject for each in found.people]
    assert "/api/channels: the answer has status 500" in str(found.problem)


async def test_a_url_that_is_not_centrifugo_fails(centrifugo: CentrifugoStandIn, driver: CentrifugoDriver) -> None:
    """Else nobody would seem to be inside, for ever."""
    centrifugo.status = 404
    found = await driver.find(Wanted.of("47", [pending()]))

    with pytest.raises(AdminApiError, match="does not have it"):
        await driver.remove(found.people[0])
