"""Sessions: a server sees its own changes at once, whatever it cached."""

from __future__ import annotations

from tests.authority.world import NOW, make_world
from tests.support.authority import EVERYTHING
from tokenauthority.domain.session import SessionState


async def test_a_session_is_over_once_it_was_ended() -> None:
    """Though it was cached as ACTIVE."""
    world = await make_world()
    session_id = world.session.session_id
    before = await world.tenants.session(session_id)
    await world.sessions.end(session_id, EVERYTHING, NOW)
    after = await world.tenants.session(session_id)

    assert before is not None
    assert after is not None
    assert (SessionState.ACTIVE, SessionState.ENDED) == (before.state, after.state)
