"""Map protobuf messages to the values of the domain and back: the only place that knows both."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from typing import Final, TypeVar

from google.protobuf.timestamp_pb2 import Timestamp

from tokenauthority.domain.credential import PlainCredential
from tokenauthority.domain.errors import FieldViolation, InvalidRequestError, require_valid
from tokenauthority.domain.key import Algorithm, KeyState, StoredKey
from tokenauthority.domain.profile import RealTimeServer
from tokenauthority.domain.project import Project
from tokenauthority.domain.role import Permission, Role, in_order
from tokenauthority.domain.session import (
    ArchiveMode,
    MediaMode,
    SessionSpec,
    SessionState,
    StoredSession,
    spec_violations,
)
from tokenauthority.domain.times import Millis
from tokenauthority.domain.token_format import TokenFormat
from tokenauthority.v1 import key_pb2, project_pb2, role_pb2, session_pb2, token_pb2


_MAX_VALUES: Final = 100
"""More than there are, so that a list may name one twice."""

_Wire = TypeVar("_Wire", bound=int)
_Domain = TypeVar("_Domain")
_Member = TypeVar("_Member", bound=Enum)


def wire_values(value_of: Callable[[str], _Wire], prefix: str, members: type[_Member]) -> dict[_Member, _Wire]:
    """Return the protobuf value of each member; the contract names it as the domain does, after *prefix*."""
    return {member: value_of(f"{prefix}_{member.name}") for member in members}


def _domain_values(
    wire_values: Mapping[_Member, _Wire], unspecified: _Wire, meaning: _Domain
) -> Mapping[_Wire, _Member | _Domain]:
    return {unspecified: meaning, **{value: member for member, value in wire_values.items()}}


_MEDIA_MODES_OUT: Final = wire_values(session_pb2.MediaMode.Value, "MEDIA_MODE", MediaMode)
_MEDIA_MODES: Final = _domain_values(_MEDIA_MODES_OUT, session_pb2.MEDIA_MODE_UNSPECIFIED, MediaMode.RELAYED)
_ARCHIVE_MODES_OUT: Final = wire_values(session_pb2.ArchiveMode.Value, "ARCHIVE_MODE", ArchiveMode)
_ARCHIVE_MODES: Final = _domain_values(_ARCHIVE_MODES_OUT, session_pb2.ARCHIVE_MODE_UNSPECIFIED, ArchiveMode.MANUAL)
_STATES_OUT: Final = wire_values(session_pb2.SessionState.Value, "SESSION_STATE", SessionState)
_STATES: Final = _domain_values(_STATES_OUT, session_pb2.SESSION_STATE_UNSPECIFIED, None)
PERMISSIONS_OUT: Final = wire_values(role_pb2.Permission.Value, "PERMISSION", Permission)
_PERMISSIONS: Final = {value: permission for permission, value in PERMISSIONS_OUT.items()}
FORMATS_OUT: Final = wire_values(token_pb2.TokenFormat.Value, "TOKEN_FORMAT", TokenFormat)
FORMATS: Final = _domain_values(FORMATS_OUT, token_pb2.TOKEN_FORMAT_UNSPECIFIED, None)
if FORMATS.keys() != set(token_pb2.TokenFormat.values()):
    raise ImportError("the contract names a token format that the authority does not have")
_SERVERS_OUT: Final = wire_values(project_pb2.RealTimeServer.Value, "REAL_TIME_SERVER", RealTimeServer)
_SERVERS: Final = {value: server for server, value in _SERVERS_OUT.items()}
_ALGORITHMS_OUT: Final = wire_values(key_pb2.SigningAlgorithm.Value, "SIGNING_ALGORITHM", Algorithm)
_ALGORITHMS: Final = _domain_values(_ALGORITHMS_OUT, key_pb2.SIGNING_ALGORITHM_UNSPECIFIED, None)
_KEY_STATES_OUT: Final = wire_values(key_pb2.SigningKeyState.Value, "SIGNING_KEY_STATE", KeyState)


def _known(values: Mapping[_Wire, _Domain], value: _Wire, field: str) -> _Domain:
    try:
        return values[value]
    except KeyError:
        raise InvalidRequestError([unknown_value(field, value)]) from None


def unknown_value(field: str, value: int) -> FieldViolation:
    """Return the violation of an enum field with a value that the contract does not have."""
    return FieldViolation(field, f"has the unknown value {value}")


def token_format(value: token_pb2.TokenFormat.ValueType, field: str) -> TokenFormat | None:
    """Return the format, or None for the default of the project."""
    return _known(FORMATS, value, field)


def algorithm(value: key_pb2.SigningAlgorithm.ValueType) -> Algorithm | None:
    """Return the algorithm, or None for the configured one."""
    return _known(_ALGORITHMS, value, "algorithm")


def session_state(value: session_pb2.SessionState.ValueType) -> SessionState | None:
    """Return the state to list, or None for all."""
    return _known(_STATES, value, "state")


def permissions(values: Sequence[role_pb2.Permission.ValueType], field: str) -> tuple[Permission, ...]:
    """Return the permissions, each once, in the order of the enum."""
    if not values:
        return ()
    if len(values) > _MAX_VALUES:
        raise InvalidRequestError([FieldViolation(field, f"must have at most {_MAX_VALUES} items")])
    require_valid(
        [unknown_value(f"{field}[{i}]", value) for i, value in enumerate(values) if value not in _PERMISSIONS]
    )
    return in_order(_PERMISSIONS[value] for value in values)


def real_time_servers(values: Sequence[project_pb2.RealTimeServer.ValueType], field: str) -> tuple[RealTimeServer, ...]:
    """Return the servers, each once, in the order of the enum."""
    if len(values) > _MAX_VALUES:
        raise InvalidRequestError([FieldViolation(field, f"must have at most {_MAX_VALUES} items")])
    require_valid([unknown_value(f"{field}[{i}]", value) for i, value in enumerate(values) if value not in _SERVERS])
    return tuple(server for server, value in _SERVERS_OUT.items() if value in values)


def session_spec(request: session_pb2.CreateSessionRequest) -> SessionSpec:
    """Return what a CreateSession request asks for."""
    unknown = []
    if request.media_mode not in _MEDIA_MODES:
        unknown.append(unknown_value("media_mode", request.media_mode))
    if request.archive_mode not in _ARCHIVE_MODES:
        unknown.append(unknown_value("archive_mode", request.archive_mode))
    spec = SessionSpec(
        media_mode=_MEDIA_MODES.get(request.media_mode, MediaMode.ROUTED),
        archive_mode=_ARCHIVE_MODES.get(request.archive_mode, ArchiveMode.MANUAL),
        location=request.location,
        e2ee=request.e2ee,
        archive_name=request.archive_name,
        archive_resolution=request.archive_resolution,
        name=request.name,
    )
    if unknown:
        raise InvalidRequestError([*unknown, *spec_violations(spec, request.request_id)])
    return spec


def timestamp(millis: Millis | None) -> Timestamp | None:
    """Return UTC milliseconds as a Timestamp."""
    if millis is None:
        return None
    return Timestamp(seconds=millis // 1000, nanos=millis % 1000 * 1_000_000)


def session_message(session: StoredSession) -> session_pb2.Session:
    """Return a session as an answer has it."""
    spec = session.spec
    return session_pb2.Session(
        session_id=session.session_id,
        project_id=session.project_id,
        media_mode=_MEDIA_MODES_OUT[spec.media_mode],
        archive_mode=_ARCHIVE_MODES_OUT[spec.archive_mode],
        location=spec.location,
        e2ee=spec.e2ee,
        archive_name=spec.archive_name,
        archive_resolution=spec.archive_resolution,
        state=_STATES_OUT[session.state],
        create_time=timestamp(session.create_time),
        end_time=timestamp(session.end_time),
        name=spec.name,
    )


def role_message(role: Role) -> role_pb2.Role:
    """Return a role as an answer has it."""
    return role_pb2.Role(
        name=role.name,
        project_id=role.project_id,
        permissions=[PERMISSIONS_OUT[permission] for permission in role.permissions],
        description=role.description,
        built_in=role.built_in,
        create_time=timestamp(role.create_time),
        update_time=timestamp(role.update_time),
    )


def project_message(project: Project) -> project_pb2.Project:
    """Return a project as an answer has it: without the values of its secrets."""
    message = project_pb2.Project(
        project_id=project.project_id,
        display_name=project.display_name,
        default_format=token_pb2.TOKEN_FORMAT_UNSPECIFIED
        if project.unreadable
        else FORMATS_OUT[project.default_format],
        external_sessions=project.external_sessions,
        create_time=timestamp(project.create_time),
        vonage_application_id=project.vonage_application_id or "",
        platform_url=project.platform_url,
        claims_for=[_SERVERS_OUT[server] for server in project.claims_for],
        disabled=project.disabled,
        secrets=[
            project_pb2.ProjectSecret(secret_id=secret.credential_id, create_time=timestamp(secret.create_time))
            for secret in project.secrets
        ],
    )
    message.default_ttl.seconds = project.default_ttl
    message.max_ttl.seconds = project.max_ttl
    return message


def new_secret_message(secret: PlainCredential) -> project_pb2.ProjectSecret:
    """Return a secret just made, with its value."""
    message = given_secret_message(secret)
    message.secret = secret.value.decode()
    return message


def given_secret_message(secret: PlainCredential) -> project_pb2.ProjectSecret:
    """Return a secret or key that a request has given, without its value."""
    return project_pb2.ProjectSecret(secret_id=secret.credential_id, create_time=timestamp(secret.create_time))


def key_message(key: StoredKey) -> key_pb2.SigningKey:
    """Return a signing key as an answer has it: without its material."""
    return key_pb2.SigningKey(
        key_id=key.key_id,
        algorithm=_ALGORITHMS_OUT[key.algorithm],
        state=_KEY_STATES_OUT[key.state],
        create_time=timestamp(key.create_time),
        activate_time=timestamp(key.activate_time),
        retire_time=timestamp(key.retire_time),
        expire_time=timestamp(key.expire_time),
    )
