"""Work that a thread of one's own runs: its outcome, whatever it is, reaches whoever awaits it."""

from __future__ import annotations

from concurrent.futures import Future
from typing import TYPE_CHECKING, TypeVar


if TYPE_CHECKING:
    from collections.abc import Callable


T = TypeVar("T")


def promised(work: Callable[[], T]) -> tuple[Future[T], Callable[[], None]]:
    """The future of *work*, and what runs it, to be called once, on any thread.

    It is run also when nobody waits for it any more: the future cannot be cancelled. For threads that must not keep the
    process from ending, which those of an executor do.
    """
    future: Future[T] = Future()
    future.set_running_or_notify_cancel()

    def run() -> None:
        try:
            future.set_result(work())
        except BaseException as error:  # noqa: BLE001 - it goes to whoever awaits the future, as from any executor; here it would end in a thread that nobody looks at
            future.set_exception(error)

    return future, run
