"""After a backup is restored, the audit log and the replay program revoke again what was revoked since the backup."""

from __future__ import annotations

import sqlite3
import subprocess
import sys

from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

from google.protobuf.field_mask_pb2 import FieldMask

from tests.support.authority import WAIT, clean_environment
from tests.support.production import Production, Server
from tokenauthority.client import Authority, Token
from tokenauthority.v1 import key_pb2, project_pb2


ROOT = Path(__file__).resolve().parents[2]
SCRIPT = f"""
tokenauthority() {{ {sys.executable} -m tokenauthority.cli "$@"; }}
tokenauthority audit verify --public-key data/audit-key.pub.pem audit.jsonl
tokenauthority audit show audit.jsonl --json --limit 0 --outcome OK --since "$SINCE" > since.json
{sys.executable} {ROOT}/examples/operations/replay_revocations.py < since.json
"""
"""The commands of docs/how-to/back-up-and-restore.md, in the directory of the server."""


def test_replays_the_revocations_that_a_restored_backup_lacks(production: Production) -> None:
    """Every way to revoke tokens is replayed and no other token is revoked, also where the session is lost."""
    audit = str(production.directory / "audit.jsonl")
    server = production.start(AUDIT__PATH=audit)
    with production.client(server.address) as authority:
        made = authority.projects.CreateProject(project_pb2.CreateProjectRequest())
        project = made.project.project_id
    with production.client(server.address, project) as authority:
        tokens = make_tokens(authority)
        back_up(production)
        since = datetime.now(UTC) - timedelta(seconds=1)
        for name in ("lost session", "lost and ended"):
            tokens[name] = authority.create_session().generate_token(format="opentok_jwt")
        revoke(authority, tokens, made.secret.secret_id)
        before = reasons(authority, tokens)
    server = restored(production, server, audit)

    with production.client(server.address, project) as authority:
        restored_reasons = reasons(authority, tokens)
        printed = replay(production, server, since)
        after = reasons(authority, tokens)

    expected = {
        "token": "REVOKED",
        "session": "REVOKED",
        "ended": "SESSION_ENDED",
        "subject": "KEY_UNKNOWN",
        "secret": "SIGNATURE_INVALID",
        "later": "",
    }
    lost = {"lost session": "REVOKED", "lost and ended": "SESSION_ENDED"}
    assert {**expected, **lost} == before
    assert {**dict.fromkeys(expected, ""), **dict.fromkeys(lost, "SESSION_MISMATCH")} == restored_reasons
    # Watchers do not know the sessions, so that the tokens of a lost session must be revoked too.
    assert {**expected, **dict.fromkeys(lost, "REVOKED")} == after
    assert 9 == printed.count(" done\n")


def test_replays_what_became_of_projects(production: Production) -> None:
    """Disabled and deleted projects are so again; what was enabled again, or only counted, is left in peace."""
    audit = str(production.directory / "audit.jsonl")
    server = production.start(AUDIT__PATH=audit)
    projects = {}
    with production.client(server.address) as authority:
        for name in ("disabled", "enabled again", "deleted", "counted", "renamed"):
            made = authority.projects.CreateProject(project_pb2.CreateProjectRequest())
            projects[name] = made.project.project_id
    tokens = {name: token_of(production, server, project) for name, project in projects.items()}
    back_up(production)
    since = datetime.now(UTC) - timedelta(seconds=1)
    with production.client(server.address) as authority:
        for name in ("disabled", "enabled again"):
            authority.disable_project(projects[name])
        authority.enable_project(projects["enabled again"])
        authority.delete_project(projects["deleted"])
        authority.delete_project(projects["counted"], validate_only=True)
        renamed = project_pb2.Project(project_id=projects["renamed"], display_name="disabled=True")
        mask = FieldMask(paths=["display_name"])
        authority.projects.UpdateProject(project_pb2.UpdateProjectRequest(project=renamed, update_mask=mask))
        before = reasons(authority, tokens)
    server = restored(production, server, audit)

    with production.client(server.address) as authority:
        restored_reasons = reasons(authority, tokens)
        printed = replay(production, server, since)
        again = replay(production, server, since)
        after = reasons(authority, tokens)

    expected = dict.fromkeys(projects, "")
    assert {*expected.values()} == {*restored_reasons.values()}
    assert {**expected, "disabled": "PROJECT_DISABLED", "deleted": "PROJECT_UNKNOWN"} == before == after
    assert 4 == printed.count(" done\n")
    assert "DeleteProject not needed: project" in again


def token_of(production: Production, server: Server, project: str) -> Token:
    """Generate a token in a new session of the project."""
    with production.client(server.address, project) as authority:
        return authority.create_session().generate_token(format="session_jwt")


def make_tokens(authority: Authority) -> dict[str, Token]:
    """Generate a token for each way to revoke it, and one that stays valid."""
    first = authority.create_session().generate_token(format="opentok_jwt")
    authority.projects.RotateProjectSecret(project_pb2.RotateProjectSecretRequest(project_id=authority.project_id))
    formats = dict.fromkeys(("token", "session", "ended", "later"), "opentok_jwt")
    made = {name: authority.create_session().generate_token(format=form) for name, form in formats.items()}
    return {
        **made,
        "secret": first,
        "subject": authority.create_session().generate_token(format="session_jwt", subject="it's bob"),
    }


def revoke(authority: Authority, tokens: dict[str, Token], secret_id: str) -> None:
    """Revoke all but one, which was issued a second too late."""
    authority.revoke_tokens(token=tokens["token"], comment="lost phone")
    authority.revoke_tokens(session_id=tokens["session"].session_id)
    authority.revoke_tokens(subject="it's bob")
    later = tokens["later"]
    authority.revoke_tokens(session_id=later.session_id, issued_before=later.issue_time - timedelta(seconds=1))
    authority.revoke_tokens(session_id=tokens["lost session"].session_id)
    assert "REVOKED" == authority.verify_token(tokens["subject"]).reason
    authority.end_session(tokens["ended"].session_id)
    authority.end_session(tokens["lost and ended"].session_id)
    retire = project_pb2.RetireProjectSecretRequest(project_id=authority.project_id, secret_id=secret_id)
    authority.projects.RetireProjectSecret(retire)
    authority.keys.RevokeSigningKey(key_pb2.RevokeSigningKeyRequest(key_id=tokens["subject"].key_id))


def reasons(authority: Authority, tokens: dict[str, Token]) -> dict[str, str]:
    """Return why each token is not valid; empty where it is."""
    return {name: authority.verify_token(token).reason for name, token in tokens.items()}


def back_up(production: Production) -> None:
    """Copy the database while the server runs, as SQLite does it."""
    with (
        closing(sqlite3.connect(production.directory / "data" / "tokenauthority.db")) as source,
        closing(sqlite3.connect(production.directory / "backup.db")) as backup,
    ):
        source.backup(backup)


def restored(production: Production, server: Server, audit: str) -> Server:
    """Stop the server, put the backup in the place of the store, and start another one."""
    assert 0 == server.stop()
    store = production.directory / "data" / "tokenauthority.db"
    for path in store.parent.glob(f"{store.name}*"):
        path.unlink()
    (production.directory / "backup.db").rename(store)
    return production.start(AUDIT__PATH=audit)


def replay(production: Production, server: Server, since: datetime) -> str:
    """Run the commands in the directory of the server; return what they print."""
    (production.directory / "ca.pem").write_bytes(production.root_certificates)
    done = subprocess.run(
        ["/bin/bash", "-euc", SCRIPT],
        cwd=production.directory,
        capture_output=True,
        text=True,
        timeout=2 * WAIT,
        check=False,
        env=clean_environment(
            SINCE=since.isoformat(),
            TOKENAUTHORITY_ADDRESS=server.address,
            TOKENAUTHORITY_API_KEY=production.api_key,
            TOKENAUTHORITY_CA_FILE=str(production.directory / "ca.pem"),
        ),
    )
    assert (0, "") == (done.returncode, done.stderr)
    return done.stdout
