"""Check a callers file: find every problem at once, each with its line, and quote no secret."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final, TypeAlias

import attrs

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from tokenauthority.callers.api_keys import PREFIX, is_digest, redact_api_keys
from tokenauthority.callers.file_models import CallersDocument, CallerTable, IssuerTable
from tokenauthority.callers.identity import (
    ApiKeyIdentity,
    Identity,
    JwtIdentity,
    OpentokIdentity,
    SpiffeIdentity,
    is_spiffe_id,
)
from tokenauthority.callers.toml_lines import Path
from tokenauthority.domain.caller import ANY, Action, CallerKind
from tokenauthority.domain.ids import is_project_id
from tokenauthority.domain.similar_names import did_you_mean
from tokenauthority.domain.token_format import TokenFormat


Table: TypeAlias = "Mapping[str, object]"
"""A table as `tomllib` returns it, valid or not."""

IDENTITIES: Final = {
    "api_key_sha256": (CallerKind.API_KEY, "API key"),
    "spiffe_id": (CallerKind.SPIFFE, "SPIFFE id"),
    "jwt": (CallerKind.JWT, "JWT"),
    "opentok_project": (CallerKind.OPENTOK, "OpenTok project"),
}
"""The fields that identify a caller: the kind of caller, and what a message calls the identity."""

_MODELS: Final[Mapping[str, type[BaseModel]]] = {"callers": CallerTable, "issuers": IssuerTable}
_ITEMS: Final[Mapping[str, Sequence[str]]] = {
    "actions": [action.value for action in Action],
    "formats": [each.value for each in TokenFormat],
}
"""What the items of these fields can be."""
_MAX_QUOTED: Final = 60
"""Characters of an invalid value that a message quotes."""


@attrs.frozen(order=True)
class Problem:
    """One problem of the file; line 0 is the file as a whole."""

    line: int
    text: str

    def __str__(self) -> str:
        return f"line {self.line}: {self.text}" if self.line else self.text


def check_document(
    document: Table, lines: Mapping[Path, int], own_issuer: str
) -> tuple[CallersDocument | None, list[Problem]]:
    """Return the tables of a valid file, or every problem of an invalid one.

    Args:
        document: the file as `tomllib` returns it.
        lines: the line of each part, by `toml_lines.locate`.
        own_issuer: the authority's own issuer, whose tokens are never a caller's credential.
    """
    found: CallersDocument | None = None
    errors: Sequence[ErrorDetails] = ()
    try:
        found = CallersDocument.model_validate(document)
    except ValidationError as error:
        errors = error.errors(include_url=False, include_context=False)
    check = _Check(document, lines, errors)
    check.check_issuers(own_issuer)
    check.check_callers()
    check.check_fields()
    return found, check.problems


def tables_of(document: Table, kind: str) -> Iterator[tuple[Path, Table]]:
    """Yield the tables under `[[kind]]` with their paths; skip what is not a table."""
    rows = document.get(kind)
    for index, row in enumerate(rows if isinstance(rows, list) else ()):
        if isinstance(row, dict):
            yield (kind, index), row


def identities_of(table: Table) -> list[tuple[str, Identity]]:
    """Return the well-formed identities of a `[[callers]]` table, each with its field."""
    found: list[tuple[str, Identity]] = []
    value = table.get("api_key_sha256")
    digests = [digest for digest in (value if isinstance(value, list) else [value]) if isinstance(digest, str)]
    found += [("api_key_sha256", ApiKeyIdentity(digest)) for digest in digests if is_digest(digest)]
    if isinstance(spiffe_id := table.get("spiffe_id"), str) and is_spiffe_id(spiffe_id):
        found.append(("spiffe_id", SpiffeIdentity(spiffe_id)))
    match table.get("jwt"):
        case {"issuer": str(issuer), "subject": str(subject)}:
            found.append(("jwt", JwtIdentity(issuer, subject)))
    if isinstance(project := table.get("opentok_project"), str) and is_project_id(project):
        found.append(("opentok_project", OpentokIdentity(project)))
    return found


class _Check:
    """Collects the problems of one file.

    pydantic checks each field by itself. What relates fields and tables to each other is checked here, on the file as
    `tomllib` returns it, because pydantic makes no model of a table in which any field is invalid.
    """

    def __init__(self, document: Table, lines: Mapping[Path, int], errors: Sequence[ErrorDetails]) -> None:
        self.problems: list[Problem] = []
        self._document = document
        self._lines = lines
        self._errors = errors
        self._invalid = {error["loc"][:3] for error in errors}
        self._reported: set[Path] = set()
        self._labels: dict[Path, str] = {}

    def check_issuers(self, own_issuer: str) -> None:
        """Check that each issuer has one table and one source of keys."""
        first_lines: dict[str, int] = {}
        for path, table in tables_of(self._document, "issuers"):
            name = self._valid_name(path, table, "issuer")
            if name and name.rstrip("/").lower() == own_issuer.rstrip("/").lower():
                problem = "is the authority's own: its tokens are for people who join, never for callers"
                self._report_field(path, "issuer", problem)
            elif name in first_lines:
                self._report_field(path, "issuer", f"is that of line {first_lines[name]}")
            elif name:
                first_lines[name] = self._line(path)
            if ("jwks_url" in table) == ("jwks_file" in table):
                self._report((*path, "jwks_file"), "needs exactly one of jwks_url and jwks_file")
            for field in ("ca_file", "token_file"):
                if field in table and "jwks_url" not in table:
                    self._report_field(path, field, "goes with jwks_url only")

    def check_callers(self) -> None:
        """Check that each name and identity has one table, and that each table has one kind of identity."""
        tables = tables_of(self._document, "issuers")
        issuers = {issuer for _, table in tables if isinstance(issuer := table.get("issuer"), str)}
        names: set[str] = set()
        owners: dict[Identity, str] = {}
        for path, table in tables_of(self._document, "callers"):
            name = self._valid_name(path, table, "name")
            if name in names:
                del self._labels[path]
                self._report_field(path, "name", f"{name} is used twice")
            elif name:
                names.add(name)
            given = [field for field in IDENTITIES if field in table]
            if len(given) != 1:
                self._report((*path, *given[-1:]), f"needs exactly one of {', '.join(IDENTITIES)}")
            for field, identity in identities_of(table) if len(given) == 1 else ():
                if identity in owners:
                    owner = owners[identity] or "another"
                    self._report((*path, field), f"its {IDENTITIES[field][1]} is that of {owner}")
                owners.setdefault(identity, name)
                if isinstance(identity, JwtIdentity) and identity.issuer not in issuers:
                    self._report_field(path, "jwt", "names an issuer that no [[issuers]] of the callers file has")
            self._check_grant(path, table)

    def check_fields(self) -> None:
        """Turn pydantic's errors into one problem for each field, or for each item of a list."""
        for error in self._errors:
            match error["loc"]:
                case ("callers",) if error["type"] in {"missing", "too_short"}:
                    self.problems.append(Problem(0, "has no [[callers]]"))
                case ("callers" | "issuers" as kind, *index) if len(index) <= 1:
                    self._report((kind, *(index or [0])), f"must be a table under [[{kind}]]")
                case (*path, str(field)) if error["type"] == "extra_forbidden" and len(path) in {0, 2}:
                    known = _MODELS[str(path[0])].model_fields if path else CallersDocument.model_fields
                    self._report((*path, field), f"{_quote(field)} is not a field{did_you_mean(field, known)}")
                case ("callers" | "issuers" as kind, int(index), str(field), int(item)):
                    what = f"{field} has an invalid item: {_quote(error['input'])}{_similar(field, error['input'])}"
                    self._report((kind, index, field, item), what)
                case ("callers" | "issuers" as kind, int(index), str(field), *inner):
                    if (kind, index, field) not in self._reported:
                        state = "missing" if error["type"] == "missing" and not inner else "invalid"
                        description = " ".join((_MODELS[kind].model_fields[field].description or "").split())
                        self._report_field((kind, index), field, f"is {state}. {description}")

    def _check_grant(self, path: Path, table: Table) -> None:
        actions = table.get("actions")
        generates = isinstance(actions, list) and (Action.TOKENS_GENERATE in actions or ANY in actions)
        if generates and not table.get("roles"):
            self._report_field(path, "roles", "must name what tokens.generate may give out")
        if "opentok_project" in table and table.get("projects") != [table["opentok_project"]]:
            self._report_field(path, "projects", "must be exactly that of opentok_project")
        keys = table.get("api_key_sha256")
        for field in ("expires", "created"):
            if field in table and keys is None:
                self._report_field(path, field, "goes with api_key_sha256 only")
            elif isinstance(moments := table.get(field), list) and len(moments) != _count(keys):
                self._report_field(path, field, "must have one moment for each API key")
        if "burst" in table and "rate" not in table:
            self._report_field(path, "burst", "goes with rate only")

    def _valid_name(self, path: Path, table: Table, field: str) -> str:
        """Return the table's name, by which problems call the table from now on; empty if the name is invalid."""
        name = table.get(field)
        if not isinstance(name, str) or (*path, field) in self._invalid:
            return ""
        self._labels[path] = f"{str(path[0])[:-1]} {name}"
        return name

    def _report_field(self, path: Path, field: str, problem: str) -> None:
        self._reported.add((*path, field))
        self._report((*path, field), f"{field} {problem}")

    def _report(self, path: Path, problem: str) -> None:
        """Report a problem of the part at *path*, on the line of the part or of what encloses it."""
        label = ""
        match path:
            case (str(kind), int(index), *_):
                label = self._labels.get((kind, index), f"{kind[:-1]} {index + 1}") + ": "
        # A valid name of an issuer can be an API key in the wrong field, and names its table in the label.
        self.problems.append(Problem(self._line(path), redact_api_keys(label + problem)))

    def _line(self, path: Path) -> int:
        while path and path not in self._lines:
            path = path[:-1]
        return self._lines.get(path, 0)


def _count(keys: object) -> int:
    return len(keys) if isinstance(keys, list) else 1


def _similar(field: str, item: object) -> str:
    """Return a question about the action or format that *item* may stand for; empty for other fields."""
    if not isinstance(item, str) or ANY in item or len(item) > _MAX_QUOTED:
        return ""
    return did_you_mean(item, _ITEMS.get(field, ()))


def _quote(value: object) -> str:
    """Return *value* on one line, cut off if it is long, and never an API key in the wrong place."""
    try:
        text = repr(value)
    except ValueError:
        # Python prints no integer of more than 4300 digits, which TOML can write in hex.
        return "what is too long to show"
    if PREFIX in text:
        return "what looks like an API key"
    return text if len(text) <= _MAX_QUOTED else f"{text[:_MAX_QUOTED]}..."
