"""Record what a request and its answer name in the audit record, read from the fields of their messages.

A request is recorded before anything is decided about it, so that the record of a refused RPC says what it was about.
An RPC whose messages name their objects as the others do needs nothing here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from operator import attrgetter
from typing import Any, Final, TypeAlias

from google.protobuf.descriptor import Descriptor
from google.protobuf.message import Message

from tokenauthority.audit.record import AuditRecord
from tokenauthority.v1 import key_pb2, project_pb2, session_pb2, token_pb2


_NOT_BY_FIELDS: Final = frozenset({token_pb2.VerifyTokenRequest.DESCRIPTOR, token_pb2.GenerateTokenRequest.DESCRIPTOR})
"""Requests that are not recorded by the names of their fields. The session of VerifyTokenRequest is only compared with
that of a token. The role of GenerateTokenRequest has a default, so the servicer records it."""


def request_recorder(kind: Descriptor) -> Callable[[Message, AuditRecord], None]:
    """Return what records the objects that a request of *kind* names, if a name has the form of what it should be."""
    # The only `api_key` is that of OpenTok, which is the project id and no secret.
    project_of, session_of = _first_value(kind, "project_id", "api_key"), _first_value(kind, "session_id")
    object_of = _first_value(kind, "secret_id", "application_id")
    # A request for a session has the name of a room.
    role_of = _first_value(kind, *(() if kind is session_pb2.CreateSessionRequest.DESCRIPTOR else ("name",)))

    def record_request(request: Message, record: AuditRecord) -> None:
        record.ask(
            project_id=project_of(request),
            session_id=session_of(request),
            role=role_of(request),
            object_id=object_of(request),
        )

    return (lambda _request, _record: None) if kind in _NOT_BY_FIELDS else record_request


def _first_value(kind: Descriptor, *names: str) -> Callable[[Message], str]:
    """Return what reads the first of the fields *names* that is not empty, also one message down."""
    messages = {f"{field.name}.": field.message_type for field in kind.fields if not field.is_repeated}
    paths = [
        f"{parent}{name}"
        for parent, message in {"": kind, **messages}.items()
        for name in names
        if message is not None and name in message.fields_by_name
    ]
    getters = [attrgetter(path) for path in paths]
    return lambda message: next((value for get in getters if (value := get(message))), "")


def answer_recorder(request_kind: Descriptor, kind: Descriptor) -> Callable[[Message, Message, AuditRecord], None]:
    """Return what records the objects that an answer of *kind* gives out, and the comment of its request."""
    parts = [
        (field.name, _FACTS[field.message_type])
        for field in kind.fields
        if not field.is_repeated and field.message_type is not None and field.message_type in _FACTS
    ]
    has_comment = "comment" in request_kind.fields_by_name

    def record_answer(request: Any, answer: Any, record: AuditRecord) -> None:
        facts: dict[str, object] = {}
        for field, facts_of in parts:
            if answer.HasField(field):
                facts |= facts_of(getattr(answer, field))
        if has_comment:
            facts["comment"] = request.comment
        for name, value in facts.items():
            setattr(record, name, value)

    return record_answer


def _revocation_facts(revocation: token_pb2.Revocation) -> _Facts:
    """Say whom it hits, and up to when: enough to make it once more after a backup had to be restored."""
    target = revocation.WhichOneof("target") or ""
    value = getattr(revocation, target)
    return {
        "project_id": revocation.project_id,
        "object_id": revocation.revocation_id,
        "changes": (f"issued_before={revocation.issued_before.seconds}",),
        **({"token_ids": (value,)} if target == "token_id" else {target: value}),
    }


_Facts: TypeAlias = "Mapping[str, object]"
"""Values for fields of the audit record."""

_FACTS: Final[Mapping[Descriptor, Callable[[Any], _Facts]]] = {
    session_pb2.Session.DESCRIPTOR: lambda session: {
        "project_id": session.project_id,
        "session_id": session.session_id,
    },
    project_pb2.Project.DESCRIPTOR: lambda project: {"project_id": project.project_id},
    project_pb2.ProjectSecret.DESCRIPTOR: lambda secret: {"object_id": secret.secret_id},
    key_pb2.SigningKey.DESCRIPTOR: lambda key: {"key_id": key.key_id},
    token_pb2.Revocation.DESCRIPTOR: _revocation_facts,
}
"""What to record of a message in an answer, by its kind. Tokens and verdicts are recorded by their servicer,
for speed."""
