"""Report an outage when it begins, when its cause changes and when it ends, however often its attempts fail."""

from __future__ import annotations

import structlog


class ExpectedError(Exception):
    """A failure of something outside of the program. Its text says all, so that the log has no traceback of it."""


class Outage:
    """Tracks whether one thing works, such as the store, and logs when its outage begins and ends.

    Each new cause logs *event*, and the first success after that logs *recovered*, if there is one. `cause` is empty
    while the thing works.
    """

    def __init__(
        self, logger: structlog.stdlib.BoundLogger, event: str, *, recovered: str = "", level: str = "error"
    ) -> None:
        self._logger = logger
        self._event = event
        self._recovered = recovered
        self._level = level
        self.cause = ""

    def report(self, cause: str, /, *, error: BaseException | None = None, **fields: object) -> None:
        """Log *fields* unless the last attempt failed of the same *cause*, and the traceback of *error* or its text."""
        if cause != self.cause:
            if isinstance(error, ExpectedError):
                fields["cause"] = str(error)
            elif error is not None:
                fields["exc_info"] = error
            getattr(self._logger, self._level)(self._event, **fields)
        self.cause = cause

    def recover(self, **fields: object) -> None:
        """Log *fields* if there was an outage until now."""
        if self.cause and self._recovered:
            self._logger.info(self._recovered, **fields)
        self.cause = ""
