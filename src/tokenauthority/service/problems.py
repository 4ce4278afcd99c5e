"""Gather what is wrong with the parts of a request, so that all of it is named at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from tokenauthority.domain.errors import FieldViolation, InvalidRequestError, require_valid


T = TypeVar("T")
U = TypeVar("U")


class Problems:
    """The violations found so far."""

    def __init__(self) -> None:
        self.found: list[FieldViolation] = []

    def value_or(self, part: Callable[[], T], otherwise: U) -> T | U:
        """Return what *part* returns, or *otherwise* if it finds something wrong. Other errors are raised at once."""
        try:
            return part()
        except InvalidRequestError as error:
            self.found += error.violations
            return otherwise

    def add(self, field: str, problem: str) -> None:
        """Add a violation."""
        self.found.append(FieldViolation(field, problem))

    def raise_if_any(self) -> None:
        """Raise an InvalidRequestError with all violations, if there are any."""
        require_valid(self.found)
