"""A plan has exactly what differs, in an order that works, and finds what cannot be changed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import attrs
import pytest

from hypothesis import given

from tests.declaration.states import APPLICATION, Projects, any_projects, project, role, secret
from tokenauthority.declaration.plan import (
    ActualProject,
    FieldChange,
    Plan,
    PlannedChange,
    Verb,
    in_order_of_work,
    plan_projects,
)
from tokenauthority.declaration.reading import check_declaration, parse_declaration
from tokenauthority.declaration.written import write_declaration
from tokenauthority.domain.project import Project
from tokenauthority.domain.role import Permission, Role
from tokenauthority.domain.times import Seconds
from tokenauthority.domain.token_format import TokenFormat


def _plan(text: str, *actual: ActualProject, prune: bool = False) -> Plan:
    draft = parse_declaration(f"version: 1\n{text}".encode())
    by_id = {each.project.project_id: each for each in actual}
    return plan_projects(check_declaration(draft, None), draft, by_id, prune=prune)


def _shown(plan: Plan) -> list[tuple[str, str, str]]:
    return [(change.verb.value, change.kind, change.name) for change in plan.changes]


def test_a_new_project_gets_what_is_declared_and_nothing_else() -> None:
    """Defaults are those of the authority."""
    plan = _plan("projects: [{project_id: 47, max_ttl: 1h, roles: [{name: no, permissions: [publish]}]}]")

    assert [("create", "project", "47"), ("create", "role", "no")] == _shown(plan)
    assert (FieldChange("max_ttl", None, "1h"),) == plan.changes[0].fields
    assert () == plan.problems


def test_a_change_has_old_and_new_of_each_field_that_differs() -> None:
    """A field that is left out stays, and the same lifetime in another unit is the same."""
    actual = ActualProject(
        project(display_name="a", disabled=True, external_sessions=True),
        (role(description="d", permissions=(Permission.PUBLISH,)),),
    )
    plan = _plan(
        "projects: [{project_id: 47, display_name: b, default_ttl: 24h, claims_for: [mediamtx], roles: "
        "[{name: camera, permissions: [signal, publish]}]}]",
        actual,
    )

    assert [
        (FieldChange("display_name", "a", "b"), FieldChange("claims_for", [], ["mediamtx"])),
        (FieldChange("permissions", ["publish"], ["publish", "signal"]),),
    ] == [change.fields for change in plan.changes]
    assert [Verb.CHANGE, Verb.CHANGE] == [change.verb for change in plan.changes]


def test_what_is_not_declared_is_shown_and_deleted_only_on_request() -> None:
    """The roles of a project count where roles are declared; without projects nothing counts."""
    other = ActualProject(project("48"), (role("x", project_id="48"),))
    mine = ActualProject(project(), (role(),))
    text = "projects: [{project_id: 47, roles: []}]"

    assert [("not_declared", "role", "camera"), ("not_declared", "project", "48")] == _shown(_plan(text, mine, other))
    assert [("delete", "role", "camera"), ("delete", "project", "48")] == _shown(_plan(text, mine, other, prune=True))
    assert [] == _shown(_plan("projects: [{project_id: 47}]", mine, prune=True))
    assert [] == _shown(_plan("", mine, other, prune=True))


@pytest.mark.parametrize(
    ("imported", "command"),
    [
        ("{source: opentok}", "projects import opentok --api-key 47 --secret-file FILE"),
        (
            f"{{source: vonage, id: {APPLICATION}}}",
            f"projects import vonage --application-id {APPLICATION} --project-id 47 --key-file FILE",
        ),
        ("{source: livekit, id: APIx}", "projects import livekit --api-key APIx --project-id 47 --secret-file FILE"),
        ("{source: jitsi, id: app}", "projects import jitsi --app-id app --project-id 47 --secret-file FILE"),
    ],
)
def test_a_project_whose_credential_is_elsewhere_is_imported_by_hand(imported: str, command: str) -> None:
    """The plan has the command, and makes no project with another secret."""
    (change,) = _plan(f"projects: [{{project_id: 47, imported: {imported}, roles: []}}]").changes

    assert (Verb.BY_HAND, f"tokenauthority {command}") == (change.verb, change.note)


def test_a_key_of_a_server_that_the_project_lacks_is_added_by_hand() -> None:
    """With the command; one that it has is as declared."""
    text = "projects: [{project_id: 47, imported: {source: livekit, id: APIy}}]"
    (change,) = _plan(text, ActualProject(project(credentials=(secret("APIx"),)), ())).changes
    same = _plan(text, ActualProject(project(credentials=(secret("APIx"), secret("APIy"))), ()))

    assert "tokenauthority projects rotate-secret 47 --secret-id APIy --secret-file FILE" == change.note
    assert () == same.changes


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        (
            f"imported: {{source: vonage, id: {APPLICATION}}}",
            "line 4: project 47: its Vonage application is none, and cannot be changed",
        ),
        ("max_ttl: 1h", "line 3: project 47: default_ttl must be from 1s to max_ttl (3600s)"),
        ("default_ttl: 20d", "line 4: project 47: default_ttl must be from 1s to max_ttl (864000s)"),
        ("default_format: VONAGE_JWT", "line 4: project 47: default_format VONAGE_JWT needs an imported application"),
    ],
)
def test_what_the_authority_would_refuse_is_found_before_anything_is_changed(fields: str, problem: str) -> None:
    """With the line: also by a value that is not declared."""
    actual = project(max_ttl=Seconds(864_000), default_format=TokenFormat.OPENTOK_JWT)

    plan = _plan(f"projects:\n- project_id: 47\n  {fields}\n", ActualProject(actual, ()))

    assert [problem] == [str(each) for each in plan.problems]


@given(any_projects(), any_projects())
def test_a_plan_leads_to_what_is_declared(before: Projects, after: Projects) -> None:
    """From any state to any other: a second plan has only what is done by hand."""
    text = write_declaration([(each.project, each.roles) for each in after.values()], None)
    draft = parse_declaration(text.encode())
    declaration = check_declaration(draft, None)
    plan = plan_projects(declaration, draft, before, prune=True)
    again = plan_projects(declaration, draft, _changed(before, in_order_of_work(plan.changes)), prune=True)

    assert {Verb.BY_HAND} >= {change.verb for change in again.changes}


def _changed(projects: Projects, changes: Sequence[PlannedChange]) -> Projects:
    """What an authority makes of *changes*, in their order."""
    found = dict(projects)
    for change in changes:
        project_id = change.project_id or change.name
        match change:
            case PlannedChange(after=Project() as made):
                found[project_id] = ActualProject(made, found[project_id].roles if project_id in found else ())
            case PlannedChange(verb=Verb.DELETE, kind="project"):
                del found[project_id]
            case PlannedChange(verb=Verb.CREATE | Verb.CHANGE | Verb.DELETE, kind="role"):
                roles = [each for each in found[project_id].roles if each.name != change.name]
                roles += [change.after] if isinstance(change.after, Role) else []
                found[project_id] = attrs.evolve(found[project_id], roles=tuple(roles))
    return found


def test_the_order_is_one_that_works() -> None:
    """A project before its roles, these before the callers that name them; deletions the other way round, and last."""

    def change(verb: Verb, kind: Literal["project", "role", "caller"]) -> PlannedChange:
        return PlannedChange(verb=verb, kind=kind, name=kind)

    mixed = [
        change(Verb.BY_HAND, "caller"),
        change(Verb.DELETE, "project"),
        change(Verb.CREATE, "caller"),
        change(Verb.DELETE, "role"),
        change(Verb.CREATE, "project"),
        change(Verb.CREATE, "role"),
        change(Verb.DELETE, "caller"),
        change(Verb.NOT_DECLARED, "role"),
    ]

    assert [
        ("create", "project"),
        ("create", "role"),
        ("create", "caller"),
        ("delete", "caller"),
        ("delete", "role"),
        ("delete", "project"),
        ("not_declared", "role"),
        ("by_hand", "caller"),
    ] == [(each.verb.value, each.kind) for each in in_order_of_work(mixed)]
