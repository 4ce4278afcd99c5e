"""An outage is reported once for each cause, and its end once."""

from __future__ import annotations

import structlog

from tests.support.logs import capture_logs
from tokenauthority.outage import ExpectedError, Outage


def make_outage(*, recovered: str = "it.recovered", level: str = "error") -> Outage:
    """An outage of something called it."""
    return Outage(structlog.stdlib.get_logger(), "it.failed", recovered=recovered, level=level)


def test_reports_each_cause_once() -> None:
    """However often an attempt fails alike; another cause is news, and so is the first one after it."""
    outage = make_outage(level="warning")
    with capture_logs() as logs:
        for cause in ("full", "full", "hangs", "full"):
            outage.report(cause, cause=cause)

    assert [("it.failed", "warning", cause) for cause in ("full", "hangs", "full")] == [
        (line["event"], line["log_level"], line["cause"]) for line in logs
    ]


def test_reports_the_end_once() -> None:
    """Successes after the first are not reported; the next outage is, also with the same cause."""
    outage = make_outage()
    with capture_logs() as logs:
        outage.recover()
        outage.report("full")
        outage.recover(count=7)
        outage.recover(count=8)
        outage.report("full")

    assert ["it.failed", "it.recovered", "it.failed"] == [line["event"] for line in logs]
    assert 7 == logs[1]["count"]


def test_an_end_without_an_event_is_silent() -> None:
    """As where another event says that all is well."""
    outage = make_outage(recovered="")
    with capture_logs() as logs:
        outage.report("full")
        outage.recover()

    assert ["it.failed"] == [line["event"] for line in logs]


def test_shows_its_cause_while_it_lasts() -> None:
    """Empty before and after."""
    outage = make_outage()
    causes = [outage.cause]
    outage.report("full")
    causes.append(outage.cause)
    outage.recover()

    assert ["", "full", ""] == [*causes, outage.cause]


def test_logs_the_text_of_an_error_that_is_no_bug() -> None:
    """A traceback says nothing of a collector that is away."""
    with capture_logs() as logs:
        make_outage().report("away", error=ExpectedError("UNAVAILABLE"))

    assert ["UNAVAILABLE", None] == [logs[0].get("cause"), logs[0].get("exc_info")]


def test_logs_the_traceback_of_the_error() -> None:
    """Of the one that is given."""
    error = ZeroDivisionError()
    with capture_logs() as logs:
        make_outage().report("bug", error=error)

    assert error is logs[0]["exc_info"]
