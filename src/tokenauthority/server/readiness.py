"""Report whether the server can do its work now, and which parts fail."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from tokenauthority.audit.writing.log import FileAuditLog
from tokenauthority.domain.times import Millis
from tokenauthority.server.core import Core
from tokenauthority.signing.keyring import JsonWebKeySet


class Readiness:
    """The data of `/readyz` and of the JWKS routes."""

    def __init__(
        self, core: Core, audit_log: FileAuditLog, details: Callable[[], Mapping[str, str]], clock: Callable[[], Millis]
    ) -> None:
        self._core = core
        self._audit_log = audit_log
        self._details = details
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

    async def readiness(self) -> Mapping[str, str]:
        """Return why the server is not ready, by part; empty if it is ready."""
        problems = {}
        if self._draining:
            problems["server"] = "draining"
        if self._core.follower.problem:
            problems["store"] = self._core.follower.problem
        if self._audit_log.problem:
            problems["audit"] = f"nothing can be recorded: {self._audit_log.problem}"
        return problems

    def details(self) -> Mapping[str, str]:
        """Return problems that leave the server ready, by part."""
        problems = {"keys": self._core.keys.problem(self._clock()), "projects": self._core.tenants.problem}
        return {**self._details(), **{part: problem for part, problem in problems.items() if problem}}
