"""Whether the server can do its work now, and if not, which part keeps it from it."""

from __future__ import annotations

from typing import TYPE_CHECKING


if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tokenauthority.audit.log import FileAuditLog
    from tokenauthority.authority.follower import Follower
    from tokenauthority.authority.keys import Keys
    from tokenauthority.signing.jwks import JsonWebKeySet


class Readiness:
    """What `/readyz` and the routes of the JWKS show."""

    def __init__(
        self,
        keys: Keys,
        follower: Follower,
        audit_log: FileAuditLog,
        details: Callable[[], Mapping[str, str]],
        jwks_max_age: Callable[[], int],
    ) -> None:
        self._keys = keys
        self._follower = follower
        self._audit_log = audit_log
        self._details = details
        self._jwks_max_age = jwks_max_age
        self._draining = False

    def drain(self) -> None:
        """Not ready any more: the server is about to stop."""
        self._draining = True

    def key_set(self) -> JsonWebKeySet:
        """The public keys now."""
        return self._keys.key_set

    def jwks_max_age(self) -> int:
        """Seconds for which the public keys may be cached from now on."""
        return self._jwks_max_age()

    async def readiness(self) -> Mapping[str, str]:
        """What keeps the server from being ready, by part; empty when it is."""
        problems = {}
        if self._draining:
            problems["server"] = "draining"
        if not self._follower.fresh:
            problems["store"] = "cannot be read; what is at hand is served"
        if self._audit_log.problem:
            problems["audit"] = f"nothing can be recorded: {self._audit_log.problem}"
        return problems

    def details(self) -> Mapping[str, str]:
        """What somebody should look at though the server is ready, by part."""
        return self._details()
