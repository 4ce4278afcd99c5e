"""Callers are found by their identity, and a new version of the callers file counts at once."""

from __future__ import annotations

from tests.support.authority import make_caller
from tokenauthority.callers.identity import ApiKeyIdentity, Identity, SpiffeIdentity
from tokenauthority.callers.registry import CallerEntry, CallerRegistry, CurrentCallers
from tokenauthority.domain.caller import Grant


FIRST, SECOND = "ab" * 32, "cd" * 32


def test_finds_a_caller_by_each_of_its_identities() -> None:
    """Two API keys and a certificate may prove one caller; an unknown one proves nobody."""
    caller = make_caller("room-service")
    identities: list[Identity] = [ApiKeyIdentity(FIRST), ApiKeyIdentity(SECOND), SpiffeIdentity("spiffe://a/b")]
    registry = CallerRegistry(CallerEntry(caller, identity) for identity in identities)

    assert [caller] * 3 == [registry.find_caller(identity) for identity in identities]
    found = [registry.find_by_digest(digest) for digest in (FIRST, SECOND, "ef" * 32)]
    assert [caller, caller, None] == [each and each.caller for each in found]
    assert registry.find_caller(SpiffeIdentity("spiffe://a/c")) is None


def test_a_role_is_in_use_where_a_grant_names_it() -> None:
    """Only in the projects of that grant."""
    caller = make_caller(
        "room-service", Grant(projects=frozenset({"47"}), actions=frozenset(), roles=frozenset({"host"}))
    )
    registry = CallerRegistry([CallerEntry(caller, ApiKeyIdentity(FIRST))])

    assert [{"room-service"}, set(), set()] == [
        registry.callers_naming(project_id, role)
        for project_id, role in (("47", "host"), ("48", "host"), ("47", "guest"))
    ]


def test_a_replacement_counts_at_once() -> None:
    """The version grows, so that no cached credential of the old callers stays valid."""
    callers = CurrentCallers(CallerRegistry([]))
    registry = CallerRegistry([CallerEntry(make_caller(), ApiKeyIdentity(FIRST))])
    before = callers.version

    callers.replace(registry)

    assert callers.registry is registry
    assert before < callers.version
