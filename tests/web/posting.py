"""Calls with JSON, as clients make them."""

from __future__ import annotations

import json
import socket

from collections.abc import Iterator, Mapping

import httpx

from tests.support.authority import NO_TRUST, WAIT, RunningAuthority


def post(
    authority: RunningAuthority,
    method: str,
    request: object = b"{}",
    *,
    api_key: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> httpx.Response:
    """Call *method* as curl does; an empty *api_key* sends none."""
    key = authority.api_key if api_key is None else api_key
    every = {"content-type": "application/json", **({"authorization": f"Bearer {key}"} if key else {})}
    content = request if isinstance(request, bytes | Iterator) else json.dumps(request).encode()
    url = authority.api_url + method
    return httpx.post(url, content=content, headers={**every, **(headers or {})}, timeout=WAIT, verify=NO_TRUST)


def raw(authority: RunningAuthority, method: str, body: bytes, *, length: int | None = None) -> socket.socket:
    """A connection that has sent a call, which says that it has *length* bytes, and has read nothing."""
    host, _, port = authority.api_url.removeprefix("http://").rpartition(":")
    line = socket.create_connection((host, int(port)), WAIT)
    head = [
        f"POST {method} HTTP/1.1",
        "Host: localhost",
        "Content-Type: application/json",
        f"Authorization: Bearer {authority.api_key}",
        f"Content-Length: {len(body) if length is None else length}",
    ]
    line.sendall("\r\n".join([*head, "", ""]).encode() + body)
    return line
