"""Configure the operational log: structlog on standard error, also for libraries. It contains no token or secret."""

from __future__ import annotations

import logging
import sys

from typing import Final

import structlog

from structlog.typing import EventDict, Processor, WrappedLogger

from tokenauthority.config.groups import LoggingSettings
from tokenauthority.interceptors.request import current_request_id


_CLIENT_GONE: Final = "ExecuteBatchError raised in core"
"""The error that grpc.aio logs, with a traceback, when a client disconnects before its answer."""


def configure(settings: LoggingSettings) -> None:
    """Format every event, also those of libraries, in one way."""
    shared: list[Processor] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _add_request_id,
    ]
    if settings.format == "json":
        # Tracebacks as text, without local variables, which may contain secrets.
        final: list[Processor] = [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    else:
        plain = structlog.dev.plain_traceback
        final = [structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=plain)]
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
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(settings.level.upper())
    # Libraries may log their input; their warnings are enough.
    for noisy in ("sqlalchemy", "alembic", "uvicorn", "uvicorn.error", "grpc", "asyncio", "httpx", "httpcore"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


def _without_gone_clients(record: logging.LogRecord) -> bool:
    """Log a client that disconnects as one debug line: it is no error of the server."""
    if not (record.name.startswith("grpc") and _CLIENT_GONE in str(record.msg)):
        return True
    record.levelno, record.levelname = logging.DEBUG, "DEBUG"
    record.exc_info = record.exc_text = None
    return logging.getLogger().isEnabledFor(logging.DEBUG)


def _add_request_id(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    request_id = current_request_id.get()
    if request_id:
        event["request_id"] = request_id
    return event
