"""One rule for all probes: a server serves while it can sign, verify and record, and says what it cannot do."""

from __future__ import annotations

import pytest

from tokenauthority.contract import SERVICES
from tokenauthority.server.health import PARTS, WHOLE, Facts, assess
from tokenauthority.storage.condition import StoreCondition


UNREADABLE = StoreCondition(can_read=False, can_write=False, cause="57P01 terminating connection", since=1.0)
UNWRITABLE = StoreCondition(can_write=False, cause="25006 read-only transaction", since=1.0)
EVERYTHING = frozenset({WHOLE, *(name.rpartition(".")[2] for name in SERVICES)})
TOKENS = frozenset({WHOLE, "TokenService", "KeyService"})
KEYLESS = EVERYTHING - {WHOLE, "TokenService"}
NOTHING: frozenset[str] = frozenset()


@pytest.mark.parametrize(
    ("facts", "serving", "problems", "details"),
    [
        (Facts(), EVERYTHING, "", ""),
        (Facts(draining=True), NOTHING, "server", ""),
        (Facts(audit="No space left on device"), NOTHING, "audit", ""),
        (Facts(store=UNWRITABLE), TOKENS, "", "store"),
        (Facts(store=UNREADABLE), TOKENS, "", "store"),
        (Facts(store=UNREADABLE, changes="cannot be read"), TOKENS, "", "store"),
        (Facts(store=UNREADABLE, changes="cannot be read", stale=True), NOTHING, "store", ""),
        (Facts(changes="changes could not be applied"), EVERYTHING, "", "store"),
        (Facts(stale=True), NOTHING, "store", ""),
        (Facts(others={"signing": "no answer in time", "keys": ""}), EVERYTHING, "", "signing"),
        (Facts(signing="no answer in time", others={"signing": "no answer in time"}), KEYLESS, "signing", ""),
        (Facts(keys="the signing key has ended", others={"issuers": "a"}), KEYLESS, "keys", "issuers"),
        (Facts(keys="the signing key has ended", store=UNWRITABLE), frozenset({"KeyService"}), "keys", "store"),
        (Facts(keys="the signing key has ended", audit="x"), NOTHING, "keys audit", ""),
        (Facts(audit="x", store=UNWRITABLE, others={"issuers": "a"}), NOTHING, "audit", "store issuers"),
        (Facts(draining=True, store=UNREADABLE, stale=True, audit="x"), NOTHING, "server audit store", ""),
    ],
)
def test_serves_what_it_can(facts: Facts, serving: frozenset[str], problems: str, details: str) -> None:
    """A failover, seen by the store, takes no server out that has what it needs cached; some services it does."""
    health = assess(facts)

    assert serving == {name.rpartition(".")[2] for name, serves in health.serving.items() if serves}
    assert {WHOLE, *SERVICES} == health.serving.keys()
    assert (set(problems.split()), set(details.split())) == (set(health.problems), set(health.details))
    assert {*problems.split(), *details.split()} == {part for part in PARTS if health.fails(part)}


def test_names_the_cause() -> None:
    """With what still works, for an operator who reads nothing else."""
    short, long = (assess(Facts(store=UNWRITABLE, stale=stale)) for stale in (False, True))

    cause = "cannot be written: 25006 read-only transaction"
    assert f"{cause}; tokens are made and verified from cached data" == short.details["store"]
    assert f"{cause}; no token can be verified any more" == long.problems["store"]
