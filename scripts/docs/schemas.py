"""Generate the JSON schemas of the settings file, the callers file and the declaration, for editors."""

from __future__ import annotations

import json

from collections.abc import Mapping
from typing import Final

from pydantic import BaseModel

from tokenauthority.callers.file_models import CallersDocument
from tokenauthority.config.loading import COMMAND_LINE
from tokenauthority.config.settings import Settings
from tokenauthority.declaration.models import AuthorityDocument


_DRAFT: Final = "https://json-schema.org/draft/2020-12/schema"


def settings_schema() -> str:
    """Return the schema of the settings file."""
    return _schema("Settings of a Token Authority server", Settings, without=COMMAND_LINE)


def callers_schema() -> str:
    """Return the schema of the callers file."""
    return _schema("Callers of a Token Authority server", CallersDocument)


def authority_schema() -> str:
    """Return the schema of the declaration."""
    return _schema("What a Token Authority shall have", AuthorityDocument)


def _schema(title: str, model: type[BaseModel], *, without: tuple[str, ...] = ()) -> str:
    schema = model.model_json_schema()
    for name in without:
        del schema["properties"][name]
    return json.dumps({"$schema": _DRAFT, **_untitled(schema), "title": title}, indent=2)


def _untitled(schema: Mapping[str, object]) -> dict[str, object]:
    """Return *schema* without titles: pydantic's repeat the name, and editors show them in place of the description."""
    return {name: _walk(part) for name, part in schema.items() if not (name == "title" and isinstance(part, str))}


def _walk(value: object) -> object:
    if isinstance(value, dict):
        return _untitled(value)
    return [_walk(part) for part in value] if isinstance(value, list) else value
