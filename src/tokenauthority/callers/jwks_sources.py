"""Load an issuer's JWKS from the URL or file that the callers file names."""

from __future__ import annotations

import asyncio
import os
import re
import ssl

from functools import partial
from pathlib import Path
from typing import Final

from tokenauthority.callers.identity import Issuer
from tokenauthority.domain.counts import counted
from tokenauthority.files import open_regular, signature_of
from tokenauthority.http_request import (
    OK,
    HttpRequest,
    HttpRequestError,
    describe,
    make_tls_context,
    send_request,
)
from tokenauthority.signing.jwks_reader import MAX_JWKS, Jwks, JwksError, parse_jwks
from tokenauthority.threads import BlockingPool, PoolError


FETCH_TIMEOUT: Final = 5.0
"""Seconds from the DNS look-up to the last byte."""

_VISIBLE: Final = re.compile(rb"[!-~]+")
"""The characters of a bearer token that an HTTP header can carry."""

_MAX_BEARER: Final = 16_384


class JwksUrlSource:
    """Fetches `jwks_url` of *issuer*, each time over a new connection with the current `ca_file` and `token_file`.

    It follows no redirect and uses no proxy of the environment: the keys come from the host that the callers file
    names, or not at all. What blocks (files, the DNS, reading the keys) runs in a thread of the issuer.
    """

    def __init__(self, issuer: Issuer, timeout: float = FETCH_TIMEOUT) -> None:
        self._issuer = issuer
        self._timeout = timeout
        self._thread = BlockingPool("jwks")

    async def load(self) -> Jwks:
        """Fetch the keys, or raise JwksError if they cannot be fetched within the timeout."""
        try:
            async with asyncio.timeout(self._timeout):
                context, headers = await self._thread.run(self._prepare_request)
                request = HttpRequest(method="GET", url=self._issuer.jwks_url, headers=headers)
                answer = await send_request(
                    request, context=context, thread=self._thread, max_body=MAX_JWKS, timeout=self._timeout
                )
                if answer.status != OK:
                    raise JwksError(f"the answer has status {answer.status}")
                return await self._thread.run(partial(parse_jwks, answer.body, self._issuer.algorithms))
        except TimeoutError:
            raise JwksError(f"no whole answer within {counted(self._timeout, 'second')}") from None
        except HttpRequestError as error:
            raise JwksError(str(error)) from error
        except (OSError, PoolError, ValueError) as error:
            raise JwksError(describe(error)) from error

    def _prepare_request(self) -> tuple[ssl.SSLContext, dict[str, str]]:
        context = make_tls_context(self._issuer.ca_file)
        headers = {"accept": "application/jwk-set+json, application/json"}
        if self._issuer.token_file is not None:
            headers["authorization"] = f"Bearer {_read_bearer(self._issuer.token_file)}"
        return context, headers


class JwksFileSource:
    """Reads `jwks_file` of *issuer*, and parses it again only when its time, size or inode has changed."""

    def __init__(self, issuer: Issuer, path: Path) -> None:
        self._issuer = issuer
        self._path = path
        self._thread = BlockingPool("jwks")
        self._seen: tuple[int, ...] = ()
        self._jwks = Jwks()

    async def load(self) -> Jwks:
        """Read the keys, or raise JwksError if the file cannot be read in time or holds no JWKS."""
        try:
            return await self._thread.run(self._read_file, patience=FETCH_TIMEOUT)
        except PoolError as error:
            raise JwksError(f"{self._path} cannot be read: {error}") from error

    def _read_file(self) -> Jwks:
        try:
            with open_regular(self._path) as file:
                seen = signature_of(os.fstat(file.fileno()))
                if seen == self._seen:
                    return self._jwks
                data = file.read(MAX_JWKS + 1)
        except OSError as error:
            raise JwksError(f"{self._path} cannot be read: {error.strerror}") from error
        if len(data) > MAX_JWKS:
            raise JwksError(f"{self._path} has more than {MAX_JWKS} bytes")
        self._jwks = parse_jwks(data, self._issuer.algorithms)
        self._seen = seen
        return self._jwks


def source_of(issuer: Issuer) -> JwksUrlSource | JwksFileSource:
    """Return the place where *issuer* publishes its keys."""
    return JwksUrlSource(issuer) if issuer.jwks_file is None else JwksFileSource(issuer, issuer.jwks_file)


def _read_bearer(path: Path) -> str:
    with open_regular(path) as file:
        token = file.read(_MAX_BEARER + 1).strip()
    if not token or len(token) > _MAX_BEARER or not _VISIBLE.fullmatch(token):
        raise JwksError(f"{path} holds no bearer token")
    return token.decode("ascii")
