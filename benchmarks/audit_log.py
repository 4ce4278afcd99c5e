"""What a durable audit record costs, and how waiting calls share the fsync.

    python -m benchmarks.audit_log [DIRECTORY]

DIRECTORY is on the disk to be measured; default: where temporary files are. CPU is that of the whole process.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile

from pathlib import Path
from time import perf_counter, process_time
from typing import TYPE_CHECKING, Final

import structlog
import uvloop

from tokenauthority.audit.record import AuditRecord, time_text
from tokenauthority.audit.writing.log import FileAuditLog, LogOptions
from tokenauthority.audit.writing.log_file import Disk
from tokenauthority.domain.times import Millis


if TYPE_CHECKING:
    from collections.abc import Iterator


_RECORDS: Final = 4096
_CALLERS: Final = (1, 4, 16, 64, 256)


class _Counting(Disk):
    syncs = 0

    def sync(self, descriptor: int) -> None:
        self.syncs += 1
        super().sync(descriptor)


async def _measure(directory: Path, callers: int, *, durable: bool) -> str:
    disk = _Counting()
    options = LogOptions(durable=durable)
    name = f"audit-{callers}-{durable}.jsonl"
    log = FileAuditLog(directory / name, directory / "key.pem", clock=lambda: Millis(0), options=options, disk=disk)
    # A single caller waits for each fsync by itself: enough to measure, and over in a moment.
    records = min(_RECORDS, 256 * callers)
    async with log.running():
        left: Iterator[int] = iter(range(records))

        async def call() -> None:
            for number in left:
                await log.append(_record(number))

        syncs, wall, cpu = disk.syncs, perf_counter(), process_time()
        await asyncio.gather(*(call() for _ in range(callers)))
        wall, cpu, syncs = perf_counter() - wall, process_time() - cpu, disk.syncs - syncs
    shared = f"{records / syncs:8.1f}" if syncs else "       -"
    way = "fsync" if durable else "write"
    return f"{way}  {callers:7} {shared} {cpu / records * 1e6:12.1f} {wall / records * 1e6:12.1f}\n"


def _record(number: int) -> AuditRecord:
    return AuditRecord(
        time=time_text(Millis(1_700_000_000_000)),
        request_id=f"{number:032x}",
        method="/tokenauthority.v1.TokenService/GenerateToken",
        peer="ipv4:127.0.0.1:40000",
        user_agent="grpc-python/1.85.1",
        project_id="47000000",
        session_id="2_MX40NzAwMDAwMH5-MTcwMDAwMDAwMDAwMH5BQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUF-UH4",
        role="publisher",
        format="SESSION_JWT",
        lifetime=3600,
        token_ids=("0f8fad5b-d9cb-469f-a165-70867728950e",),
        code="OK",
        duration_us=400,
    )


async def _run(directory: Path) -> None:
    sys.stdout.write(
        "way    callers  records   us of CPU   us of wall\n                 / fsync    / record     / record\n"
    )
    for durable in (True, False):
        for callers in _CALLERS:
            sys.stdout.write(await _measure(directory, callers, durable=durable))


def main() -> None:
    """Measure and print."""
    structlog.configure(processors=[], wrapper_class=structlog.make_filtering_bound_logger(50))
    with tempfile.TemporaryDirectory(dir=sys.argv[1] if len(sys.argv) > 1 else None) as name:
        uvloop.run(_run(Path(name)))


if __name__ == "__main__":
    main()
