"""Revoke again what an audit log says was revoked, in a store that was restored from a backup.

The program reads what `tokenauthority audit show --json` prints. It calls the authority that the environment names,
with a key for all projects that has the actions tokens.revoke, sessions.end, keys.manage, projects.rotate,
projects.update and projects.delete. It prints what it did, and ends with exit code 1 if it could not replay something.
You can run it again.
docs/how-to/back-up-and-restore.md has all steps.
"""

from __future__ import annotations

import json
import sys

from typing import TypedDict

from tokenauthority.client import Authority, AuthorityError, NotFound, translated_errors
from tokenauthority.v1 import key_pb2, project_pb2


class Record(TypedDict, total=False):
    """The fields of an audit record that a replay needs. A record leaves out a field without a value."""

    time: str
    method: str
    code: str
    project_id: str
    session_id: str
    subject: str
    token_ids: list[str]
    changes: list[str]
    object_id: str
    key_id: str
    comment: str


METHODS = {"RevokeTokens", "EndSession", "RevokeSigningKey", "RetireProjectSecret", "UpdateProject", "DeleteProject"}


def revokes(method: str, record: Record) -> bool:
    """Return whether a call made tokens invalid, or valid again: UpdateProject only where it disabled or enabled."""
    changes = record.get("changes", [])
    if method == "UpdateProject":
        return any(change.startswith("disabled=") for change in changes)
    return method in METHODS and "validate_only=True" not in changes


def replay(authority: Authority, method: str, record: Record) -> None:
    """Repeat the call of *record*."""
    comment = record.get("comment", "")
    match method:
        case "RevokeTokens" if "token_ids" in record:
            (token_id,) = record["token_ids"]
            authority.revoke_tokens(token_id=token_id, project_id=record["project_id"], comment=comment)
        case "RevokeTokens":
            (change,) = record["changes"]
            moment = int(change.removeprefix("issued_before="))
            if "session_id" in record:
                authority.revoke_tokens(session_id=record["session_id"], issued_before=moment, comment=comment)
            else:
                subject, project_id = record["subject"], record["project_id"]
                authority.revoke_tokens(subject=subject, project_id=project_id, issued_before=moment, comment=comment)
        case "EndSession":
            try:
                authority.end_session(record["session_id"])
            except NotFound:
                # The session was made after the backup. VerifyToken refuses its tokens; watchers need a revocation.
                authority.revoke_tokens(session_id=record["session_id"], comment="the session had been ended")
        case "RevokeSigningKey":
            key = key_pb2.RevokeSigningKeyRequest(key_id=record["key_id"], comment=comment)
            authority.keys.RevokeSigningKey(key)
        case "RetireProjectSecret":
            authority.projects.RetireProjectSecret(
                project_pb2.RetireProjectSecretRequest(project_id=record["project_id"], secret_id=record["object_id"])
            )
        case "DeleteProject":
            authority.delete_project(record["project_id"])
        case "UpdateProject":
            disabled = "disabled=True" in record["changes"]
            (authority.disable_project if disabled else authority.enable_project)(record["project_id"])


def main() -> int:
    """Replay the records on standard input, and return the exit code."""
    records: list[Record] = json.load(sys.stdin)
    status = 0
    with Authority.from_environment() as authority:
        for record in records:
            method = record.get("method", "").rpartition("/")[2]
            if record.get("code") != "OK" or not revokes(method, record):
                continue
            try:
                with translated_errors():
                    replay(authority, method, record)
                outcome = "done"
            except NotFound as error:
                outcome = f"not needed: {error}"
            except AuthorityError as error:
                outcome, status = f"NOT DONE: {error}", 1
            print(record["time"], method, outcome)
    return status


sys.exit(main())
