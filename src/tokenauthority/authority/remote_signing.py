"""Use signing keys where that blocks, such as in an HSM: off the event loop, bounded in threads and in time."""

from __future__ import annotations

import threading

from collections.abc import Callable, Sequence
from typing import Final, TypeVar

import structlog

from tokenauthority.domain.counts import counted
from tokenauthority.domain.errors import UnavailableError
from tokenauthority.domain.token import TokenRejectedError
from tokenauthority.outage import Outage
from tokenauthority.signing.jose import parse_raw
from tokenauthority.signing.key_provider import KeyProviderError
from tokenauthority.signing.signing_key import SigningKey
from tokenauthority.threads import BlockingPool, PoolError, PoolTimeoutError


T = TypeVar("T")

MAKING: Final = 60.0
"""Seconds that a provider has to make or destroy a key, with the wait for its turn. An RSA key may take an HSM long."""

_SIGNING_TIMEOUT: Final = 5.0
"""Seconds for one signature, with the wait for its turn."""

_EACH: Final = 0.02
"""Seconds more for each further one of a batch: 1000 have 25 seconds, less than an RPC may take."""

_SIGNING_THREADS: Final = 16
_ASKING_THREADS: Final = 4


class RemoteSigning:
    """Runs the signatures of remote keys, each batch in one thread, at most *at_once* of them at a time.

    A thread that does not come back keeps its place, so that a dead HSM costs no more threads than that.
    """

    def __init__(self, *, at_once: int = _SIGNING_THREADS, patience: float = _SIGNING_TIMEOUT) -> None:
        # What waits is bounded by the limit of concurrent RPCs, and by the time that each has.
        self._pool = BlockingPool("remote-signing", threads=at_once)
        self._patience = patience
        self._outage = Outage(structlog.stdlib.get_logger(__name__), "signing.failed", recovered="signing.recovered")

    @property
    def problem(self) -> str:
        """Why the last signature failed; empty if it did not."""
        return self._outage.cause

    def recover(self) -> None:
        """End the outage, as the key that signs is none of these any more."""
        self._outage.recover()

    async def run(self, works: Sequence[Callable[[], T]]) -> list[T]:
        """Return what each of *works* answers, one after the other. None are begun once the caller gives up.

        Raises:
            UnavailableError: `SIGNING_UNAVAILABLE`, one of them failed, or all together took too long.
        """
        given_up = threading.Event()
        try:
            results = await self._pool.run(
                lambda: [work() for work in works if not given_up.is_set()],
                patience=self._patience + _EACH * (len(works) - 1),
            )
        except (KeyProviderError, PoolError) as error:
            problem = "no answer in time" if isinstance(error, PoolTimeoutError) else str(error)
            self._outage.report(problem, problem=problem)
            raise UnavailableError.signing() from error
        finally:
            given_up.set()
        self._outage.recover()
        return results


class KeyPlace:
    """Where signing keys live: makes, destroys and proves them there. *patience* is in seconds.

    One key is made at a time: a place that hangs holds one thread, however often it is asked.
    """

    def __init__(self, patience: float = MAKING) -> None:
        self._patience = patience
        self._making = BlockingPool("key-making")
        self._asking = BlockingPool("key-place", threads=_ASKING_THREADS)

    async def make(self, work: Callable[[], T], late: Callable[[T], None]) -> T:
        """Return the key that *work* makes. One that comes when nobody waits any more goes to *late*, on a thread.

        Raises:
            KeyProviderError: *work* raised it, or there is no answer in time; *work* then goes on.
        """
        return await _answer(self._making, work, self._patience, late)

    async def ask(self, work: Callable[[], T], patience: float | None = None) -> T:
        """Return what *work* answers; raise KeyProviderError as `make`."""
        return await _answer(self._asking, work, self._patience if patience is None else patience)

    async def prove(self, key: SigningKey) -> None:
        """Return if *key* can sign, as local keys always can; raise KeyProviderError if its place does not."""
        if not key.remote:
            return
        token = await self.ask(lambda: key.signer.sign(b"{}")[0], 2 * _SIGNING_TIMEOUT)
        try:
            key.public.verifier.verify(parse_raw(token))
        except TokenRejectedError as error:
            raise KeyProviderError(f"the place of signing key {key.key_id} signs with another key") from error


async def _answer(
    pool: BlockingPool, work: Callable[[], T], seconds: float, late: Callable[[T], None] | None = None
) -> T:
    try:
        return await pool.run(work, patience=seconds, late=late)
    except PoolTimeoutError as error:
        problem = "has not answered" if error.begun else "has been busy with other keys"
        raise KeyProviderError(f"the place of the signing keys {problem} for {counted(seconds, 'second')}") from error
    except PoolError as error:
        raise KeyProviderError(str(error)) from error
