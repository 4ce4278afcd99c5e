"""What callers of a busy server see: latency at half load, records in a commit, and memory after many calls."""

from __future__ import annotations

import math
import time

from typing import TYPE_CHECKING, Final

import attrs

from benchmarks import cpu
from benchmarks.measure import bar_text


if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from benchmarks.h2load import Load


_SECONDS: Final = 20.0
_ROUNDS: Final = 3
_PROBE: Final = 2000
_IN_FLIGHT: Final = {1: (1, 1), 8: (1, 8), 32: (4, 8), 128: (4, 32)}
"""Connections, and calls on each."""

_SETTLED: Final = 1.5
"""Seconds after which the metrics of a server are collected anew."""

_MANY_CALLS: Final = 200_000

_LATENCY_BAR: Final = 4.0
"""The most that the 99th of a hundred calls may take, as a multiple of that of the empty server."""

_RECORDS_BAR: Final = {32: 8.0}
"""The least number of records in one commit, by calls in flight."""


@attrs.frozen(kw_only=True)
class Latency:
    """Milliseconds of a call: the median, the 99th of a hundred, and the longest of all."""

    p50: float
    p99: float
    longest: float

    @classmethod
    def of(cls, microseconds: Sequence[int]) -> Latency:
        """That of calls in order of size."""
        last = len(microseconds) - 1
        p50, p99 = (microseconds[math.ceil(last * share)] / 1000 for share in (0.5, 0.99))
        return cls(p50=p50, p99=p99, longest=microseconds[-1] / 1000)


@attrs.frozen(kw_only=True)
class HalfLoad:
    """The authority and the empty server, each with `per_second` calls, half of what the authority can answer."""

    per_second: float
    authority: Latency
    empty: Latency

    def as_text(self) -> str:
        """A table."""
        rows = {"authority": self.authority, "empty server": self.empty}
        head = f"Latency in ms at {self.per_second:.0f} calls a second, half of the most"
        lines = ["", f"{head:<56}{'p50':>9}{'p99':>9}{'longest':>9}", ""]
        lines += [f"{name:<56}{of.p50:>9.1f}{of.p99:>9.1f}{of.longest:>9.1f}" for name, of in rows.items()]
        bar = bar_text(f"<= {_LATENCY_BAR:g}", reached=self.ratio <= _LATENCY_BAR)
        return "\n".join([*lines, f"{'p99 / p99 of the empty server':<65}{self.ratio:>9.1f}  {bar}", ""])

    @property
    def ratio(self) -> float:
        """How much longer the slowest calls take than those of the empty server."""
        return self.authority.p99 / self.empty.p99

    def as_json(self) -> dict[str, object]:
        """The same for programs."""
        return {**attrs.asdict(self), "ratio": self.ratio}


@attrs.frozen
class Commits:
    """Records in one commit of the audit log, by the number of calls in flight."""

    records: dict[int, float]

    def as_text(self) -> str:
        """A table."""
        rows = [
            f"{f'{calls} in flight':<56}{records:>9.1f}  {_records_bar(calls, records)}".rstrip()
            for calls, records in self.records.items()
        ]
        return "\n".join(["", "Records in one commit of the audit log", "", *rows, ""])

    def as_json(self) -> dict[str, object]:
        """The same for programs."""
        return {str(calls): records for calls, records in self.records.items()}


def _records_bar(in_flight: int, records: float) -> str:
    bar = _RECORDS_BAR.get(in_flight)
    return "" if bar is None else bar_text(f">= {bar:g}", reached=records >= bar)


@attrs.frozen(kw_only=True)
class Memory:
    """Bytes of the server before `calls` calls, after a tenth of them, and after all."""

    calls: int
    before: int
    early: int
    after: int

    def as_text(self) -> str:
        """A table."""
        rows = {"before": self.before, f"after {self.calls // 10:,}": self.early, f"after {self.calls:,}": self.after}
        lines = [f"{name:<56}{size / 2**20:>9.1f}" for name, size in rows.items()]
        return "\n".join(["", "Resident memory in MiB, by calls", "", *lines, ""])

    def as_json(self) -> dict[str, object]:
        """The same for programs."""
        return attrs.asdict(self)


def half_load(authority: Load, empty: Load, log: Path) -> HalfLoad:
    """Give both half of the most that *authority* answers in a second, in turn; *log* is written for each.

    Raises:
        LoadError: a call was not answered.
    """
    probe = attrs.evolve(authority, calls=_PROBE)
    probe.measure()
    started = time.monotonic()
    probe.measure()
    per_second = _PROBE / (time.monotonic() - started) / 2
    asked = [attrs.evolve(load, calls=int(per_second * _SECONDS / _ROUNDS)) for load in (authority, empty)]
    taken: list[list[int]] = [[], []]
    for _ in range(_ROUNDS):
        for load, times in zip(asked, taken, strict=True):
            times.extend(load.latencies(per_second, log))
    own, of_empty = (Latency.of(sorted(times)) for times in taken)
    return HalfLoad(per_second=per_second, authority=own, empty=of_empty)


def commits(authority: Load) -> Commits:
    """Count the records and the commits of some calls.

    Raises:
        LoadError: a call was not answered.
    """
    found = {}
    for in_flight, (clients, streams) in _IN_FLIGHT.items():
        load = attrs.evolve(authority, clients=clients, streams=streams)
        time.sleep(_SETTLED)
        records, number = authority.server.audited()
        load.measure()
        time.sleep(_SETTLED)
        later, more = authority.server.audited()
        found[in_flight] = (later - records) / (more - number)
    return Commits(found)


def memory(authority: Load, say: Callable[[str], None]) -> Memory:
    """Make so many calls.

    Raises:
        LoadError: a call was not answered.
    """
    pid, slice_of_all = authority.server.pid, attrs.evolve(authority, calls=_MANY_CALLS // 10)
    sizes = [cpu.resident(pid)]
    for number in range(10):
        slice_of_all.measure()
        sizes.append(cpu.resident(pid))
        say(f"{(number + 1) * slice_of_all.calls:,} calls")
    return Memory(calls=_MANY_CALLS, before=sizes[0], early=sizes[1], after=sizes[-1])
