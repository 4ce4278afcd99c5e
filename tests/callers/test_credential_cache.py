"""The cache of verified credentials is bounded, and drops the least recently used first."""

from __future__ import annotations

from tests.support.authority import make_caller
from tokenauthority.callers.credential_cache import CredentialCache
from tokenauthority.callers.registry import CallerRegistry, CurrentCallers
from tokenauthority.domain.times import Millis


NOW = Millis(1000)


def test_holds_no_more_than_its_capacity() -> None:
    """A caller with many valid credentials cannot fill the memory; the one just used stays."""
    cache = CredentialCache(CurrentCallers(CallerRegistry([])), capacity=3)
    for number in range(3):
        cache.store_caller(bytes([number]), make_caller(str(number)), 0)
    assert cache.find_caller(b"\0", NOW) is not None
    cache.store_caller(b"\x03", make_caller("3"), 0)

    found = [cache.find_caller(bytes([number]), NOW) for number in range(4)]

    assert 3 == len(cache)
    assert ["0", None, "2", "3"] == [None if caller is None else caller.name for caller in found]


def test_an_invalid_entry_is_dropped() -> None:
    """A look-up drops an entry that expired, is not trusted any more, or is of an older callers file."""
    callers = CurrentCallers(CallerRegistry([]))
    cache = CredentialCache(callers)
    cache.store_caller(b"expires", make_caller(), 0, expires=NOW)
    cache.store_caller(b"fails", make_caller(), 0, still_trusted=lambda: False)
    cache.store_caller(b"replaced", make_caller(), 0)
    callers.replace(CallerRegistry([]))

    assert [None] * 3 == [cache.find_caller(digest, NOW) for digest in (b"expires", b"fails", b"replaced")]
    assert not len(cache)


def test_a_caller_of_an_old_version_is_not_cached() -> None:
    """A verification during which the callers were reloaded leaves no usable entry."""
    callers = CurrentCallers(CallerRegistry([]))
    callers.replace(CallerRegistry([]))
    cache = CredentialCache(callers)
    cache.store_caller(b"late", make_caller(), 0)

    assert cache.find_caller(b"late", NOW) is None
