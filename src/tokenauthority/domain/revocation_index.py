"""An index of revoked tokens, which answers in a microsecond however many revocations there are.

It holds a keyed 64-bit hash and a moment for each revocation, about 110 bytes. With a million revocations, the chance
that a token which is not revoked collides with one is 1 in 2**44. Nobody can search for a collision without the key,
which each process draws at random.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from hashlib import blake2b
from typing import Final

from tokenauthority.domain.ids import either_spelling
from tokenauthority.domain.revocation import RETENTION, Event, RevokedTarget, StoredRevocation, TargetKind
from tokenauthority.domain.times import DAY, Millis, Seconds, whole_seconds


CLOCK_MARGIN: Final = DAY
"""Expired entries are stored for a day longer, so that a clock that is wrong for hours does not delete valid ones."""

_HASH_BYTES: Final = 8
_ENDED: Final = "ended"
_OF_A_SESSION: Final = frozenset({TargetKind.SESSION, _ENDED})


class RevocationIndex:
    """Revocations and ended sessions by what they name. *key* is 16 random bytes.

    What names a session covers it under either spelling of its id (`domain.ids`).
    """

    def __init__(self, key: bytes) -> None:
        # Copied for each hash: to start with a key costs as much as the rest.
        self._keyed = blake2b(digest_size=_HASH_BYTES, key=key)
        self._moments: defaultdict[str, dict[int, Seconds]] = defaultdict(dict)
        self._size = 0
        self._whole_project = self._hash(TargetKind.PROJECT, "")

    def __len__(self) -> int:
        """Return the number of entries."""
        return self._size

    def count_of(self, project_id: str) -> int:
        """Return the number of entries of a project."""
        return len(self._moments.get(project_id, ()))

    def add(self, event: Event) -> None:
        """Add a revocation or the end of a session; of two with one target the later moment counts."""
        if isinstance(event, StoredRevocation):
            self._add_moment(event.project_id, event.kind, event.target, event.issued_before)
        else:
            self._add_moment(event.project_id, _ENDED, event.session_id, whole_seconds(event.end_time))

    def add_all(self, events: Iterable[Event]) -> None:
        """Add many events."""
        for event in events:
            self.add(event)

    def add_targets(self, targets: Iterable[RevokedTarget]) -> None:
        """Add many revocations as a store lists them."""
        for _, project_id, kind, target, issued_before in targets:
            self._add_moment(project_id, kind, target, issued_before)

    def revoked_by(
        self, project_id: str, *, token_id: str, session_id: str, subject: str, issue_time: Seconds
    ) -> TargetKind | None:
        """Return by what a token is revoked that was issued at *issue_time*; None if it is not revoked."""
        moments = self._moments.get(project_id)
        if moments is None:
            return None
        named = ((TargetKind.TOKEN, token_id), (TargetKind.SESSION, session_id), (TargetKind.SUBJECT, subject))
        for kind, target in named:
            if target:
                moment = moments.get(self._hash(kind, target))
                if moment is not None and issue_time <= moment:
                    return kind
        whole = moments.get(self._whole_project)
        return TargetKind.PROJECT if whole is not None and issue_time <= whole else None

    def has_target_of(self, revocation: StoredRevocation) -> bool:
        """Return whether a revocation of the same target is in the index, whatever its moment."""
        return self._hash(revocation.kind, revocation.target) in self._moments.get(revocation.project_id, ())

    def has_ended(self, project_id: str, session_id: str) -> bool:
        """Return whether the end of the session is in the index."""
        return self._hash(_ENDED, session_id) in self._moments.get(project_id, ())

    def remove_expired(self, now: Millis) -> int:
        """Remove entries that have covered no valid token for a day, and return their number."""
        return sum(self.remove_expired_in_steps(now, self._size or 1))

    def remove_expired_in_steps(self, now: Millis, step: int) -> Iterator[int]:
        """Do the same for *step* entries of a project at a time, and yield the number removed.

        The index may change between steps. The first step of a project copies its hashes, 20 ms for each million.
        """
        oldest = oldest_stored(now)
        for project_id, moments in list(self._moments.items()):
            hashes = list(moments)
            for start in range(0, len(hashes), step):
                expired = [each for each in hashes[start : start + step] if moments.get(each, oldest) < oldest]
                for each in expired:
                    del moments[each]
                self._size -= len(expired)
                yield len(expired)
            if not moments and self._moments.get(project_id) is moments:
                del self._moments[project_id]

    def _add_moment(self, project_id: str, kind: str, target: str, moment: Seconds) -> None:
        moments, target_hash = self._moments[project_id], self._hash(kind, target)
        known = moments.get(target_hash)
        if known is None or known < moment:
            moments[target_hash] = moment
            self._size += known is None

    def _hash(self, kind: str, target: str) -> int:
        keyed = self._keyed.copy()
        keyed.update(f"{kind}\0{either_spelling(target) if kind in _OF_A_SESSION else target}".encode())
        return int.from_bytes(keyed.digest(), "big")


def oldest_stored(now: Millis) -> Seconds:
    """Return the earliest `issued_before` of a revocation that is still stored at *now*."""
    return Seconds(whole_seconds(now) - RETENTION - CLOCK_MARGIN)
