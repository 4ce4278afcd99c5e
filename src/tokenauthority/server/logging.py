"""Configure the operational log: structlog on standard error, also for libraries. It contains no token or secret."""

from __future__ import annotations

import itertools
import logging
import os
import sys
import threading

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import structlog

from structlog.typing import EventDict, Processor, WrappedLogger

from tokenauthority.config.groups import LoggingSettings
from tokenauthority.interceptors.request import current_request_id
from tokenauthority.server.line_limiter import LineLimiter
from tokenauthority.telemetry.call_trace import current_trace


if TYPE_CHECKING:
    from sys import UnraisableHookArgs


_CLIENT_GONE: Final = "ExecuteBatchError raised in core"
"""The error that grpc.aio logs, with a traceback, when a client disconnects before its answer."""

_MAX_VALUE: Final = 8_000
"""Characters of one value of an event, such as a traceback."""

_limiter: Final = LineLimiter()


def configure(settings: LoggingSettings) -> None:
    """Format every event, also those of libraries, in one way."""
    shared: list[Processor] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _add_ids,
    ]
    if settings.format == "json":
        # Tracebacks as text, without local variables, which may contain secrets.
        final: list[Processor] = [structlog.processors.format_exc_info, _shorten, structlog.processors.JSONRenderer()]
    else:
        plain = structlog.dev.plain_traceback
        # no-color.org: any value but the empty one.
        colors = sys.stderr.isatty() and not os.environ.get("NO_COLOR")
        final = [_shorten, structlog.dev.ConsoleRenderer(colors=colors, exception_formatter=plain)]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared, processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *final]
        )
    )
    # On the handler and not on a logger: a logger's filter does not see the events of the loggers below it.
    handler.addFilter(_without_gone_clients)
    handler.addFilter(_limiter)
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(settings.level.upper())
    _quiet_libraries()
    # Else Python itself prints a traceback, without any limit.
    sys.unraisablehook = _log_unraisable
    threading.excepthook = _log_thread


def debug_switch(settings: LoggingSettings) -> Callable[[], None]:
    """Return what logs from `debug` at its first call, from the level of *settings* at its second, and so on."""
    levels = itertools.cycle(["debug", settings.level])

    def switch() -> None:
        level = next(levels)
        logging.getLogger().setLevel(level.upper())
        # Whoever has sent the signal sees this, whichever level it is.
        structlog.stdlib.get_logger(__name__).error("log.level", level_from_now=level)

    return switch


def _quiet_libraries() -> None:
    # Libraries may log their input; their warnings are enough.
    for noisy in ("sqlalchemy", "alembic", "uvicorn", "uvicorn.error", "grpc", "asyncio", "httpx", "httpcore"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    # They report each connection that is lost, the pool with a traceback. The store logs that once.
    logging.getLogger("psycopg").setLevel(logging.ERROR)
    logging.getLogger("sqlalchemy.pool").setLevel(logging.CRITICAL)


def report_dropped() -> None:
    """Log how many lines of each kind were above the limit since the last report."""
    for kind, lines in _limiter.take_dropped().items():
        structlog.stdlib.get_logger(__name__).warning("log.dropped", kind=kind, lines=lines)


def _log_unraisable(unraisable: UnraisableHookArgs) -> None:
    error = unraisable.exc_value
    # Not the object itself, whose text may hold anything.
    where = type(unraisable.object).__name__
    structlog.stdlib.get_logger(__name__).error("python.unraisable", where=where, exc_info=error)


def _log_thread(arguments: threading.ExceptHookArgs) -> None:
    name = "" if arguments.thread is None else arguments.thread.name
    structlog.stdlib.get_logger(__name__).error("python.thread_failed", thread=name, exc_info=arguments.exc_value)


def _without_gone_clients(record: logging.LogRecord) -> bool:
    """Log a client that disconnects as one debug line: it is no error of the server."""
    if not (record.name.startswith("grpc") and _CLIENT_GONE in str(record.msg)):
        return True
    record.levelno, record.levelname = logging.DEBUG, "DEBUG"
    record.exc_info = record.exc_text = None
    return logging.getLogger().isEnabledFor(logging.DEBUG)


def _add_ids(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    request_id, trace = current_request_id.get(), current_trace.get()
    if request_id:
        event["request_id"] = request_id
    if trace is not None:
        event["trace_id"] = trace.trace_id
    return event


def _shorten(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    for name, value in event.items():
        if isinstance(value, str) and len(value) > _MAX_VALUE:
            event[name] = f"{value[:_MAX_VALUE]}… ({len(value)} characters)"
    return event
