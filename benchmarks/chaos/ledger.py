"""What the callers asked and were answered, fault by fault, and what the audit logs say about it."""

from __future__ import annotations

import json
import threading

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

import attrs


FAILED: Final = frozenset({"UNAVAILABLE", "DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED", "CANCELLED", "ABORTED"})
"""The statuses of a call that got no answer: the caller knows that, and may repeat it."""

UNRECORDED: Final = frozenset({*FAILED, "UNAUTHENTICATED"})
"""The statuses of calls that may have no record: a summary counts refused strangers."""

_SHOWN: Final = 10


@attrs.frozen(kw_only=True)
class Answer:
    """How one call of a caller ended; `begun` and `ended` are of the monotonic clock."""

    request_id: str
    fault: str
    caller: str
    kind: str
    code: str
    begun: float
    ended: float
    problem: str = ""
    """Why the answer is wrong; empty for a right one."""


@attrs.define
class Ledger:
    """All answers, by fault, in the order in which they came."""

    fault: str = "start"
    """What goes on now."""

    answers: dict[str, list[Answer]] = attrs.Factory(dict)
    _lock: threading.Lock = attrs.Factory(threading.Lock)

    def add(self, answer: Answer) -> None:
        """Add an answer, which any thread may have got."""
        with self._lock:
            self.answers.setdefault(answer.fault, []).append(answer)

    def of(self, fault: str) -> Sequence[Answer]:
        """Return the answers so far to calls that began during *fault*."""
        with self._lock:
            return list(self.answers.get(fault, ()))

    def served_since(self, fault: str, moment: float) -> Mapping[tuple[str, str], float]:
        """Return, by caller and kind of call, when the first call that began after *moment* was answered with OK."""
        served: dict[tuple[str, str], float] = {}
        for answer in self.of(fault):
            if answer.begun >= moment and answer.code == "OK":
                key = answer.caller, answer.kind
                served[key] = min(answer.ended, served.get(key, answer.ended))
        return served

    def longest_gap(self, fault: str, begun: float, ended: float, callers: str) -> tuple[float, str]:
        """Return the longest time from *begun* to *ended* in which a caller had no answer, and the caller.

        Only those callers count whose names begin with *callers*.
        """
        moments: dict[str, list[float]] = {}
        for answer in self.of(fault):
            if answer.code == "OK" and answer.caller.startswith(callers):
                moments.setdefault(answer.caller, []).append(answer.ended)
        gaps = [
            (after - before, caller)
            for caller, answered in moments.items()
            for inside in [sorted(each for each in answered if begun <= each <= ended)]
            for before, after in zip([begun, *inside], [*inside, ended], strict=True)
        ]
        return max(gaps, default=(ended - begun, "nobody was answered"))


@attrs.frozen
class Comparison:
    """How the answers of a fault and the records of it differ."""

    without_record: Sequence[str]
    without_answer: Sequence[str]


def recorded_calls(paths: Iterable[Path]) -> Mapping[str, set[str]]:
    """Return the statuses that the audit logs have for each request id; a call that was repeated has several."""
    found: dict[str, set[str]] = {}
    for path in paths:
        for line in path.read_bytes().splitlines():
            record = json.loads(line)
            if record["type"] == "rpc":
                found.setdefault(str(record["request_id"]), set()).add(str(record["code"]))
    return found


def compare(answers: Iterable[Answer], recorded: Mapping[str, set[str]], fault: str) -> Comparison:
    """Compare the *answers* to the calls of *fault* with what is *recorded*."""
    given = {answer.request_id: answer.code for answer in answers}
    without_record = [
        f"{code} to {request_id}, recorded: {sorted(recorded.get(request_id, ())) or 'nothing'}"
        for request_id, code in given.items()
        if code not in UNRECORDED and code not in recorded.get(request_id, ())
    ]
    without_answer = [
        request_id
        for request_id, codes in recorded.items()
        if request_id.startswith(f"{fault}.") and "OK" in codes and given.get(request_id) != "OK"
    ]
    return Comparison(without_record, without_answer)


def shown(lines: Sequence[str]) -> Iterable[str]:
    """Return the first few of *lines*, and how many more there are."""
    yield from lines[:_SHOWN]
    if len(lines) > _SHOWN:
        yield f"and {len(lines) - _SHOWN} more"
