"""Refuse an argument of the wrong type by its name: nothing is converted, as a conversion would hide a mistake.

A token in bytes, converted by `str`, would be an invalid token and no error.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar


T = TypeVar("T")


def wrong_type(name: str, value: object, wanted: str) -> TypeError:
    """Return the error for an argument that is not *wanted*."""
    return TypeError(f"{name} must be {wanted}, not {type(value).__name__}")


def instance(name: str, value: object, kind: type[T], *, wanted: str = "") -> T:
    """Return *value* if it is of *kind*; a bool is not an int.

    Raises:
        TypeError: it is not; the message names *name*, and *wanted* in place of the class's name.
    """
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise wrong_type(name, value, wanted or kind.__name__)
    return value


def text(name: str, value: object, *, wanted: str = "str") -> str:
    """Return *value* if it is a str that UTF-8 can encode.

    Raises:
        TypeError: it is not a str, such as None or bytes.
        ValueError: it has a lone surrogate, as an undecodable byte of a command line becomes.
    """
    checked = instance(name, value, str, wanted=wanted)
    if not is_encodable(checked):
        raise ValueError(f"{name} has a character that is not Unicode text (a lone surrogate)")
    return checked


def texts(name: str, value: object) -> list[str]:
    """Return the strings of *value*, an iterable; one string is refused, though it is an iterable of strings too."""
    if isinstance(value, str | bytes) or not isinstance(value, Iterable):
        raise wrong_type(name, value, "a list of strings")
    return [text(f"{name}[{index}]", each) for index, each in enumerate(value)]


def seconds(name: str, value: object) -> float:
    """Return *value* if it is an int or a float."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise wrong_type(name, value, "a number of seconds")
    return value


def is_encodable(value: str) -> bool:
    """Return whether UTF-8 can encode *value*."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True
