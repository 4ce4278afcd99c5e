"""Call a stub, and raise what it answers as the client's own errors."""

from __future__ import annotations

from typing import TypeVar

import grpc

from tokenauthority.client.errors import translated_errors


Request = TypeVar("Request")
Answer = TypeVar("Answer")


async def call(method: grpc.aio.UnaryUnaryMultiCallable[Request, Answer], request: Request) -> Answer:
    """Return the answer, or raise an `AuthorityError`."""
    with translated_errors():
        return await method(request)
