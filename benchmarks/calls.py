"""The calls of the authority as subjects: GenerateToken, batches of each format, VerifyToken, and the empty RPC."""

from __future__ import annotations

import uuid

from typing import TYPE_CHECKING, Final

import attrs
import grpc

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from benchmarks.empty_server import METHOD as EMPTY
from benchmarks.h2load import Load, message
from benchmarks.measure import Subject
from tokenauthority.v1 import (
    project_pb2,
    project_pb2_grpc,
    session_pb2,
    session_pb2_grpc,
    token_pb2,
    token_pb2_grpc,
)


if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.servers import Server
    from benchmarks.stores import Contents


BATCH: Final = 100
ROLE: Final = "moderator"
DATA: Final = "username=bob"

GENERATE: Final = "/tokenauthority.v1.TokenService/GenerateToken"
_BATCH: Final = "/tokenauthority.v1.TokenService/BatchGenerateTokens"
VERIFY: Final = "/tokenauthority.v1.TokenService/VerifyToken"
_TURN: Final = "/tokenauthority.v1.TokenService/CreateTurnCredentials"
_TIMEOUT: Final = 10.0

# So many that a slice lasts a tenth of a second or more: short beside the drift of the machine, long beside its jitter.
_CALLS: Final = 800
_BATCHES: Final = {
    token_pb2.TOKEN_FORMAT_SESSION_JWT: 30,
    token_pb2.TOKEN_FORMAT_OPENTOK_T1: 120,
    token_pb2.TOKEN_FORMAT_OPENTOK_JWT: 120,
    token_pb2.TOKEN_FORMAT_VONAGE_JWT: 4,
    token_pb2.TOKEN_FORMAT_LIVEKIT_JWT: 100,
    token_pb2.TOKEN_FORMAT_JITSI_JWT: 100,
    token_pb2.TOKEN_FORMAT_JANUS: 120,
}
_ROLES: Final = {token_pb2.TOKEN_FORMAT_JANUS: "publisher"}
"""The role where a format cannot carry that of the others."""


_OF_FLOOR: Final = " of a server of one function"


@attrs.frozen(kw_only=True)
class Calls:
    """What the servers are asked. The loads are those of the subjects of the same names."""

    empty_load: Load
    generate_load: Load
    empty: Subject
    generate: Subject
    batch_session_jwt: Subject
    batch_opentok_t1: Subject
    batch_opentok_jwt: Subject
    batch_vonage_jwt: Subject
    batch_livekit_jwt: Subject
    batch_jitsi_jwt: Subject
    batch_janus: Subject
    batch_for_centrifugo: Subject
    turn: Subject
    verify_session_jwt: Subject
    verify_opentok_jwt: Subject


def wanted(session_id: str, token_format: token_pb2.TokenFormat.ValueType) -> token_pb2.TokenRequest:
    """The token that every part of this benchmark asks for."""
    role = _ROLES.get(token_format, ROLE)
    return token_pb2.TokenRequest(session_id=session_id, role=role, data=DATA, format=token_format)


def prepare(directory: Path, empty: Server, authority: Server, contents: Contents, rsa_key: RSAPrivateKey) -> Calls:
    """Make what the calls need, ask each once, and keep their requests in *directory*.

    Raises:
        grpc.RpcError: the authority refused one.
    """
    (directory / "empty").write_bytes(message(b""))
    session_id = contents.session_ids[0]
    with grpc.insecure_channel(authority.address) as channel:
        caller = _Caller(channel, authority)
        vonage_session_id = caller.vonage_session(rsa_key)
        centrifugo_session_id = caller.centrifugo_session()
        setup = _Setup(directory, authority, caller)
        empty_load = Load(server=empty, method=EMPTY, body=directory / "empty", calls=_CALLS, answer_size=5)
        generate_load = setup.generate(session_id)
        return Calls(
            empty_load=empty_load,
            generate_load=generate_load,
            empty=Subject("empty unary RPC", "call", empty_load.measure),
            generate=Subject("GenerateToken SESSION_JWT", "call", generate_load.measure),
            batch_session_jwt=setup.batch(session_id, token_pb2.TOKEN_FORMAT_SESSION_JWT),
            batch_opentok_t1=setup.batch(session_id, token_pb2.TOKEN_FORMAT_OPENTOK_T1),
            batch_opentok_jwt=setup.batch(session_id, token_pb2.TOKEN_FORMAT_OPENTOK_JWT),
            batch_vonage_jwt=setup.batch(vonage_session_id, token_pb2.TOKEN_FORMAT_VONAGE_JWT),
            batch_livekit_jwt=setup.batch(session_id, token_pb2.TOKEN_FORMAT_LIVEKIT_JWT),
            batch_jitsi_jwt=setup.batch(session_id, token_pb2.TOKEN_FORMAT_JITSI_JWT),
            batch_janus=setup.batch(session_id, token_pb2.TOKEN_FORMAT_JANUS),
            batch_for_centrifugo=setup.batch(
                centrifugo_session_id, token_pb2.TOKEN_FORMAT_SESSION_JWT, " for Centrifugo"
            ),
            turn=setup.turn(session_id),
            verify_session_jwt=setup.verify(session_id, token_pb2.TOKEN_FORMAT_SESSION_JWT),
            verify_opentok_jwt=setup.verify(session_id, token_pb2.TOKEN_FORMAT_OPENTOK_JWT),
        )


@attrs.frozen(kw_only=True)
class OfFloor:
    """What a server of one function is asked; see `benchmarks.floor`."""

    generate: Subject
    batch_opentok_t1: Subject
    batch_opentok_jwt: Subject


def of_floor(directory: Path, floor: Server, generate_load: Load, contents: Contents) -> OfFloor:
    """The requests to a server of one function, whose answers to one token all have one size.

    Raises:
        grpc.RpcError: it refused one.
    """
    session_id = contents.session_ids[0]
    with grpc.insecure_channel(floor.address) as channel:
        caller = _Caller(channel, floor)
        answer = caller.generate(wanted(session_id, token_pb2.TOKEN_FORMAT_SESSION_JWT))
        size = len(message(token_pb2.GenerateTokenResponse(token=answer).SerializeToString()))
        load = attrs.evolve(generate_load, server=floor, answer_size=size)
        batch = _Setup(directory, floor, caller).batch
        return OfFloor(
            generate=Subject("GenerateToken of a server of one function", "call", load.measure),
            batch_opentok_t1=batch(session_id, token_pb2.TOKEN_FORMAT_OPENTOK_T1, _OF_FLOOR),
            batch_opentok_jwt=batch(session_id, token_pb2.TOKEN_FORMAT_OPENTOK_JWT, _OF_FLOOR),
        )


class _Caller:
    """Asks the authority, one call at a time."""

    def __init__(self, channel: grpc.Channel, authority: Server) -> None:
        self._metadata = (("authorization", f"Bearer {authority.api_key}"),)
        self._tokens = token_pb2_grpc.TokenServiceStub(channel)
        self._projects = project_pb2_grpc.ProjectServiceStub(channel)
        self._sessions = session_pb2_grpc.SessionServiceStub(channel)

    def generate(self, request: token_pb2.TokenRequest) -> token_pb2.Token:
        """One token."""
        wrapped = token_pb2.GenerateTokenRequest(request=request)
        return self._tokens.GenerateToken(wrapped, metadata=self._metadata, timeout=_TIMEOUT).token

    def verify(self, request: token_pb2.VerifyTokenRequest) -> token_pb2.VerifyTokenResponse:
        """A verdict."""
        return self._tokens.VerifyToken(request, metadata=self._metadata, timeout=_TIMEOUT)

    def turn(self, request: token_pb2.CreateTurnCredentialsRequest) -> token_pb2.TurnCredentials:
        """Credentials for TURN servers."""
        answer = self._tokens.CreateTurnCredentials(request, metadata=self._metadata, timeout=_TIMEOUT)
        return answer.credentials

    def vonage_session(self, rsa_key: RSAPrivateKey) -> str:
        """A session of a project with a Vonage key, both new."""
        pem = rsa_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
        credential = project_pb2.VonageCredential(application_id=str(uuid.uuid4()), private_key=pem)
        imported = self._projects.ImportProject(
            project_pb2.ImportProjectRequest(vonage=credential), metadata=self._metadata, timeout=_TIMEOUT
        )
        return self._session(imported.project)

    def centrifugo_session(self) -> str:
        """A session of a project whose tokens have claims for Centrifugo, both new."""
        request = project_pb2.CreateProjectRequest(claims_for=[project_pb2.REAL_TIME_SERVER_CENTRIFUGO])
        return self._session(self._projects.CreateProject(request, metadata=self._metadata, timeout=_TIMEOUT).project)

    def _session(self, project: project_pb2.Project) -> str:
        request = session_pb2.CreateSessionRequest(project_id=project.project_id)
        return self._sessions.CreateSession(request, metadata=self._metadata, timeout=_TIMEOUT).session.session_id


@attrs.frozen
class _Setup:
    """Builds loads and subjects around one authority."""

    directory: Path
    authority: Server
    caller: _Caller

    def generate(self, session_id: str) -> Load:
        request = wanted(session_id, token_pb2.TOKEN_FORMAT_SESSION_JWT)
        self.caller.generate(request)
        return Load(
            server=self.authority,
            method=GENERATE,
            body=self._body("generate", token_pb2.GenerateTokenRequest(request=request).SerializeToString()),
            calls=_CALLS,
        )

    def batch(self, session_id: str, token_format: token_pb2.TokenFormat.ValueType, suffix: str = "") -> Subject:
        name = _name(token_format) + suffix
        request = wanted(session_id, token_format)
        self.caller.generate(request)
        batch = token_pb2.BatchGenerateTokensRequest(requests=[request] * BATCH)
        load = Load(
            server=self.authority,
            method=_BATCH,
            body=self._body(f"batch-{name}", batch.SerializeToString()),
            calls=_BATCHES[token_format],
            units=BATCH,
        )
        return Subject(f"BatchGenerateTokens of {BATCH} {name}", "token", load.measure)

    def turn(self, session_id: str) -> Subject:
        request = token_pb2.CreateTurnCredentialsRequest(session_id=session_id, subject="bob")
        self.caller.turn(request)
        load = Load(
            server=self.authority,
            method=_TURN,
            body=self._body("turn", request.SerializeToString()),
            calls=_CALLS,
        )
        return Subject("CreateTurnCredentials", "call", load.measure)

    def verify(self, session_id: str, token_format: token_pb2.TokenFormat.ValueType) -> Subject:
        name = _name(token_format)
        token = self.caller.generate(wanted(session_id, token_format)).token
        request = token_pb2.VerifyTokenRequest(token=token, session_id=session_id)
        answer = self.caller.verify(request)
        assert answer.active, f"a fresh {name} is not active: {answer.reason_detail}"
        load = Load(
            server=self.authority,
            method=VERIFY,
            body=self._body(f"verify-{name}", request.SerializeToString()),
            calls=_CALLS,
            answer_size=len(message(answer.SerializeToString())),
        )
        return Subject(f"VerifyToken {name}", "call", load.measure)

    def _body(self, name: str, payload: bytes) -> Path:
        path = self.directory / name
        path.write_bytes(message(payload))
        return path


def _name(token_format: token_pb2.TokenFormat.ValueType) -> str:
    return token_pb2.TokenFormat.Name(token_format).removeprefix("TOKEN_FORMAT_")
