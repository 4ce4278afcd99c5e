"""Attacks on the memory of a server that may take 512 MiB, by calls with JSON: it goes on, and a caller is served."""

from __future__ import annotations

import contextlib
import json
import socket

from concurrent.futures import ThreadPoolExecutor
from functools import partial

import httpx

from tests.security.test_memory_attacks import BATCH, LIMIT, limit, new_session, peak_of
from tests.support.authority import NO_TRUST, WAIT, AuthorityProcess
from tests.support.memory_limit import MemoryLimit
from tests.support.wire import LIST_PROJECTS


__all__ = ["limit"]

LARGE = 10 * 1024 * 1024
"""The largest request, in bytes."""


def opened(authority: AuthorityProcess, body: bytes, length: int) -> socket.socket:
    """A connection that has sent *body* of a batch as far as the server took it, and has read nothing."""
    host, _, port = authority.api_url.removeprefix("http://").rpartition(":")
    line = socket.create_connection((host, int(port)), WAIT)
    head = (
        f"POST {BATCH} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        f"Authorization: Bearer {authority.api_key}\r\nContent-Length: {length}\r\n\r\n"
    )
    line.settimeout(2)
    with contextlib.suppress(OSError):
        line.sendall(head.encode() + body)
    return line


def held(authority: AuthorityProcess, *, body: bytes, count: int, rest: int = 0) -> None:
    """Many such connections at once, whose requests lack *rest* bytes."""
    with contextlib.ExitStack() as stack:
        for _ in range(count):
            stack.enter_context(contextlib.closing(opened(authority, body, len(body) + rest)))


def items(item: bytes, count: int) -> bytes:
    """A batch of *count* items."""
    return b'{"requests":[' + b",".join([item] * count) + b"]}"


def test_a_server_with_512_mib_survives_calls_with_json(
    limit: MemoryLimit, authority_process: AuthorityProcess
) -> None:
    """Requests without their end, lists of very many values, and answers that nobody reads, all at once."""
    pid = authority_process.process.pid
    if limit.file:
        limit.limit_process(pid)
    wanted = {
        "sessionId": new_session(authority_process),
        "format": "TOKEN_FORMAT_OPENTOK_T1",
        "data": "\U0001f600" * 1000,
    }
    numbers, objects = b'{"data":[' + b"0.5," * 4000 + b"0.5]}", b'{"data":[' + b"{}," * 1300 + b"{}]}"
    attacks = (
        partial(held, body=b'{"requests":[{"data":"' + b"a" * (LARGE - 1024), rest=1000, count=60),
        partial(held, body=items(numbers, 600), count=8),
        partial(held, body=items(objects, 1000), count=8),
        partial(held, body=items(objects, 1000)[:-2], count=8),
        partial(held, body=items(json.dumps(wanted).encode(), 300), count=40),
    )
    with ThreadPoolExecutor(len(attacks)) as pool:
        ends = [pool.submit(attack, authority_process) for attack in attacks]
    problems = [end.exception() for end in ends if end.exception()]

    assert (None, []) == (authority_process.process.poll(), problems)
    answer = httpx.post(
        authority_process.api_url + LIST_PROJECTS,
        json={},
        headers={"authorization": f"Bearer {authority_process.api_key}"},
        timeout=WAIT,
        verify=NO_TRUST,
    )
    assert 200 == answer.status_code
    assert peak_of(pid) < LIMIT
