"""Keeps the authority's public keys at hand: fetched before they grow old, and soon when an unknown one is met."""

from __future__ import annotations

import math
import secrets
import threading

from typing import TYPE_CHECKING, Final

import grpc

from tokenauthority.client.backoff import Backoff
from tokenauthority.client.errors import AuthorityError, from_rpc_error
from tokenauthority.domain.key import Algorithm
from tokenauthority.signing.jwk import MAX_JWKS, JwksError, parse_jwks
from tokenauthority.v1 import key_pb2
from tokenauthority.verifier.settings import LONGEST_PAUSE
from tokenauthority.verifier.state import KeySet


if TYPE_CHECKING:
    from collections.abc import Callable

    from tokenauthority.signing.jwk import JwksKey
    from tokenauthority.v1.key_pb2_grpc import KeyServiceStub
    from tokenauthority.verifier.state import VerifierState


SOURCE: Final = "GetJsonWebKeySet"
MIN_AGE: Final = 1.0
"""Seconds for which a key set is kept however short its `max_age` is."""

MISS_PAUSE: Final = 5.0
"""Seconds between two fetches for unknown keys, whatever tokens are made up."""

_ALGORITHMS: Final = tuple(Algorithm)


class KeySetCache:
    """Fetches into *knowledge*; `upkeep` is for one thread. *issuer*: what the authority has to be, or empty."""

    def __init__(
        self, stub: KeyServiceStub, knowledge: VerifierState, *, issuer: str, monotonic: Callable[[], float]
    ) -> None:
        self._stub = stub
        self._knowledge = knowledge
        self._issuer = issuer
        self._monotonic = monotonic
        self._backoff = Backoff(longest=LONGEST_PAUSE)
        self._due = -math.inf
        self._asked = -math.inf
        self._missed = False
        self.wake = threading.Event()
        """Set when `upkeep` should be called at once."""

    def find(self, key_id: str) -> JwksKey | None:
        """The key, if it is known. Never waits; for an unknown one the authority is asked soon, in the background."""
        key = self._knowledge.keys.keys.get(key_id)
        if key is None and not self._missed:
            self._missed = True
            self.wake.set()
        return key

    def upkeep(self) -> float:
        """Fetch if it is time to; the seconds until it is next."""
        if self._monotonic() >= self._next():
            self._asked, self._missed = self._monotonic(), False
            self._attempt()
        return max(0.0, self._next() - self._monotonic())

    def _next(self) -> float:
        return min(self._due, self._asked + MISS_PAUSE) if self._missed else self._due

    def _attempt(self) -> None:
        try:
            keys = self._fetch()
        except Exception as error:  # noqa: BLE001 - it is kept as the failure that status() shows and the log has, and the fetch is tried again
            failure = from_rpc_error(error) if isinstance(error, grpc.RpcError) else error
            self._knowledge.failed(SOURCE, failure)
            asked = failure.retry_after if isinstance(failure, AuthorityError) else None
            self._due = self._monotonic() + self._backoff.pause(asked)
            return
        self._backoff.reset()
        self._knowledge.succeeded(SOURCE)
        # Many verifiers that started together do not ask together for ever.
        early = keys.max_age * secrets.SystemRandom().uniform(0.75, 0.95)
        self._due = keys.fetched + max(MIN_AGE, early)
        self._knowledge.take_keys(keys)

    def _fetch(self) -> KeySet:
        # The keys are at least as old as the question.
        asked = self._monotonic()
        answer = self._stub.GetJsonWebKeySet(key_pb2.GetJsonWebKeySetRequest())
        data = answer.json.encode()
        if len(data) > MAX_JWKS:
            raise JwksError(f"the JWKS has more than {MAX_JWKS} bytes")
        if not answer.issuer:
            raise JwksError("the authority does not say who the issuer of its tokens is")
        if self._issuer and answer.issuer != self._issuer:
            raise JwksError(f"the issuer is {answer.issuer[:255]!r}, not {self._issuer!r}")
        return KeySet(
            issuer=answer.issuer,
            keys=parse_jwks(data, _ALGORITHMS).keys,
            max_age=max(MIN_AGE, float(answer.max_age.seconds)),
            fetched=asked,
        )
