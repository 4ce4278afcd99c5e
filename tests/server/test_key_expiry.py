"""The log warns of API keys that expire."""

from __future__ import annotations

import pytest

from tests.support.authority import make_caller
from tests.support.logs import capture_logs
from tokenauthority.callers.identity import ApiKeyIdentity
from tokenauthority.callers.registry import CallerEntry, CallerRegistry, CurrentCallers
from tokenauthority.domain.times import Millis
from tokenauthority.server.key_expiry import KeyExpiry


DAY = 86_400_000
NOW = Millis(1_800_000_000_000)


def entry(name: str, expires: int | None) -> CallerEntry:
    """A caller whose key expires so many milliseconds after NOW."""
    moment = None if expires is None else Millis(NOW + expires)
    return CallerEntry(make_caller(name), ApiKeyIdentity(name * 32), expires=moment)


@pytest.mark.parametrize(
    ("expires", "event"),
    [
        (None, None),
        (14 * DAY, None),
        (14 * DAY - 1, "callers.key_expires_soon"),
        (1, "callers.key_expires_soon"),
        (0, "callers.key_expired"),
        (-DAY, "callers.key_expired"),
    ],
)
async def test_warns_from_two_weeks_before(expires: int | None, event: str | None) -> None:
    """The line names the caller and the key, by the begin of its digest."""
    callers = CurrentCallers(CallerRegistry([entry("ab", expires)]))

    with capture_logs() as logs:
        await KeyExpiry(callers, lambda: NOW).look()

    found = [(line["event"], line["caller"], line["api_key"]) for line in logs]
    assert ([] if event is None else [(event, "ab", "sha256:" + "ab" * 8)]) == found


async def test_warns_of_each_key_once_a_day() -> None:
    """Also after a reload; of a key that another reload adds at once."""
    callers = CurrentCallers(CallerRegistry([entry("ab", DAY)]))
    now = [NOW]
    expiry = KeyExpiry(callers, lambda: now[0])
    named = []
    for passed, names in ((0, "ab"), (1, "ab"), (2, "ab cd"), (DAY - 1, "ab cd"), (DAY, "ab cd")):
        callers.replace(CallerRegistry(entry(name, DAY) for name in names.split()))
        now[0] = Millis(NOW + passed)
        with capture_logs() as logs:
            await expiry.look()
        named.append([line["caller"] for line in logs])

    assert [["ab"], [], ["cd"], [], ["ab"]] == named
