"""A server of one function for each RPC, written by hand and plainly: what a call costs without an authority.

It has the duties of GenerateToken, and of BatchGenerateTokens in OPENTOK_T1 and OPENTOK_JWT. It checks the API key
before it takes the message, checks sizes, and signs the claims. A chained record is on the disk before the answer
leaves, and records that come together share a commit. It has no grants, store, deadlines, limits of callers, metrics,
errors with details or checkpoints. The tokens of a batch are made and encoded by the authority's own codecs, which
encode once what they have in common: so it shows what everything around the codecs costs.

    python -m benchmarks.floor API_KEY
"""

from __future__ import annotations

import asyncio
import os
import sys
import time

from base64 import urlsafe_b64encode
from datetime import UTC, datetime
from hashlib import sha256
from hmac import compare_digest
from typing import TYPE_CHECKING, Final, TypeAlias

import grpc
import grpc.aio
import msgspec
import uvloop

from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

from tokenauthority.authority.randomness import Randomness
from tokenauthority.authority.time_slice import TimeSlice
from tokenauthority.config.loading import load
from tokenauthority.domain.ids import MAX_SESSION_ID, project_in_session_id
from tokenauthority.domain.role import BUILT_IN_ROLES
from tokenauthority.domain.times import Seconds
from tokenauthority.domain.token import MAX_DATA, GeneratedToken, TokenTerms
from tokenauthority.server.grpc_options import grpc_options
from tokenauthority.server.listeners import MAX_METADATA
from tokenauthority.service.mapping import FORMATS
from tokenauthority.service.token_answers import BatchAnswers
from tokenauthority.signing.formats.codec import CONNECT_SCOPE, Encoder
from tokenauthority.signing.formats.registry import codec_of
from tokenauthority.signing.project_keys import ProjectSecret
from tokenauthority.v1 import token_pb2


if TYPE_CHECKING:
    from collections.abc import Mapping

_Context: TypeAlias = "grpc.aio.ServicerContext[bytes, bytes]"

_MAX_BYTES: Final = 16_384
_MAX_BATCH_BYTES: Final = 4_194_304
_TTL: Final = 86_400
_GATHER: Final = 0.005
"""Seconds in which records come together, as the authority's do: a lone one would wait here too."""

_encode: Final = msgspec.json.Encoder().encode
_SECRET: Final = ProjectSecret("sec_0123456789abcdef", "0123456789" * 4)
_key: Final = generate_private_key(SECP256R1())
_hash: Final = ECDSA(SHA256())


class _Log:
    def __init__(self) -> None:
        self._file = os.open("floor.jsonl", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._seq, self._head = 0, b""
        self._waiting: list[tuple[bytes, asyncio.Future[None]]] = []
        self._came = asyncio.Event()

    async def append(self, fields: Mapping[str, object]) -> None:
        written = asyncio.get_running_loop().create_future()
        self._waiting.append((_encode(fields), written))
        self._came.set()
        await written

    async def write_all(self) -> None:
        while await self._came.wait():
            await asyncio.sleep(_GATHER)
            self._came.clear()
            waiting, self._waiting = self._waiting, []
            lines = []
            for body, _ in waiting:
                self._seq += 1
                lines.append(b'{"seq":%d,"prev":"%b",%b\n' % (self._seq, self._head, body[1:]))
                self._head = sha256(lines[-1]).hexdigest().encode()
            await asyncio.get_running_loop().run_in_executor(None, self._commit, b"".join(lines))
            for _, written in waiting:
                written.set_result(None)

    def _commit(self, data: bytes) -> None:
        os.write(self._file, data)
        os.fdatasync(self._file)


def _segment(data: bytes) -> bytes:
    return urlsafe_b64encode(data).rstrip(b"=")


class _Floor:
    def __init__(self, log: _Log, api_key: str) -> None:
        self._log = log
        self._digest = sha256(api_key.encode()).digest()
        self._random = Randomness()
        self._answers = BatchAnswers()
        self._header = _segment(_encode({"alg": "ES256", "typ": "session+jwt", "kid": "0" * 43})) + b"."

    async def _receive(self, context: _Context, most: int) -> tuple[dict[str, str | bytes], bytes]:
        metadata = dict(context.invocation_metadata() or ())
        presented = str(metadata.get("authorization", "")).removeprefix("Bearer ")
        if not compare_digest(sha256(presented.encode()).digest(), self._digest):
            await context.abort(grpc.StatusCode.UNAUTHENTICATED)
        message = await context.read()
        if len(message) > most:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT)
        return metadata, message

    async def batch(self, _: object, context: _Context) -> bytes:
        began = time.time()
        metadata, message = await self._receive(context, _MAX_BATCH_BYTES)
        now, generated, encoders = int(began), [], dict[tuple[str, str, int], Encoder]()
        for asked in token_pb2.BatchGenerateTokensRequest.FromString(message).requests:
            session_id, role, kind, data = asked.session_id, asked.role, asked.format, asked.data
            encode = encoders.get((session_id, role, kind))
            if encode is None:
                project = project_in_session_id(session_id)
                if project is None or len(session_id) > MAX_SESSION_ID:
                    await context.abort(grpc.StatusCode.INVALID_ARGUMENT)
                    raise AssertionError("abort raises")
                encode = encoders[session_id, role, kind] = _encoder(asked, project, now)
            if len(data) > MAX_DATA:
                await context.abort(grpc.StatusCode.INVALID_ARGUMENT)
            generated.append(encode(data, "", self._random.nonce()))
        await self._record(context, metadata, self._random.identifier(), began, _facts(generated))
        return await self._answers.encode(generated, TimeSlice())

    async def generate(self, _: object, context: _Context) -> bytes:
        began = time.time()
        metadata, message = await self._receive(context, _MAX_BYTES)
        asked = token_pb2.GenerateTokenRequest.FromString(message).request
        project, role = project_in_session_id(asked.session_id), BUILT_IN_ROLES.get(asked.role)
        if project is None or role is None or len(asked.session_id) > MAX_SESSION_ID or len(asked.data) > MAX_DATA:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT)
            raise AssertionError("abort raises")
        token_id, now, request_id = self._random.identifier(), int(began), self._random.identifier()
        claims: dict[str, object] = {"iss": "http://localhost", "aud": project, "jti": token_id, "iat": now}
        claims |= {"exp": now + _TTL, "scope": CONNECT_SCOPE, "session_id": asked.session_id, "role": asked.role}
        claims |= {"permissions": role.permissions, "connection_data": asked.data}
        signing_input = self._header + _segment(_encode(claims))
        r, s = decode_dss_signature(_key.sign(signing_input, _hash))
        token = (signing_input + b"." + _segment(r.to_bytes(32) + s.to_bytes(32))).decode()
        facts: dict[str, object] = {"project_id": project, "session_id": asked.session_id, "role": asked.role}
        await self._record(context, metadata, request_id, began, facts | {"lifetime": _TTL, "token_ids": (token_id,)})
        made = token_pb2.Token(token=token, token_id=token_id, session_id=asked.session_id, project_id=project)
        made.role, made.format, made.key_id = asked.role, token_pb2.TOKEN_FORMAT_SESSION_JWT, "0" * 43
        made.issue_time.seconds, made.expire_time.seconds = now, now + _TTL
        return token_pb2.GenerateTokenResponse(token=made).SerializeToString()

    async def _record(
        self,
        context: _Context,
        metadata: Mapping[str, str | bytes],
        request_id: str,
        began: float,
        of_method: Mapping[str, object],
    ) -> None:
        context.set_trailing_metadata((("x-request-id", request_id),))
        facts: dict[str, object] = {"time": datetime.fromtimestamp(began, UTC).isoformat(), "request_id": request_id}
        facts |= {"caller": "floor", "peer": context.peer(), "user_agent": metadata.get("user-agent"), **of_method}
        await self._log.append(facts | {"code": "OK", "duration_us": int((time.time() - began) * 1e6)})


def _facts(generated: list[GeneratedToken]) -> Mapping[str, object]:
    """What the record of a batch says: what tokens of one request have in common stands there once."""
    terms, ids = {token.terms for token in generated}, [token.token_id for token in generated]
    return {"token_ids": ids, "of": [(t.project_id, t.session_id, t.role, t.format, _TTL) for t in terms]}


def _encoder(asked: token_pb2.TokenRequest, project: str, now: int) -> Encoder:
    kind = FORMATS[asked.format]
    if kind is None:
        raise ValueError("a format is named")
    terms = TokenTerms(
        format=kind,
        key_id=_SECRET.key_id,
        session_id=asked.session_id,
        role=asked.role,
        issue_time=Seconds(now),
        expire_time=Seconds(now + _TTL),
        project_id=project,
    )
    return codec_of(kind).prepare(terms, _SECRET)


async def _serve(api_key: str) -> None:
    limits, log = load(dev=True).limits, _Log()
    server = grpc.aio.server(options=grpc_options(limits, MAX_METADATA, limits.max_connections))
    floor = _Floor(log, api_key)
    functions = {"GenerateToken": floor.generate, "BatchGenerateTokens": floor.batch}
    handlers: dict[str, grpc.RpcMethodHandler[bytes, bytes]]
    handlers = {name: grpc.stream_unary_rpc_method_handler(function) for name, function in functions.items()}
    service = grpc.method_handlers_generic_handler("tokenauthority.v1.TokenService", handlers)
    server.add_generic_rpc_handlers((service,))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    sys.stdout.write(f"gRPC 127.0.0.1:{port}\n")
    sys.stdout.flush()
    await log.write_all()


if __name__ == "__main__":
    uvloop.run(_serve(sys.argv[1]))
