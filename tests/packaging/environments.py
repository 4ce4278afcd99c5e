"""Environments with the packages of one lock and nothing else, cached outside the checkout."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys

from pathlib import Path
from typing import Final

from tests.packaging.wheels import ROOT


REQUIREMENTS: Final = ROOT / "requirements"
CACHE: Final = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tokenauthority-tests"
UV: Final = shutil.which("uv") or "uv"
INSTALL_SECONDS: Final = 300
RUN_SECONDS: Final = 60


def environment(lock: Path) -> str:
    """Return the interpreter of an environment with the packages of *lock*, which is made when first asked for."""
    wanted = hashlib.sha256(lock.read_bytes() + sys.version.encode()).hexdigest()[:16]
    folder = CACHE / f"{lock.stem}-{wanted}"
    CACHE.mkdir(parents=True, exist_ok=True)
    # Several test processes may ask at once.
    with folder.with_suffix(".lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        if not folder.exists():
            made = folder.with_suffix(".new")
            python = made / "bin" / "python"
            run(UV, "venv", "--quiet", "--clear", "--python", sys.executable, str(made))
            run(
                UV, "pip", "install", "--quiet", "--python", str(python), "--require-hashes", "--requirement", str(lock)
            )
            made.rename(folder)
    return str(folder / "bin" / "python")


def install(directory: Path, *wheels: Path) -> None:
    """Put *wheels* into *directory*, without what they require."""
    run(UV, "pip", "install", "--quiet", "--no-deps", "--target", str(directory), *map(str, wheels))


def run(*command: str) -> None:
    """Run *command* to its end, which must be a success."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=INSTALL_SECONDS, check=False)
    assert 0 == done.returncode, done.stderr
