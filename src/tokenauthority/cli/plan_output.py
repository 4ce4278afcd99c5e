"""Print a plan: for a person with a sign and a colour for each kind of change, for a program as JSON."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from tokenauthority.cli.output import human, print_styled, print_text, to_json
from tokenauthority.declaration.plan import Plan, PlannedChange, Verb


_SIGNS: Final[Mapping[Verb, tuple[str, str]]] = {
    Verb.CREATE: ("+", "green"),
    Verb.CHANGE: ("~", "yellow"),
    Verb.DELETE: ("-", "red"),
    Verb.NOT_DECLARED: ("?", "cyan"),
    Verb.BY_HAND: ("!", "magenta"),
}
_LEFT: Final = frozenset({Verb.NOT_DECLARED, Verb.BY_HAND})


def name_of(change: PlannedChange) -> str:
    """Return what is changed, such as `~ role camera of project 4711`."""
    of = f" of project {change.project_id}" if change.project_id else ""
    return f"{_SIGNS[change.verb][0]} {change.kind} {change.name}{of}"


def show_plan(plan: Plan, *, err: bool = False) -> None:
    """Print every change with its fields, and a line with how many there are of each kind."""
    lines = [line for change in plan.changes for line in _lines_of(change)]
    print_styled([*lines, (_summary(plan), "bold")], err=err)


def show_plan_json(plan: Plan, states: Mapping[PlannedChange, str]) -> None:
    """Print the plan as JSON, with the state of each change: `planned`, `done`, `failed`, `not_done`.

    What this command does not do itself is `left`.
    """
    changes = [
        {
            "verb": change.verb.value,
            "kind": change.kind,
            "name": change.name,
            "project_id": change.project_id or None,
            "fields": [{"name": each.name, "old": each.old, "new": each.new} for each in change.fields],
            "note": change.note,
            "state": states.get(change, "left" if change.verb in _LEFT else "planned"),
        }
        for change in plan.changes
    ]
    print_text(to_json({"changes": changes, "counts": {verb.value: len(plan.of(verb)) for verb in Verb}}))


def _lines_of(change: PlannedChange) -> Iterator[tuple[str, str]]:
    style = _SIGNS[change.verb][1]
    match change.verb:
        case Verb.NOT_DECLARED:
            yield f"{name_of(change)} is not declared", style
        case Verb.BY_HAND:
            yield f"{name_of(change)} needs a credential, which is never in the file:", style
            yield f"    {change.note}", style
        case Verb.DELETE if change.note:
            yield f"{name_of(change)} with {change.note}", style
        case _:
            yield name_of(change), style
    for field in change.fields:
        old = "" if change.verb is Verb.CREATE else f"{human(field.old)} -> "
        yield f"    {field.name}: {old}{human(field.new)}", style


def _summary(plan: Plan) -> str:
    if not plan.changes:
        return "nothing to change: all is as it is declared"
    done = ", ".join(f"{len(plan.of(verb))} to {verb}" for verb in (Verb.CREATE, Verb.CHANGE, Verb.DELETE))
    by_hand, not_declared = len(plan.of(Verb.BY_HAND)), len(plan.of(Verb.NOT_DECLARED))
    more = [f"{by_hand} by hand"] if by_hand else []
    more += [f"{not_declared} not declared"] if not_declared else []
    return "; ".join([done, *more])
