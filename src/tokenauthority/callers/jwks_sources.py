"""Gets an issuer's JWKS from where the callers file says: a URL or a file."""

from __future__ import annotations

import asyncio
import os
import re
import ssl

from typing import TYPE_CHECKING, Final

import httpx

from tokenauthority.callers.regular_file import open_regular
from tokenauthority.signing.jwk import MAX_JWKS, Jwks, JwksError, parse_jwks


if TYPE_CHECKING:
    from pathlib import Path

    from tokenauthority.callers.issuers import Issuer


FETCH_TIMEOUT: Final = 5.0
"""Seconds from the look-up of the name to the last byte."""

_VISIBLE: Final = re.compile(rb"[!-~]+")
"""What a header may hold of a token: visible ASCII."""

_MAX_BEARER: Final = 16_384


class UrlSource:
    """Fetches *issuer*'s `jwks_url`, each time over a new connection: rarely, so that new roots and tokens count.

    No redirect is followed and no proxy of the environment is used: the keys come from the very host that the
    callers file names, or not at all.
    """

    def __init__(self, issuer: Issuer, timeout: float = FETCH_TIMEOUT) -> None:
        self._issuer = issuer
        self._timeout = timeout

    async def load(self) -> Jwks:
        """The keys now.

        Raises:
            JwksError: they cannot be had, in time or at all.
        """
        try:
            async with asyncio.timeout(self._timeout):
                context, headers = await asyncio.to_thread(self._prepare)
                data = await self._fetch(context, headers)
        except TimeoutError:
            raise JwksError(f"no whole answer within {self._timeout:g} seconds") from None
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            raise JwksError(_text(error)) from error
        return parse_jwks(data, self._issuer.algorithms)

    def _prepare(self) -> tuple[ssl.SSLContext, dict[str, str]]:
        context = ssl.create_default_context(cafile=self._issuer.ca_file)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        headers = {"accept": "application/jwk-set+json, application/json", "accept-encoding": "identity"}
        if self._issuer.token_file is not None:
            headers["authorization"] = f"Bearer {_bearer(self._issuer.token_file)}"
        return context, headers

    async def _fetch(self, context: ssl.SSLContext, headers: dict[str, str]) -> bytes:
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


class FileSource:
    """Reads *issuer*'s `jwks_file`, and parses it again only when its time, size or inode have changed."""

    def __init__(self, issuer: Issuer, path: Path) -> None:
        self._issuer = issuer
        self._path = path
        self._seen: tuple[int, ...] = ()
        self._last = Jwks()

    async def load(self) -> Jwks:
        """The keys now.

        Raises:
            JwksError: the file cannot be read, or holds no JWKS.
        """
        return await asyncio.to_thread(self._load)

    def _load(self) -> Jwks:
        try:
            with open_regular(self._path) as file:
                status = os.fstat(file.fileno())
                seen = (status.st_mtime_ns, status.st_size, status.st_ino, status.st_dev)
                if seen == self._seen:
                    return self._last
                data = file.read(MAX_JWKS + 1)
        except OSError as error:
            raise JwksError(f"{self._path} cannot be read: {error.strerror}") from error
        if len(data) > MAX_JWKS:
            raise JwksError(f"{self._path} has more than {MAX_JWKS} bytes")
        self._last = parse_jwks(data, self._issuer.algorithms)
        self._seen = seen
        return self._last


def _bearer(path: Path) -> str:
    with open_regular(path) as file:
        token = file.read(_MAX_BEARER + 1).strip()
    if not token or len(token) > _MAX_BEARER or not _VISIBLE.fullmatch(token):
        raise JwksError(f"{path} holds no bearer token")
    return token.decode("ascii")


def _text(error: Exception) -> str:
    """The class too: that of a refused connection says nothing of itself."""
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
