"""Whether the server can do its work now, and if not, which part keeps it from it."""

from __future__ import annotations

from typing import TYPE_CHECKING


if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tokenauthority.audit.writing import FileAuditLog
    from tokenauthority.domain.times import Millis
    from tokenauthority.server.core import Core
    from tokenauthority.signing.keyring import JsonWebKeySet


class Readiness:
    """What `/readyz` and the routes of the JWKS show."""

    def __init__(
        self,
        core: Core,
        audit_log: FileAuditLog,
        details: Callable[[], Mapping[str, str]],
        clock: Callable[[], Millis],
    ) -> None:
        self._core = core
        self._audit_log = audit_log
        self._details = details
        self._clock = clock
        self._draining = False

    def drain(self) -> None:
        """Not ready any more: the server is about to stop."""
        self._draining = True

    def key_set(self) -> JsonWebKeySet:
        """The public keys now."""
        return self._core.keys.key_set

    def jwks_max_age(self) -> int:
        """Seconds for which the public keys may be cached from now on."""
        return self._core.jwks_max_age()

    async def readiness(self) -> Mapping[str, str]:
        """What keeps the server from being ready, by part; empty when it is."""
        problems = {}
        if self._draining:
            problems["server"] = "draining"
        if self._core.follower.problem:
            problems["store"] = self._core.follower.problem
        if self._audit_log.problem:
            problems["audit"] = f"nothing can be recorded: {self._audit_log.problem}"
        return problems

    def details(self) -> Mapping[str, str]:
        """What somebody should look at though the server is ready, by part."""
        problems = {"keys": self._core.keys.problem(self._clock()), "projects": self._core.tenants.problem}
        return {**self._details(), **{part: problem for part, problem in problems.items() if problem}}
