"""Decide from what fails whether the server serves, as a whole and by service: the one rule of all its probes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import attrs

from tokenauthority.contract import SERVICES
from tokenauthority.storage.condition import StoreCondition


WHOLE: Final = ""
"""The name of the server as a whole, as in `grpc.health.v1`."""

_NEEDS_WRITES: Final = frozenset(
    {"tokenauthority.v1.SessionService", "tokenauthority.v1.ProjectService", "tokenauthority.v1.RoleService"}
)
"""The services whose calls need the store. The others sign, verify and publish keys from what is cached."""

_NEEDS_KEY: Final = frozenset({WHOLE, "tokenauthority.v1.TokenService"})
"""What needs the key that signs. KeyService does not: it publishes the keys, and an operator mends them by it."""

_CACHES: Final = "tokens are made and verified from cached data"

PARTS: Final = (
    "server",
    "audit",
    "store",
    "keys",
    "signing",
    "projects",
    "callers_file",
    "issuers",
    "issuer_keys",
    "certificates",
    "clock",
    "settings",
)
"""The parts that may fail, each with an entry in `problems` or `details`."""


@attrs.frozen(kw_only=True)
class Facts:
    """What may keep the server from its work. Each text says what fails and why, and is empty while nothing does.

    Attributes:
        draining: Whether the server is about to stop.
        audit: Why nothing can be recorded.
        store: What the store can do.
        changes: Why the changes of the store are not applied.
        stale: Whether they were not read for so long that no token can be verified (`issuance.max_staleness`).
        keys: Why the signing key of the ring cannot sign, as it has ended or does not open.
        signing: Why the place of the signing key, such as an HSM, does not sign.
        others: What fails of the other parts, by part: it makes some calls fail, and not the server.
    """

    draining: bool = False
    audit: str = ""
    store: StoreCondition = attrs.Factory(StoreCondition)
    changes: str = ""
    stale: bool = False
    keys: str = ""
    signing: str = ""
    others: Mapping[str, str] = attrs.Factory(dict)


@attrs.frozen(kw_only=True)
class Health:
    """What the probes answer.

    Attributes:
        problems: Why the server as a whole does not serve, by part.
        details: What fails although the server serves, by part.
        serving: Whether the server (`WHOLE`) and each service serves, by name.
    """

    problems: Mapping[str, str]
    details: Mapping[str, str]
    serving: Mapping[str, bool]

    def fails(self, part: str) -> bool:
        """Return whether *part* has an entry."""
        return part in self.problems or part in self.details


def assess(facts: Facts) -> Health:
    """Return the health of a server with these *facts*.

    It serves while it can sign with its own key, verify and record. So an outage of the store, such as a failover,
    takes no server out of service that has what it needs cached; the services that need the store do not serve
    meanwhile. And a server that has lost its signing key leaves its calls to the others.
    """
    store = facts.store.problem or facts.changes
    # Each stops every service, or those alone that sign.
    fatal = {
        "server": "draining" if facts.draining else "",
        "audit": facts.audit and f"nothing can be recorded: {facts.audit}",
        "store": f"{store or 'its changes are not read'}; no token can be verified any more" if facts.stale else "",
    }
    signing = {"keys": facts.keys, "signing": facts.signing}
    problems = {part: text for part, text in {**fatal, **signing}.items() if text}
    details = {"store": store and f"{store}; {_CACHES}", **facts.others}
    unable = {WHOLE, *SERVICES} if any(fatal.values()) else set()
    if any(signing.values()):
        unable |= _NEEDS_KEY
    if not (facts.store.can_read and facts.store.can_write):
        unable |= _NEEDS_WRITES
    return Health(
        problems=problems,
        details={part: text for part, text in details.items() if text and part not in problems},
        serving={name: name not in unable for name in (WHOLE, *SERVICES)},
    )
