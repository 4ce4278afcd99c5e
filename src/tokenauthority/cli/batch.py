"""`tokenauthority tokens batch`: generate many tokens in one call."""

from __future__ import annotations

import json

from typing import IO, TYPE_CHECKING, Final

import click

from tokenauthority.cli.options import Command, current
from tokenauthority.cli.output import print_text, record, show_list


if TYPE_CHECKING:
    from tokenauthority.v1 import token_pb2


_MAX_TOKENS: Final = 1000
_MAX_INPUT: Final = 10_485_760
"""Characters: more than a request may have."""


@click.command(cls=Command)
@click.argument("file", type=click.File(encoding="utf-8"), default="-")
def batch(file: IO[str]) -> None:
    """Generate a token for each line of FILE, all or none, and print one token a line; - is standard input.

    A line is a JSON object with `session_id` and the options of the Python client: `role`, `data`, `ttl` or
    `expire_time` in seconds, `format`, `initial_layout_class_list`, `subject`. At most 1000 lines.
    """
    from tokenauthority.cli.calls import authority
    from tokenauthority.v1 import token_pb2

    text = file.read(_MAX_INPUT + 1)
    lines = [line for line in text.splitlines() if line.strip()]
    if len(text) > _MAX_INPUT or len(lines) > _MAX_TOKENS:
        raise click.UsageError(f"at most {_MAX_TOKENS} lines and {_MAX_INPUT} characters")
    request = token_pb2.BatchGenerateTokensRequest(
        requests=[_parsed(number, line) for number, line in enumerate(lines, 1)]
    )
    with authority() as client:
        tokens = [record(token) for token in client.tokens.BatchGenerateTokens(request).tokens]
    if current().as_json:
        show_list(tokens, (), as_json=True)
    else:
        print_text("\n".join(str(token["token"]) for token in tokens))


def _parsed(number: int, line: str) -> token_pb2.TokenRequest:
    from tokenauthority.client import TokenRequest

    try:
        return TokenRequest(**json.loads(line)).message()
    except (ValueError, TypeError) as error:
        # The message of json has no text of the line, and that of TokenRequest has names of fields alone.
        raise click.UsageError(f"line {number}: {error}") from error
