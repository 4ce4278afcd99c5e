"""Plan what makes a callers file as the callers are declared, and the text that the file then has. Pure."""

from __future__ import annotations

import shlex

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from tokenauthority.callers.file_edit import format_entry, with_entry, with_fields, without_caller
from tokenauthority.callers.file_models import CallerTable
from tokenauthority.declaration.plan import FieldChange, PlannedChange, Verb
from tokenauthority.declaration.reading import CallersNow, Declaration


_OPTIONS: Final = {
    "projects": "--project",
    "actions": "--action",
    "roles": "--role",
    "formats": "--format",
    "max_ttl": "--max-ttl",
    "rate": "--rate",
    "burst": "--burst",
    "daily_quota": "--daily-quota",
}
"""The options of `callers add` for what a caller may do."""


def plan_callers(declaration: Declaration, now: CallersNow, path: str, *, prune: bool) -> list[PlannedChange]:
    """Return what differs between the callers that are declared and those of the callers file.

    Args:
        declaration: what is declared.
        now: the callers file as it is.
        path: where the callers file is, for commands.
        prune: whether to remove callers that are not declared.
    """
    if declaration.callers is None:
        return []
    left = {name: CallerTable.model_validate(table) for name, table in now.callers.items()}
    changes: list[PlannedChange] = []
    for after in declaration.callers:
        before = left.pop(after.name, None)
        if before is None and after.name in declaration.keyless:
            note = _command_for_key(after, path)
            changes.append(PlannedChange(verb=Verb.BY_HAND, kind="caller", name=after.name, note=note))
            continue
        fields = tuple(_differing_fields(before, after))
        if fields:
            verb = Verb.CHANGE if before else Verb.CREATE
            changes.append(
                PlannedChange(verb=verb, kind="caller", name=after.name, fields=fields, before=before, after=after)
            )
    verb = Verb.DELETE if prune else Verb.NOT_DECLARED
    return changes + [PlannedChange(verb=verb, kind="caller", name=name, before=each) for name, each in left.items()]


def changed_file(data: bytes, changes: Iterable[PlannedChange]) -> str:
    """Return the text of the callers file *data* after *changes*.

    Raises:
        CallersEditError: a table of the file cannot be changed by a program.
    """
    text = data.decode("utf-8-sig")
    for change in changes:
        match change:
            case PlannedChange(verb=Verb.CREATE, after=CallerTable() as after):
                text = with_entry(text, format_entry(_given(after)))
            case PlannedChange(verb=Verb.CHANGE, after=CallerTable() as after):
                given = _given(after)
                text = with_fields(
                    text.encode(), change.name, {each.name: given.get(each.name) for each in change.fields}
                )
            case PlannedChange(verb=Verb.DELETE, kind="caller"):
                text, _ = without_caller(text.encode(), change.name)
    return text


def _given(table: CallerTable) -> dict[str, Any]:
    return table.model_dump(exclude_unset=True)


def _differing_fields(before: CallerTable | None, after: CallerTable) -> Iterator[FieldChange]:
    old, new = {} if before is None else _given(before), _given(after)
    old_meaning, new_meaning = {} if before is None else _meaning(before), _meaning(after)
    for name in CallerTable.model_fields:
        if old_meaning.get(name) != new_meaning[name] and old.get(name) != new.get(name) and name != "name":
            yield FieldChange(name, old.get(name), new.get(name))


def _meaning(table: CallerTable) -> Mapping[str, object]:
    """Return the fields of *table* so that those are equal that mean the same, such as `60m` and `1h`."""
    grant = table.to_grant()
    return {
        **{name: _in_list(getattr(table, name)) for name in CallerTable.model_fields},
        **{name: getattr(grant, name) for name in ("projects", "actions", "roles", "vonage_applications", "formats")},
        "max_ttl": grant.max_ttl,
        # Its default is the count in the rate.
        "burst": (table.rate, grant.rate and grant.rate.burst),
    }


def _in_list(value: object) -> object:
    return value if isinstance(value, list) or value is None else [value]


def _command_for_key(table: CallerTable, path: str) -> str:
    """Return the command that adds the caller to the file at *path*, with a new API key in a file of its own."""
    words = ["tokenauthority", "callers", "add", path, "--name", table.name]
    for name, option in _OPTIONS.items():
        value = _given(table).get(name)
        values: Sequence[object] = value if isinstance(value, list) else [] if value is None else [value]
        words += [part for each in values for part in (option, str(each))]
    return shlex.join([*words, "--key-file", f"{table.name.replace('/', '-')}.key"])
