"""Plan what makes the projects and roles of an authority as they are declared: a pure function of both."""

from __future__ import annotations

import shlex

from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from typing import Final, Literal

import attrs

from tokenauthority.authority.project_spec import format_violations
from tokenauthority.callers.file_checks import Problem
from tokenauthority.callers.file_models import CallerTable
from tokenauthority.callers.toml_lines import Path
from tokenauthority.declaration.models import DeclaredImport, DeclaredProject, DeclaredRole
from tokenauthority.declaration.reading import Declaration, Draft
from tokenauthority.declaration.written import PROJECT_FIELDS, ROLE_FIELDS, as_written
from tokenauthority.domain.project import Project, project_violations
from tokenauthority.domain.role import Role
from tokenauthority.domain.times import DEFAULT_TTL, MAX_TTL, Millis, Seconds
from tokenauthority.domain.token_format import DEFAULT_FORMAT


class Verb(StrEnum):
    """What is to be done about a difference between what is declared and what there is."""

    CREATE = "create"
    CHANGE = "change"
    DELETE = "delete"
    BY_HAND = "by_hand"
    """It needs a credential, which is never in the file: the note is a command."""
    NOT_DECLARED = "not_declared"
    """It exists, and stays unless whoever applies the declaration wants it deleted."""


@attrs.frozen
class FieldChange:
    """A field with its values as the file has them; None where there is no value."""

    name: str
    old: object
    new: object


Declarable = Project | Role | CallerTable


@attrs.frozen(kw_only=True, eq=False)
class PlannedChange:
    """One difference. *before* is what there is, and *after* what there shall be; None for nothing."""

    verb: Verb
    kind: Literal["project", "role", "caller"]
    name: str
    project_id: str = ""
    fields: tuple[FieldChange, ...] = ()
    note: str = ""
    before: Declarable | None = attrs.field(default=None, repr=False)
    after: Declarable | None = attrs.field(default=None, repr=False)


@attrs.frozen
class ActualProject:
    """A project as the authority has it, and the roles that it defines itself."""

    project: Project
    roles: tuple[Role, ...]


@attrs.frozen
class Plan:
    """What differs, in the order in which it is done, and why the declaration cannot be applied."""

    changes: tuple[PlannedChange, ...]
    problems: tuple[Problem, ...] = ()

    def of(self, *verbs: Verb) -> tuple[PlannedChange, ...]:
        """Return the changes with one of *verbs*."""
        return tuple(change for change in self.changes if change.verb in verbs)


_TURNS: Final = {Verb.DELETE: 1, Verb.NOT_DECLARED: 2, Verb.BY_HAND: 3}
"""Deletions are done after all else; what apply does not do stands at the end."""

_DELETED: Final = ("caller", "role", "project")
"""What names another goes first."""


def in_order_of_work(changes: Sequence[PlannedChange]) -> tuple[PlannedChange, ...]:
    """Return *changes* in the order in which they succeed: projects, their roles, callers; then deletions."""

    def turn(change: PlannedChange) -> tuple[int, int]:
        if change.verb is Verb.DELETE:
            return _TURNS[change.verb], _DELETED.index(change.kind)
        return _TURNS.get(change.verb, 0), change.kind == "caller"

    return tuple(sorted(changes, key=turn))


def plan_projects(declaration: Declaration, draft: Draft, actual: Mapping[str, ActualProject], *, prune: bool) -> Plan:
    """Return what differs between the projects that are declared and the *actual* ones, by project id.

    Args:
        declaration: what is declared.
        draft: where it is declared.
        actual: what there is; the roles of a project count only where roles are declared.
        prune: whether to delete what is not declared.
    """
    if declaration.projects is None:
        return Plan(())
    planner = _Planner(draft, prune=prune)
    for index, declared in enumerate(declaration.projects):
        planner.add_project(("projects", index), declared, actual.get(declared.project_id))
    names = {declared.project_id for declared in declaration.projects}
    for project_id, found in actual.items():
        if project_id not in names:
            planner.add_undeclared(
                PlannedChange(verb=Verb.DELETE, kind="project", name=project_id, before=found.project)
            )
    return Plan(tuple(planner.changes), tuple(planner.problems))


class _Planner:
    def __init__(self, draft: Draft, *, prune: bool) -> None:
        self.changes: list[PlannedChange] = []
        self.problems: list[Problem] = []
        self._draft = draft
        self._prune = prune

    def add_project(self, path: Path, declared: DeclaredProject, actual: ActualProject | None) -> None:
        if actual is None and declared.imported is not None:
            command = _import_command(declared.project_id, declared.imported)
            self._add_by_hand(declared.project_id, command)
            return
        given = {name: value for name in PROJECT_FIELDS if (value := getattr(declared, name)) is not None}
        before = None if actual is None else actual.project
        after = attrs.evolve(before or _new_project(declared.project_id, declared.max_ttl), **given)
        change = _change("project", before, after, PROJECT_FIELDS if before else tuple(given))
        if change is not None:
            self.changes.append(change)
            self._check_project(path, before, after)
        if before is not None and declared.imported is not None:
            self._check_import(path, before, declared.imported)
        if declared.roles is not None:
            self._add_roles(declared.project_id, declared.roles, () if actual is None else actual.roles)

    def add_undeclared(self, change: PlannedChange) -> None:
        self.changes.append(change if self._prune else attrs.evolve(change, verb=Verb.NOT_DECLARED))

    def _add_roles(self, project_id: str, declared: Sequence[DeclaredRole], actual: Sequence[Role]) -> None:
        left = {role.name: role for role in actual}
        for each in declared:
            before = left.pop(each.name, None)
            description = (before.description if before else "") if each.description is None else each.description
            after = Role(name=each.name, project_id=project_id, permissions=each.permissions, description=description)
            change = _change("role", before, after, ROLE_FIELDS)
            if change is not None:
                self.changes.append(change)
        for role in left.values():
            change = PlannedChange(verb=Verb.DELETE, kind="role", name=role.name, project_id=project_id, before=role)
            self.add_undeclared(change)

    def _add_by_hand(self, project_id: str, command: str) -> None:
        self.changes.append(PlannedChange(verb=Verb.BY_HAND, kind="project", name=project_id, note=command))

    def _check_project(self, path: Path, before: Project | None, after: Project) -> None:
        """Report for which values the authority would refuse the project."""
        violations = project_violations(after)
        violations += format_violations(after, has_secret=before is None or bool(before.secrets))
        for violation in violations:
            text = f"project {after.project_id}: {violation.field} {violation.problem}"
            self.problems.append(Problem(self._draft.line((*path, violation.field)), text))

    def _check_import(self, path: Path, actual: Project, declared: DeclaredImport) -> None:
        """Report an application that is another one, which nothing changes, and a secret that is not there."""
        if declared.source == "vonage" and actual.vonage_application_id != declared.id.lower():
            stands_for = actual.vonage_application_id or "none"
            text = f"project {actual.project_id}: its Vonage application is {stands_for}, and cannot be changed"
            self.problems.append(Problem(self._draft.line((*path, "imported", "id")), text))
        elif declared.source in {"livekit", "jitsi"} and declared.id not in {s.credential_id for s in actual.secrets}:
            rotate = (
                "projects",
                "rotate-secret",
                actual.project_id,
                "--secret-id",
                declared.id,
                "--secret-file",
                "FILE",
            )
            self._add_by_hand(actual.project_id, _command(*rotate))


def _change(
    kind: Literal["project", "role"], before: Project | Role | None, after: Project | Role, names: Sequence[str]
) -> PlannedChange | None:
    """Return what makes *after* of *before*, by the fields *names*; None if they are equal."""
    fields = tuple(_differences(before, after, names))
    if before is not None and not fields:
        return None
    verb = Verb.CREATE if before is None else Verb.CHANGE
    name, project_id = (after.name, after.project_id) if isinstance(after, Role) else (after.project_id, "")
    return PlannedChange(
        verb=verb, kind=kind, name=name, project_id=project_id, fields=fields, before=before, after=after
    )


def _differences(before: Project | Role | None, after: Project | Role, names: Sequence[str]) -> Iterator[FieldChange]:
    for name in names:
        new = getattr(after, name)
        if before is None:
            yield FieldChange(name, None, as_written(new))
        elif getattr(before, name) != new:
            yield FieldChange(name, as_written(getattr(before, name)), as_written(new))


def _new_project(project_id: str, max_ttl: Seconds | None) -> Project:
    """Return the project that the authority makes by default."""
    return Project(
        project_id=project_id,
        display_name="",
        default_format=DEFAULT_FORMAT,
        default_ttl=min(DEFAULT_TTL, max_ttl or MAX_TTL),
        max_ttl=MAX_TTL,
        external_sessions=False,
        create_time=Millis(0),
    )


def _import_command(project_id: str, declared: DeclaredImport) -> str:
    options = {
        "opentok": ("--api-key", project_id, "--secret-file"),
        "vonage": ("--application-id", declared.id, "--project-id", project_id, "--key-file"),
        "livekit": ("--api-key", declared.id, "--project-id", project_id, "--secret-file"),
        "jitsi": ("--app-id", declared.id, "--project-id", project_id, "--secret-file"),
    }
    return _command("projects", "import", declared.source, *options[declared.source], "FILE")


def _command(*words: str) -> str:
    return shlex.join(("tokenauthority", *words))
