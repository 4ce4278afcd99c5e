"""What is written is read as the same state, and the same state is the same text."""

from __future__ import annotations

import random

from datetime import UTC, datetime
from typing import Any

import pytest
import yaml

from hypothesis import given
from hypothesis import strategies as st

from tests.declaration.states import (
    APPLICATION,
    Projects,
    any_callers,
    any_projects,
    caller,
    project,
    role,
    secret,
)
from tokenauthority.callers.file_edit import format_entry
from tokenauthority.callers.file_models import CallerTable
from tokenauthority.declaration.caller_plan import plan_callers
from tokenauthority.declaration.plan import plan_projects
from tokenauthority.declaration.reading import CallersNow, check_declaration, parse_declaration
from tokenauthority.declaration.written import as_written, write_declaration
from tokenauthority.domain.times import Seconds
from tokenauthority.domain.token_format import TokenFormat


def _write(projects: Projects, callers: list[CallerTable] | None = None) -> str:
    return write_declaration([(each.project, each.roles) for each in projects.values()], callers)


@given(any_projects(), any_callers(), st.randoms())
def test_what_is_written_needs_no_change(projects: Projects, callers: list[CallerTable], order: random.Random) -> None:
    """Of any state; and the order in which it was read does not matter."""
    text = _write(projects, callers)
    entries = "\n".join(format_entry(table.model_dump(exclude_unset=True)) for table in callers)
    now = CallersNow.parse(entries.encode())
    draft = parse_declaration(text.encode())
    declaration = check_declaration(draft, now)
    shuffled = order.sample(sorted(projects.items()), len(projects))

    assert () == plan_projects(declaration, draft, projects, prune=True).changes
    assert [] == plan_callers(declaration, now, "callers.toml", prune=True)
    assert _write(dict(shuffled), order.sample(callers, len(callers))) == text


@given(any_projects())
def test_every_reader_of_yaml_reads_the_same_text(projects: Projects) -> None:
    """Also one that takes `no` for false: all that it could mistake is quoted."""
    for each in yaml.safe_load(_write(projects))["projects"]:
        actual = projects[each["project_id"]]

        assert actual.project.display_name == each["display_name"]
        assert {role.name: role.description for role in actual.roles} == {
            role["name"]: role["description"] for role in each["roles"]
        }


@pytest.mark.parametrize(
    ("seconds", "text"), [(86_400, "1d"), (90, "90s"), (5400, "90m"), (7200, "2h"), (30 * 86_400, "30d"), (1, "1s")]
)
def test_a_lifetime_is_in_the_largest_unit_in_which_it_is_whole(seconds: int, text: str) -> None:
    """So it is short and exact."""
    assert text == as_written(Seconds(seconds))


@pytest.mark.parametrize(
    ("changes", "imported"),
    [
        ({}, None),
        ({"vonage_application_id": APPLICATION, "credentials": ()}, {"source": "vonage", "id": APPLICATION}),
        ({"credentials": (secret("APIx"),)}, {"source": "livekit", "id": "APIx"}),
        (
            {"credentials": (secret("app"),), "default_format": TokenFormat.JITSI_JWT},
            {"source": "jitsi", "id": "app"},
        ),
        ({"external_sessions": True}, {"source": "opentok"}),
        ({"platform_url": "https://api.opentok.com"}, {"source": "opentok"}),
    ],
)
def test_a_project_with_a_credential_of_elsewhere_is_never_made_anew(
    changes: dict[str, Any], imported: dict[str, str] | None
) -> None:
    """Where it does not exist, its credential has to be imported."""
    (found,) = yaml.safe_load(write_declaration([(project(**changes), ())], None))["projects"]

    assert imported == found.get("imported")


def test_other_characters_than_ascii_are_in_double_quotes() -> None:
    """So an output that escapes one means the same."""
    text = write_declaration([(project(display_name="Büro"), [role(description="a\u202eb")])], None)

    assert '"Büro"' in text
    assert 'description: "a' in text


def test_a_caller_is_written_with_its_own_fields_alone() -> None:
    """No default is made explicit, and its API key is left out; without a callers file there is no word of callers."""
    text = write_declaration([], [caller(expires=datetime(2027, 1, 1, tzinfo=UTC))])

    assert {"name", "projects", "actions"} == yaml.safe_load(text)["callers"][0].keys()
    assert "callers" not in write_declaration([], None).split("version")[1]
