"""How long the authority stands still under load: its event loop, and the collections of garbage among that."""

from __future__ import annotations

import json
import os
import signal
import time

from typing import TYPE_CHECKING, Final

import attrs

from benchmarks.measure import bar_text


if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from benchmarks.servers import Server


_SECONDS: Final = 10.0
_WAIT: Final = 5.0

_PAUSE_BAR: Final = 20.0
_COLLECTION_BAR: Final = 10.0
"""Milliseconds that no pause and no garbage collection may last."""


@attrs.frozen(kw_only=True)
class Longest:
    """The longest in milliseconds.

    Attributes:
        pause: In which the event loop ran nothing that had become due.
        busy: The processor time of the event loop's thread in one turn; what is beyond it in `pause` is time that the
            thread waited, for another thread of the server or for other processes of this machine.
        collection: A garbage collection.
    """

    pause: float
    busy: float
    collection: float


@attrs.frozen
class Pauses:
    """The longest, by load."""

    of: Mapping[str, Longest]

    def as_text(self) -> str:
        """A table."""
        lines = ["", f"{'Longest pause in ms, by load':<56}{'pause':>9}{'busy':>9}{'garbage':>9}", ""]
        lines += [f"{name:<56}{of.pause:>9.1f}{of.busy:>9.1f}{of.collection:>9.1f}" for name, of in self.of.items()]
        pause, collection = (max(getattr(of, name) for of in self.of.values()) for name in ("pause", "collection"))
        bars = (
            f"pause: in which the event loop ran nothing that was due; {_bar(_PAUSE_BAR, pause)}",
            "busy: the processor time of the event loop in such a pause; in the rest of it the loop waited",
            f"garbage: a garbage collection; {_bar(_COLLECTION_BAR, collection)}",
        )
        return "\n".join([*lines, "", *bars, ""])

    def as_json(self) -> dict[str, object]:
        """The same for programs."""
        return {name: attrs.asdict(of) for name, of in self.of.items()}


def _bar(bar: float, longest: float) -> str:
    return f"{longest:.1f} ms {bar_text(f'<= {bar:g}', reached=longest <= bar)}"


def measure(server: Server, loads: Mapping[str, Callable[[], object]]) -> Pauses:
    """Give *server* each load for some seconds. It was started with a heartbeat; see `benchmarks.beating`.

    Raises:
        LoadError: a call was not answered.
    """
    return Pauses({name: _longest(server, load) for name, load in loads.items()})


def _longest(server: Server, load: Callable[[], object]) -> Longest:
    load()
    written = _lines(server)
    os.kill(server.pid, signal.SIGUSR2)
    until = time.monotonic() + _SECONDS
    try:
        while time.monotonic() < until:
            load()
    finally:
        os.kill(server.pid, signal.SIGUSR2)
    deadline = time.monotonic() + _WAIT
    while len(lines := _lines(server)) == len(written):
        if time.monotonic() > deadline:
            raise TimeoutError("the server did not say how long its pauses were")
        time.sleep(0.1)
    return Longest(**json.loads(lines[-1]))


def _lines(server: Server) -> list[str]:
    return server.pauses.read_text(encoding="ascii").splitlines() if server.pauses.exists() else []
