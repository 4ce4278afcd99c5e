"""Work on a thread of one's own: its outcome, whatever it is, reaches whoever awaits it."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Protocol, TypeVar


if TYPE_CHECKING:
    from collections.abc import Callable


T = TypeVar("T")
T_contra = TypeVar("T_contra", contravariant=True)


class Promise(Protocol[T_contra]):
    """A future, of asyncio or of concurrent.futures."""

    def set_result(self, result: T_contra, /) -> None:
        """Give it an answer."""

    def set_exception(self, exception: BaseException, /) -> None:
        """Have it raise."""


def attempted(work: Callable[[], T]) -> Callable[[Promise[T]], None]:
    """Run *work* now; what gives its answer, or what it raised, to a future.

    For threads that must not keep the process from ending, as those of an executor do.
    """
    try:
        answer = work()
    except BaseException as error:  # noqa: BLE001 - it goes to whoever awaits the future, as from any executor; let out, it would end in a thread that nobody looks at
        return partial(_fail, error)
    return lambda promise: promise.set_result(answer)


def _fail(error: BaseException, promise: Promise[T]) -> None:
    promise.set_exception(error)
