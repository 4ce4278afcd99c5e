"""Look up the callers of one version of the callers file by their identity."""

from __future__ import annotations

import hmac

from collections.abc import Iterable, Mapping

import attrs

from tokenauthority.callers.identity import ApiKeyIdentity, Identity, Issuer, OpentokIdentity
from tokenauthority.domain.caller import Caller
from tokenauthority.domain.times import Millis


@attrs.frozen
class CallerEntry:
    """A caller with one identity, and the line of the callers file where its table begins (0: not from a file).

    `lines` has the line of each field. A caller with two API keys has two entries, which begin on the same line. An API
    key is invalid from `expires` on, if it has such a moment.
    """

    caller: Caller
    identity: Identity
    line: int = 0
    lines: Mapping[str, int] = attrs.field(factory=dict, repr=False, eq=False)
    expires: Millis | None = None
    created: Millis | None = None


@attrs.frozen(init=False)
class CallerRegistry:
    """An immutable set of callers, with the issuers whose JWTs prove some of them."""

    entries: tuple[CallerEntry, ...]
    issuers: tuple[Issuer, ...]
    _by_identity: Mapping[Identity, Caller] = attrs.field(repr=False, eq=False)
    _by_issuer: Mapping[str, Issuer] = attrs.field(repr=False, eq=False)
    _digests: tuple[tuple[bytes, CallerEntry], ...] = attrs.field(repr=False, eq=False)

    def __init__(self, entries: Iterable[CallerEntry], issuers: Iterable[Issuer] = ()) -> None:
        all_entries = tuple(entries)
        digests = tuple(
            (entry.identity.digest.encode(), entry)
            for entry in all_entries
            if isinstance(entry.identity, ApiKeyIdentity)
        )
        by_issuer = {issuer.issuer: issuer for issuer in issuers}
        by_identity = {entry.identity: entry.caller for entry in all_entries}
        self.__attrs_init__(all_entries, tuple(by_issuer.values()), by_identity, by_issuer, digests)

    def find_caller(self, identity: Identity) -> Caller | None:
        """Return the caller with *identity*, which a certificate or signature has proved."""
        return self._by_identity.get(identity)

    @property
    def opentok_projects(self) -> frozenset[str]:
        """The projects whose secrets and Vonage keys prove a caller."""
        return frozenset(each.project_id for each in self._by_identity if isinstance(each, OpentokIdentity))

    def find_issuer(self, issuer: str) -> Issuer | None:
        """Return the issuer whose `iss` is exactly *issuer*."""
        return self._by_issuer.get(issuer)

    def find_by_digest(self, digest: str) -> CallerEntry | None:
        """Return the caller whose API key, which may have expired, has this SHA-256.

        Every stored digest is compared, with no early exit: the time says nothing about which one was near.
        """
        presented, found = digest.encode(), None
        for known, entry in self._digests:
            if hmac.compare_digest(known, presented):
                found = entry
        return found

    def callers_naming(self, project_id: str, role: str) -> frozenset[str]:
        """Return the names of the callers whose grant names *role* of the project, which is then in use."""
        callers = [entry.caller for entry in self.entries]
        return frozenset(c.name for c in callers if role in c.grant.roles and c.grant.allows_project(project_id))


class CurrentCallers:
    """The callers that count now. `version` grows with each replacement, which invalidates cached credentials."""

    def __init__(self, registry: CallerRegistry) -> None:
        self.registry = registry
        self.version = 0

    def callers_naming(self, project_id: str, role: str) -> frozenset[str]:
        """Return whose grant names the role now; see `CallerRegistry.callers_naming`. Safe on any thread."""
        return self.registry.callers_naming(project_id, role)

    def replace(self, registry: CallerRegistry) -> None:
        """Let *registry* count from now on, at once and as a whole."""
        self.registry = registry
        self.version += 1
