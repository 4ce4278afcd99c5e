"""What the audit record says of a request and of its answer, derived from the fields of their messages.

A request is recorded before anything is decided about it, so that the record of a refused RPC says what it was about.
An RPC whose messages name their objects as the others do needs nothing here.
"""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING, Final, TypeAlias

from tokenauthority.v1 import key_pb2, project_pb2, session_pb2, token_pb2


if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from google.protobuf.descriptor import Descriptor
    from google.protobuf.message import Message

    from tokenauthority.audit import AuditRecord


Facts: TypeAlias = "Mapping[str, object]"
"""Values for fields of the audit record."""

_NAMES: Final = {
    "project_id": "project_id",
    "api_key": "project_id",
    "session_id": "session_id",
    "name": "role",
    "secret_id": "object_id",
    "application_id": "object_id",
}
"""Fields by which a request names its objects, also in a message one level down, and the argument of
`AuditRecord.ask` for each. An OpenTok API key is a project id, and no secret."""

_NOT_BY_FIELDS: Final = frozenset({token_pb2.VerifyTokenRequest.DESCRIPTOR, token_pb2.GenerateTokenRequest.DESCRIPTOR})
"""Requests that `_NAMES` does not describe. The session of the first is only compared with that of a token. The role of
the second has a default, so its servicer records it."""

_TOKEN_FORMATS: Final = {value: name.removeprefix("TOKEN_FORMAT_") for name, value in token_pb2.TokenFormat.items()}
_INACTIVE_REASONS: Final = {
    value: name.removeprefix("INACTIVE_REASON_") if value else "" for name, value in token_pb2.InactiveReason.items()
}


class RequestRecorder:
    """Records the objects that requests of one kind name."""

    def __init__(self, request: Descriptor) -> None:
        self._paths = () if request in _NOT_BY_FIELDS else tuple(_named_fields(request))

    def __call__(self, request: Message, record: AuditRecord) -> None:
        """Record what *request* names, where it has the form of what it should be."""
        if not self._paths:
            return
        named: dict[str, str] = {}
        for parent, field, argument in self._paths:
            value = getattr(getattr(request, parent) if parent else request, field)
            if value:
                named.setdefault(argument, value)
        record.ask(**named)


class AnswerRecorder:
    """Records what the answers of one RPC give out, and the comment of the request: it was accepted with the rest."""

    def __init__(self, request: Descriptor, answer: Descriptor) -> None:
        self._comment_of = attrgetter("comment") if "comment" in request.fields_by_name else None
        self._facts_of_answer = _FACTS_OF_ANSWERS.get(answer)
        self._parts = tuple(
            (field.name, _FACTS[field.message_type])
            for field in answer.fields
            if not field.is_repeated and field.message_type is not None and field.message_type in _FACTS
        )

    def __call__(self, request: Message, answer: Message, record: AuditRecord) -> None:
        """Record what *answer* gives out."""
        if self._comment_of is not None:
            _add_facts(record, {"comment": self._comment_of(request)})
        if self._facts_of_answer is not None:
            _add_facts(record, self._facts_of_answer(answer))
        for name, facts_of in self._parts:
            if answer.HasField(name):
                _add_facts(record, facts_of(getattr(answer, name)))


def _add_facts(record: AuditRecord, facts: Facts) -> None:
    for name, value in facts.items():
        setattr(record, name, value)


def _named_fields(message: Descriptor, parent: str = "") -> Iterator[tuple[str, str, str]]:
    for field in message.fields:
        if field.is_repeated:
            continue
        if field.name in _NAMES:
            yield parent, field.name, _NAMES[field.name]
        elif field.message_type is not None and not parent:
            yield from _named_fields(field.message_type, field.name)


def _session_facts(session: session_pb2.Session) -> Facts:
    return {"project_id": session.project_id, "session_id": session.session_id}


def _project_facts(project: project_pb2.Project) -> Facts:
    return {"project_id": project.project_id}


def _secret_facts(secret: project_pb2.ProjectSecret) -> Facts:
    return {"object_id": secret.secret_id}


def _key_facts(key: key_pb2.SigningKey) -> Facts:
    return {"key_id": key.key_id}


def _token_facts(token: token_pb2.Token) -> Facts:
    return {
        "project_id": token.project_id,
        "format": _TOKEN_FORMATS[token.format],
        "lifetime": token.expire_time.seconds - token.issue_time.seconds,
        "token_ids": (token.token_id,),
    }


def _claims_facts(claims: token_pb2.TokenClaims) -> Facts:
    return {
        "project_id": claims.project_id,
        "session_id": claims.session_id,
        "role": claims.role,
        "format": _TOKEN_FORMATS[claims.format],
        "subject": claims.subject,
        "token_ids": (claims.token_id,),
    }


def _verdict_facts(verdict: token_pb2.VerifyTokenResponse) -> Facts:
    return {"reason": _INACTIVE_REASONS[verdict.reason]}


def _revocation_facts(revocation: token_pb2.Revocation) -> Facts:
    """Whom it hits, and up to when: enough to make it once more after a backup had to be restored."""
    target: Facts = {}
    match revocation.WhichOneof("target"):
        case "token_id":
            target = {"token_ids": (revocation.token_id,)}
        case "session_id":
            target = {"session_id": revocation.session_id}
        case "subject":
            target = {"subject": revocation.subject}
    return {
        "project_id": revocation.project_id,
        "object_id": revocation.revocation_id,
        "changes": (f"issued_before={revocation.issued_before.seconds}",),
        **target,
    }


_FACTS: Final[Mapping[Descriptor, Callable[..., Facts]]] = {
    session_pb2.Session.DESCRIPTOR: _session_facts,
    project_pb2.Project.DESCRIPTOR: _project_facts,
    project_pb2.ProjectSecret.DESCRIPTOR: _secret_facts,
    key_pb2.SigningKey.DESCRIPTOR: _key_facts,
    token_pb2.Token.DESCRIPTOR: _token_facts,
    token_pb2.TokenClaims.DESCRIPTOR: _claims_facts,
    token_pb2.Revocation.DESCRIPTOR: _revocation_facts,
}
"""What to record of a message that an answer has as a field."""

_FACTS_OF_ANSWERS: Final[Mapping[Descriptor, Callable[..., Facts]]] = {
    token_pb2.VerifyTokenResponse.DESCRIPTOR: _verdict_facts,
}
"""What to record of an answer itself."""
