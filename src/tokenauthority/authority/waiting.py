"""Say how long a call may wait for somebody outside, such as a platform, and without whose places."""

from __future__ import annotations

import math

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, nullcontext

import msgspec


class Waiting(msgspec.Struct, frozen=True):
    """What a call grants a wait.

    `deadline` is when its caller gives up, or the server would, on the event loop's clock. Within `aside` the call has
    none of the places that its caller has for changes of the store: a caller whose calls wait can still revoke.
    """

    deadline: float = math.inf
    aside: Callable[[], AbstractAsyncContextManager[None]] = nullcontext
