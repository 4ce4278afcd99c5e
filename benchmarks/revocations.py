"""What revocations in force cost a server: memory for each, and the time of a start with all of them."""

from __future__ import annotations

import secrets
import tracemalloc

from typing import TYPE_CHECKING

import attrs

from benchmarks import cpu, servers
from tokenauthority.domain.revocation_index import RevocationIndex
from tokenauthority.domain.times import Seconds


if TYPE_CHECKING:
    from pathlib import Path


@attrs.frozen(kw_only=True)
class Costs:
    """Bytes for each of `count` revocations, as Python counts them and as the process grows; seconds of CPU to start.

    `resident` is what the process has more than one without any, and so holds what reading them left behind.
    """

    count: int
    counted: float
    resident: float
    start: float
    start_with_none: float

    def as_text(self) -> str:
        """A table."""
        rows = {
            "bytes of each in the index": f"{self.counted:.0f}",
            "bytes of each by which the server grows": f"{self.resident:.0f}",
            "seconds of CPU until it serves": f"{self.start:.2f}",
            "seconds of CPU until it serves, with none": f"{self.start_with_none:.2f}",
        }
        head = f"{self.count:,} revocations in force"
        return "\n".join(["", head, "", *(f"{name:<56}{figure:>9}" for name, figure in rows.items()), ""])

    def as_json(self) -> dict[str, object]:
        """The same for programs."""
        return attrs.asdict(self)


def measure(none: Path, many: Path, count: int) -> Costs:
    """Start a server on the store in each directory; that in *many* has *count* revocations.

    Raises:
        ServerError: one did not start.
        OSError: the kernel does not report what it uses.
    """
    (small, early), (large, late) = _started(none), _started(many)
    return Costs(
        count=count,
        counted=_counted(count),
        resident=(large - small) / count,
        start=late / 1e9,
        start_with_none=early / 1e9,
    )


def _started(directory: Path) -> tuple[int, int]:
    """Memory, and nanoseconds of CPU, of a server that has just begun to serve."""
    # The store may have a server already, whose audit log is its own.
    with servers.authority(directory, AUDIT__PATH=str(directory / "second.jsonl")) as server:
        return cpu.resident(server.pid), cpu.of_process(server.pid)


def _counted(count: int) -> float:
    index = RevocationIndex(secrets.token_bytes(16))
    tracemalloc.start()
    try:
        index.add_targets(("", "47000000", "token", f"{number:032x}", Seconds(number)) for number in range(count))
        return tracemalloc.get_traced_memory()[0] / count
    finally:
        tracemalloc.stop()
