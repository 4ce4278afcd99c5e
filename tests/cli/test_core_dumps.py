"""What ends the command line, or a server, leaves no secret on a disk."""

from __future__ import annotations

import os
import signal
import sys

from pathlib import Path

import pytest


ABORTED = """
import contextlib, ctypes, os, resource, sys
hard = resource.getrlimit(resource.RLIMIT_CORE)[1]
resource.setrlimit(resource.RLIMIT_CORE, (hard, hard))
from tokenauthority.cli import main
os.chdir(sys.argv[1])
sys.argv = ["tokenauthority", "completion", "bash"]
with contextlib.suppress(SystemExit), contextlib.redirect_stdout(None):
    main()
assert (0, 0) == resource.getrlimit(resource.RLIMIT_CORE)
# PR_GET_DUMPABLE: also where the cores of this machine go to a program, which no limit of a process stops.
assert 0 == ctypes.CDLL(None).prctl(3, 0, 0, 0, 0)
os.abort()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="prctl is Linux's")
def test_leaves_no_core(tmp_path: Path) -> None:
    """A process that ran a command is aborted, under a limit that allows a core: none is written."""
    child = os.posix_spawn(sys.executable, [sys.executable, "-c", ABORTED, str(tmp_path)], os.environ)
    _, status = os.waitpid(child, 0)

    assert signal.SIGABRT == os.WTERMSIG(status), "it ended by itself"
    assert not os.WCOREDUMP(status)
    assert [] == list(tmp_path.iterdir())
