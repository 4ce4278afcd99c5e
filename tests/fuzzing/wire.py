"""The same questions to a real server over a real connection, which knows the same projects, sessions and keys."""

from __future__ import annotations

import asyncio
import contextlib

from collections.abc import Iterator
from pathlib import Path

import attrs
import grpc

from tests.authority.world import ISSUER, NOW, World
from tests.fuzzing.cases import Case
from tests.fuzzing.run import ask
from tests.fuzzing.target import GRANT, make_target
from tests.support.authority import _running, make_caller
from tests.support.wire import V1, Wire
from tokenauthority.callers.api_keys import digest, new_api_key
from tokenauthority.config.settings import Settings
from tokenauthority.contract import DEFAULT_REQUEST_BYTES
from tokenauthority.domain.ids import MAX_SESSION_ID
from tokenauthority.domain.role import in_order
from tokenauthority.service.token_mapping import verification_message
from tokenauthority.v1 import role_pb2, token_pb2


VERIFY = V1 + "TokenService/VerifyToken"
ERROR = "INVALID_ARGUMENT"


@attrs.frozen
class Served:
    """A server, and the world that it serves."""

    world: World
    wire: Wire

    def answer(self, case: Case) -> str:
        """What the server says: the verdict as text, or the code of an error."""
        outcome = self.wire.call(VERIFY, request_of(case))
        return outcome.code if outcome.code != "OK" else str(token_pb2.VerifyTokenResponse.FromString(outcome.body))

    def expected(self, case: Case) -> str:
        """What it has to say: the verdict of the use case.

        Only an invalid question is an error: one without a token, one that is too large, or one with what protobuf
        cannot call a string.
        """
        size = len((case.token + case.session_id).encode("utf-8", "surrogatepass"))
        if (
            size > DEFAULT_REQUEST_BYTES - 1024
            or not case.token
            or len(case.session_id) > MAX_SESSION_ID
            or not is_text(case.token + case.session_id)
        ):
            return ERROR
        asked = attrs.evolve(case, required=in_order(case.required))
        return str(verification_message(asyncio.run(ask(self.world, asked))))


@contextlib.contextmanager
def served(directory: Path) -> Iterator[Served]:
    """A server with its files in *directory*, until the end of the block."""
    world, key = asyncio.run(make_target()), new_api_key()
    values = {
        "dev": True,
        "data_dir": directory,
        "listen": {"grpc": "127.0.0.1:0", "http": "127.0.0.1:0", "ops": "127.0.0.1:0"},
        "issuance": {"issuer": ISSUER},
    }
    callers = {digest(key): make_caller("fuzzer", GRANT), digest(new_api_key()): make_caller()}
    settings = Settings.model_validate(values)
    options = [("grpc.use_local_subchannel_pool", 1)]
    with _running(settings, world.store, world.sealer, callers, key) as authority:
        authority.clock.fixed = NOW
        with grpc.insecure_channel(authority.address, options) as channel:
            yield Served(world, Wire(channel=channel, api_key=key))


def request_of(case: Case) -> bytes:
    """The request as bytes, also where it holds what no protobuf library would write."""
    question = token_pb2.VerifyTokenRequest(
        required_permissions=[role_pb2.Permission.Value(f"PERMISSION_{name.name}") for name in case.required]
    )
    return _field(1, case.token) + _field(2, case.session_id) + question.SerializeToString()


def is_text(text: str) -> bool:
    """Whether it has no lone surrogate: what protobuf calls a string."""
    return not any("\ud800" <= character <= "\udfff" for character in text)


def _field(number: int, text: str) -> bytes:
    data = text.encode("utf-8", "surrogatepass")
    length, size = b"", len(data)
    while size > 0x7F:
        length, size = length + bytes([size & 0x7F | 0x80]), size >> 7
    return bytes([number << 3 | 2]) + length + bytes([size]) + data if data else b""
