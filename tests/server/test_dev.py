"""What --dev creates on first start is whole or not there."""

from __future__ import annotations

import os
import stat

from pathlib import Path

import pytest

from tests.support.authority import make_caller
from tokenauthority.audit.errors import AuditLogInUseError
from tokenauthority.callers.identity import ApiKeyIdentity, OpentokIdentity
from tokenauthority.callers.registry import CallerEntry, CallerRegistry, CurrentCallers
from tokenauthority.config.settings import Settings
from tokenauthority.domain.caller import Action
from tokenauthority.server import dev
from tokenauthority.server.problems import os_problem


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


def test_a_second_server_says_where_the_first_is(tmp_path: Path) -> None:
    """With the command that leads to it, and not by the name of a file that both would write."""
    settings = Settings.model_validate({"dev": True, "data_dir": tmp_path / "my data"})
    elsewhere = Settings.model_validate({"dev": True, "audit": {"path": tmp_path / "audit.jsonl"}})
    error = AuditLogInUseError("the audit log is in use by another server")

    problem = os_problem(settings, error)

    assert f"a development server already runs with {tmp_path}/my data" in problem
    assert f"source '{tmp_path}/my data/dev.env'" in problem
    assert "TOKENAUTHORITY_AUDIT__PATH: the audit log is in use" in os_problem(elsewhere, error)


def test_lets_the_sdks_of_its_project_in() -> None:
    """Beside the one caller, for creating sessions in this project alone."""
    callers = CurrentCallers(CallerRegistry([CallerEntry(make_caller(), ApiKeyIdentity("ab" * 32))]))

    dev.let_sdks_in(callers, "47000000")

    caller = callers.registry.find_caller(OpentokIdentity("47000000"))
    assert caller is not None
    assert (["47000000"], [Action.SESSIONS_CREATE]) == (list(caller.grant.projects), list(caller.grant.actions))
    found = callers.registry.find_by_digest("ab" * 32)
    assert found is not None
    assert make_caller() == found.caller
