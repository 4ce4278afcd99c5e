"""Limit the memory that a running process may take, so that the kernel ends it, or gives it none, beyond that."""

from __future__ import annotations

import os
import resource

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import attrs
import psutil


_CGROUPS: Final = Path("/sys/fs/cgroup")
_VERSIONS: Final = (
    (_CGROUPS / "memory", "memory.limit_in_bytes", "memory.swappiness"),
    (_CGROUPS, "memory.max", "memory.swap.max"),
)
"""Of cgroups 1 and 2: where groups are made, the file of the limit, and the file in which 0 turns swapping off."""


@attrs.frozen
class MemoryLimit:
    """At most *limit* bytes for one process: by a cgroup with this *file* for it, else by RLIMIT_DATA."""

    limit: int
    file: Path | None

    @property
    def how(self) -> str:
        """What limits the memory."""
        return "a cgroup" if self.file else "RLIMIT_DATA"

    def limit_process(self, pid: int) -> None:
        """Limit the process; it is killed, or gets no memory, beyond that."""
        if self.file:
            (self.file.parent / "cgroup.procs").write_text(str(pid))
            # What the process had before stays counted where it was.
            self.file.write_text(str(self.limit - psutil.Process(pid).memory_info().rss))
        else:
            resource.prlimit(pid, resource.RLIMIT_DATA, (self.limit, self.limit))


@contextmanager
def memory_limit(limit: int) -> Iterator[MemoryLimit]:
    """Make a limit of so many bytes, which is one for as long as the block runs."""
    file = _new_group(limit)
    try:
        yield MemoryLimit(limit, file)
    finally:
        if file:
            _remove(file.parent)


def _new_group(limit: int) -> Path | None:
    """Make a cgroup, of version 1 or 2, if that is possible; return the file of its limit."""
    for parent, file, swap in _VERSIONS:
        group = parent / f"tokenauthority-{os.getpid()}"
        with suppress(OSError):
            group.mkdir()
            try:
                (group / file).write_text(str(limit))
            except OSError:
                group.rmdir()
                continue
            with suppress(OSError):
                (group / swap).write_text("0")
            return group / file
    return None


def _remove(group: Path) -> None:
    """Remove a cgroup; a process that is still in it is in the one above then."""
    with suppress(OSError):
        for pid in (group / "cgroup.procs").read_text().split():
            (group.parent / "cgroup.procs").write_text(pid)
        group.rmdir()
