"""`python -m tokenauthority.cli` runs the command line."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.conftest import python


HARMFUL = ("GRPC_TRACE", "SSLKEYLOGFILE", "PGHOSTADDR", "PGSERVICE", "PGSERVICEFILE", "PGOPTIONS")


def test_says_what_to_install_where_click_is_missing(tmp_path: Path) -> None:
    """A back end has installed the client alone."""
    (tmp_path / "click.py").write_text("raise ModuleNotFoundError('no click', name='click')\n")

    done = python("-m", "tokenauthority.cli", "--help", path=str(tmp_path))

    assert 1 == done.returncode
    assert "the command line needs click: pip install 'tokenauthority[cli]'" in done.stderr
    assert "Traceback" not in done.stderr


def test_variables_of_libraries_that_undo_a_promise_have_no_effect(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are gone before a library is imported that reads them, in a server too."""
    for name in HARMFUL:
        monkeypatch.setenv(name, "all")

    done = python(
        "-c",
        "import os, sys\n"
        "from tokenauthority.cli import main\n"
        "sys.argv = ['tokenauthority', '--version']\n"
        "try:\n"
        "    main()\n"
        "finally:\n"
        f"    print([name for name in {HARMFUL} if name in os.environ])",
    )

    assert "[]" == done.stdout.splitlines()[-1]
