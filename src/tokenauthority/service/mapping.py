"""Protobuf to domain and back: the only place that knows both."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeVar

from google.protobuf.timestamp_pb2 import Timestamp

from tokenauthority.domain.errors import FieldViolation, InvalidRequestError
from tokenauthority.domain.key import Algorithm, KeyState
from tokenauthority.domain.role import DEFAULT_ROLE, Permission, in_order
from tokenauthority.domain.session import ArchiveMode, MediaMode, SessionSpec, SessionState, spec_violations
from tokenauthority.domain.times import Seconds
from tokenauthority.domain.token import InactiveReason, TokenSpec
from tokenauthority.domain.token_format import TokenFormat
from tokenauthority.v1 import key_pb2, project_pb2, role_pb2, session_pb2, token_pb2


if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tokenauthority.authority.project_spec import NewSecret
    from tokenauthority.authority.verify import Signed, VerificationResult
    from tokenauthority.domain.key import StoredKey
    from tokenauthority.domain.project import Project
    from tokenauthority.domain.role import Role
    from tokenauthority.domain.session import StoredSession
    from tokenauthority.domain.times import Millis
    from tokenauthority.domain.token import MintedToken


_MAX_PERMISSIONS: Final = 100
"""More than there are, so that a list may name one twice."""

_Wire = TypeVar("_Wire", bound=int)
_Domain = TypeVar("_Domain")

_MEDIA_MODES: Final = {
    session_pb2.MEDIA_MODE_UNSPECIFIED: MediaMode.RELAYED,
    session_pb2.MEDIA_MODE_RELAYED: MediaMode.RELAYED,
    session_pb2.MEDIA_MODE_ROUTED: MediaMode.ROUTED,
}
_ARCHIVE_MODES: Final = {
    session_pb2.ARCHIVE_MODE_UNSPECIFIED: ArchiveMode.MANUAL,
    session_pb2.ARCHIVE_MODE_MANUAL: ArchiveMode.MANUAL,
    session_pb2.ARCHIVE_MODE_ALWAYS: ArchiveMode.ALWAYS,
}
_STATES: Final = {
    session_pb2.SESSION_STATE_UNSPECIFIED: None,
    session_pb2.SESSION_STATE_ACTIVE: SessionState.ACTIVE,
    session_pb2.SESSION_STATE_ENDED: SessionState.ENDED,
}
_PERMISSIONS: Final = {
    role_pb2.Permission.Value(f"PERMISSION_{permission.name}"): permission for permission in Permission
}
_FORMATS_OUT: Final = {
    token_format: token_pb2.TokenFormat.Value(f"TOKEN_FORMAT_{token_format.name}") for token_format in TokenFormat
}
_FORMATS: Final = {
    token_pb2.TOKEN_FORMAT_UNSPECIFIED: None,
    **{value: token_format for token_format, value in _FORMATS_OUT.items()},
}
if _FORMATS.keys() != set(token_pb2.TokenFormat.values()):
    raise ImportError("the contract names a token format that the authority does not have")
_PERMISSIONS_OUT: Final = {permission: value for value, permission in _PERMISSIONS.items()}
_REASONS_OUT: Final = {
    reason: token_pb2.InactiveReason.Value(f"INACTIVE_REASON_{reason.name}") for reason in InactiveReason
}
_ALGORITHMS_OUT: Final = {
    algorithm: key_pb2.SigningAlgorithm.Value(f"SIGNING_ALGORITHM_{algorithm.name}") for algorithm in Algorithm
}
_ALGORITHMS: Final = {
    key_pb2.SIGNING_ALGORITHM_UNSPECIFIED: None,
    **{value: algorithm for algorithm, value in _ALGORITHMS_OUT.items()},
}
_KEY_STATES_OUT: Final = {state: key_pb2.SigningKeyState.Value(f"SIGNING_KEY_STATE_{state.name}") for state in KeyState}


def _known(values: Mapping[_Wire, _Domain], value: _Wire, field: str) -> _Domain:
    try:
        return values[value]
    except KeyError:
        raise InvalidRequestError([_unknown(field, value)]) from None


def _unknown(field: str, value: int) -> FieldViolation:
    return FieldViolation(field, f"has the unknown value {value}")


def token_format(value: token_pb2.TokenFormat.ValueType, field: str) -> TokenFormat | None:
    """The format, or None where it is left to the project."""
    return _known(_FORMATS, value, field)


def algorithm(value: key_pb2.SigningAlgorithm.ValueType) -> Algorithm | None:
    """The algorithm, or None for the configured one."""
    return _known(_ALGORITHMS, value, "algorithm")


def session_state(value: session_pb2.SessionState.ValueType) -> SessionState | None:
    """The state to list, or None for all."""
    return _known(_STATES, value, "state")


def permissions(values: Sequence[role_pb2.Permission.ValueType], field: str) -> tuple[Permission, ...]:
    """The permissions, each once, in the order of the enum."""
    if len(values) > _MAX_PERMISSIONS:
        raise InvalidRequestError([FieldViolation(field, f"must have at most {_MAX_PERMISSIONS} items")])
    unknown = [_unknown(f"{field}[{i}]", value) for i, value in enumerate(values) if value not in _PERMISSIONS]
    if unknown:
        raise InvalidRequestError(unknown)
    return in_order(_PERMISSIONS[value] for value in values)


def session_spec(request: session_pb2.CreateSessionRequest) -> SessionSpec:
    """What a CreateSession request asks for."""
    unknown = []
    if request.media_mode not in _MEDIA_MODES:
        unknown.append(_unknown("media_mode", request.media_mode))
    if request.archive_mode not in _ARCHIVE_MODES:
        unknown.append(_unknown("archive_mode", request.archive_mode))
    spec = SessionSpec(
        media_mode=_MEDIA_MODES.get(request.media_mode, MediaMode.ROUTED),
        archive_mode=_ARCHIVE_MODES.get(request.archive_mode, ArchiveMode.MANUAL),
        location=request.location,
        e2ee=request.e2ee,
        archive_name=request.archive_name,
        archive_resolution=request.archive_resolution,
    )
    if unknown:
        raise InvalidRequestError([*unknown, *spec_violations(spec, request.request_id)])
    return spec


def token_request(message: token_pb2.TokenRequest) -> TokenSpec:
    """One wanted token; a format that is not known is one of its problems, so that it is named with all others."""
    lifetime = message.WhichOneof("lifetime")
    known = message.format in _FORMATS
    return TokenSpec(
        session_id=message.session_id,
        role=message.role or DEFAULT_ROLE,
        data=message.data,
        expire_time=Seconds(message.expire_time.seconds) if lifetime == "expire_time" else None,
        ttl=Seconds(message.ttl.seconds) if lifetime == "ttl" else None,
        format=_FORMATS[message.format] if known else None,
        initial_layout_class_list=tuple(classes) if (classes := message.initial_layout_class_list) else (),
        subject=message.subject,
        problems=() if known else (_unknown("format", message.format),),
    )


def moment(millis: Millis | None) -> Timestamp | None:
    """A moment as a Timestamp."""
    if millis is None:
        return None
    return Timestamp(seconds=millis // 1000, nanos=millis % 1000 * 1_000_000)


def session_message(session: StoredSession) -> session_pb2.Session:
    """A session as it is answered."""
    spec = session.spec
    return session_pb2.Session(
        session_id=session.session_id,
        project_id=session.project_id,
        media_mode=session_pb2.MediaMode.Value(f"MEDIA_MODE_{spec.media_mode.name}"),
        archive_mode=session_pb2.ArchiveMode.Value(f"ARCHIVE_MODE_{spec.archive_mode.name}"),
        location=spec.location,
        e2ee=spec.e2ee,
        archive_name=spec.archive_name,
        archive_resolution=spec.archive_resolution,
        state=session_pb2.SessionState.Value(f"SESSION_STATE_{session.state.name}"),
        create_time=moment(session.create_time),
        end_time=moment(session.end_time),
    )


def token_message(minted: MintedToken) -> token_pb2.Token:
    """A token as it is answered."""
    message = token_pb2.Token()
    fill_token(message, minted)
    return message


def fill_token(message: token_pb2.Token, minted: MintedToken) -> None:
    """Write a token into *message*, in place: a batch would otherwise copy each into its answer."""
    claims = minted.claims
    message.token = minted.token
    message.token_id = minted.token_id
    message.session_id = claims.session_id
    message.project_id = claims.project_id
    message.role = claims.role
    message.format = _FORMATS_OUT[minted.format]
    message.key_id = minted.key_id
    message.issue_time.seconds = claims.issue_time
    message.expire_time.seconds = claims.expire_time


def verdict_message(verdict: VerificationResult) -> token_pb2.VerifyTokenResponse:
    """A verdict as it is answered."""
    if verdict.reason is None and verdict.signed is not None:
        return token_pb2.VerifyTokenResponse(active=True, claims=_claims_message(verdict.signed))
    return token_pb2.VerifyTokenResponse(
        reason=_REASONS_OUT[verdict.reason or InactiveReason.MALFORMED],
        reason_detail=verdict.detail,
        claims=None if verdict.signed is None else _claims_message(verdict.signed),
    )


def _claims_message(signed: Signed) -> token_pb2.TokenClaims:
    claims = signed.claims
    return token_pb2.TokenClaims(
        token_id=claims.token_id,
        session_id=claims.session_id,
        project_id=signed.project_id,
        role=claims.role,
        permissions=[_PERMISSIONS_OUT[permission] for permission in signed.permissions],
        data=claims.data,
        initial_layout_class_list=claims.initial_layout_class_list,
        subject=claims.subject,
        format=_FORMATS_OUT[signed.format],
        key_id=signed.key_id,
        issue_time=Timestamp(seconds=claims.issue_time),
        expire_time=Timestamp(seconds=claims.valid_until()),
    )


def role_message(role: Role) -> role_pb2.Role:
    """A role as it is answered."""
    return role_pb2.Role(
        name=role.name,
        project_id=role.project_id,
        permissions=[_PERMISSIONS_OUT[permission] for permission in role.permissions],
        description=role.description,
        built_in=role.built_in,
        create_time=moment(role.create_time),
        update_time=moment(role.update_time),
    )


def project_message(project: Project) -> project_pb2.Project:
    """A project as it is answered: without the values of its secrets."""
    message = project_pb2.Project(
        project_id=project.project_id,
        display_name=project.display_name,
        default_format=_FORMATS_OUT[project.default_format],
        external_sessions=project.external_sessions,
        create_time=moment(project.create_time),
        vonage_application_id=project.vonage_application_id or "",
        secrets=[
            project_pb2.ProjectSecret(secret_id=secret.credential_id, create_time=moment(secret.create_time))
            for secret in project.secrets
        ],
    )
    message.default_ttl.seconds = project.default_ttl
    message.max_ttl.seconds = project.max_ttl
    return message


def new_secret_message(secret: NewSecret) -> project_pb2.ProjectSecret:
    """A secret just made, with its value."""
    return project_pb2.ProjectSecret(
        secret_id=secret.credential.credential_id,
        create_time=moment(secret.credential.create_time),
        secret=secret.value,
    )


def key_message(key: StoredKey) -> key_pb2.SigningKey:
    """A signing key as it is answered: without its material."""
    return key_pb2.SigningKey(
        key_id=key.key_id,
        algorithm=_ALGORITHMS_OUT[key.algorithm],
        state=_KEY_STATES_OUT[key.state],
        create_time=moment(key.create_time),
        activate_time=moment(key.activate_time),
        retire_time=moment(key.retire_time),
        expire_time=moment(key.expire_time),
    )
