"""Signs where that blocks, such as in an HSM: in threads, bounded in number and time, off the event loop."""

from __future__ import annotations

import asyncio
import contextlib
import threading

from concurrent.futures import Future
from typing import TYPE_CHECKING, Final, TypeVar

import structlog

from tokenauthority.domain.errors import UnavailableError
from tokenauthority.domain.token import TokenRejectedError
from tokenauthority.signing.jose import parse_raw
from tokenauthority.signing.key_provider import KeyProviderError
from tokenauthority.threads import attempted


if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tokenauthority.signing.signing_key import SigningKey


T = TypeVar("T")

MAKING: Final = 60.0
"""Seconds that a provider has to make or destroy a key. An RSA key may take an HSM that long."""

_PATIENCE: Final = 5.0
"""Seconds for one signature, with the wait for its turn."""

_EACH: Final = 0.02
"""Seconds more for each further one of a batch: 1000 have 25 seconds, less than an RPC may take."""

_AT_ONCE: Final = 16


class RemoteSigning:
    """Runs the signatures of remote keys, each batch in one thread, at most *at_once* of them at a time.

    A thread that does not come back keeps its place, so that a dead HSM costs no more threads than that.
    """

    def __init__(self, *, at_once: int = _AT_ONCE, patience: float = _PATIENCE) -> None:
        self._places = asyncio.Semaphore(at_once)
        self._patience = patience
        self._failure = ""
        self._logger = structlog.stdlib.get_logger(__name__)

    async def run(self, works: Sequence[Callable[[], T]]) -> list[T]:
        """What each of *works* answers, one after the other in one thread. None are begun once the caller gives up.

        Raises:
            UnavailableError: `SIGNING_UNAVAILABLE`, one of them failed, or all together took too long.
        """
        given_up = threading.Event()
        try:
            async with asyncio.timeout(self._patience + _EACH * (len(works) - 1)):
                await self._places.acquire()
                future = _started(lambda: [work() for work in works if not given_up.is_set()], self._places.release)
                results = await asyncio.wrap_future(future)
        except (KeyProviderError, TimeoutError) as error:
            self._note(str(error) or "no answer in time")
            raise UnavailableError.signing() from error
        finally:
            given_up.set()
        self._note("")
        return results

    def _note(self, failure: str) -> None:
        if failure and failure != self._failure:
            self._logger.error("signing.failed", problem=failure)
        elif self._failure and not failure:
            self._logger.info("signing.recovered")
        self._failure = failure


class OneAtATime:
    """Runs what makes keys: a place that hangs holds one thread, however often it is asked."""

    def __init__(self) -> None:
        self._place = asyncio.Semaphore()

    async def run(self, work: Callable[[], T], late: Callable[[T], None]) -> T:
        """See `in_thread`; with a wait for its turn, of the same length, before it.

        Raises:
            KeyProviderError: as `in_thread`, or its turn did not come.
        """
        try:
            async with asyncio.timeout(MAKING):
                await self._place.acquire()
        except TimeoutError as error:
            raise KeyProviderError("the place of the signing keys is still making the one before") from error
        return await in_thread(work, late=late, ended=self._place.release)


async def in_thread(
    work: Callable[[], T],
    patience: float = MAKING,
    *,
    late: Callable[[T], None] | None = None,
    ended: Callable[[], None] | None = None,
) -> T:
    """What *work* answers, run in a thread of its own that keeps no process from ending.

    What comes after *patience* is given to *late*, in that thread. *ended* is called on the loop when the thread ends.

    Raises:
        KeyProviderError: it raised that, or is not done after *patience* seconds; the thread then goes on.
    """
    # Whoever takes it first decides: the thread, that its answer is waited for, or who waits, that it is not.
    decided = threading.Lock()

    def run() -> T:
        answer = work()
        if not decided.acquire(blocking=False) and late is not None:
            late(answer)
        return answer

    future = _started(run, ended or (lambda: None))
    try:
        async with asyncio.timeout(patience):
            return await asyncio.wrap_future(future)
    except TimeoutError as error:
        if not decided.acquire(blocking=False):
            return future.result()
        raise KeyProviderError(f"the place of the signing keys has not answered for {patience:g} seconds") from error
    except asyncio.CancelledError:
        if not decided.acquire(blocking=False) and late is not None:
            # It came, and nobody has it.
            with contextlib.suppress(KeyProviderError):
                _started(lambda: late(future.result()), lambda: None)
        raise


async def prove(key: SigningKey) -> None:
    """Return if *key* can sign; a local key always can.

    Raises:
        KeyProviderError: its place cannot be reached, does not have it, or signs with another key.
    """
    if not key.remote:
        return
    token = await in_thread(lambda: key.signer.sign(b"{}")[0], 2 * _PATIENCE)
    try:
        key.public.verifier.verify(parse_raw(token))
    except TokenRejectedError as error:
        raise KeyProviderError(f"the place of signing key {key.key_id} signs with another key") from error


def _started(work: Callable[[], T], ended: Callable[[], None]) -> Future[T]:
    """The future of *work* in a new daemon thread; *ended* is called on the event loop when the thread ends.

    Raises:
        KeyProviderError: there can be no more threads.
    """
    future: Future[T] = Future()
    # It runs from now on, also when nobody waits for it any more.
    future.set_running_or_notify_cancel()
    loop = asyncio.get_running_loop()

    def run() -> None:
        attempted(work)(future)
        with contextlib.suppress(RuntimeError):
            # The loop may be closed by now.
            loop.call_soon_threadsafe(ended)

    try:
        threading.Thread(target=run, name="remote-signing", daemon=True).start()
    except RuntimeError as error:
        ended()
        raise KeyProviderError("the system lets no more threads begin") from error
    return future
