"""Bind each RPC of the contract to the method of its servicer that has its name in snake case.

`TokenService.GenerateToken` is answered by `TokenServicer.generate_token(request, rpc)`. The table is the contract
itself: the server does not start if a method is missing.
"""

from __future__ import annotations

import re

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from typing import Final, TypeAlias, cast

import msgspec

from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from tokenauthority.audit.record import AuditRecord
from tokenauthority.contract import METHODS, Method
from tokenauthority.domain.caller import Caller, Grant
from tokenauthority.domain.times import Millis
from tokenauthority.service.recording import answer_recorder, request_recorder


_Answering: TypeAlias = "Callable[[Message, Rpc], Awaitable[Message]]"
_Streaming: TypeAlias = "Callable[[Message, Rpc], AsyncGenerator[Message]]"

_WORD_START: Final = re.compile(r"(?<!^)(?=[A-Z])")


class Rpc(msgspec.Struct, frozen=True):
    """One RPC.

    Attributes:
        caller: The authenticated caller.
        record: The RPC's audit record. What the request and the answer name is recorded around the servicer (see
            `recording`); a servicer adds only what those messages do not say.
        now: When the request had arrived.
    """

    caller: Caller
    record: AuditRecord
    now: Millis

    @property
    def grant(self) -> Grant:
        """Return what the caller may do."""
        return self.caller.grant

    def chosen_project(self, asked: str) -> str:
        """Return the project that the request means, and record it; see `Grant.chosen_project`, also for errors."""
        self.record.project_id = self.caller.grant.chosen_project(asked)
        return self.record.project_id


class ServicerTableError(Exception):
    """An RPC of the contract has no servicer method; the server must not start."""


class ServedMethod:
    """An RPC with what answers it.

    Attributes:
        streaming: Whether its answer is a stream of messages.
        decode: Parses the bytes of a request; raises DecodeError.
        encode: Serializes a message of the answer.
    """

    def __init__(self, method: Method, servicer_method: object, clock: Callable[[], Millis]) -> None:
        descriptor = method.descriptor
        self.streaming = descriptor.server_streaming
        self.decode: Callable[[bytes], Message] = GetMessageClass(descriptor.input_type).FromString
        self.encode: Callable[[Message], bytes] = GetMessageClass(descriptor.output_type).SerializeToString
        self._record_request = request_recorder(descriptor.input_type)
        self._record_answer = answer_recorder(descriptor.input_type, descriptor.output_type)
        self._servicer_method = servicer_method
        self._clock = clock

    async def answer(self, request: Message, caller: Caller | None, record: AuditRecord) -> bytes:
        """Return the encoded answer of a unary RPC; *record* says what was asked and what is given out."""
        rpc = self._begin(request, caller, record)
        answer = await cast("_Answering", self._servicer_method)(request, rpc)
        self._record_answer(request, answer, record)
        return self.encode(answer)

    def stream(self, request: Message, caller: Caller | None, record: AuditRecord) -> AsyncGenerator[Message]:
        """Return the messages of a streaming RPC; *record* says what was asked."""
        return cast("_Streaming", self._servicer_method)(request, self._begin(request, caller, record))

    def _begin(self, request: Message, caller: Caller | None, record: AuditRecord) -> Rpc:
        if caller is None:
            raise LookupError("the RPC has no authenticated caller")
        self._record_request(request, record)
        return Rpc(caller, record, self._clock())


def bind_servicers(servicers: Mapping[str, object], clock: Callable[[], Millis]) -> Mapping[str, ServedMethod]:
    """Return the RPCs of the contract by path, bound to *servicers* by service; raise ServicerTableError for gaps."""
    methods = {
        path: getattr(servicers.get(method.service), servicer_method_name(method.name), None)
        for path, method in METHODS.items()
    }
    missing = [path for path, servicer_method in methods.items() if servicer_method is None]
    if missing:
        raise ServicerTableError("no servicer method for " + ", ".join(missing))
    return {path: ServedMethod(METHODS[path], servicer_method, clock) for path, servicer_method in methods.items()}


def servicer_method_name(rpc: str) -> str:
    """Return the name of the method that answers *rpc*: `GenerateToken` is `generate_token`."""
    return _WORD_START.sub("_", rpc).lower()
