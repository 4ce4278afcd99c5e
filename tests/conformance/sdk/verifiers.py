"""Stock verifiers of JWTs, each given an issuer, an audience and nothing else."""

from __future__ import annotations

import contextlib
import json
import subprocess
import threading

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import httpx
import jwt

from tests.conformance.sdk.node_sdk import HERE as NODE
from tests.support.authority import NO_TRUST, WAIT


class RefusedError(Exception):
    """The token is not accepted; the message is how the verifier says why."""


class Verifier(Protocol):
    """Verifies tokens until it is closed."""

    def verify(self, token: str) -> dict[str, Any]:
        """The claims of *token*.

        Raises:
            RefusedError: it is not accepted.
        """

    def close(self) -> None:
        """End it."""


class PyJwt:
    """PyJWT with its `PyJWKClient`."""

    def __init__(self, issuer: str, audience: str, *, cooldown: float = 30) -> None:
        """*cooldown*: seconds until an unknown key is asked for again."""
        found = httpx.get(issuer.removesuffix("/") + "/.well-known/openid-configuration", verify=NO_TRUST).json()
        assert issuer == found["issuer"]
        self._issuer = issuer
        self._audience = audience
        self._algorithms = found["id_token_signing_alg_values_supported"]
        self._keys = jwt.PyJWKClient(found["jwks_uri"], cooldown_duration=cooldown)

    def verify(self, token: str) -> dict[str, Any]:
        """By the key that the token names."""
        try:
            return jwt.decode(
                token,
                self._keys.get_signing_key_from_jwt(token),
                algorithms=self._algorithms,
                issuer=self._issuer,
                audience=self._audience,
                options={"require": ["iss", "aud", "exp"]},
            )
        except jwt.PyJWTError as error:
            raise RefusedError(f"{type(error).__name__}: {error}") from error

    def close(self) -> None:
        """Nothing runs."""


class Program:
    """A verifier in a process of its own, which reads a token a line and answers each with a line of JSON."""

    def __init__(self, command: Sequence[str], where: Path) -> None:
        self._process = subprocess.Popen(
            command, cwd=where, stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="utf-8"
        )

    def verify(self, token: str) -> dict[str, Any]:
        """What the process says."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        # One that does not answer is killed, which ends the reading.
        timer = threading.Timer(WAIT, self._process.kill)
        timer.start()
        try:
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.write(token + "\n")
                self._process.stdin.flush()
            line = self._process.stdout.readline()
        finally:
            timer.cancel()
        assert line, f"the verifier ended with {self._process.wait(WAIT)}; standard error says why"
        answer = json.loads(line)
        if "error" in answer:
            raise RefusedError(answer["error"])
        claims: dict[str, Any] = answer["claims"]
        return claims

    def close(self) -> None:
        """Kill it."""
        self._process.kill()
        # One that had ended before may have left a token unread.
        with contextlib.suppress(BrokenPipeError), self._process:
            pass


def jose(node: str, issuer: str, audience: str, *cooldown: str) -> Program:
    """`jose` of npm; *cooldown*: milliseconds until an unknown key is asked for again."""
    return Program([node, "verify.mjs", issuer, audience, *cooldown], NODE)
