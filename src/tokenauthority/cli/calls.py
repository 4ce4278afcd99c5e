"""Call a running authority from a command."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, Protocol, TypeVar

import click

from tokenauthority.cli.options import current
from tokenauthority.cli.output import record
from tokenauthority.client import Authority, translated_errors


if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from google.protobuf.message import Message

    from tokenauthority.cli.output import Record


MAX_PAGE: Final = 1000


class Page(Protocol):
    """One page of a list."""

    next_page_token: str


AnyPage = TypeVar("AnyPage", bound=Page)


@contextmanager
def authority() -> Iterator[Authority]:
    """Open a client of the authority that the shared options name; a stub raises AuthorityErrors within it."""
    with Authority.from_connection(current().connection()) as client, translated_errors():
        yield client


def read_list(
    fetch: Callable[[int, str], AnyPage], items: Callable[[AnyPage], Sequence[Message]], limit: int
) -> list[Record]:
    """Return the first *limit* items of a list, all for 0. *fetch* returns a page by its size and token."""
    records: list[Record] = []
    page_token = ""
    while True:
        page = fetch(min(limit - len(records), MAX_PAGE) if limit else MAX_PAGE, page_token)
        records += map(record, items(page))
        page_token = page.next_page_token
        if not page_token or (limit and len(records) >= limit):
            return records


limit_option = click.option(
    "--limit", type=click.IntRange(min=0), default=100, show_default=True, help="How many at most; 0 for all."
)
