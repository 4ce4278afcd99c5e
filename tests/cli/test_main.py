"""`python -m tokenauthority.cli` runs the command line."""

from __future__ import annotations

from pathlib import Path

from tests.cli.conftest import python


def test_says_what_to_install_where_click_is_missing(tmp_path: Path) -> None:
    """A back end has installed the client alone."""
    (tmp_path / "click.py").write_text("raise ModuleNotFoundError('no click', name='click')\n")

    done = python("-m", "tokenauthority.cli", "--help", path=str(tmp_path))

    assert 1 == done.returncode
    assert "pip install '.[server]'" in done.stderr
    assert "Traceback" not in done.stderr
