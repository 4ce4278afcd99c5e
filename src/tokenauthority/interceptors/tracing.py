"""Trace each call: begin a trace, decide whether to sample it once the caller is known, and hand it over at the end."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Final, Protocol

import grpc
import structlog

from tokenauthority.contract import METHODS
from tokenauthority.interceptors.call import Call, Proceed
from tokenauthority.interceptors.status import StatusError
from tokenauthority.telemetry.call_trace import CallTrace, current_trace
from tokenauthority.telemetry.trace_context import read_context


_FAULTS: Final = frozenset(
    {
        grpc.StatusCode.UNKNOWN.name,
        grpc.StatusCode.DEADLINE_EXCEEDED.name,
        grpc.StatusCode.UNIMPLEMENTED.name,
        grpc.StatusCode.INTERNAL.name,
        grpc.StatusCode.UNAVAILABLE.name,
        grpc.StatusCode.DATA_LOSS.name,
    }
)
"""What OpenTelemetry's conventions call an error of a gRPC server: the others are mistakes of the caller."""

_OWN: Final = frozenset({"", "connect", "opentok"})
"""Transports whose callers speak for themselves: a proxy passes on what an end user has sent to it."""


class FinishedTraces(Protocol):
    """Where traces go."""

    def add(self, trace: CallTrace, *, known: bool) -> None:
        """Add one whose call has ended; *known* says whether its caller has proved itself."""


class TracingInterceptor:
    """The outer step: begins a trace, which no stranger's context continues, and gives it to *finished* if sampled.

    *choose* says whether a call is sampled of which no caller has decided it. The methods of *untraced* (health checks
    and reflection) are not traced. A bug in what ends a trace is logged; the call ends as it would without a trace.
    """

    def __init__(self, finished: FinishedTraces, choose: Callable[[], bool], untraced: Collection[str]) -> None:
        self._finished = finished
        self._choose = choose
        self._untraced = frozenset(untraced)
        self._logger = structlog.stdlib.get_logger(__name__)

    async def intercept(self, call: Call, proceed: Proceed) -> object:
        """Trace the call, however it ends."""
        if call.method in self._untraced:
            return await proceed(call)
        trace = CallTrace()
        call.record.trace_id = trace.trace_id
        current_trace.set(trace)
        refusal: StatusError | None = None
        try:
            return await proceed(call)
        except StatusError as error:
            refusal = error
            raise
        finally:
            try:
                self._end(trace, call, refusal)
            except Exception:
                self._logger.exception("telemetry.bug", method=call.method)
            # The error refers to its traceback, and that to this frame.
            del refusal

    def _end(self, trace: CallTrace, call: Call, refusal: StatusError | None) -> None:
        trace.finish()
        if trace.sampled is None:
            trace.sampled = self._choose()
        if trace.sampled:
            # Audit has recorded every other end, also that the client left or the deadline passed.
            code = call.record.code if refusal is None else refusal.code.name
            _describe(trace, call, code, call.record.reason if refusal is None else refusal.reason)
            self._finished.add(trace, known=call.caller is not None)


class SamplingInterceptor:
    """The step after authentication: a known caller's context is continued, and its decision followed; see `_OWN`."""

    def __init__(self, choose: Callable[[], bool]) -> None:
        self._choose = choose

    async def intercept(self, call: Call, proceed: Proceed) -> object:
        """Decide; the answer passes unchanged."""
        trace = current_trace.get()
        if trace is not None and call.caller is not None:
            context = read_context(call.metadata)
            if context is not None:
                trace.follow(context)
                call.record.trace_id = trace.trace_id
            if context is not None and call.transport in _OWN:
                trace.sampled = context.sampled
            else:
                trace.sampled = self._choose()
        return await proceed(call)


def _describe(trace: CallTrace, call: Call, code: str, reason: str) -> None:
    """Name the trace and its facts by the conventions for RPC, and those of ours: none is secret or of an end user."""
    system = "connectrpc" if call.transport == "connect" else "grpc"
    known = call.method in METHODS
    method = call.method.lstrip("/") if known else "_OTHER"
    trace.name = method if known else system
    trace.error = code if code in _FAULTS else ""
    caller = call.caller.name if call.caller is not None else ""
    facts = {
        "rpc.system.name": system,
        "rpc.method": method,
        "rpc.response.status_code": code,
        "error.type": trace.error,
        "tokenauthority.caller": caller,
        "tokenauthority.reason": reason,
        "tokenauthority.request_id": call.record.request_id,
        "tokenauthority.transport": call.transport,
    }
    trace.attributes = {name: value for name, value in facts.items() if value}
