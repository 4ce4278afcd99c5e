"""Load an issuer's JWKS from the URL or file that the callers file names."""

from __future__ import annotations

import asyncio
import os
import re
import ssl

from pathlib import Path
from typing import Final

import httpx

from tokenauthority.callers.identity import Issuer
from tokenauthority.files import open_regular, signature_of
from tokenauthority.signing.jwks_reader import MAX_JWKS, Jwks, JwksError, parse_jwks


FETCH_TIMEOUT: Final = 5.0
"""Seconds from the DNS look-up to the last byte."""

_VISIBLE: Final = re.compile(rb"[!-~]+")
"""The characters of a bearer token that an HTTP header can carry."""

_MAX_BEARER: Final = 16_384


class JwksUrlSource:
    """Fetches `jwks_url` of *issuer*, each time over a new connection with the current `ca_file` and `token_file`.

    It follows no redirect and uses no proxy of the environment: the keys come from the host that the callers file
    names, or not at all.
    """

    def __init__(self, issuer: Issuer, timeout: float = FETCH_TIMEOUT) -> None:
        self._issuer = issuer
        self._timeout = timeout

    async def load(self) -> Jwks:
        """Fetch the keys, or raise JwksError if they cannot be fetched within the timeout."""
        try:
            async with asyncio.timeout(self._timeout):
                context, headers = await asyncio.to_thread(self._prepare_request)
                data = await self._fetch_body(context, headers)
        except TimeoutError:
            raise JwksError(f"no whole answer within {self._timeout:g} seconds") from None
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            raise JwksError(_describe(error)) from error
        return parse_jwks(data, self._issuer.algorithms)

    def _prepare_request(self) -> tuple[ssl.SSLContext, dict[str, str]]:
        context = ssl.create_default_context(cafile=self._issuer.ca_file)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        headers = {"accept": "application/jwk-set+json, application/json", "accept-encoding": "identity"}
        if self._issuer.token_file is not None:
            headers["authorization"] = f"Bearer {_read_bearer(self._issuer.token_file)}"
        return context, headers

    async def _fetch_body(self, context: ssl.SSLContext, headers: dict[str, str]) -> bytes:
        async with (
            httpx.AsyncClient(
                verify=context, trust_env=False, follow_redirects=False, timeout=self._timeout, headers=headers
            ) as client,
            client.stream("GET", self._issuer.jwks_url) as answer,
        ):
            if answer.status_code != httpx.codes.OK:
                raise JwksError(f"the answer has status {answer.status_code}")
            if answer.headers.get("content-encoding", "identity") != "identity":
                raise JwksError("the answer is compressed")
            data = b""
            async for chunk in answer.aiter_raw():
                data += chunk
                if len(data) > MAX_JWKS:
                    raise JwksError(f"the answer has more than {MAX_JWKS} bytes")
            return data


class JwksFileSource:
    """Reads `jwks_file` of *issuer*, and parses it again only when its time, size or inode has changed."""

    def __init__(self, issuer: Issuer, path: Path) -> None:
        self._issuer = issuer
        self._path = path
        self._seen: tuple[int, ...] = ()
        self._jwks = Jwks()

    async def load(self) -> Jwks:
        """Read the keys, or raise JwksError if the file cannot be read or holds no JWKS."""
        return await asyncio.to_thread(self._read_file)

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


def _read_bearer(path: Path) -> str:
    with open_regular(path) as file:
        token = file.read(_MAX_BEARER + 1).strip()
    if not token or len(token) > _MAX_BEARER or not _VISIBLE.fullmatch(token):
        raise JwksError(f"{path} holds no bearer token")
    return token.decode("ascii")


def _describe(error: Exception) -> str:
    """Return the error with its class: the text of a refused connection alone says too little."""
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
