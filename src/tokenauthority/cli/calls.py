"""Call a running authority from a command."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final, Protocol, TypeVar

import click

from google.protobuf.message import Message

from tokenauthority.cli.options import current
from tokenauthority.cli.output import record, show_list, show_record
from tokenauthority.client import Authority, translated_errors
from tokenauthority.client.connection import Connection
from tokenauthority.client.errors import next_page_token


MAX_PAGE: Final = 1000


class PagedRequest(Protocol):
    """A request for one page of a list."""

    page_size: int
    page_token: str


class Page(Protocol):
    """One page of a list."""

    next_page_token: str


AnyRequest = TypeVar("AnyRequest", bound=PagedRequest)
AnyPage = TypeVar("AnyPage", bound=Page)
Item = TypeVar("Item", bound=Message)


@contextmanager
def authority(connection: Connection | None = None) -> Iterator[Authority]:
    """Open a client of *connection*; default: as the shared options say. A stub raises AuthorityErrors within it."""
    with Authority.from_connection(connection or current().connection()) as client, translated_errors():
        yield client


def show_message(message: Message) -> None:
    """Print a message that the authority answered."""
    show_record(record(message), as_json=current().as_json)


def show_pages(
    fetch: Callable[[AnyRequest], AnyPage],
    request: AnyRequest,
    items: Callable[[AnyPage], Sequence[Message]],
    limit: int,
    columns: Sequence[str],
) -> None:
    """Print the first *limit* items of a list, all for 0, which *fetch* returns page by page."""
    records = [record(item) for item in fetch_items(fetch, request, items, limit)]
    show_list(records, columns, as_json=current().as_json)


def fetch_items(
    fetch: Callable[[AnyRequest], AnyPage],
    request: AnyRequest,
    items: Callable[[AnyPage], Sequence[Item]],
    limit: int = 0,
) -> list[Item]:
    """Return the first *limit* items of a list, all for 0, which *fetch* returns page by page."""
    collected: list[Item] = []
    while True:
        request.page_size = min(limit - len(collected), MAX_PAGE) if limit else MAX_PAGE
        page = fetch(request)
        found = items(page)
        collected += found
        request.page_token = next_page_token(request.page_token, page.next_page_token, found)
        if not page.next_page_token or (limit and len(collected) >= limit):
            return collected[: limit or None]


limit_option = click.option(
    "--limit", type=click.IntRange(min=0), default=100, show_default=True, help="How many at most; 0 for all."
)
