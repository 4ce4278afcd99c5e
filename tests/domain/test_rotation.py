"""The life of signing keys: whatever happens to the ring and the clock, the promises of each state hold."""

from __future__ import annotations

import itertools

from collections.abc import Sequence
from typing import Final

import attrs
import hypothesis.strategies as st
import pytest

from hypothesis import given, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tokenauthority.domain.errors import NotFoundError, PreconditionError, Reason
from tokenauthority.domain.key import Algorithm, KeyState, StoredKey
from tokenauthority.domain.rotation import (
    MAX_PREPARED,
    MAX_RING,
    Ring,
    Rotation,
    activated,
    maintained,
    needs_new_key,
    next_step,
    prepared,
    revoked,
)
from tokenauthority.domain.times import MAX_TTL, Millis, in_millis


START: Final = Millis(1_800_000_000_123)
MINUTE: Final = 60_000
HOUR: Final = 60 * MINUTE
DAY: Final = 24 * HOUR
LIFE: Final = in_millis(MAX_TTL)
ROTATION: Final = Rotation(period=Millis(30 * DAY), publication=Millis(5 * MINUTE))
PREPARED, ACTIVE, RETIRED, REVOKED = KeyState.PREPARED, KeyState.ACTIVE, KeyState.RETIRED, KeyState.REVOKED

GONE: Final = None
COURSE: Final = {
    (GONE, PREPARED),
    (GONE, ACTIVE),
    (PREPARED, ACTIVE),
    (PREPARED, REVOKED),
    (PREPARED, RETIRED),
    (ACTIVE, RETIRED),
    (ACTIVE, REVOKED),
    (RETIRED, REVOKED),
    (RETIRED, GONE),
    (REVOKED, GONE),
}
"""Every change of state that there is; a key that nobody has made yet is as one that is gone."""

algorithms = st.sampled_from((Algorithm.ES256, Algorithm.EDDSA))
spans = st.one_of(
    st.integers(0, 2 * MINUTE),
    st.sampled_from((ROTATION.publication, HOUR, DAY, ROTATION.period, ROTATION.period // 4, LIFE, LIFE + DAY)),
    st.integers(0, 40 * DAY),
)
steps_back = st.one_of(st.integers(0, 2 * MINUTE), st.just(HOUR), st.integers(0, 2 * DAY))


def step(ring: Sequence[StoredKey], fresh: StoredKey, rotation: Rotation, now: Millis) -> tuple[StoredKey, ...]:
    """One step of `maintained` where new keys are as *fresh* is."""
    return maintained(ring, fresh, fresh.algorithm, rotation, now)


def later(milliseconds: int) -> Millis:
    """START and so many milliseconds."""
    return Millis(START + milliseconds)


def make(key_id: str, now: Millis = START, algorithm: Algorithm = Algorithm.ES256) -> StoredKey:
    """A PREPARED key just made."""
    return StoredKey(key_id=key_id, algorithm=algorithm, state=PREPARED, create_time=now, sealed=b"")


def ring_at(now: Millis = START) -> Ring:
    """A ring as a new store has it: one ACTIVE key and one PREPARED key."""
    first = step((), make("a", now), ROTATION, now)
    return step(first, make("b", now), ROTATION, now)


def states(ring: Ring) -> dict[str, KeyState]:
    """Each key's state."""
    return {key.key_id: key.state for key in ring}


def find(ring: Ring, key_id: str) -> StoredKey:
    """One key."""
    return next(key for key in ring if key.key_id == key_id)


class Rings(RuleBasedStateMachine):
    """A ring that servers maintain and people change, at moments of a clock that is set forward and back."""

    def __init__(self) -> None:
        super().__init__()
        self.now = START
        self.ring: Ring = ()
        self.algorithm = Algorithm.ES256
        self.made = 0
        self.over: set[str] = set()

    @initialize(algorithm=algorithms)
    def begin(self, algorithm: Algorithm) -> None:
        """The first server starts."""
        self.algorithm = algorithm
        self.maintain()

    @rule(span=spans)
    def wait(self, span: int) -> None:
        """Time passes, or the clock is set forward."""
        self.now = Millis(self.now + span)

    @rule(span=spans)
    def serve(self, span: int) -> None:
        """Time passes while a server runs."""
        self.now = Millis(self.now + span)
        self.maintain()

    @rule(span=steps_back)
    def set_clock_back(self, span: int) -> None:
        """The clock is set back."""
        self.now = Millis(self.now - span)

    @rule(algorithm=algorithms)
    def configure(self, algorithm: Algorithm) -> None:
        """The server starts again with another algorithm."""
        self.algorithm = algorithm
        self.maintain()

    def maintain(self) -> None:
        """Two servers do what is due, by turns; they reach one state, and rotate once between them."""
        signing = [active_of(self.ring)]
        for _ in range(4):
            for _ in range(2):
                self.become(step(self.ring, self.fresh(self.algorithm), ROTATION, self.now))
                signing.append(active_of(self.ring))
        settled = self.ring
        self.become(step(self.ring, self.fresh(self.algorithm), ROTATION, self.now))

        assert settled == self.ring
        assert 1 >= sum(before != after for before, after in itertools.pairwise(signing))
        assert any(key.state is PREPARED and key.algorithm is self.algorithm for key in self.ring)

    @rule(algorithm=algorithms)
    def prepare(self, algorithm: Algorithm) -> None:
        """A person prepares a key: four wait at the most."""
        waiting = sum(key.state is PREPARED for key in self.ring)
        try:
            self.become(prepared(self.ring, self.fresh(algorithm)))
        except PreconditionError as error:
            assert Reason.KEY_STATE is error.reason  # noqa: PT017 - that it is refused at times is what is tested
            assert waiting >= MAX_PREPARED or len(self.ring) >= MAX_RING
        else:
            assert waiting < MAX_PREPARED

    @precondition(lambda self: self.ring)
    @rule(data=st.data())
    def activate(self, data: st.DataObject) -> None:
        """A person activates a key: only one that has been published for long enough."""
        key = data.draw(st.sampled_from(self.ring))
        ready = key.state is PREPARED and key.create_time + ROTATION.publication <= self.now
        try:
            self.become(activated(self.ring, key.key_id, ROTATION, self.now))
        except PreconditionError as error:
            assert (Reason.KEY_STATE, key.key_id) == (error.reason, error.subject)  # noqa: PT017 - as above
            assert not ready
        else:
            assert ready
            assert key.key_id == active_of(self.ring)

    @precondition(lambda self: self.ring)
    @rule(data=st.data())
    def revoke(self, data: st.DataObject) -> None:
        """A person revokes a key; if it was ACTIVE, the best of the PREPARED keys becomes ACTIVE."""
        key = data.draw(st.sampled_from(self.ring))
        waiting = [other for other in self.ring if other.state is PREPARED]
        try:
            self.become(revoked(self.ring, key.key_id, ROTATION, self.now), forced=key.state is ACTIVE)
        except PreconditionError:
            assert key.state is ACTIVE
            assert not waiting
            return
        assert REVOKED is find(self.ring, key.key_id).state
        if key.state is ACTIVE and any(ROTATION.can_sign(other, self.now) for other in waiting):
            signing = active_of(self.ring)
            assert ROTATION.can_sign(next(other for other in waiting if other.key_id == signing), self.now)

    def fresh(self, algorithm: Algorithm) -> StoredKey:
        """A key just made."""
        self.made += 1
        return make(f"{self.made:04}", self.now, algorithm)

    def become(self, following: Ring, *, forced: bool = False) -> None:
        """Take in the next ring, once each key's change is one that may be."""
        before = {key.key_id: key for key in self.ring}
        after = {key.key_id: key for key in following}
        assert len(following) == len(after)
        for key_id in before.keys() | after.keys():
            self.judge(before.get(key_id), after.get(key_id), forced=forced)
        self.over |= before.keys() - after.keys()
        assert self.over.isdisjoint(after)
        self.ring = following

    def judge(self, old: StoredKey | None, new: StoredKey | None, *, forced: bool) -> None:
        """What may happen to one key in one step."""
        if old == new:
            return
        change = (old and old.state, new and new.state)
        assert change in COURSE
        if new is None:
            assert old is not None
            assert self.now >= (old.expire_time or 0) + DAY > DAY
        elif new.state is ACTIVE:
            published = new.create_time + ROTATION.publication <= self.now
            assert published or forced or not any(key.state is ACTIVE for key in self.ring)
            assert self.now == new.activate_time
        if old is not None and new is not None:
            kept = ("key_id", "algorithm", "create_time", "sealed", "location")
            assert [getattr(old, name) for name in kept] == [getattr(new, name) for name in kept]
            for name in ("activate_time", "sign_until", "retire_time"):
                assert getattr(old, name) in {None, getattr(new, name)}
            assert (new.expire_time or 0) >= (old.expire_time or 0)

    @invariant()
    def one_signs(self) -> None:
        """From the first start on there is exactly one ACTIVE key, with an end."""
        if self.ring:
            [active] = [key for key in self.ring if key.state is ACTIVE]
            assert active.activate_time is not None
            assert active.activate_time + ROTATION.period + ROTATION.period // 4 == active.sign_until
            assert (None, None) == (active.retire_time, active.expire_time)

    @invariant()
    def no_token_outlives_its_key(self) -> None:
        """What signed is kept for the longest lifetime after the last moment at which it may have signed."""
        for key in self.ring:
            if key.state in {RETIRED, REVOKED}:
                assert key.retire_time is not None
                assert key.expire_time is not None
                may_have_signed_until = key.sign_until or 0
                if key.state is RETIRED and not key.sign_until:
                    may_have_signed_until = ROTATION.sign_until(key.retire_time)
                assert key.expire_time >= max(key.retire_time, may_have_signed_until) + LIFE

    @invariant()
    def next_step_tells_when_to_look(self) -> None:
        """Before it nothing is due, at it something is."""
        due = next_step(self.ring, self.algorithm, ROTATION, self.now)
        for moment in {self.now, Millis(due - 1)}:
            if self.now <= moment < due:
                assert self.ring == step(self.ring, make("new", moment, self.algorithm), ROTATION, moment)
        moment = max(due, self.now)
        assert self.ring != step(self.ring, make("new", moment, self.algorithm), ROTATION, moment)


def active_of(ring: Ring) -> str:
    """Which key signs, or nothing."""
    return next((key.key_id for key in ring if key.state is ACTIVE), "")


TestRings = Rings.TestCase
TestRings.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)


@given(
    period=st.integers(10, 400).map(lambda days: days * DAY // 10),
    publication=st.integers(1, DAY),
    pause=st.integers(0, 60),
)
@settings(max_examples=50, deadline=None)
def test_a_ring_that_is_looked_after_always_signs(period: int, publication: int, pause: int) -> None:
    """Someone who looks when `next_step` says, or a little later, never meets a key that is past its end."""
    rotation = Rotation(period=Millis(period), publication=Millis(publication))
    now, ring = START, ring_at()
    for number in range(50):
        now = Millis(max(now, next_step(ring, Algorithm.ES256, rotation, now)) + pause * 1000)
        active = find(ring, active_of(ring))

        assert now < (active.sign_until or 0)

        ring = step(ring, make(f"n{number}", now), rotation, now)


def test_an_empty_ring_gets_an_active_and_a_prepared_key() -> None:
    """The first signs at once: there is no verifier yet that could lack it."""
    ring = ring_at()

    assert {"a": ACTIVE, "b": PREPARED} == states(ring)
    assert ring == step(ring, make("c"), ROTATION, START)
    assert later(30 * DAY) == next_step(ring, Algorithm.ES256, ROTATION, START)


def test_a_period_later_the_prepared_key_takes_over() -> None:
    """The one before is RETIRED until the last token that it may have signed is out of force."""
    now = later(30 * DAY)
    ring = step(ring_at(), make("c", now), ROTATION, now)
    ring = step(ring, make("d", now), ROTATION, now)

    assert {"a": RETIRED, "b": ACTIVE, "d": PREPARED} == states(ring)
    retired = find(ring, "a")
    assert (now, later(37 * DAY + DAY // 2)) == (retired.retire_time, retired.sign_until)
    assert later(37 * DAY + DAY // 2 + LIFE) == retired.expire_time


def test_a_retired_key_is_deleted_a_day_after_its_last_token() -> None:
    """Not a millisecond earlier."""
    now = later(30 * DAY)
    ring = step(ring_at(), make("c", now), ROTATION, now)
    last = Millis((find(ring, "a").expire_time or 0) + DAY)

    assert "a" in states(step(ring, make("d"), ROTATION, Millis(last - 1)))
    assert "a" not in states(step(ring, make("d"), ROTATION, last))


def test_a_rotation_waits_until_verifiers_have_had_the_time() -> None:
    """A key that was made too late signs later, and not before it was published for long enough."""
    ring = tuple(key for key in ring_at() if key.state is ACTIVE)
    made = later(30 * DAY)
    ring = step(ring, make("c", made), ROTATION, made)
    ready = Millis(made + ROTATION.publication)
    early = step(ring, make("d"), ROTATION, Millis(ready - 1))

    assert ring == early
    assert ready == next_step(ring, Algorithm.ES256, ROTATION, made)
    assert {"a": RETIRED, "c": ACTIVE} == states(step(ring, make("d"), ROTATION, ready))


def test_a_shorter_period_replaces_a_key_the_sooner_and_a_longer_one_does_not_put_it_off() -> None:
    """The end that a key began with stands, and it is replaced well before it."""
    ring = ring_at()
    short, long = (Rotation(period=Millis(days * DAY), publication=ROTATION.publication) for days in (1, 365))

    assert later(DAY) == next_step(ring, Algorithm.ES256, short, START)
    assert later(30 * DAY) == next_step(ring, Algorithm.ES256, long, START)


def test_a_new_algorithm_signs_from_the_next_rotation_on() -> None:
    """One of it is prepared at once, and chosen before a newer one of the other algorithm."""
    ring = step(ring_at(), make("e", algorithm=Algorithm.EDDSA), ROTATION, START)
    ring = prepared(ring, make("f", later(1)))
    now = later(30 * DAY)

    assert "e" == active_of(step(ring, make("g", now, Algorithm.EDDSA), ROTATION, now))


def test_activating_retires_older_prepared_keys_and_leaves_newer_ones() -> None:
    """Nothing proves that those that were passed over have never signed: each ends as if it had signed until now."""
    ring = prepared(prepared(ring_at(), make("c", later(1))), make("d", later(2)))
    now = later(HOUR)
    following = activated(ring, "c", ROTATION, now)

    assert {"a": RETIRED, "b": RETIRED, "c": ACTIVE, "d": PREPARED} == states(following)
    assert (None, ROTATION.sign_until(now) + LIFE) == (
        find(following, "b").activate_time,
        find(following, "b").expire_time,
    )


@pytest.mark.parametrize(("age", "left"), [(0, 300), (1, 300), (1000, 299), (299_999, 1)])
def test_refuses_to_activate_a_key_that_verifiers_may_not_have(age: int, left: int) -> None:
    """The refusal says in how many seconds it can sign."""
    with pytest.raises(PreconditionError, match=rf"can sign in {left}s, once it has been published for 300s"):
        activated(ring_at(), "b", ROTATION, later(age))


@pytest.mark.parametrize("key_id", ["a", "c"])
def test_refuses_to_activate_what_is_not_prepared(key_id: str) -> None:
    """A key that signs or was revoked is KEY_STATE."""
    ring = revoked(prepared(ring_at(), make("c")), "c", ROTATION, START)

    with pytest.raises(PreconditionError, match="not PREPARED") as refused:
        activated(ring, key_id, ROTATION, later(HOUR))

    assert (Reason.KEY_STATE, key_id) == (refused.value.reason, refused.value.subject)


@pytest.mark.parametrize("change", [activated, revoked])
def test_an_absent_key_is_not_found(change: object) -> None:
    """KEY_NOT_FOUND, by its id."""
    assert callable(change)
    with pytest.raises(NotFoundError) as refused:
        change(ring_at(), "x", ROTATION, START)

    assert (Reason.KEY_NOT_FOUND, "x") == (refused.value.reason, refused.value.name)


def test_refuses_a_fifth_prepared_key_and_the_hundred_and_first_of_all() -> None:
    """Every verifier fetches them all."""
    four = ring_at()
    for key_id in ("c", "d", "e"):
        four = prepared(four, make(key_id))
    hundred = tuple(attrs.evolve(make(str(number)), state=REVOKED, expire_time=later(LIFE)) for number in range(100))

    with pytest.raises(PreconditionError, match="4 keys are PREPARED already"):
        prepared(four, make("f"))
    with pytest.raises(PreconditionError, match="100 keys already"):
        prepared(hundred, make("f"))
    assert 100 == len(prepared(hundred[1:], make("f")))


def test_revoking_the_active_key_puts_a_prepared_one_in_its_place() -> None:
    """The newest that verifiers have had the time to fetch, and where there is none the newest at all."""
    ring = prepared(prepared(ring_at(), make("c", later(1))), make("d", later(HOUR)))

    assert {"a": REVOKED, "b": RETIRED, "c": ACTIVE, "d": PREPARED} == states(revoked(ring, "a", ROTATION, later(HOUR)))
    assert {"a": REVOKED, "b": ACTIVE} == states(revoked(ring_at(), "a", ROTATION, later(1)))


def test_revoking_the_active_key_needs_a_prepared_one() -> None:
    """Else nothing would sign."""
    alone = tuple(key for key in ring_at() if key.state is ACTIVE)

    with pytest.raises(PreconditionError, match="prepare one first"):
        revoked(alone, "a", ROTATION, START)


def test_revoking_twice_changes_nothing() -> None:
    """A call that is made once more does no harm."""
    once = revoked(ring_at(), "a", ROTATION, later(1))

    assert once == revoked(once, "a", ROTATION, later(HOUR))


def test_a_revoked_key_is_stored_as_long_as_its_tokens_could_have_lived() -> None:
    """So that what it signed is told from what nobody ever signed."""
    ring = revoked(ring_at(), "a", ROTATION, later(1))
    waiting = revoked(prepared(ring_at(), make("c")), "c", ROTATION, later(1))

    assert later(37 * DAY + DAY // 2 + LIFE) == find(ring, "a").expire_time
    assert later(1 + LIFE) == find(waiting, "c").expire_time


def test_a_key_is_deleted_by_a_time_of_its_own() -> None:
    """One that the clock calls over stays while that time is behind the clock, and the next step is not due."""
    retired = attrs.evolve(make("old"), state=RETIRED, retire_time=START, expire_time=START)
    ring, late = (*ring_at(), retired), later(2 * DAY)

    assert retired not in maintained(ring, None, Algorithm.ES256, ROTATION, late)
    assert retired in maintained(ring, None, Algorithm.ES256, ROTATION, late, deletes_by=START)
    assert next_step(ring, Algorithm.ES256, ROTATION, late) <= late
    assert next_step(ring, Algorithm.ES256, ROTATION, late, deletes_by=START) > late


def test_a_ring_that_has_lost_its_active_key_activates_a_prepared_one() -> None:
    """Of those that verifiers have had the time to fetch, the newest."""
    now = later(ROTATION.publication)
    ready, fresh = make("ready"), make("fresh", later(1))

    for ring, chosen in (((ready, fresh), "ready"), ((fresh,), "fresh")):
        assert chosen == active_of(maintained(ring, None, Algorithm.ES256, ROTATION, now))
        assert not needs_new_key(ring, Algorithm.ES256, ROTATION, now)
