"""Every error that a caller can receive: one tree, each error with its facts and its own message.

Messages hold ids, names and limits, never a secret and never free text from outside.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Final

import attrs

from tokenauthority.domain.counts import counted
from tokenauthority.domain.ids import NUL
from tokenauthority.domain.similar_names import did_you_mean


_MAX_LISTED: Final = 10
"""Names that a message lists."""


class Reason(StrEnum):
    """Why a call failed, for programs; the names are those of `ErrorReason` in the contract."""

    INVALID_FIELD = "INVALID_FIELD"
    CREDENTIAL_INVALID = "CREDENTIAL_INVALID"
    ACTION_NOT_GRANTED = "ACTION_NOT_GRANTED"
    PROJECT_NOT_GRANTED = "PROJECT_NOT_GRANTED"
    ROLE_NOT_GRANTED = "ROLE_NOT_GRANTED"
    FORMAT_NOT_GRANTED = "FORMAT_NOT_GRANTED"
    LIFETIME_NOT_GRANTED = "LIFETIME_NOT_GRANTED"
    PROJECT_NOT_FOUND = "PROJECT_NOT_FOUND"
    SESSION_NOT_FOUND = "SESSION_NOT_FOUND"
    ROLE_NOT_FOUND = "ROLE_NOT_FOUND"
    KEY_NOT_FOUND = "KEY_NOT_FOUND"
    SECRET_NOT_FOUND = "SECRET_NOT_FOUND"  # noqa: S105 - the name of a reason, not a secret
    PROJECT_EXISTS = "PROJECT_EXISTS"
    ROLE_EXISTS = "ROLE_EXISTS"
    SESSION_EXISTS = "SESSION_EXISTS"
    REQUEST_ID_REUSED = "REQUEST_ID_REUSED"
    SESSION_ENDED = "SESSION_ENDED"
    FORMAT_UNAVAILABLE = "FORMAT_UNAVAILABLE"
    ROLE_BUILT_IN = "ROLE_BUILT_IN"
    ROLE_IN_USE = "ROLE_IN_USE"
    ROLE_LIMIT = "ROLE_LIMIT"
    SECRET_COUNT = "SECRET_COUNT"  # noqa: S105 - the name of a reason, not a secret
    PROJECT_DISABLED = "PROJECT_DISABLED"
    KEY_STATE = "KEY_STATE"
    CONCURRENCY_LIMIT = "CONCURRENCY_LIMIT"
    RATE_LIMIT = "RATE_LIMIT"
    STORE_UNAVAILABLE = "STORE_UNAVAILABLE"
    AUDIT_UNAVAILABLE = "AUDIT_UNAVAILABLE"
    SIGNING_UNAVAILABLE = "SIGNING_UNAVAILABLE"
    DRAINING = "DRAINING"
    UNIMPLEMENTED = "UNIMPLEMENTED"
    SIGNING_KEY_ENDED = "SIGNING_KEY_ENDED"
    READER_TOO_SLOW = "READER_TOO_SLOW"
    CALLERS_CHANGED = "CALLERS_CHANGED"
    SEAL_BROKEN = "SEAL_BROKEN"
    REVOCATION_LIMIT = "REVOCATION_LIMIT"
    ADDRESS_THROTTLED = "ADDRESS_THROTTLED"
    MEMORY_LIMIT = "MEMORY_LIMIT"
    PLATFORM_UNAVAILABLE = "PLATFORM_UNAVAILABLE"
    PLATFORM_REFUSED = "PLATFORM_REFUSED"
    TURN_UNAVAILABLE = "TURN_UNAVAILABLE"


@attrs.frozen
class FieldViolation:
    """An invalid field: its path in the request and what is wrong, with the limit."""

    field: str
    problem: str

    def under(self, prefix: str) -> FieldViolation:
        """Return the same violation of a message nested at *prefix*, such as `requests[17]`."""
        return FieldViolation(f"{prefix}.{self.field}" if self.field else prefix, self.problem)


def stored_text_violations(field: str, text: str, limit: int) -> list[FieldViolation]:
    """Return what is wrong with a text that a store is to hold: PostgreSQL cannot store U+0000."""
    if len(text) <= limit and NUL not in text:
        return []
    return [FieldViolation(field, f"must have at most {limit} characters, none of them U+0000")]


class TokenAuthorityError(Exception):
    """The root of the tree. `reason` is for programs, `str(error)` for a person."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class InvalidRequestError(TokenAuthorityError):
    """One or more fields of the request are invalid; all of them are named at once."""

    def __init__(self, violations: Sequence[FieldViolation]) -> None:
        problems = "; ".join(f"{v.field}: {v.problem}" for v in violations[:10])
        super().__init__(Reason.INVALID_FIELD, f"invalid request: {problems}")
        self.violations = tuple(violations)

    def under(self, prefix: str) -> InvalidRequestError:
        """Return the same violations of a message nested at *prefix*."""
        return InvalidRequestError([violation.under(prefix) for violation in self.violations])


def require_valid(violations: Sequence[FieldViolation]) -> None:
    """Raise an InvalidRequestError with all *violations*, if there are any."""
    if violations:
        raise InvalidRequestError(violations)


class UnauthenticatedError(TokenAuthorityError):
    """The caller is not authenticated. One text for every cause, so that it is no oracle."""

    def __init__(self) -> None:
        super().__init__(
            Reason.CREDENTIAL_INVALID,
            "no valid credential: the API key, JWT or client certificate is missing, unknown or expired. Check "
            "TOKENAUTHORITY_API_KEY, TOKENAUTHORITY_API_KEY_FILE, TOKENAUTHORITY_TOKEN_FILE or "
            "TOKENAUTHORITY_CLIENT_CERT_FILE of the client, or the argument in its place; without our client "
            "libraries, send `authorization: Bearer <API key or JWT>`",
        )


class PermissionDeniedError(TokenAuthorityError):
    """The caller's grant does not allow it: `limit` names the grant's entry, `field` the request's, if there is one."""

    def __init__(self, reason: Reason, message: str, *, limit: str, field: str = "") -> None:
        super().__init__(reason, message)
        self.limit = limit
        self.field = field

    def under(self, prefix: str) -> PermissionDeniedError:
        """Return the same refusal of a message nested at *prefix*."""
        return PermissionDeniedError(self.reason, str(self), limit=self.limit, field=f"{prefix}.{self.field}")


class NotFoundError(TokenAuthorityError):
    """An object does not exist in a project that the caller may see."""

    def __init__(self, reason: Reason, kind: str, name: str, hint: str = "") -> None:
        super().__init__(reason, f"{kind} {name} does not exist{hint}")
        self.kind = kind
        self.name = name

    @classmethod
    def project(cls, project_id: str) -> NotFoundError:
        """Return the error for a project."""
        return cls(Reason.PROJECT_NOT_FOUND, "project", project_id)

    @classmethod
    def session(cls, session_id: str) -> NotFoundError:
        """Return the error for a session."""
        return cls(Reason.SESSION_NOT_FOUND, "session", session_id)

    @classmethod
    def role(cls, name: str, known: Sequence[str] = ()) -> NotFoundError:
        """Return the error for a role; it lists the first of the *known* ones."""
        more = f" and {len(known) - _MAX_LISTED} more" if len(known) > _MAX_LISTED else ""
        listed = f"; there are {', '.join(known[:_MAX_LISTED])}{more}" if known else ""
        return cls(Reason.ROLE_NOT_FOUND, "role", name, listed + did_you_mean(name, known))

    @classmethod
    def secret(cls, secret_id: str) -> NotFoundError:
        """Return the error for a project secret."""
        return cls(Reason.SECRET_NOT_FOUND, "project secret", secret_id)


class AlreadyExistsError(TokenAuthorityError):
    """An object with that name exists, or a request id was used with another body."""

    def __init__(self, reason: Reason, kind: str, name: str, message: str = "") -> None:
        super().__init__(reason, message or f"{kind} {name} exists already")
        self.kind = kind
        self.name = name


class PreconditionError(TokenAuthorityError):
    """The object *subject* is not in the state that the step needs."""

    def __init__(self, reason: Reason, subject: str, message: str) -> None:
        super().__init__(reason, message)
        self.subject = subject


class OverloadedError(TokenAuthorityError):
    """More RPCs at once than the server takes; `retry_after` is in seconds."""

    def __init__(self, limit: int, retry_after: float = 0.2) -> None:
        super().__init__(Reason.CONCURRENCY_LIMIT, f"more than {limit} RPCs at once; try again shortly")
        self.limit = limit
        self.retry_after = retry_after


class RateLimitError(TokenAuthorityError):
    """More than *subject* may use: `limit` names what is used up, as the callers file or the settings do.

    `retry_after` is in seconds; None where no wait is enough, because the request is larger than the limit.
    """

    def __init__(
        self,
        message: str,
        *,
        subject: str,
        limit: str,
        retry_after: float | None,
        reason: Reason = Reason.RATE_LIMIT,
    ) -> None:
        super().__init__(reason, message)
        self.subject = subject
        self.limit = limit
        self.retry_after = retry_after


class ExhaustedError(TokenAuthorityError):
    """No room for more, and no wait is known to help: a stream's reader is too slow, or too many revocations."""

    @classmethod
    def slow_reader(cls) -> ExhaustedError:
        """Return the error for a stream whose reader is slower than its messages may wait."""
        return cls(Reason.READER_TOO_SLOW, "the stream was read too slowly; resume from the last resume_token")

    @classmethod
    def too_many_revocations(cls, held: int, limit: int) -> ExhaustedError:
        """Return the error for a revocation beyond the share of a project, which holds *held*."""
        revocations = counted(held, "revocation")
        message = f"the project has {revocations} in force: its share of limits.max_revocations ({limit}) is used"
        return cls(Reason.REVOCATION_LIMIT, message)


class UnavailableError(TokenAuthorityError):
    """The store, the audit log, a signing key or a platform cannot be used now, or the server drains.

    `retry_after` is in seconds.

    `cause` is for the log, without secrets, and never sent; it may be empty.
    """

    def __init__(self, reason: Reason, message: str, retry_after: float = 1.0, *, cause: str = "") -> None:
        super().__init__(reason, message)
        self.retry_after = retry_after
        self.cause = cause

    @classmethod
    def store(cls, cause: str = "") -> UnavailableError:
        """Return the error for a store that cannot be reached or written."""
        return cls(Reason.STORE_UNAVAILABLE, "the store cannot be reached or written; try again", cause=cause)

    @classmethod
    def changes_lost(cls) -> UnavailableError:
        """Return the error for a stream that cannot continue: the store was restored, or its reader is too late."""
        return cls(Reason.STORE_UNAVAILABLE, "the changes of the store cannot be followed; resume the stream")

    @classmethod
    def audit(cls) -> UnavailableError:
        """Return the error for an audit record that cannot be written, so that no answer may leave."""
        return cls(Reason.AUDIT_UNAVAILABLE, "the audit record cannot be written, so nothing was issued; try again")

    @classmethod
    def seal_broken(cls, what: str) -> UnavailableError:
        """Return the error for a key that cannot be opened here; log the cause, do not send it."""
        return cls(Reason.SEAL_BROKEN, f"this server cannot open {what}")

    @classmethod
    def signing(cls) -> UnavailableError:
        """Return the error for a key provider that cannot be reached; log the cause, do not send it."""
        return cls(Reason.SIGNING_UNAVAILABLE, "the signing key cannot be reached; try again")

    @classmethod
    def platform(cls, project_id: str, cause: str, retry_after: float = 0.0) -> UnavailableError:
        """Return the error for a platform that created no session, or none that can be used.

        *retry_after* is raised to a second.
        """
        message = f"the platform of project {project_id} does not answer as it should; no session was made here"
        return cls(Reason.PLATFORM_UNAVAILABLE, message, max(retry_after, 1.0), cause=cause)


class UnimplementedError(TokenAuthorityError):
    """No such method, or one of the contract that this version does not have."""

    def __init__(self, method: str = "") -> None:
        super().__init__(Reason.UNIMPLEMENTED, f"this version has no {method}" if method else "no such method")
