"""Generate the reference of the settings from the pydantic models that read them."""

from __future__ import annotations

import types

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Final, Literal, NamedTuple, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt
from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo

from scripts.docs.markdown import code, page
from tokenauthority.config.settings import PREFIX, Settings


_INTRODUCTION: Final = """
A setting is an environment variable, or a line in the TOML file that `--config FILE` or `TOKENAUTHORITY_CONFIG` names.
The variable wins over the file. The setting `grpc` of the group `listen` is the variable `TOKENAUTHORITY_LISTEN__GRPC`,
and in the file the line `grpc = "…"` below `[listen]`.

`tokenauthority config show` prints each setting with its variable, its value and its meaning. It hides secrets.
"""

_NAMES: Final = {
    bool: "true or false",
    int: "whole number",
    float: "number",
    Path: "path",
    SecretStr: "text (a secret)",
}
_OF_THE_COMMAND_LINE: Final = frozenset({"dev", "dev_api_key", "config_file", "config_holds_secret"})
"""Fields that only an option of `serve` sets, never a variable or the file."""

_BOUNDS: Final = {Ge: "at least {}", Gt: "more than {}", Le: "at most {}", Lt: "less than {}"}


class Setting(NamedTuple):
    """One setting, as a reader of the page sees it."""

    group: str
    name: str
    field: FieldInfo

    @property
    def variable(self) -> str:
        """The environment variable."""
        return PREFIX + "__".join(part.upper() for part in (self.group, self.name) if part)


def all_settings() -> Iterator[Setting]:
    """Return every setting of a server: first those without a group, then group by group."""
    fields = Settings.model_fields
    yield from (
        Setting("", name, field)
        for name, field in fields.items()
        if _group_of(field) is None and name not in _OF_THE_COMMAND_LINE
    )
    for name, field in fields.items():
        group = _group_of(field)
        if group is not None:
            yield from (Setting(name, inner, found) for inner, found in group.model_fields.items())


def settings_page() -> str:
    """Return the page of all settings."""
    parts = [_INTRODUCTION]
    for name, lines in _by_group().items():
        group = _group_of(Settings.model_fields[name]) if name else None
        title = f"## `[{name}]`" if name else "## Without a group"
        parts += [title, (group.__doc__ or "") if group else "", *map(_entry, lines)]
    return page("Settings", *filter(None, parts))


def _by_group() -> dict[str, list[Setting]]:
    groups: dict[str, list[Setting]] = {}
    for setting in all_settings():
        groups.setdefault(setting.group, []).append(setting)
    return groups


def _entry(setting: Setting) -> str:
    heading = f"### `{'.'.join(filter(None, (setting.group, setting.name)))}`"
    default = default_of(setting.field)
    facts = [code(setting.variable), type_of(setting.field), *([f"default: {default}"] if default else [])]
    return f"{heading}\n\n{' · '.join(facts)}\n\n{setting.field.description}"


def _group_of(field: FieldInfo) -> type[BaseModel] | None:
    annotation = field.annotation
    return annotation if isinstance(annotation, type) and issubclass(annotation, BaseModel) else None


def default_of(field: FieldInfo) -> str:
    """Return the default of a setting as a page shows it; empty if it has none."""
    value = field.default
    if value is None or value == "":
        return ""  # the description says what counts instead, if anything does
    if isinstance(value, bool):
        return code(str(value).lower())
    return code(getattr(value, "value", value))


def type_of(field: FieldInfo) -> str:
    """Return which values a setting takes, in words."""
    bounds = [
        pattern.format(f"{getattr(part, kind.__name__.lower()):,}")
        for part in _metadata(field.annotation, field.metadata)
        for kind, pattern in _BOUNDS.items()
        if isinstance(part, kind)
    ]
    return ", ".join([_name_of(field.annotation), *bounds])


def _metadata(annotation: Any, found: list[Any]) -> list[Any]:
    parts = list(found)
    for inner in get_args(annotation):
        parts += _metadata(inner, [])
    if get_origin(annotation) is Annotated:
        for part in annotation.__metadata__:
            parts += part.metadata if isinstance(part, FieldInfo) else [part]
    return parts


def _name_of(annotation: Any) -> str:
    origin = get_origin(annotation)
    if origin is Annotated:
        return _name_of(annotation.__origin__)
    if origin is Literal:
        return " or ".join(code(choice) for choice in get_args(annotation))
    if origin in {Union, types.UnionType}:
        return " or ".join(_name_of(inner) for inner in get_args(annotation) if inner is not type(None))
    choices = getattr(annotation, "__members__", {})
    return " or ".join(code(choice.value) for choice in choices.values()) or _NAMES.get(annotation, "text")
