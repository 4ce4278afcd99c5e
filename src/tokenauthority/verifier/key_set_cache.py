"""Cache the authority's public keys: fetch them before they expire, and soon when a token names an unknown key."""

from __future__ import annotations

import math
import secrets
import threading

from collections.abc import Callable
from typing import Final

import grpc

from tokenauthority.client.backoff import Backoff
from tokenauthority.client.errors import AuthorityError, from_rpc_error
from tokenauthority.domain.key import Algorithm
from tokenauthority.domain.one_line import one_line
from tokenauthority.signing.jwks_reader import MAX_JWKS, JwksError, JwksKey, parse_jwks
from tokenauthority.v1 import key_pb2
from tokenauthority.v1.key_pb2_grpc import KeyServiceStub
from tokenauthority.verifier.settings import LONGEST_PAUSE
from tokenauthority.verifier.state import KeySet, VerifierState


SOURCE: Final = "GetJsonWebKeySet"
MIN_AGE: Final = 1.0
"""Seconds for which a key set is cached, however short its `max_age` is."""

MAX_AGE: Final = 86_400.0
"""Seconds after which the keys are fetched again at the latest: the longest `max_age` of an authority."""

MISS_PAUSE: Final = 5.0
"""Seconds between two fetches for unknown keys, whatever keys forged tokens name."""

_ALGORITHMS: Final = tuple(Algorithm)


class KeySetCache:
    """Fetches the key set into *state*; `refresh_if_due` is for one thread, `find_key` for any.

    The authority must say that it is *issuer*, unless that is empty.
    """

    def __init__(
        self, stub: KeyServiceStub, state: VerifierState, *, issuer: str, monotonic: Callable[[], float]
    ) -> None:
        self._stub = stub
        self._state = state
        self._issuer = issuer
        self._monotonic = monotonic
        self._backoff = Backoff(longest=LONGEST_PAUSE)
        self._due = -math.inf
        self._asked = -math.inf
        self._missed = False
        self.wake = threading.Event()
        """Set when `refresh_if_due` should be called at once."""

    def find_key(self, key_id: str) -> JwksKey | None:
        """Return the key, or None and let the authority be asked soon, in the background. It never waits."""
        key = self._state.keys.keys.get(key_id)
        if key is None and not self._missed:
            self._missed = True
            self.wake.set()
        return key

    def refresh_if_due(self) -> float:
        """Fetch the keys if it is time; return the seconds until the next time."""
        if self._monotonic() >= self._next_fetch():
            self._asked, self._missed = self._monotonic(), False
            self._refresh()
        return max(0.0, self._next_fetch() - self._monotonic())

    def _next_fetch(self) -> float:
        return min(self._due, self._asked + MISS_PAUSE) if self._missed else self._due

    def _refresh(self) -> None:
        try:
            keys = self._fetch_keys()
        except Exception as error:  # noqa: BLE001 - status() and the log show it, and the fetch is retried
            failure = from_rpc_error(error) if isinstance(error, grpc.RpcError) else error
            self._state.report_failure(SOURCE, failure)
            asked = failure.retry_after if isinstance(failure, AuthorityError) else None
            self._due = self._monotonic() + self._backoff.pause(asked)
            return
        self._backoff.reset()
        self._state.report_success(SOURCE)
        # Verifiers that started together must not fetch together for ever.
        early = keys.max_age * secrets.SystemRandom().uniform(0.75, 0.95)
        self._due = keys.fetched + max(MIN_AGE, early)
        self._state.set_keys(keys)

    def _fetch_keys(self) -> KeySet:
        # The keys are at least as old as the request.
        asked = self._monotonic()
        answer = self._stub.GetJsonWebKeySet(key_pb2.GetJsonWebKeySetRequest())
        data = answer.json.encode()
        if len(data) > MAX_JWKS:
            raise JwksError(f"the JWKS has more than {MAX_JWKS} bytes")
        if not answer.issuer:
            raise JwksError("the authority does not say who the issuer of its tokens is")
        if self._issuer and answer.issuer != self._issuer:
            raise JwksError(f"the issuer is {one_line(answer.issuer)!r}, not {self._issuer!r}")
        jwks = parse_jwks(data, _ALGORITHMS)
        return KeySet(
            issuer=answer.issuer,
            keys=jwks.keys,
            unusable=tuple(jwks.describe_unusable()),
            max_age=min(max(MIN_AGE, float(answer.max_age.seconds)), MAX_AGE),
            fetched=asked,
        )
