"""Gathers what is wrong with the parts of a request, so that all of it is named at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from tokenauthority.domain.errors import FieldViolation, InvalidRequestError


T = TypeVar("T")
U = TypeVar("U")


class Problems:
    """The violations found so far."""

    def __init__(self) -> None:
        self.found: list[FieldViolation] = []

    def value_or(self, part: Callable[[], T], otherwise: U) -> T | U:
        """What *part* answers; *otherwise* where it finds something wrong. Errors of another kind pass at once."""
        try:
            return part()
        except InvalidRequestError as error:
            self.found += error.violations
            return otherwise

    def add(self, field: str, problem: str) -> None:
        """One more."""
        self.found.append(FieldViolation(field, problem))

    def raise_if_any(self) -> None:
        """End the call if there is any.

        Raises:
            InvalidRequestError: with all of them.
        """
        if self.found:
            raise InvalidRequestError(self.found)
