"""A server of one function with the duties of GenerateToken, written by hand: the least that a call costs in Python.

It checks the API key before it takes the message, checks sizes, and signs the claims with ES256. A chained record is on
the disk before the answer leaves, and records that come together share a commit. It has no grants, store, deadlines,
limits of callers, metrics, errors with details or checkpoints.

    python -m benchmarks.floor API_KEY
"""

from __future__ import annotations

import asyncio
import os
import secrets
import sys
import time

from base64 import urlsafe_b64encode
from datetime import UTC, datetime
from hashlib import sha256
from hmac import compare_digest
from typing import TYPE_CHECKING, Final

import grpc
import grpc.aio
import msgspec
import uvloop

from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

from tokenauthority.config.loading import load
from tokenauthority.domain.ids import MAX_SESSION_ID, project_in_session_id
from tokenauthority.domain.role import BUILT_IN_ROLES
from tokenauthority.domain.token import MAX_DATA
from tokenauthority.server.grpc_options import grpc_options
from tokenauthority.server.listeners import MAX_METADATA
from tokenauthority.signing.formats.codec import CONNECT_SCOPE
from tokenauthority.v1 import token_pb2


if TYPE_CHECKING:
    from collections.abc import Mapping


_MAX_BYTES: Final = 16_384
_TTL: Final = 86_400
_GATHER: Final = 0.005
"""Seconds in which records come together, as the authority's do: a lone one would wait here too."""

_encode: Final = msgspec.json.Encoder().encode
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
        self._header = _segment(_encode({"alg": "ES256", "typ": "session+jwt", "kid": "0" * 43})) + b"."

    async def generate(self, _: object, context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
        began, metadata = time.time(), dict(context.invocation_metadata() or ())
        presented = str(metadata.get("authorization", "")).removeprefix("Bearer ")
        if not compare_digest(sha256(presented.encode()).digest(), self._digest):
            await context.abort(grpc.StatusCode.UNAUTHENTICATED)
        message = await context.read()
        if len(message) > _MAX_BYTES:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT)
        asked = token_pb2.GenerateTokenRequest.FromString(message).request
        project, role = project_in_session_id(asked.session_id), BUILT_IN_ROLES.get(asked.role)
        if project is None or role is None or len(asked.session_id) > MAX_SESSION_ID or len(asked.data) > MAX_DATA:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT)
            raise AssertionError("abort raises")
        token_id, now, request_id = secrets.token_hex(16), int(began), secrets.token_hex(16)
        claims: dict[str, object] = {"iss": "http://localhost", "aud": project, "jti": token_id, "iat": now}
        claims |= {"exp": now + _TTL, "scope": CONNECT_SCOPE, "session_id": asked.session_id, "role": asked.role}
        claims |= {"permissions": role.permissions, "connection_data": asked.data}
        signing_input = self._header + _segment(_encode(claims))
        r, s = decode_dss_signature(_key.sign(signing_input, _hash))
        token = (signing_input + b"." + _segment(r.to_bytes(32) + s.to_bytes(32))).decode()
        context.set_trailing_metadata((("x-request-id", request_id),))
        facts: dict[str, object] = {"time": datetime.fromtimestamp(began, UTC).isoformat(), "request_id": request_id}
        facts |= {"caller": "floor", "peer": context.peer(), "user_agent": metadata.get("user-agent")}
        facts |= {
            "project_id": project,
            "session_id": asked.session_id,
            "role": asked.role,
            "lifetime": _TTL,
            "token_ids": (token_id,),
        }
        await self._log.append(facts | {"code": "OK", "duration_us": int((time.time() - began) * 1e6)})
        made = token_pb2.Token(token=token, token_id=token_id, session_id=asked.session_id, project_id=project)
        made.role, made.format, made.key_id = asked.role, token_pb2.TOKEN_FORMAT_SESSION_JWT, "0" * 43
        made.issue_time.seconds, made.expire_time.seconds = now, now + _TTL
        return token_pb2.GenerateTokenResponse(token=made).SerializeToString()


async def _serve(api_key: str) -> None:
    limits, log = load(dev=True).limits, _Log()
    server = grpc.aio.server(options=grpc_options(limits, MAX_METADATA, limits.max_connections))
    handler: grpc.RpcMethodHandler[bytes, bytes]
    handler = grpc.stream_unary_rpc_method_handler(_Floor(log, api_key).generate)
    service = grpc.method_handlers_generic_handler("tokenauthority.v1.TokenService", {"GenerateToken": handler})
    server.add_generic_rpc_handlers((service,))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    sys.stdout.write(f"gRPC 127.0.0.1:{port}\n")
    sys.stdout.flush()
    await log.write_all()


if __name__ == "__main__":
    uvloop.run(_serve(sys.argv[1]))
