"""Give a server a disk that a fault can fill, by what this machine allows."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess

from pathlib import Path
from typing import Final

import attrs


ROOM: Final = 256 << 20
"""Bytes of a disk."""

_TRIES: Final = 100
"""Looks at how much is on a disk that somebody writes to."""

_UNLIMITED: Final = resource.RLIM_INFINITY


@attrs.frozen
class SmallDisk:
    """A directory whose disk can be full: a tmpfs where one can be mounted, else RLIMIT_FSIZE of the process."""

    directory: Path
    mounted: bool

    @classmethod
    def at(cls, directory: Path) -> SmallDisk:
        """Make the directory, and mount the disk if that is possible."""
        directory.mkdir()
        return cls(directory, _mount(f"size={ROOM}", "-t", "tmpfs", "none", str(directory)))

    @classmethod
    def unbounded(cls, directory: Path) -> SmallDisk:
        """Make the directory, with all the room that is there."""
        directory.mkdir()
        return cls(directory, mounted=False)

    @property
    def how(self) -> str:
        """What makes it full."""
        return "a tmpfs of its own" if self.mounted else "RLIMIT_FSIZE"

    def fill(self, pid: int) -> None:
        """Leave no room for what the process writes."""
        if not self.mounted:
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (1, _UNLIMITED))
            return
        # A server that writes meanwhile has more on the disk than the size that was just computed.
        for _ in range(_TRIES):
            disk = os.statvfs(self.directory)
            if self._resized((disk.f_blocks - disk.f_bfree) * disk.f_frsize):
                return
        raise OSError(f"{self.directory} cannot be given another size")

    def free(self, pid: int) -> None:
        """Leave room again."""
        if self.mounted:
            if not self._resized(ROOM):
                raise OSError(f"{self.directory} cannot be given another size")
        else:
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (_UNLIMITED, _UNLIMITED))

    def unmount(self) -> None:
        """Remove the disk, with what is on it."""
        if self.mounted:
            subprocess.run(["umount", "--lazy", self.directory], check=True)  # noqa: S607 - root's own path finds it

    def _resized(self, size: int) -> bool:
        return _mount(f"remount,size={size}", str(self.directory))


def _mount(options: str, *arguments: str) -> bool:
    program = shutil.which("mount")
    if program is None or os.geteuid() != 0:
        return False
    return not subprocess.run([program, "-o", options, *arguments], check=False, capture_output=True).returncode
