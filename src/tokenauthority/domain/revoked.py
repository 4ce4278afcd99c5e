"""Which tokens have been taken back: an index that answers in a microsecond however many revocations there are.

It keeps a keyed 64-bit hash and a moment for each revocation, about 110 bytes. With a million of them the chance that
a token which was not taken back hits one by accident is 1 in 2**44 (18 million million); nobody can seek such a hit
without the key, which each process draws for itself.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING, Final

from tokenauthority.domain.revocation import RETENTION, StoredRevocation, TargetKind
from tokenauthority.domain.times import DAY, Millis, Seconds, whole_seconds


if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tokenauthority.domain.revocation import Event, RevokedTarget


CLOCK_MARGIN: Final = DAY
"""What is forgotten is gone, so it is kept for a day longer: a clock that was set wrong for hours must not cost it."""

_HASH_BYTES: Final = 8
_ENDED: Final = "ended"


class RevokedIndex:
    """Revocations and ended sessions by what they name. *key* is 16 random bytes."""

    def __init__(self, key: bytes) -> None:
        # Copied for each: to begin with a key costs as much as all the rest.
        self._keyed = blake2b(digest_size=_HASH_BYTES, key=key)
        self._moments: dict[int, Seconds] = {}

    def __len__(self) -> int:
        """How many are kept."""
        return len(self._moments)

    def add(self, event: Event) -> None:
        """Take in a revocation or the end of a session; of two of one target the later moment counts."""
        if isinstance(event, StoredRevocation):
            self._keep(self._place(event.kind, event.project_id, event.target), event.issued_before)
        else:
            self._keep(self._place(_ENDED, event.project_id, event.session_id), whole_seconds(event.end_time))

    def add_all(self, events: Iterable[Event]) -> None:
        """Take in many."""
        for event in events:
            self.add(event)

    def add_targets(self, targets: Iterable[RevokedTarget]) -> None:
        """Take in many revocations as a store lists them."""
        for _, project_id, kind, target, issued_before in targets:
            self._keep(self._place(kind, project_id, target), issued_before)

    def revoked(
        self, project_id: str, *, token_id: str, session_id: str, subject: str, issue_time: Seconds
    ) -> TargetKind | None:
        """What of a token was taken back at its *issue_time* or later; None where it is in force."""
        named = ((TargetKind.TOKEN, token_id), (TargetKind.SESSION, session_id), (TargetKind.SUBJECT, subject))
        for kind, target in named:
            if target:
                moment = self._moments.get(self._place(kind, project_id, target))
                if moment is not None and issue_time <= moment:
                    return kind
        return None

    def holds(self, revocation: StoredRevocation) -> bool:
        """Whether there is one of the same target already, whatever its moment."""
        return self._place(revocation.kind, revocation.project_id, revocation.target) in self._moments

    def ended(self, project_id: str, session_id: str) -> bool:
        """Whether the session was ended, as far as `add` was told."""
        return self._place(_ENDED, project_id, session_id) in self._moments

    def prune(self, now: Millis) -> int:
        """Forget what can cover no token any more, a day after that; how many went."""
        return sum(self.prune_in_steps(now, len(self._moments) or 1))

    def prune_in_steps(self, now: Millis, step: int) -> Iterator[int]:
        """The same, *step* at a time, between which the index may be used and changed; how many went in each.

        Before the first step the places are copied, in some 20 ms for each million.
        """
        last, places = oldest_kept(now), list(self._moments)
        for start in range(0, len(places), step):
            old = [place for place in places[start : start + step] if self._moments.get(place, last) < last]
            for place in old:
                del self._moments[place]
            yield len(old)

    def _keep(self, place: int, moment: Seconds) -> None:
        known = self._moments.get(place)
        if known is None or known < moment:
            self._moments[place] = moment

    def _place(self, kind: str, project_id: str, target: str) -> int:
        keyed = self._keyed.copy()
        keyed.update(f"{kind}\0{project_id}\0{target}".encode())
        return int.from_bytes(keyed.digest(), "big")


def oldest_kept(now: Millis) -> Seconds:
    """The earliest `issued_before` of a revocation that is still kept at *now*."""
    return Seconds(whole_seconds(now) - RETENTION - CLOCK_MARGIN)
