"""Gather what fails in the parts of the server, for its probes and metrics, and the data of the JWKS routes."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from tokenauthority.audit.writing.log import FileAuditLog
from tokenauthority.domain.times import Millis
from tokenauthority.server.core import Core
from tokenauthority.server.health import Facts, Health, assess
from tokenauthority.signing.keyring import JsonWebKeySet
from tokenauthority.storage.store import Store


class Readiness:
    """The health of one server, and its public keys. *others* returns what fails of further parts, by part."""

    def __init__(
        self,
        core: Core,
        store: Store,
        audit_log: FileAuditLog,
        others: Callable[[], Mapping[str, str]],
        clock: Callable[[], Millis],
    ) -> None:
        self._core = core
        self._store = store
        self._audit_log = audit_log
        self._others = others
        self._clock = clock
        self._draining = False

    def drain(self) -> None:
        """Report from now on that the server is about to stop."""
        self._draining = True

    def key_set(self) -> JsonWebKeySet:
        """Return the public keys now."""
        return self._core.keys.key_set

    def jwks_max_age(self) -> int:
        """Return the seconds for which the public keys may be cached."""
        return self._core.jwks_max_age()

    def health(self) -> Health:
        """Return the health now."""
        core, now = self._core, self._clock()
        return assess(
            Facts(
                draining=self._draining,
                audit=self._audit_log.problem,
                store=self._store.condition,
                changes=core.follower.problem,
                stale=core.verify.stale,
                keys=core.keys.cannot_sign(now),
                signing=core.generate.cannot_sign,
                others={
                    "keys": core.keys.problem(now),
                    "signing": core.generate.signing_problem,
                    "projects": core.tenants.problem,
                    **self._others(),
                },
            )
        )
