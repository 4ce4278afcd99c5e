"""`tokenauthority tokens batch`: generate many tokens in one call."""

from __future__ import annotations

import json

from dataclasses import fields
from typing import TYPE_CHECKING, Final

import click

from tokenauthority.cli.options import Command, current
from tokenauthority.cli.output import print_text, record, show_list
from tokenauthority.cli.values import read_text
from tokenauthority.domain.similar_names import did_you_mean


if TYPE_CHECKING:
    from tokenauthority.v1 import token_pb2


_MAX_TOKENS: Final = 1000
_MAX_INPUT: Final = 32 * 1024 * 1024
"""Characters: more than the largest batch has if each of its characters is escaped, an emoji by twelve."""


@click.command(cls=Command)
@click.argument("file", type=click.Path(dir_okay=False, allow_dash=True), default="-")
def batch(file: str) -> None:
    """Generate a token for each line of FILE, all or none, and print one token a line; - is standard input.

    A line is a JSON object with `session_id` and the options of the Python client: `role`, `data`, `ttl` or
    `expire_time` in seconds, `format`, `initial_layout_class_list`, `subject`. At most 1000 lines. Empty lines
    do not count, also in messages. The server counts from 0: `requests[0]` in its refusal is line 1.
    """
    from tokenauthority.cli.calls import authority
    from tokenauthority.v1 import token_pb2

    # Not splitlines: a text in JSON may have U+2028 and U+0085, which end a line there.
    lines = [line for line in read_text(file, "batch", _MAX_INPUT).split("\n") if line.strip()]
    if len(lines) > _MAX_TOKENS:
        raise click.UsageError(f"the batch has {len(lines)} lines, and must have at most {_MAX_TOKENS}")
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
        options = json.loads(line)
        if not isinstance(options, dict) or "session_id" not in options:
            raise click.UsageError(f"line {number}: must be a JSON object with session_id")
        known = [field.name for field in fields(TokenRequest)]
        for unknown in sorted(options.keys() - known):
            raise click.UsageError(f"line {number}: {unknown!r} is no option{did_you_mean(unknown, known)}")
        return TokenRequest(**options).message()
    except RecursionError:
        raise click.UsageError(f"line {number}: is nested too deeply") from None
    except json.JSONDecodeError as error:
        # Its message has no text of the line.
        raise click.UsageError(f"line {number}: is not JSON: {error.msg}, at column {error.colno}") from error
    except (ValueError, TypeError) as error:
        # The message of TokenRequest has names of fields alone.
        raise click.UsageError(f"line {number}: {error}") from error
