"""Enums, moments and lifetimes as Python callers write them."""

from __future__ import annotations

import math

from datetime import UTC, datetime, timedelta, timezone

import pytest

from hypothesis import given
from hypothesis import strategies as st

from tokenauthority.client import requests
from tokenauthority.client.conversions import choices, duration, timestamp, to_text, to_value
from tokenauthority.v1 import role_pb2, session_pb2, token_pb2


EPOCH_SECONDS = st.integers(min_value=0, max_value=253_402_300_799)
ZONES = st.integers(min_value=-14 * 60, max_value=14 * 60).map(lambda m: timezone(timedelta(minutes=m)))
ENUMS = [
    session_pb2.MediaMode,
    session_pb2.ArchiveMode,
    session_pb2.SessionState,
    token_pb2.TokenFormat,
    role_pb2.Permission,
]


@pytest.mark.parametrize("enum", ENUMS, ids=lambda enum: enum.DESCRIPTOR.name)
def test_every_value_of_an_enum_has_a_short_name(enum: type[session_pb2.MediaMode]) -> None:
    """In either case, and back; UNSPECIFIED is the empty text."""
    names = choices(enum)

    assert len(enum.values()) - 1 == len(names)
    assert names == [to_text(enum.DESCRIPTOR, to_value(enum, "field", name.upper())) for name in names]
    assert "" == to_text(enum.DESCRIPTOR, to_value(enum, "field", ""))


def test_an_unknown_name_is_refused_with_those_that_there_are() -> None:
    """The message is all that one needs."""
    with pytest.raises(ValueError, match="media_mode must be one of relayed, routed"):
        requests.create_session_request("", media_mode="p2p")


def test_a_value_of_a_newer_contract_is_its_number() -> None:
    """An older client does not fail on it."""
    assert "99" == to_text(session_pb2.MediaMode.DESCRIPTOR, 99)


@given(EPOCH_SECONDS)
def test_seconds_come_back_as_the_same_moment(seconds: int) -> None:
    """An int is seconds since 1970, and what comes back is aware and in UTC."""
    back = timestamp("expire_time", seconds).ToDatetime(tzinfo=UTC)

    assert UTC is back.tzinfo
    assert seconds == int(back.timestamp())


@given(st.floats(min_value=0, max_value=253_402_300_799))
def test_a_fraction_of_a_second_is_cut_off(seconds: float) -> None:
    """A token is never good for longer than was asked."""
    assert math.floor(seconds) == timestamp("expire_time", seconds).seconds


@given(
    st.datetimes(min_value=datetime(1970, 1, 3), max_value=datetime(9999, 12, 29), timezones=ZONES)  # noqa: DTZ001 - hypothesis wants naive bounds and adds the zones
)
def test_a_datetime_of_any_zone_is_the_moment_that_it_says(at: datetime) -> None:
    """The zone counts, the fraction does not."""
    assert at.replace(microsecond=0) == timestamp("expire_time", at).ToDatetime(tzinfo=UTC)


def test_refuses_a_datetime_without_a_zone() -> None:
    """What it means depends on the machine, so it is refused and the message says what to write."""
    with pytest.raises(ValueError, match=r"expire_time has no time zone: use datetime\.now\(UTC\)"):
        timestamp("expire_time", datetime(2026, 1, 1))  # noqa: DTZ001 - hypothesis wants naive bounds and adds the zones - the point of the test


@pytest.mark.parametrize("value", [1_764_000_000_000, math.nan, math.inf, -math.inf, -1e20])
def test_refuses_what_is_no_moment(value: float) -> None:
    """Milliseconds are the usual mistake; the message says so."""
    with pytest.raises(ValueError, match=r"in seconds \(not milliseconds\) since 1970"):
        timestamp("expire_time", value)


@pytest.mark.parametrize(("lifetime", "expected"), [(90, 90), (timedelta(hours=1), 3600), (timedelta(seconds=1.9), 1)])
def test_a_lifetime_is_in_whole_seconds(lifetime: int | timedelta, expected: int) -> None:
    """An int is seconds; a timedelta loses its fraction."""
    assert expected == duration("ttl", lifetime).ToTimedelta().total_seconds()


@pytest.mark.parametrize("lifetime", [10**12, -(10**12)])
def test_refuses_a_lifetime_that_the_contract_cannot_carry(lifetime: int) -> None:
    """The message names the field."""
    with pytest.raises(ValueError, match="ttl is out of range"):
        duration("ttl", lifetime)
