"""A clock that is stepped by an hour, forward and back: what is refused meanwhile, and that nothing is lost."""

from __future__ import annotations

import attrs
import pytest

from tests.authority.world import LEEWAY, make_world
from tests.support.authority import EVERYTHING, RunningAuthority, StartAuthority
from tokenauthority.audit.reading.verify import verify_log
from tokenauthority.client import Authority, Token
from tokenauthority.domain.key import KeyState
from tokenauthority.domain.times import MAX_TTL, Millis, Seconds, in_millis
from tokenauthority.domain.token import InactiveReason, TokenSpec
from tokenauthority.server.wiring import system_clock


HOUR = in_millis(Seconds(3600))
HALF = Millis(HOUR // 2)


@attrs.frozen
class Stepped:
    """A server whose keys rotate every half hour, and whose clock a test steps."""

    authority: RunningAuthority
    client: Authority
    start: Millis

    def step(self, milliseconds: int) -> None:
        """The clock, so much after the start; then what is due is done as the server itself would soon."""
        self.authority.clock.fixed = Millis(self.start + milliseconds)
        self.authority.do(self.authority.app.keys.maintain(self.authority.clock()))

    def reasons(self, *tokens: Token) -> list[str]:
        """Why each is invalid; empty for a valid one."""
        return [self.client.verify_token(token).reason for token in tokens]

    def states(self) -> list[KeyState]:
        """Those of the ring, in the order of their names."""
        return sorted(key.state for key in self.authority.do(self.authority.app.keys.stored()))

    def max_age(self) -> int:
        """Of the JWKS."""
        return self.authority.app.keys.max_age(300, self.authority.clock())


@pytest.fixture
def stepped(start_authority: StartAuthority) -> Stepped:
    """One that has just started."""
    authority = start_authority(
        settings={
            "listen": {"grpc": "127.0.0.1:0", "http": "127.0.0.1:0", "ops": "127.0.0.1:0"},
            "keys": {"rotation_period": HALF // 1000},
            "issuance": {"leeway": LEEWAY},
        }
    )
    authority.clock.fixed = start = Millis(system_clock() // 1000 * 1000)
    client = Authority(authority.address, api_key=authority.api_key, project_id=authority.project_id, plaintext=True)
    return Stepped(authority, client, start)


def test_an_hour_ahead_expires_and_rotates_early_and_loses_nothing(stepped: Stepped) -> None:
    """What lives longer than the hour is valid throughout; back at the right time all is as if nothing had been."""
    client = stepped.client
    with client:
        long, short, revoked, ended = (
            client.create_session().generate_token(ttl=ttl) for ttl in (7200, 1800, 7200, 7200)
        )
        client.revoke_tokens(token=revoked)
        client.end_session(ended.session_id)
        before = stepped.states()
        stepped.step(HOUR)
        ahead = stepped.reasons(long, short, revoked, ended)
        rotated, early_age = stepped.states(), stepped.max_age()
        early, early_revoked = (client.create_session().generate_token(ttl=7200) for _ in range(2))
        client.revoke_tokens(token=early_revoked)
        stepped.step(0)
        back = stepped.reasons(long, short, revoked, ended, early, early_revoked)
        later = client.create_session().generate_token()
        calm, calm_age = stepped.states(), stepped.max_age()
        stepped.step(HOUR + 1000)
        again = stepped.reasons(long, early, early_revoked, later)
        report = verify_log([stepped.authority.audit_path])

    assert ["", "EXPIRED", "REVOKED", "SESSION_ENDED"] == ahead
    assert ["", "", "REVOKED", "SESSION_ENDED", "NOT_YET_VALID", "NOT_YET_VALID"] == back
    assert ["", "", "REVOKED", ""] == again
    assert [KeyState.ACTIVE, KeyState.PREPARED] == before
    assert [KeyState.ACTIVE, KeyState.PREPARED, KeyState.RETIRED] == rotated == calm == stepped.states()
    assert all(0 <= age <= 300 for age in (early_age, calm_age))
    assert report.bad is None


def test_an_hour_behind_knows_no_token_yet_and_loses_nothing(stepped: Stepped) -> None:
    """What was made before is NOT_YET_VALID until the clock is right; what is revoked then stays so."""
    client = stepped.client
    with client:
        kept, revoked = (client.create_session().generate_token(ttl=7200) for _ in range(2))
        before = stepped.states()
        stepped.step(-HOUR)
        behind = stepped.reasons(kept)
        late = client.create_session().generate_token(ttl=1800)
        client.revoke_tokens(token=revoked)
        good = stepped.reasons(late)
        calm = stepped.states()
        stepped.step(0)
        right = stepped.reasons(kept, revoked, late)

    assert ["NOT_YET_VALID"] == behind
    assert [""] == good
    assert ["", "REVOKED", "EXPIRED"] == right
    assert before == calm == stepped.states()


async def test_the_last_token_of_a_key_verifies_until_it_expires() -> None:
    """Also one that a server which had lost the store signed at the key's very end; then the key is deleted."""
    world = await make_world()
    keys, generate = world.keys, world.generate
    request = TokenSpec(session_id=world.session.session_id, role="publisher", ttl=MAX_TTL)
    end = Millis((keys.ring.sign_until or 0) - 1)
    last = await generate.one(request, EVERYTHING, end)
    await keys.maintain(end)
    expired = Millis(in_millis(Seconds(last.terms.expire_time + LEEWAY)))
    verdicts = []
    for moment in (expired - 1000, expired, expired + HOUR, expired + 25 * HOUR):
        await keys.maintain(Millis(moment))
        verdicts.append((await world.verify.check(last.token, EVERYTHING, Millis(moment))).reason)

    assert last.terms.key_id != keys.ring.active.key_id
    assert [None, InactiveReason.EXPIRED, InactiveReason.EXPIRED, InactiveReason.KEY_UNKNOWN] == verdicts
