"""The contract's enums as a Python caller writes them: `MEDIA_MODE_ROUTED` is "routed"."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeVar


if TYPE_CHECKING:
    from collections.abc import Sequence


Value = TypeVar("Value", bound=int)


class ProtoEnum(Protocol[Value]):
    """A generated enum."""

    def keys(self) -> Sequence[str]:
        """The names, in the order of the contract; the first is `..._UNSPECIFIED`."""

    def Name(self, number: Value) -> str:  # noqa: N802 - named as the method of protobuf's enum that it describes
        """The name of *number*."""

    def Value(self, name: str) -> Value:  # noqa: N802 - named as the method of protobuf's enum that it describes
        """The number of *name*."""


def to_value(enum: ProtoEnum[Value], field: str, text: str) -> Value:
    """The enum's value that *text* names in either case; an empty one is UNSPECIFIED, the default.

    Raises:
        ValueError: there is no such value; the message names *field* and those that there are.
    """
    prefix = _prefix(enum)
    name = prefix + (text.upper() or "UNSPECIFIED")
    if name not in enum.keys():  # noqa: SIM118 - protobuf's enum has keys() and no `in`
        raise ValueError(f"{field} must be one of {', '.join(choices(enum))}")
    return enum.Value(name)


def to_text(enum: ProtoEnum[Value], value: Value) -> str:
    """The short lower-case name of *value*; empty for UNSPECIFIED, a number for one that is new."""
    try:
        name = enum.Name(value)
    except ValueError:
        return str(int(value))
    prefix = _prefix(enum)
    return "" if name == f"{prefix}UNSPECIFIED" else name.removeprefix(prefix).lower()


def choices(enum: ProtoEnum[Value]) -> list[str]:
    """The short names of all values but UNSPECIFIED."""
    prefix = _prefix(enum)
    return [name.removeprefix(prefix).lower() for name in list(enum.keys())[1:]]


def _prefix(enum: ProtoEnum[Value]) -> str:
    """The contract's lint rules make every first value `PREFIX_UNSPECIFIED`."""
    return enum.keys()[0].removesuffix("UNSPECIFIED")
