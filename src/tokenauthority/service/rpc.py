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
from tokenauthority.authority.waiting import Waiting
from tokenauthority.contract import METHODS, Method
from tokenauthority.domain.caller import Caller, Grant
from tokenauthority.domain.times import Millis
from tokenauthority.service.items import items_reader
from tokenauthority.service.recording import answer_recorder, request_recorder


_Answering: TypeAlias = "Callable[[object, Rpc], Awaitable[Message | bytes]]"
_Streaming: TypeAlias = "Callable[[object, Rpc], AsyncGenerator[Message]]"

_PATIENT: Final = Waiting()
_WORD_START: Final = re.compile(r"(?<!^)(?=[A-Z])")


class Rpc(msgspec.Struct, frozen=True):
    """One RPC.

    Attributes:
        caller: The authenticated caller.
        record: The RPC's audit record. What the request and the answer name is recorded around the servicer (see
            `recording`); a servicer adds only what those messages do not say.
        now: When the request had arrived.
        waiting: How long it may wait for somebody outside, and how.
    """

    caller: Caller
    record: AuditRecord
    now: Millis
    waiting: Waiting = _PATIENT

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

    A unary RPC first waits for *wait_for_read* of `StoreFollower`: after a sleep of the process, what is cached is old.

    Attributes:
        streaming: Whether its answer is a stream of messages.
        decode: Parses the bytes of a request; raises DecodeError. A request that is a list becomes `EncodedItems`.
        encode: Serializes a message of the answer.
    """

    def __init__(
        self,
        method: Method,
        servicer_method: object,
        clock: Callable[[], Millis],
        wait_for_read: Callable[[], Awaitable[None]],
    ) -> None:
        descriptor = method.descriptor
        self.streaming = descriptor.server_streaming
        self.decode: Callable[[bytes], object] = (
            items_reader(descriptor.input_type, method.max_items)
            if method.max_items
            else GetMessageClass(descriptor.input_type).FromString
        )
        self.encode: Callable[[Message], bytes] = GetMessageClass(descriptor.output_type).SerializeToString
        self._record_request = request_recorder(descriptor.input_type)
        self._record_answer = answer_recorder(descriptor.input_type, descriptor.output_type)
        self._servicer_method = servicer_method
        self._clock = clock
        self._wait_for_read = wait_for_read

    async def answer(
        self, request: object, caller: Caller | None, record: AuditRecord, waiting: Waiting = _PATIENT
    ) -> bytes:
        """Return the encoded answer of a unary RPC; *record* says what was asked and what is given out.

        A servicer encodes large answers itself, and records what they give out.
        """
        rpc = self._begin(request, caller, record, waiting)
        await self._wait_for_read()
        answer = await cast("_Answering", self._servicer_method)(request, rpc)
        if isinstance(answer, bytes):
            return answer
        self._record_answer(cast("Message", request), answer, record)
        return self.encode(answer)

    def stream(
        self, request: object, caller: Caller | None, record: AuditRecord, waiting: Waiting = _PATIENT
    ) -> AsyncGenerator[Message]:
        """Return the messages of a streaming RPC; *record* says what was asked."""
        return cast("_Streaming", self._servicer_method)(request, self._begin(request, caller, record, waiting))

    def _begin(self, request: object, caller: Caller | None, record: AuditRecord, waiting: Waiting) -> Rpc:
        if caller is None:
            raise LookupError("the RPC has no authenticated caller")
        if isinstance(request, Message):
            self._record_request(request, record)
        return Rpc(caller, record, self._clock(), waiting)


def bind_servicers(
    servicers: Mapping[str, object], clock: Callable[[], Millis], wait_for_read: Callable[[], Awaitable[None]]
) -> Mapping[str, ServedMethod]:
    """Return the RPCs of the contract by path, bound to *servicers* by service; raise ServicerTableError for gaps."""
    methods = {
        path: getattr(servicers.get(method.service), servicer_method_name(method.name), None)
        for path, method in METHODS.items()
    }
    missing = [path for path, servicer_method in methods.items() if servicer_method is None]
    if missing:
        raise ServicerTableError("no servicer method for " + ", ".join(missing))
    return {path: ServedMethod(METHODS[path], each, clock, wait_for_read) for path, each in methods.items()}


def servicer_method_name(rpc: str) -> str:
    """Return the name of the method that answers *rpc*: `GenerateToken` is `generate_token`."""
    return _WORD_START.sub("_", rpc).lower()
