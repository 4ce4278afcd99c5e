"""`tokenauthority enforce` checks its settings; tests/enforcer/test_main.py runs it."""

from __future__ import annotations

from pathlib import Path

from tests.cli.conftest import Run
from tests.support.enforcer import key_file, settings_text


def _write(directory: Path, **changes: object) -> str:
    server = {
        "name": "chat",
        "kind": "centrifugo",
        "url": "https://chat.example.com",
        "project_id": "47",
        "token_lifetime": 600,
        "key_file": key_file(directory, "key"),
        **changes,
    }
    path = directory / "enforcer.toml"
    path.write_text(settings_text(directory, server, webhooks="off"), encoding="utf-8")
    return str(path)


def test_check_accepts_settings_that_are_complete(run: Run, tmp_path: Path) -> None:
    """It starts nothing."""
    done = run("enforce", "--config", _write(tmp_path), "--check")

    assert (0, "", "") == (done.exit_code, done.out, done.err)


def test_check_names_what_is_wrong(run: Run, tmp_path: Path) -> None:
    """By table and field, with the exit code of invalid settings."""
    done = run("enforce", "--config", _write(tmp_path, url="http://chat.example.com"), "--check")

    assert 2 == done.exit_code
    assert "servers.0.url: must begin with https://" in done.err


def test_a_caller_is_needed(run_alone: Run, tmp_path: Path) -> None:
    """As for every command that calls an authority."""
    done = run_alone("enforce", "--config", _write(tmp_path), "--check")

    assert (2, True) == (done.exit_code, "no address" in done.err)


def test_the_file_is_named_on_the_command_line(run: Run) -> None:
    """The server's own file is another one."""
    assert (2, True) == ((done := run("enforce")).exit_code, "--config" in done.err)
