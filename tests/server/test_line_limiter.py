"""A flood of one kind of line is bounded and counted, and hides no line of another kind."""

from __future__ import annotations

import gc
import logging
import sys
import threading

import attrs
import pytest

from tokenauthority.server.line_limiter import LineLimiter


@attrs.define
class Log:
    """A limiter with a clock that a test moves."""

    now: float = 1000.0
    limiter: LineLimiter = attrs.Factory(lambda self: LineLimiter(lambda: self.now), takes_self=True)

    def passed(self, message: object, count: int = 1, *, logger: str = "a", line: int = 1) -> int:
        """How many of so many lines pass."""
        record = logging.LogRecord(logger, logging.ERROR, "a.py", line, message, (), None)
        return sum(self.limiter.filter(record) for _ in range(count))


def test_passes_a_hundred_lines_of_a_kind_and_then_six_a_minute() -> None:
    """The others are counted once."""
    log = Log()
    first = log.passed({"event": "rpc.bug"}, 1000)
    log.now += 60
    later = log.passed({"event": "rpc.bug"}, 1000)

    assert (100, 6) == (first, later)
    assert {"rpc.bug": 1894} == log.limiter.take_dropped()
    assert {} == log.limiter.take_dropped()


def test_a_flood_hides_no_other_kind() -> None:
    """Our events by name; a library's by the place that logs, and by the begin of the text."""
    log = Log()
    log.passed({"event": "rpc.bug"}, 1000)
    log.passed("SSL handshake failed on an incoming connection", 1000, logger="asyncio", line=7)

    assert 1 == log.passed({"event": "store.unavailable"})
    assert 1 == log.passed("Task exception was never retrieved", logger="asyncio", line=7)
    assert 1 == log.passed("SSL handshake failed on an incoming connection", logger="asyncio", line=8)
    assert 1 == log.passed("SSL handshake failed on an incoming connection", logger="uvicorn", line=7)
    assert 0 == log.passed({"event": "rpc.bug"})


def test_counts_what_a_stranger_invents_as_one_kind() -> None:
    """A text that begins with his own words costs neither memory nor lines without end."""
    log = Log()
    passed = sum(log.passed(f"{number} is no method", line=3) for number in range(5000))

    assert 100 < passed <= 300
    assert {"other": 5000 - passed} == log.limiter.take_dropped()
    assert len(log.limiter._kinds) <= 201


def test_a_flood_of_kinds_drops_none_of_our_lines() -> None:
    """Our events are few, and what a library logs is never counted against them; nor is the count itself dropped."""
    log = Log()
    for number in range(5000):
        log.passed(f"{number} is no method", line=3)
    log.now += 5

    assert 100 == log.passed({"event": "store.unavailable"}, 1000)
    assert 500 == log.passed({"event": "log.dropped"}, 500)
    assert 0 == log.passed("Task exception was never retrieved", logger="asyncio")


def test_tells_libraries_apart_again_after_a_flood_of_kinds() -> None:
    """A kind that has no line to make up for needs no memory; one whose lines were dropped waits for its report."""
    log = Log()
    log.passed("SSL handshake failed on an incoming connection", 1000, logger="asyncio")
    for number in range(5000):
        log.passed(f"{number} is no method", line=3)
    log.now += 3600
    passed = log.passed("Task exception was never retrieved", 1000, logger="asyncio")

    assert 100 == passed
    assert {"asyncio:1: SSL handshake failed on an incoming connection": 900, "other": 4701} == {
        name: lines for name, lines in log.limiter.take_dropped().items() if "Task" not in name
    }
    assert 3 > len(log.limiter._kinds)


class Finalized:
    """Ends with an error when the garbage collector finds it: it is alive by itself alone."""

    def __init__(self) -> None:
        self.own = self

    def __del__(self) -> None:
        """Fail."""
        raise ValueError


def test_a_finalizer_may_log_while_a_line_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    """Python runs finalizers wherever it allocates, and their errors are logged: the limiter meets itself."""
    log = Log()
    met: list[bool] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda _: met.append(bool(log.passed({"event": "python.unraisable"}))))

    def flood() -> None:
        for number in range(500):
            gc.set_threshold(1 + number % 50)  # so that each line is once the one at which it runs
            Finalized()
            log.passed(f"{number} is no method")
            log.now += 1
            log.limiter.take_dropped()

    before = gc.get_threshold()
    gc.freeze()  # what was made so far is not searched each time
    try:
        thread = threading.Thread(target=flood, daemon=True)
        thread.start()
        thread.join(60)
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()
        gc.collect()

    assert not thread.is_alive()
    assert met


def test_drops_no_checkpoint() -> None:
    """A copy of it elsewhere proves what the audit log was, so each is written."""
    assert 500 == Log().passed({"event": "audit.checkpoint"}, 500, logger="tokenauthority.audit")
