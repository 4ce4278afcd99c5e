"""Generate the reference of the callers file from the pydantic models that read it."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import BaseModel

from scripts.docs.markdown import code, page, table
from tokenauthority.callers.file_models import CallersDocument, CallerTable, IssuerTable
from tokenauthority.contract import METHODS
from tokenauthority.domain.caller import Action


def callers_page() -> str:
    """Return the page of the tables of the callers file, and of the actions that a grant can name."""
    return page(
        "The callers file",
        "The setting `callers.file` names this TOML file. The server reads it whole or not at all: a file with an "
        "error leaves the old callers in force, and each error is reported with its line. "
        "[Add a caller](../how-to/add-a-caller.md) has the commands.",
        *_sections("callers", CallerTable, CallersDocument),
        *_sections("issuers", IssuerTable, CallersDocument),
        "## Actions",
        table(("action", "methods"), [(code(action.value), _methods(action)) for action in Action]),
    )


def _sections(name: str, model: type[BaseModel], document: type[BaseModel]) -> Iterator[str]:
    yield f"## `[[{name}]]`"
    yield document.model_fields[name].description or ""
    yield table(
        ("field", "required", "meaning"),
        [
            (code(field), "yes" if info.is_required() else "", info.description or "")
            for field, info in model.model_fields.items()
        ],
    )


def _methods(action: Action) -> str:
    return ", ".join(method.name for method in METHODS.values() if method.required_action == action.value)
