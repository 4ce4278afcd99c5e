"""What is remembered of verified credentials is bounded, and the least used is forgotten first."""

from __future__ import annotations

from tests.support.authority import make_caller
from tokenauthority.callers.credential_cache import CredentialCache
from tokenauthority.callers.registry import CallerRegistry, CurrentCallers
from tokenauthority.domain.times import Millis


NOW = Millis(1000)


def test_holds_no_more_than_its_capacity() -> None:
    """Whoever has many good credentials cannot fill the memory; the one just used stays."""
    remembered = CredentialCache(CurrentCallers(CallerRegistry([])), capacity=3)
    for number in range(3):
        remembered.keep(bytes([number]), make_caller(str(number)), 0)
    assert remembered.find(b"\0", NOW) is not None
    remembered.keep(b"\x03", make_caller("3"), 0)

    found = [remembered.find(bytes([number]), NOW) for number in range(4)]

    assert 3 == len(remembered)
    assert ["0", None, "2", "3"] == [None if caller is None else caller.name for caller in found]


def test_what_is_over_takes_no_room() -> None:
    """An entry that expired, or was found in another version, goes when it is asked for."""
    callers = CurrentCallers(CallerRegistry([]))
    remembered = CredentialCache(callers)
    remembered.keep(b"expires", make_caller(), 0, expires=NOW)
    remembered.keep(b"fails", make_caller(), 0, stands=lambda: False)
    remembered.keep(b"replaced", make_caller(), 0)
    callers.replace(CallerRegistry([]))

    assert [None] * 3 == [remembered.find(digest, NOW) for digest in (b"expires", b"fails", b"replaced")]
    assert not len(remembered)


def test_what_was_found_in_an_old_version_is_never_remembered() -> None:
    """A verification that a reload overtook leaves nothing behind that counts."""
    callers = CurrentCallers(CallerRegistry([]))
    callers.replace(CallerRegistry([]))
    remembered = CredentialCache(callers)
    remembered.keep(b"late", make_caller(), 0)

    assert remembered.find(b"late", NOW) is None
