"""Read a declaration: all of it, or every problem with its line, and never a value that may be a secret."""

from __future__ import annotations

import re

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Final

import attrs

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from tokenauthority.callers.api_keys import digest, redact_api_keys
from tokenauthority.callers.file_checks import IDENTITIES, Problem, Table, check_document, tables_of
from tokenauthority.callers.file_models import CallerTable
from tokenauthority.callers.toml_lines import Path
from tokenauthority.declaration.models import AuthorityDocument, DeclaredImport, DeclaredProject, DeclaredRole
from tokenauthority.declaration.yaml_text import Node, YamlTextError, parse_yaml
from tokenauthority.domain.ids import is_project_id, is_role_name
from tokenauthority.domain.similar_names import did_you_mean
from tokenauthority.toml_text import parse_toml


_MODELS: Final[Mapping[str, type[BaseModel]]] = {
    "projects": DeclaredProject,
    "roles": DeclaredRole,
    "imported": DeclaredImport,
}
_NUMBER: Final = re.compile(r"[0-9]{1,18}", re.ASCII)
_KEY_FIELDS: Final = ("created", "expires")


class DeclarationError(ValueError):
    """The declaration cannot be used; `problems` has every problem by line."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(sorted(problems))
        super().__init__("; ".join(map(str, self.problems)))


@attrs.frozen
class CallersNow:
    """The callers file as it is: the tables of the callers by name, and those of the issuers."""

    callers: Mapping[str, Table]
    issuers: Sequence[Table]

    @classmethod
    def parse(cls, data: bytes) -> CallersNow:
        """Return what *data*, a valid or empty callers file, has."""
        document = parse_toml(data)[1]
        callers = {str(table["name"]): table for _, table in tables_of(document, "callers")}
        return cls(callers, [table for _, table in tables_of(document, "issuers")])


@attrs.frozen
class Draft:
    """What the text of a declaration says, not checked yet."""

    root: dict[str, Node]
    lines: Mapping[Path, int]

    @property
    def has_callers(self) -> bool:
        """Return whether callers are declared, so that the callers file is needed."""
        return "callers" in self.root

    def line(self, path: Path) -> int:
        """Return the line of the part at *path*, or of what encloses it."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 0)


@attrs.frozen
class Declaration:
    """A valid declaration; what is None is not declared. *keyless* are the new callers that have no API key yet."""

    projects: tuple[DeclaredProject, ...] | None
    callers: tuple[CallerTable, ...] | None
    keyless: frozenset[str] = frozenset()


def parse_declaration(data: bytes) -> Draft:
    """Return what *data* says; raise DeclarationError if it is no YAML or no mapping."""
    try:
        root, lines = parse_yaml(data)
    except YamlTextError as error:
        raise DeclarationError([Problem(error.line, str(error))]) from None
    if not isinstance(root, dict):
        raise DeclarationError([Problem(1, "must be a mapping with version, projects and callers")])
    return Draft(root, lines)


def check_declaration(draft: Draft, now: CallersNow | None, own_issuer: str = "") -> Declaration:
    """Return the declaration, or raise DeclarationError with every problem.

    Args:
        draft: what the file says.
        now: the callers file, for a draft with callers: it has the proofs that the draft leaves out, and the issuers.
        own_issuer: the authority's own issuer, whose tokens are never a caller's credential.
    """
    problems: list[Problem] = []
    callers, keyless = None, frozenset[str]()
    if draft.has_callers and now is not None:
        callers, keyless, problems = _check_callers(draft, now, own_issuer)
    rest = {name: node for name, node in draft.root.items() if name != "callers"}
    try:
        document = AuthorityDocument.model_validate(rest)
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False, include_context=False)
        raise DeclarationError([*problems, *(_worded(each, draft) for each in found)]) from None
    problems += _repeated(document.projects or (), draft)
    if problems:
        raise DeclarationError(problems)
    projects = None if document.projects is None else tuple(document.projects)
    return Declaration(projects, callers, keyless)


def _check_callers(
    draft: Draft, now: CallersNow, own_issuer: str
) -> tuple[tuple[CallerTable, ...] | None, frozenset[str], list[Problem]]:
    rows = draft.root["callers"]
    if not isinstance(rows, list) or not rows:
        line = draft.line(("callers",))
        return None, frozenset(), [Problem(line, "callers must be a list of at least one caller")]
    tables: list[object] = []
    keyless = set()
    for row in rows:
        if not isinstance(row, dict):
            tables.append(row)
            continue
        table = _with_proof(_typed(row), now)
        if not any(field in table for field in IDENTITIES):
            # Only so that the rest is checked: nobody can have the key of this digest, and each caller has another.
            keyless.add(str(row.get("name")))
            table["api_key_sha256"] = digest(f"caller {len(tables)}")
        tables.append(table)
    document = {"callers": tables, "issuers": [*now.issuers]}
    found, problems = check_document(document, draft.lines, own_issuer)
    return (None if found is None else tuple(found.callers)), frozenset(keyless), problems


def _typed(row: Mapping[str, Node]) -> dict[str, object]:
    """Return the fields of a caller with the types that TOML has; what has not its type stays text and is refused."""
    table: dict[str, object] = {**row}
    for field in ("burst", "daily_quota"):
        if isinstance(text := table.get(field), str) and _NUMBER.fullmatch(text):
            table[field] = int(text)
    for field in _KEY_FIELDS:
        value = table.get(field)
        if isinstance(value, list):
            table[field] = [_moment_or(each) for each in value]
        elif value is not None:
            table[field] = _moment_or(value)
    return table


def _moment_or(value: object) -> object:
    try:
        return datetime.fromisoformat(value) if isinstance(value, str) else value
    except ValueError:
        return value


def _with_proof(table: dict[str, object], now: CallersNow) -> dict[str, object]:
    """Return *table* with the proof that the callers file has for the caller, where it names none itself."""
    actual = now.callers.get(str(table.get("name")), {})
    if not any(field in table for field in IDENTITIES):
        table |= {field: actual[field] for field in IDENTITIES if field in actual}
    if "api_key_sha256" in actual and table.get("api_key_sha256") == actual["api_key_sha256"]:
        table = {**{field: actual[field] for field in _KEY_FIELDS if field in actual}, **table}
    return table


def _repeated(projects: Sequence[DeclaredProject], draft: Draft) -> Iterator[Problem]:
    """Yield a problem for each project, and each role of a project, that stands there twice."""
    seen: set[str] = set()
    for index, project in enumerate(projects):
        if project.project_id in seen:
            yield Problem(draft.line(("projects", index)), f"project {project.project_id} is declared twice")
        seen.add(project.project_id)
        names: set[str] = set()
        for number, role in enumerate(project.roles or ()):
            if role.name in names:
                line = draft.line(("projects", index, "roles", number))
                yield Problem(line, f"project {project.project_id}: role {role.name} is declared twice")
            names.add(role.name)


def _worded(error: ErrorDetails, draft: Draft) -> Problem:
    """Return *error* with the project, the role and the field that it is about, and what the field takes."""
    path = error["loc"]
    *owners, field = [part for part in path if isinstance(part, str)]
    model = _MODELS[owners[-1]] if owners else AuthorityDocument
    if error["type"] == "extra_forbidden":
        text = f"{redact_api_keys(repr(field))} is not a field{did_you_mean(field, model.model_fields)}"
    else:
        state = "missing" if error["type"] == "missing" else "invalid"
        description = " ".join((model.model_fields[field].description or "").split())
        text = f"{field} is {state}. {description}"
    return Problem(draft.line(path), _label(path, draft.root) + text)


def _label(path: Path, root: Node) -> str:
    """Return what encloses the field at *path*: `project 4711: role camera: `."""
    label, node = "", root
    for part, kind, name, is_name in (
        ("projects", "project", "project_id", is_project_id),
        ("roles", "role", "name", is_role_name),
    ):
        match path:
            case (first, int(index), _, *_) if first == part:
                node, path = _member(_member(node, part), index), path[2:]
                given = _member(node, name)
                label += f"{kind} {given if isinstance(given, str) and is_name(given) else f'no. {index + 1}'}: "
    return label


def _member(node: Node, part: str | int) -> Node:
    if isinstance(node, dict):
        return node.get(str(part), "")
    return node[part] if isinstance(node, list) and isinstance(part, int) else ""
