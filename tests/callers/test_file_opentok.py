"""A caller of the official SDKs has one project, and a project one such caller."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.callers.callers_file import entry, load_registry, problems
from tokenauthority.callers.identity import OpentokIdentity
from tokenauthority.domain.caller import CallerKind


PROJECT = "47000000"


def sdk_entry(project: str = PROJECT, projects: str = f'["{PROJECT}"]') -> str:
    """The TOML of a caller whom a project secret proves."""
    return entry(api_key_sha256=None, projects=projects, opentok_project=f'"{project}"')


def test_reads_a_caller_whom_a_project_secret_proves(tmp_path: Path) -> None:
    """By its project, which the identity names."""
    found = load_registry(tmp_path, sdk_entry())
    caller = found.find_caller(OpentokIdentity(PROJECT))

    assert caller is not None
    assert ("room-service", CallerKind.OPENTOK, PROJECT) == (caller.name, caller.kind, caller.identity)
    assert {PROJECT} == found.opentok_projects == caller.grant.projects


@pytest.mark.parametrize("projects", [f'["{PROJECT}", "48000000"]', '["48000000"]', '["*"]'])
def test_reaches_its_own_project_alone(tmp_path: Path, projects: str) -> None:
    """Whoever has the secret of one project reaches no other one, whatever the entry says."""
    found = problems(tmp_path, sdk_entry(projects=projects))

    assert ("line 3: caller room-service: projects must be exactly that of opentok_project",) == found


@pytest.mark.parametrize("project", ["*", "0", "", "47000000 "])
def test_names_what_is_no_project(tmp_path: Path, project: str) -> None:
    """All projects at once have no secret."""
    found = problems(tmp_path, sdk_entry(project))

    assert any("opentok_project is invalid. Project whose secret or Vonage key" in problem for problem in found)


def test_a_project_has_one_caller(tmp_path: Path) -> None:
    """Its secret cannot stand for two."""
    found = problems(tmp_path, sdk_entry() + sdk_entry().replace("room-service", "other"))

    assert 1 == len(found)
    assert "caller other: its OpenTok project is that of room-service" in found[0]
