"""The driver of MediaMTX kicks connections of every protocol, by path and by user."""

from __future__ import annotations

from collections.abc import Callable

import jwt
import pytest

from tests.enforcer.stand_ins import SECRET, MediaMtxStandIn, StandIn
from tests.enforcer.test_pending import ELSEWHERE, SESSION, pending
from tokenauthority.enforcer.admin_api import AdminApi, AdminApiError
from tokenauthority.enforcer.driver import Outcome
from tokenauthority.enforcer.mediamtx import MediaMtxDriver
from tokenauthority.enforcer.pending import Wanted


@pytest.fixture
def driver(mediamtx: MediaMtxStandIn, api_of: Callable[[StandIn], AdminApi]) -> MediaMtxDriver:
    """The driver of the stand-in."""
    return MediaMtxDriver(api_of(mediamtx), "admin", SECRET)


async def test_kicks_a_user_and_a_path_of_every_protocol(mediamtx: MediaMtxStandIn, driver: MediaMtxDriver) -> None:
    """On every page of a list. A protocol that the server does not serve has no list, and nobody."""
    people = {
        "1": {"path": "standup", "user": "bob"},
        "2": {"path": "lobby", "user": "bob"},
        "3": {"path": "lobby", "user": "alice"},
        "4": {"path": ELSEWHERE, "user": "alice"},
        "5": {"path": SESSION, "user": "alice"},
    }
    for kind in mediamtx.connections:
        mediamtx.connections[kind] = dict(people)
    wanted = Wanted.of("47", [pending("rev_1"), pending("rev_2", subject="", rooms=("standup",))])

    found = await driver.find(wanted)
    outcomes = [await driver.remove(each) for each in found.people]

    assert {Outcome.REMOVED} == set(outcomes)
    assert {("2", "4")} == {tuple(left) for left in mediamtx.connections.values()}
    assert Outcome.GONE is await driver.remove(found.people[0])


async def test_of_a_deleted_project_everybody_is_found(mediamtx: MediaMtxStandIn, driver: MediaMtxDriver) -> None:
    """Whoever they are."""
    mediamtx.connections["srtconns"] = {"1": {"path": "lobby", "user": ""}, "2": {"path": ELSEWHERE, "user": "bob"}}

    found = await driver.find(Wanted.of("47", [pending(subject="", everybody=True)]))

    assert ["lobby"] == [each.room for each in found.people]


@pytest.mark.parametrize(
    "query", ["jwt={}", "a=b&jwt={}&jwt=x", "jwt={}" + "&a=b" * 1000, "token={}", "a=b", "jwt=", "jwt=a.b.c"]
)
@pytest.mark.parametrize("said", [{"jti": "0a1b"}, {"jti": "2c3d", "sub": "0a1b"}])
async def test_a_token_in_the_url_says_whose_it_is(
    mediamtx: MediaMtxStandIn, driver: MediaMtxDriver, query: str, said: dict[str, str]
) -> None:
    """By its id and its subject, which MediaMTX does not know with the check hook. Another text is none of ours."""
    token = jwt.encode(said, SECRET)
    mediamtx.connections["rtmpconns"]["1"] = {"path": "lobby", "user": "", "query": query.format(token)}

    found = await driver.find(Wanted.of("47", [pending(subject="0a1b")]))

    assert (["0a1b"] if "{}" in query else []) == [each.subject for each in found.people]


async def test_a_url_that_is_not_the_control_api_fails(mediamtx: MediaMtxStandIn, driver: MediaMtxDriver) -> None:
    """Else nobody would seem to be inside, for ever."""
    mediamtx.status = 404

    with pytest.raises(AdminApiError, match="no control API"):
        await driver.find(Wanted.of("47", [pending()]))


async def test_a_list_without_an_end_is_an_error(
    mediamtx: MediaMtxStandIn, driver: MediaMtxDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else one turn would last as long as the server likes. The other lists are read."""
    mediamtx.connections["srtconns"] = {"1": {"path": "lobby", "user": "alice"}}
    answer = mediamtx.answer
    monkeypatch.setattr(
        mediamtx, "answer", lambda r: (200, {"pageCount": 500}) if "/rtmpconns/" in r.path else answer(r)
    )

    found = await driver.find(Wanted.of("47", [pending()]))

    assert ["alice"] == [each.subject for each in found.people]
    assert "/v3/rtmpconns: 500 pages, more than 100" in str(found.problem)
    assert 1 == sum("/rtmpconns/" in each.path for each in mediamtx.requests)


async def test_a_server_may_ask_for_no_credential(
    mediamtx: MediaMtxStandIn, api_of: Callable[[StandIn], AdminApi]
) -> None:
    """This one asks: without a user nothing is sent."""
    found = await MediaMtxDriver(api_of(mediamtx), "", "").find(Wanted.of("47", [pending()]))

    assert "status 401" in str(found.problem)
    assert all("authorization" not in request.headers for request in mediamtx.requests)
