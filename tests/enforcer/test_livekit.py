"""The driver of LiveKit finds people by room and identity, and removes them. `media/` has a real LiveKit."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.enforcer.stand_ins import SECRET, LiveKitStandIn, StandIn
from tests.enforcer.test_pending import ELSEWHERE, SESSION, pending
from tokenauthority.enforcer.admin_api import AdminApi, AdminApiError
from tokenauthority.enforcer.driver import Outcome, Present
from tokenauthority.enforcer.livekit import LiveKitDriver
from tokenauthority.enforcer.pending import Wanted
from tokenauthority.server.wiring import system_clock


@pytest.fixture
def driver(livekit: LiveKitStandIn, api_of: Callable[[StandIn], AdminApi]) -> LiveKitDriver:
    """The driver of the stand-in."""
    return LiveKitDriver(api_of(livekit), "APIkey", SECRET, system_clock)


async def test_finds_a_subject_in_every_room_and_rooms_as_a_whole(
    livekit: LiveKitStandIn, driver: LiveKitDriver
) -> None:
    """But in no session of another project, which is not even listed."""
    livekit.inside = {"standup": {"alice"}, SESSION: {"alice", "bob"}, "lobby": {"bob"}, ELSEWHERE: {"alice"}}
    wanted = Wanted.of("47", [pending("rev_1"), pending("rev_2", subject="", rooms=("standup", "absent"))])

    found = await driver.find(wanted)

    assert {Present(room="standup", subject=""), Present(room=SESSION, subject="alice")} == set(found.people)
    assert found.problem is None
    assert 2 == livekit.asked("ListParticipants")


async def test_lists_no_people_where_only_rooms_are_wanted(livekit: LiveKitStandIn, driver: LiveKitDriver) -> None:
    """A busy LiveKit has thousands of rooms."""
    livekit.inside = {"standup": {"alice"}, "lobby": {"bob"}}

    await driver.find(Wanted.of("47", [pending(subject="", rooms=("standup",))]))

    assert 0 == livekit.asked("ListParticipants")


async def test_of_a_deleted_project_every_room_is_found(livekit: LiveKitStandIn, driver: LiveKitDriver) -> None:
    """As a whole, and none of another project."""
    livekit.inside = {"standup": {"alice"}, SESSION: {"bob"}, ELSEWHERE: {"alice"}}

    found = await driver.find(Wanted.of("47", [pending("rev_1", subject="", everybody=True), pending("rev_2")]))

    assert {Present(room="standup", subject=""), Present(room=SESSION, subject="")} == set(found.people)


async def test_removes_a_person_or_a_room(livekit: LiveKitStandIn, driver: LiveKitDriver) -> None:
    """Each with a token for just that; who left meanwhile is no failure."""
    livekit.inside = {"standup": {"alice", "bob"}, "lobby": {"alice"}}

    assert Outcome.REMOVED is await driver.remove(Present(room="standup", subject="alice"))
    assert Outcome.GONE is await driver.remove(Present(room="standup", subject="alice"))
    assert Outcome.REMOVED is await driver.remove(Present(room="lobby", subject=""))
    assert Outcome.GONE is await driver.remove(Present(room="lobby", subject=""))
    assert {"standup": {"bob"}} == livekit.inside


async def test_a_room_that_cannot_be_listed_does_not_hide_the_others(
    livekit: LiveKitStandIn, driver: LiveKitDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who was found is removed, and the turn counts as failed."""
    livekit.inside = {"standup": {"alice"}, "broken": {"alice"}}
    answer = livekit.answer
    monkeypatch.setattr(livekit, "answer", lambda r: (500, {}) if r.message.get("room") == "broken" else answer(r))

    found = await driver.find(Wanted.of("47", [pending()]))

    assert [Present(room="standup", subject="alice")] == list(found.people)
    assert "status 500" in str(found.problem)


async def test_a_url_that_is_not_livekit_fails(livekit: LiveKitStandIn, driver: LiveKitDriver) -> None:
    """Else nobody would seem to be inside, for ever."""
    livekit.status = 404

    with pytest.raises(AdminApiError, match="no RoomService"):
        await driver.find(Wanted.of("47", [pending()]))
