"""Bound how many calls wait for platforms, with a share per project and per caller; refuse the others at once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from tokenauthority.domain.errors import RateLimitError, Reason


_RETRY_AFTER: Final = 1.0


class Places:
    """At most *total* calls: of one project a quarter of them, of one caller half.

    Nobody waits here, because a call that waits holds a place among all RPCs of the server.
    """

    def __init__(self, total: int) -> None:
        self._total = total
        self._held: Counter[str] = Counter()
        self._in_use = 0

    @contextmanager
    def hold(self, *, project_id: str, caller: str) -> Iterator[None]:
        """Hold a place, or raise RateLimitError, `CONCURRENCY_LIMIT`."""
        project, own = f"project {project_id}", f"caller {caller}"
        shares = {project: max(self._total // 4, 1), own: max(self._total // 2, 1)}
        full = [holder for holder, share in shares.items() if self._held[holder] >= share]
        if full or self._in_use >= self._total:
            subject = full[0] if full else "server"
            raise RateLimitError(
                f"as many calls as {subject} may have wait for the platform (platform.max_concurrent: {self._total})",
                subject=subject,
                limit="platform.max_concurrent",
                retry_after=_RETRY_AFTER,
                reason=Reason.CONCURRENCY_LIMIT,
            )
        holders = Counter(shares.keys())
        self._held += holders
        self._in_use += 1
        try:
            yield
        finally:
            self._held -= holders
            self._in_use -= 1
