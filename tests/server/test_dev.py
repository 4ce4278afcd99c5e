"""What --dev creates on first start is whole or not there."""

from __future__ import annotations

import os
import stat

from pathlib import Path

import pytest

from tokenauthority.config.settings import Settings
from tokenauthority.server import dev


def test_a_master_key_is_written_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A start that is cut off leaves nothing that the next one would take for a damaged key."""
    settings = Settings.model_validate({"dev": True, "data_dir": tmp_path / "data"})

    def cut_off(_: int) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", cut_off)
        with pytest.raises(KeyboardInterrupt):
            dev.master_key(settings)
    left = list((tmp_path / "data").iterdir())
    key = dev.master_key(settings)
    (written,) = (tmp_path / "data").iterdir()

    assert [] == left
    assert key.key_id == dev.master_key(settings).key_id
    assert ("master.key", 0o600) == (written.name, stat.S_IMODE(written.stat().st_mode))
