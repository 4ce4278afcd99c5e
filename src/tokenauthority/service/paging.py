"""Read which page of a list a request asks for, and make the opaque token of the next page."""

from __future__ import annotations

import base64
import binascii

from collections.abc import Callable, Sequence
from functools import partial
from typing import Final, NoReturn, Protocol, TypeVar

import msgspec

from tokenauthority.domain.errors import FieldViolation, InvalidRequestError
from tokenauthority.domain.ids import NUL
from tokenauthority.service.problems import Problems


DEFAULT_PAGE: Final = 50
MAX_PAGE: Final = 1000
_MAX_TOKEN: Final = 1024
_MAX_NUMBER: Final = 2**53

_Position = TypeVar("_Position")
_Item = TypeVar("_Item")


class PageRequest(Protocol):
    """A request for one page of a list."""

    page_size: int
    page_token: str


def requested_page(
    request: PageRequest, query: str | None, shape: type[_Position], problems: Problems
) -> tuple[int, _Position | None]:
    """Return the size of the page (0 asks for 50; more than 1000 is 1000), and the position that it begins after.

    Args:
        request: The request.
        query: The list that the token must be of; None if the request does not say validly which list it means.
        shape: The type of a position in that list.
        problems: Gets a violation for a negative size and for an invalid token.
    """
    size = problems.value_or(partial(_page_size, request.page_size), 0)
    return size, problems.value_or(partial(decode_position, request.page_token, query, shape), None)


def cut_page(
    items: Sequence[_Item], size: int, query: str, position_of: Callable[[_Item], object]
) -> tuple[Sequence[_Item], str]:
    """Return the page, of *size* + 1 items read, and the token of the next one: empty if there is none."""
    if len(items) <= size:
        return items, ""
    return items[:size], next_token(query, position_of(items[size - 1]))


def next_token(query: str, position: object) -> str:
    """Return a token for the page of the list *query* that begins after *position*."""
    return base64.urlsafe_b64encode(msgspec.json.encode([query, position])).rstrip(b"=").decode()


def _page_size(asked: int) -> int:
    if asked < 0:
        raise InvalidRequestError([FieldViolation("page_size", "must not be negative")])
    return min(asked, MAX_PAGE) or DEFAULT_PAGE


def decode_position(token: str, query: str | None, shape: type[_Position]) -> _Position | None:
    """Return where the page of *token* begins, None for the first; raise unless it is a token of the list *query*."""
    if not token:
        return None
    if len(token) > _MAX_TOKEN:
        _raise_invalid_token()
    try:
        raw = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
        made_for, encoded = msgspec.json.decode(raw, type=tuple[str, msgspec.Raw])
        found = msgspec.json.decode(encoded, type=shape)
    except (binascii.Error, msgspec.DecodeError, ValueError):
        _raise_invalid_token()
    if query not in {made_for, None} or not all(map(_is_storable, found if isinstance(found, tuple) else (found,))):
        _raise_invalid_token()
    return found


def _is_storable(part: object) -> bool:
    """Return whether a store can look for *part*: it would fail at a number beyond 64 bits or a text with U+0000."""
    return NUL not in part if isinstance(part, str) else isinstance(part, int) and 0 <= part <= _MAX_NUMBER


def _raise_invalid_token() -> NoReturn:
    raise InvalidRequestError([FieldViolation("page_token", "is not a token of this list")])
