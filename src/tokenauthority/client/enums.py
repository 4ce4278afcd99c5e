"""Convert the contract's enums to the short names that Python callers write: `MEDIA_MODE_ROUTED` is "routed"."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeVar

from google.protobuf.descriptor import EnumDescriptor


Value = TypeVar("Value", bound=int)
Value_co = TypeVar("Value_co", bound=int, covariant=True)


class ProtoEnum(Protocol[Value_co]):
    """A generated enum."""

    def items(self) -> Sequence[tuple[str, Value_co]]:
        """Return names and numbers in the order of the contract; the first name is `..._UNSPECIFIED`."""


def to_value(enum: ProtoEnum[Value], field: str, text: str) -> Value:
    """Return the enum's value that *text* names in either case; an empty text is UNSPECIFIED, the default.

    Raises:
        ValueError: the name is unknown; the message names *field* and lists the known names.
    """
    value = dict(enum.items()).get(_prefix(enum) + (text.upper() or "UNSPECIFIED"))
    if value is None:
        raise ValueError(f"{field} must be one of {', '.join(choices(enum))}")
    return value


def to_text(enum: EnumDescriptor, number: int) -> str:
    """Return the short lower-case name of a value; empty for UNSPECIFIED, the number for an unknown value."""
    known = enum.values_by_number.get(number)
    if known is None:
        return str(number)
    name = known.name.removeprefix(enum.values[0].name.removesuffix("UNSPECIFIED")).lower()
    return "" if known.index == 0 else name


def choices(enum: ProtoEnum[int]) -> list[str]:
    """Return the short names of all values but UNSPECIFIED."""
    prefix = _prefix(enum)
    return [name.removeprefix(prefix).lower() for name, _ in enum.items()[1:]]


def _prefix(enum: ProtoEnum[int]) -> str:
    # The contract's lint rules make every first value `PREFIX_UNSPECIFIED`.
    return enum.items()[0][0].removesuffix("UNSPECIFIED")
