"""Bound how many lines of one kind the operational log gets: a stranger, or a fault, could else fill its disk."""

from __future__ import annotations

import logging
import threading
import time

from collections.abc import Callable
from typing import Final

import attrs

from tokenauthority.domain.caller import Rate
from tokenauthority.domain.rates import Bucket, is_full, take_items
from tokenauthority.domain.times import Millis


_LINES: Final = Rate(per_second=0.1, burst=100)
"""Lines of one kind: a hundred at once, and six in a minute after them."""

_MAX_KINDS: Final = 200
"""Kinds of libraries' lines that are counted separately. All further ones are one kind."""

_DELETION_INTERVAL: Final = 1000
"""Milliseconds between two deletions of kinds with a full bucket, at least: who invents kinds must not cost much."""

_KIND_CHARACTERS: Final = 60
"""Characters of a library's message that identify its kind: what varies in a message comes later."""

_AUDIT: Final = "tokenauthority.audit"
"""The logger without a limit: its checkpoints are evidence, and its events have intervals of their own."""

_OTHER: Final = "other"

_DROPPED: Final = "log.dropped"
"""The event without a limit: it counts the lines that are missing, once a minute for each kind."""


@attrs.define
class _Kind:
    bucket: Bucket = attrs.Factory(Bucket)
    dropped: int = 0


class LineLimiter(logging.Filter):
    """Passes the lines within the limit of their kind, and counts the others.

    The kind of our own event is its name, and our code has few of them. That of a library's line is the place in the
    code and the begin of the text, which a stranger may have chosen. A flood of one kind drops no line of another, and
    a flood of kinds drops none of ours.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._monotonic = monotonic
        self._events: dict[str, _Kind] = {}
        self._kinds: dict[str, _Kind] = {}
        self._deleted_at = Millis(0)
        # Libraries log on threads of their own. And the thread that has the lock may come again: wherever Python
        # allocates, its garbage collector may run a finalizer whose error is logged. So loops go over lists,
        # which miss nothing that matters.
        self._lock = threading.RLock()

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether *record* may be written; any thread may call this."""
        event = str(record.msg.get("event", "")) if isinstance(record.msg, dict) else ""
        if record.name == _AUDIT or event == _DROPPED:
            return True
        text = "" if event else _text_of(record)
        now = Millis(int(self._monotonic() * 1000))
        with self._lock:
            kind = self._events.setdefault(event, _Kind()) if event else self._foreign(text, now)
            decision = take_items(kind.bucket, _LINES, 1, now)
            kind.bucket = decision.state
            kind.dropped += not decision.granted
            return decision.granted

    def take_dropped(self) -> dict[str, int]:
        """Return how many lines of each kind were dropped since the last call."""
        found = {}
        with self._lock:
            for kinds in (self._events, self._kinds):
                for name in list(kinds):
                    kind = kinds.get(name)
                    if kind is not None and kind.dropped:
                        found[name], kind.dropped = kind.dropped, 0
        return found

    def _foreign(self, name: str, now: Millis) -> _Kind:
        if name not in self._kinds and len(self._kinds) >= _MAX_KINDS:
            self._delete_full(now)
            if len(self._kinds) >= _MAX_KINDS:
                return self._events.setdefault(_OTHER, _Kind())
        return self._kinds.setdefault(name, _Kind())

    def _delete_full(self, now: Millis) -> None:
        """Delete the kinds whose bucket is full again: each leaves room for a new kind."""
        if now - self._deleted_at >= _DELETION_INTERVAL:
            self._deleted_at = now
            for name in list(self._kinds):
                kind = self._kinds.get(name)
                if kind is not None and not kind.dropped and is_full(kind.bucket, _LINES, now):
                    self._kinds.pop(name, None)


def _text_of(record: logging.LogRecord) -> str:
    return f"{record.name}:{record.lineno}: {str(record.msg)[:_KIND_CHARACTERS]}".splitlines()[0]
