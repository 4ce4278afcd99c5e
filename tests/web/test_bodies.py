"""An HTTP request is read up to its limit, and an answer that nobody reads ends the connection."""

from __future__ import annotations

import asyncio

from collections.abc import MutableMapping, Sequence
from typing import Any

import pytest

from tokenauthority.domain.errors import InvalidRequestError
from tokenauthority.interceptors.direct import ClientLeftError
from tokenauthority.web import bodies
from tokenauthority.web.bodies import ABORT, ApiAnswer, Body


def body(messages: Sequence[MutableMapping[str, Any]], *, limit: int = 10, length: str | None = None) -> Body:
    """A request that comes as *messages*."""
    coming = iter(messages)

    async def receive() -> MutableMapping[str, Any]:
        return next(coming)

    return Body(receive, "/a/B", limit, length)


def part(content: bytes, *, more: bool) -> MutableMapping[str, Any]:
    """A part of a request."""
    return {"type": "http.request", "body": content, "more_body": more}


GONE = {"type": "http.disconnect"}


async def test_reads_all_parts_up_to_the_limit() -> None:
    """The last byte that is allowed is read."""
    assert b"0123456789" == await body([part(b"01234", more=True), part(b"56789", more=False)]).read()


async def test_refuses_more_than_the_limit_at_the_first_byte_beyond() -> None:
    """What comes after it is not asked for."""
    with pytest.raises(InvalidRequestError, match="more than 10 bytes, and /a/B takes at most 10"):
        await body([part(b"01234", more=True), part(b"567890", more=True)]).read()


@pytest.mark.parametrize("length", ["11", "0000000011"])
async def test_refuses_a_length_beyond_the_limit_before_anything_is_read(length: str) -> None:
    """Its first byte is not asked for."""
    with pytest.raises(InvalidRequestError, match="has 11 bytes"):
        await body([], length=length).read()


async def test_a_client_that_leaves_is_no_error_of_the_request() -> None:
    """Before the end of the request, and after it."""
    with pytest.raises(ClientLeftError):
        await body([part(b"0", more=True), GONE]).read()
    whole = body([part(b"0", more=False), GONE])
    await whole.read()
    await whole.left()


async def test_writes_an_answer_in_pieces() -> None:
    """So that it is written once nearly all of it is read."""
    sent: list[MutableMapping[str, Any]] = []

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    await ApiAnswer(200, [("a", "b")], bytearray(b"x" * 200_000)).send({}, _never, send)

    assert [(b"a", b"b"), (b"content-length", b"200000")] == sent[0]["headers"]
    assert b"x" * 200_000 == b"".join(message["body"] for message in sent[1:])
    assert max(len(message["body"]) for message in sent[1:]) <= 64 * 1024
    assert [True] * (len(sent) - 2) + [False] == [message["more_body"] for message in sent[1:]]


async def test_ends_the_connection_of_an_answer_that_nobody_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    """In time, and without an error of the application."""
    monkeypatch.setattr(bodies, "_PATIENCE", 0.01)
    ended = asyncio.Event()

    async def send(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.body":
            await asyncio.Event().wait()

    async def receive() -> MutableMapping[str, Any]:
        await ended.wait()
        return dict(GONE)

    await ApiAnswer(200, [], b"x").send({"extensions": {ABORT: {"abort": ended.set}}}, receive, send)

    assert ended.is_set()


async def _never() -> MutableMapping[str, Any]:
    raise AssertionError("nothing is received")
