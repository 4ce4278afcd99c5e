"""Define what every group of settings is: frozen, without unknown fields, and silent about its values."""

from __future__ import annotations

from typing import Final

from pydantic import BaseModel, ConfigDict, field_validator
from pydantic_core import PydanticCustomError


PORT: Final = r"(6553[0-5]|655[0-2][0-9]|65[0-4][0-9]{2}|6[0-4][0-9]{3}|[1-5][0-9]{4}|[0-9]{1,4})"
"""The pattern of a port, as a part of that of an address."""


def refuse_nul(value: object) -> object:
    """Refuse a text that no path can be: the system's calls would raise another error, and much later."""
    if isinstance(value, str) and "\0" in value:
        raise PydanticCustomError("nul", "must not have a NUL character")
    return value


class SettingsGroup(BaseModel):
    """A group of settings. The docstring of a field is what `config show` and the reference say of it."""

    _no_nul = field_validator("*", mode="before")(refuse_nul)

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True, use_attribute_docstrings=True)
