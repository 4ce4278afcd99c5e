"""All callers of one version of the callers file, found by what they are known by."""

from __future__ import annotations

import hmac

from typing import TYPE_CHECKING

import attrs

from tokenauthority.callers.identity import ApiKeyIdentity


if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tokenauthority.callers.identity import Identity
    from tokenauthority.callers.issuers import Issuer
    from tokenauthority.domain.caller import Caller


@attrs.frozen
class CallerEntry:
    """A caller, what it is known by, and the line of the callers file where it begins (0: not from a file).

    `lines` has those of its fields. A caller with two API keys has two entries, which begin on the same line.
    """

    caller: Caller
    identity: Identity
    line: int = 0
    lines: Mapping[str, int] = attrs.field(factory=dict, repr=False, eq=False)


@attrs.frozen(init=False)
class CallerRegistry:
    """An unchanging set of callers, with the issuers of JWTs that they are known by."""

    entries: tuple[CallerEntry, ...]
    issuers: tuple[Issuer, ...]
    _by_identity: Mapping[Identity, Caller] = attrs.field(repr=False, eq=False)
    _by_issuer: Mapping[str, Issuer] = attrs.field(repr=False, eq=False)
    _digests: tuple[tuple[bytes, Caller], ...] = attrs.field(repr=False, eq=False)

    def __init__(self, entries: Iterable[CallerEntry], issuers: Iterable[Issuer] = ()) -> None:
        kept = tuple(entries)
        digests = tuple((e.identity.digest.encode(), e.caller) for e in kept if isinstance(e.identity, ApiKeyIdentity))
        by_issuer = {issuer.issuer: issuer for issuer in issuers}
        by_identity = {e.identity: e.caller for e in kept}
        self.__attrs_init__(kept, tuple(by_issuer.values()), by_identity, by_issuer, digests)

    def find(self, identity: Identity) -> Caller | None:
        """The caller known by *identity*, which was proved by its certificate or signature."""
        return self._by_identity.get(identity)

    def find_issuer(self, issuer: str) -> Issuer | None:
        """The issuer of JWTs whose `iss` is exactly this."""
        return self._by_issuer.get(issuer)

    def find_by_digest(self, digest: str) -> Caller | None:
        """The caller whose API key has this SHA-256.

        Every known one is compared, with no early way out: the time says nothing about which one was near.
        """
        presented, found = digest.encode(), None
        for known, caller in self._digests:
            if hmac.compare_digest(known, presented):
                found = caller
        return found

    def names_role(self, project_id: str, role: str) -> bool:
        """Whether a grant names *role* of the project, so that it is in use."""
        grants = [entry.caller.grant for entry in self.entries]
        return any(role in grant.roles and grant.allows_project(project_id) for grant in grants)


class CurrentCallers:
    """The book in force. `version` grows when it is replaced, so that what was remembered of it is forgotten."""

    def __init__(self, book: CallerRegistry) -> None:
        self.book = book
        self.version = 0

    def names_role(self, project_id: str, role: str) -> bool:
        """See `CallerRegistry.names_role`."""
        return self.book.names_role(project_id, role)

    def replace(self, book: CallerRegistry) -> None:
        """Put another book in force, at once and whole."""
        self.book = book
        self.version += 1
