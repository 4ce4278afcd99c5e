"""Buckets: never more than the limit, exact waits, and clocks that step back do no harm."""

from __future__ import annotations

from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from tokenauthority.domain.caller import Rate
from tokenauthority.domain.rates import Bucket, is_full, take_items
from tokenauthority.domain.times import Millis


NOON = Millis(1_700_049_600_000)
DAY = 86_400_000
UNIT = 1_000_000_000

rates = st.builds(
    Rate,
    per_second=st.one_of(
        st.floats(0.0001, 100_000), st.integers(1, 1000).map(float), st.integers(1, 5000).map(lambda n: n / 3600)
    ),
    burst=st.integers(1, 10_000),
)
moments = st.integers(NOON - 10 * DAY, NOON + 10 * DAY).map(Millis)
steps = st.lists(st.tuples(st.integers(1, 200), st.integers(0, 100_000)), max_size=40)


@st.composite
def used_buckets(draw: st.DrawFn) -> tuple[Bucket, Rate, Millis]:
    """A bucket after some use, its rate, and a moment not before that."""
    rate, now = draw(rates), draw(moments)
    bucket = Bucket()
    for items, step in draw(steps):
        now = Millis(now + step)
        bucket = take_items(bucket, rate, items, now).state
    return bucket, rate, now


@st.composite
def short_asks(draw: st.DrawFn) -> tuple[Bucket, Rate, Millis, int]:
    """A bucket with one item at least, and an ask that is more than it has and no more than it can have."""
    rate = Rate(draw(rates).per_second, draw(st.integers(2, 10_000)))
    free = draw(st.integers(1, rate.burst - 1))
    part = draw(st.integers(0, UNIT - 1))
    now = draw(moments)
    return Bucket((rate.burst - free) * UNIT - part, now), rate, now, draw(st.integers(free + 1, rate.burst))


@given(rates, st.lists(st.tuples(st.integers(1, 200), st.integers(-100_000, 100_000)), max_size=40), moments)
def test_gives_no_more_than_the_burst_and_the_rate(rate: Rate, asked: list[tuple[int, int]], now: Millis) -> None:
    """Over any requests, also while the clock goes back and forth: burst + rate x the time that it went forward."""
    bucket, granted, forward = Bucket(), 0, 0
    for items, step in asked:
        now, forward = Millis(now + step), forward + max(0, step)
        decision = take_items(bucket, rate, items, now)
        bucket = decision.state
        granted += items if decision.granted else 0

        assert granted <= rate.burst + Fraction(rate.per_second) * forward / 1000


@given(short_asks())
def test_a_refusal_states_the_wait_to_the_millisecond(ask: tuple[Bucket, Rate, Millis, int]) -> None:
    """After it the same request is granted, and a millisecond earlier it is not."""
    bucket, rate, now, items = ask
    refused = take_items(bucket, rate, items, now)
    wait = refused.wait

    assert wait
    assert take_items(refused.state, rate, items, Millis(now + wait)).granted
    assert not take_items(refused.state, rate, items, Millis(now + wait - 1)).granted


@given(short_asks())
def test_a_refusal_of_the_rest_states_the_wait_for_all(ask: tuple[Bucket, Rate, Millis, int]) -> None:
    """Who comes again pays the first item anew, and then gets the rest too; a millisecond earlier not."""
    bucket, rate, now, items = ask
    first = take_items(bucket, rate, 1, now)
    rest = take_items(first.state, rate, items, now, paid=1)
    wait = rest.wait

    assert first.granted
    assert wait
    for early, expected in ((0, True), (1, False)):
        again = Millis(now + wait - early)
        first = take_items(rest.state, rate, 1, again)
        assert expected == (first.granted and take_items(first.state, rate, items, again, paid=1).granted)


@given(used_buckets(), st.integers(1, 10_000), st.integers(0, 10_000))
def test_more_time_never_refuses(used: tuple[Bucket, Rate, Millis], items: int, later: int) -> None:
    """What is granted now is granted later, and a wait only gets shorter."""
    bucket, rate, now = used
    sooner, after = take_items(bucket, rate, items, now), take_items(bucket, rate, items, Millis(now + later))

    if sooner.wait is None:
        assert after.wait is None
    else:
        assert (after.wait or 0) == max(0, sooner.wait - later)


@given(short_asks(), st.integers(1, 10_000))
def test_a_refusal_takes_nothing(ask: tuple[Bucket, Rate, Millis, int], fewer: int) -> None:
    """What was granted without it is granted after it."""
    bucket, rate, now, items = ask
    refused = take_items(bucket, rate, items, now)

    assert not refused.granted
    assert take_items(bucket, rate, fewer, now) == take_items(refused.state, rate, fewer, now)


@given(used_buckets(), st.integers(1, 10_000))
def test_more_than_the_burst_can_never_pass(used: tuple[Bucket, Rate, Millis], more: int) -> None:
    """And is told so, instead of a wait; also where all but a few were paid before."""
    bucket, rate, now = used

    assert take_items(bucket, rate, rate.burst + more, now).wait is None
    assert take_items(bucket, rate, rate.burst + more, now, paid=rate.burst + more - 1).wait is None


@given(used_buckets(), st.integers(1, 100 * DAY))
def test_a_clock_that_steps_back_shuts_nobody_out(used: tuple[Bucket, Rate, Millis], back: int) -> None:
    """The wait for one item is never longer than one item takes to come, however far the clock went."""
    bucket, rate, now = used
    decision = take_items(bucket, rate, 1, Millis(now - back))
    wait = decision.wait
    longest = 1 + Fraction(UNIT, max(1, int(rate.per_second * 1_000_000)))

    assert wait is not None
    assert 0 <= wait <= longest
    assert decision.granted or take_items(decision.state, rate, 1, Millis(now - back + wait)).granted


@given(used_buckets(), rates, st.integers(1, 1000))
def test_another_rate_takes_over_what_is_missing(used: tuple[Bucket, Rate, Millis], rate: Rate, items: int) -> None:
    """After a reload no burst is given twice, and no wait is longer than a whole burst takes."""
    bucket, _, now = used
    decision = take_items(bucket, rate, items, now)
    missing = min(bucket.missing, rate.burst * UNIT)

    if decision.granted:
        assert missing + items * UNIT <= rate.burst * UNIT
    elif decision.wait is not None:
        assert decision.wait <= 1 + rate.burst * UNIT // max(1, int(rate.per_second * 1_000_000))


@given(used_buckets(), st.integers(0, 10 * DAY))
def test_a_full_bucket_is_as_a_new_one(used: tuple[Bucket, Rate, Millis], later: int) -> None:
    """So it may be deleted."""
    bucket, rate, now = used
    then = Millis(now + later)

    assert is_full(bucket, rate, then) == take_items(bucket, rate, rate.burst, then).granted
    if is_full(bucket, rate, then):
        assert take_items(Bucket(), rate, rate.burst, then) == take_items(bucket, rate, rate.burst, then)
