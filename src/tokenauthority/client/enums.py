"""The contract's enums as a Python caller writes them: `MEDIA_MODE_ROUTED` is "routed"."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeVar


if TYPE_CHECKING:
    from collections.abc import Sequence


Value = TypeVar("Value", bound=int)
Value_co = TypeVar("Value_co", bound=int, covariant=True)


class ProtoEnum(Protocol[Value_co]):
    """A generated enum."""

    def items(self) -> Sequence[tuple[str, Value_co]]:
        """Names and numbers, in the order of the contract; the first name is `..._UNSPECIFIED`."""


def to_value(enum: ProtoEnum[Value], field: str, text: str) -> Value:
    """The enum's value that *text* names in either case; an empty one is UNSPECIFIED, the default.

    Raises:
        ValueError: there is no such value; the message names *field* and those that there are.
    """
    value = dict(enum.items()).get(_prefix(enum) + (text.upper() or "UNSPECIFIED"))
    if value is None:
        raise ValueError(f"{field} must be one of {', '.join(choices(enum))}")
    return value


def to_text(enum: ProtoEnum[Value], value: Value) -> str:
    """The short lower-case name of *value*; empty for UNSPECIFIED, a number for one that is new."""
    name = next((name for name, number in enum.items() if number == value), None)
    if name is None:
        return str(int(value))
    prefix = _prefix(enum)
    return "" if name == f"{prefix}UNSPECIFIED" else name.removeprefix(prefix).lower()


def choices(enum: ProtoEnum[int]) -> list[str]:
    """The short names of all values but UNSPECIFIED."""
    prefix = _prefix(enum)
    return [name.removeprefix(prefix).lower() for name, _ in enum.items()[1:]]


def _prefix(enum: ProtoEnum[int]) -> str:
    """The contract's lint rules make every first value `PREFIX_UNSPECIFIED`."""
    return enum.items()[0][0].removesuffix("UNSPECIFIED")
