"""A server that is replaced costs no call and no event, in each language."""

from __future__ import annotations

from clients.interop.client import Client
from clients.interop.restarts import service, tokens_made, wait_for_calls
from clients.interop.rpcs import new_session
from tests.support.authority import WAIT


CALLERS, CALLS = 32, 120


def test_a_rolling_restart_loses_no_call(client: Client) -> None:
    """Of 32 callers at once, while two servers are replaced one after the other."""
    session_id = new_session(client).session_id
    with service(client.world) as place:
        following = [client.world.start() for _ in range(2)]
        with client.started(client.world.environment(address=place.address)) as driver:
            driver.send("load", session_id=session_id, callers=CALLERS, calls=CALLS)
            stopped = []
            for server in following:
                wait_for_calls(place.server, 2 * CALLERS)
                stopped.append(place.replace(server))
            ended = driver.receive()

    assert {"failed": 0, "errors": []} == ended.ok
    assert [0, 0] == [server.process.wait(WAIT) for server in stopped]
    assert all(tokens_made(server) for server in following)
    assert CALLERS * CALLS <= sum(map(tokens_made, (*stopped, *following[1:])))


def test_a_watch_misses_nothing_over_a_restart(client: Client) -> None:
    """Neither what happens while no server can be reached, nor what another server sees. The loss is reported."""
    token_ids = [f"{client.name}-{number}" for number in range(6)]
    with (
        service(client.world) as place,
        client.started(client.world.environment(address=place.address, PROJECT_ID=client.project_id)) as driver,
        client.world.authority(client.project_id) as elsewhere,
    ):
        driver.ok("watch")
        for token_id in token_ids[:2]:
            elsewhere.revoke_tokens(token_id=token_id)
            assert "revocation" == driver.ok("watched", token_id=token_id, within=WAIT)["kind"]
        following = client.world.start()
        place.cable.cut()
        for token_id in token_ids[2:4]:
            elsewhere.revoke_tokens(token_id=token_id)
        before = place.replace(following)
        session_id = elsewhere.create_session().session_id
        elsewhere.end_session(session_id)
        for token_id in token_ids[4:]:
            elsewhere.revoke_tokens(token_id=token_id)

        seen = [driver.ok("watched", token_id=token_id, within=WAIT)["kind"] for token_id in token_ids]
        lost = driver.ok("lost", within=WAIT)
        ended = driver.ok("watched", session_id=session_id, within=WAIT)["kind"]
        assert 0 == before.process.wait(WAIT)

    assert (["revocation"] * 6, "ended_session") == (seen, ended)
    # The first pause is at most a quarter of a second, beside what a server asks for.
    assert "UNAVAILABLE" == lost["code"]
    assert 0 <= lost["pause"] <= 60.25
