"""Files that an operator names are opened without waiting for a writer."""

from __future__ import annotations

import os

from pathlib import Path

import pytest

from tokenauthority.callers.file import CallersFileError, load_callers


def test_a_fifo_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    """Nobody may ever write into it."""
    os.mkfifo(tmp_path / "callers.toml")

    with pytest.raises(CallersFileError, match="cannot be read"):
        load_callers(tmp_path / "callers.toml")
