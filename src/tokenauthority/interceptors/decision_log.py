"""Explain each decision about a call at the level debug, by its request id: what allowed it, or why it is refused.

No text of a stranger is logged: the audit log has what a credential said.
"""

from __future__ import annotations

import logging

import structlog

from tokenauthority.callers.explain import AccessRequest, explain_access
from tokenauthority.callers.registry import CurrentCallers
from tokenauthority.contract import METHODS
from tokenauthority.domain.caller import Action, Caller
from tokenauthority.domain.errors import TokenAuthorityError
from tokenauthority.domain.times import Seconds
from tokenauthority.domain.token_format import TokenFormat
from tokenauthority.interceptors.call import Call
from tokenauthority.interceptors.rate_limiter import CallerRateLimiter


_standard_logger = logging.getLogger(__name__)


class DecisionLog:
    """Explains by the lines of the current *callers*, and with what *limits* leaves them."""

    def __init__(self, callers: CurrentCallers, limits: CallerRateLimiter) -> None:
        self._callers = callers
        self._limits = limits
        self._logger = structlog.stdlib.get_logger(__name__)

    @property
    def is_on(self) -> bool:
        """Whether decisions are logged now: ask first, as an explanation costs more than most calls."""
        return _standard_logger.isEnabledFor(logging.DEBUG)

    def refused(self, call: Call, error: TokenAuthorityError) -> None:
        """Log why a call is refused."""
        caller, method = call.caller.name if call.caller else "", call.method if call.method in METHODS else "unknown"
        self._logger.debug("rpc.refused", method=method, caller=caller, reason=error.reason.value, problem=str(error))

    def allowed(self, call: Call) -> None:
        """Log which lines of the callers file allow a call, as `callers check` does; nothing for a public method."""
        caller = call.caller
        if caller is None:
            return
        burst_left, left_today = self._limits.left(caller)
        self._logger.debug(
            "rpc.allowed",
            method=call.method,
            caller=caller.name,
            outcome=call.record.reason or "OK",
            allowed_by=self._lines(call, caller),
            burst_left=burst_left,
            left_today=left_today,
        )

    def _lines(self, call: Call, caller: Caller) -> list[str]:
        record = call.record
        entry = next((each for each in self._callers.registry.entries if each.caller.name == caller.name), None)
        # Line 0: the caller of a development server, which may do everything.
        if entry is None or not entry.line or not record.action:
            return []
        action = Action(record.action)
        # Only there the caller chooses them; elsewhere they are those of a token or a role that it asks about.
        makes = action is Action.TOKENS_GENERATE
        request = AccessRequest(
            action=action,
            project=record.project_id,
            role=record.role if makes else "",
            format=TokenFormat(record.format) if makes and record.format else None,
            ttl=Seconds(record.lifetime) if makes and record.lifetime else None,
            items=record.items or 1,
        )
        return [f"line {each.line}: {each.text}" for each in explain_access(entry, request) if each.allows]
