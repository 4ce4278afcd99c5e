"""The audit record of each RPC: what the request names, also if it is refused, and what the answer gives out."""

from __future__ import annotations

import contextlib
import secrets

from collections.abc import Callable
from functools import partial

import grpc
import pytest

from tests.service.api import PUBLISH, SUBSCRIBE, Api, Connect, wanted
from tests.service.conftest import AWAY, HOME, NOWHERE
from tests.support.authority import RunningAuthority, eventually
from tests.support.wire import V1, records
from tokenauthority.domain.ids import make_session_id
from tokenauthority.domain.times import Millis
from tokenauthority.v1 import key_pb2, project_pb2, role_pb2, session_pb2, token_pb2


Recorded = Callable[[Callable[[], object]], dict[str, object]]

WATCH = V1 + "TokenService/WatchRevocations"
KEY_ID = "A" * 43
UUID = "78d335fa-323d-0114-9c3d-d6f0d48968cf"

_ABOUT_THE_CALL = {
    *("time", "request_id", "method", "action", "caller", "caller_kind", "caller_identity", "peer", "user_agent"),
    "duration_us",
}


@pytest.fixture
def recorded(shared: RunningAuthority) -> Recorded:
    """Makes a call, which may fail, and returns what its record says of the request and the answer."""

    def call_and_read(call: Callable[[], object]) -> dict[str, object]:
        before = len(records(shared.audit_path))
        with contextlib.suppress(grpc.RpcError):
            call()
        # A stream of another test may end at any moment.
        [record] = [each for each in records(shared.audit_path)[before:] if each["method"] != WATCH]
        return {name: value for name, value in record.items() if name not in _ABOUT_THE_CALL}

    return call_and_read


def refused(code: str, reason: str, **fields: object) -> dict[str, object]:
    """The record of a call that was refused."""
    return {"code": code, "reason": reason, **fields}


def ok(**fields: object) -> dict[str, object]:
    """The record of a call that was done."""
    return {"code": "OK", **fields}


@pytest.fixture
def home(connect: Connect) -> Api:
    """The stubs of a caller with one project."""
    return connect("home")


def new_token(api: Api, session_id: str, subject: str = "user-7") -> token_pb2.Token:
    """A token just made."""
    return api.generate(session_id, subject=subject, ttl=60)


def test_create_session(api: Api, home: Api, recorded: Recorded) -> None:
    """The project that was chosen and the session; of a refused call the project, if it has the form of one."""
    made: list[str] = []

    def create(one: Api, project_id: str) -> None:
        made.append(one.new_session(project_id).session_id)

    done = [recorded(partial(create, home, project_id)) for project_id in ("", HOME)]
    away, nowhere, malformed = (
        recorded(partial(create, one, project_id)) for one, project_id in ((home, AWAY), (api, NOWHERE), (api, "x"))
    )

    assert [ok(project_id=HOME, session_id=session_id) for session_id in made] == done
    assert refused("PERMISSION_DENIED", "PROJECT_NOT_GRANTED", project_id=AWAY) == away
    assert refused("NOT_FOUND", "PROJECT_NOT_FOUND", project_id=NOWHERE) == nowhere
    assert refused("INVALID_ARGUMENT", "INVALID_FIELD") == malformed


@pytest.mark.parametrize("rpc", ["GetSession", "EndSession"])
def test_get_and_end_session(connect: Connect, recorded: Recorded, session_id: str, project_id: str, rpc: str) -> None:
    """The session and its project; of a refused call what the session id says."""
    kind, api, home = getattr(session_pb2, f"{rpc}Request"), connect(), connect("home")
    unknown = make_session_id(project_id, "", relayed=True, now=Millis(0), random=bytes(18))

    def ask(one: Api, asked: str) -> dict[str, object]:
        return recorded(lambda: getattr(one.sessions, rpc)(kind(session_id=asked)))

    named = {"project_id": project_id, "session_id": session_id}
    assert ok(**named) == ask(api, session_id)
    assert refused("PERMISSION_DENIED", "PROJECT_NOT_GRANTED", **named) == ask(home, session_id)
    assert refused("NOT_FOUND", "SESSION_NOT_FOUND", project_id=project_id, session_id=unknown) == ask(api, unknown)
    assert refused("INVALID_ARGUMENT", "INVALID_FIELD") == ask(api, "tak_secret")


def test_list_sessions(home: Api, recorded: Recorded) -> None:
    """The project, also if the caller has only one and names none, or asks for no page."""

    def ask(**fields: str | int) -> dict[str, object]:
        return recorded(lambda: home.sessions.ListSessions(session_pb2.ListSessionsRequest(**fields)))  # type: ignore[arg-type]  # one of each type

    assert [ok(project_id=HOME)] * 2 == [ask(), ask(project_id=HOME)]
    assert refused("INVALID_ARGUMENT", "INVALID_FIELD", project_id=HOME) == ask(page_size=-1)
    assert refused("PERMISSION_DENIED", "PROJECT_NOT_GRANTED", project_id=AWAY) == ask(project_id=AWAY)
    assert refused("INVALID_ARGUMENT", "INVALID_FIELD") == ask(project_id="x")


def test_generate_token(api: Api, recorded: Recorded, session_id: str, project_id: str) -> None:
    """The terms that were granted and the token's id, never the token or its data."""
    made: list[token_pb2.Token] = []

    def generate() -> None:
        made.append(api.generate(session_id, role="subscriber", subject="user-7", ttl=90, data="not for the log"))

    done = recorded(generate)

    assert done == ok(
        project_id=project_id,
        session_id=session_id,
        role="subscriber",
        format="SESSION_JWT",
        lifetime=90,
        subject="user-7",
        token_ids=[made[0].token_id],
    )


def test_generate_token_refused(
    api: Api, connect: Connect, recorded: Recorded, session_id: str, project_id: str
) -> None:
    """What was wanted, where it has the form of what it should be; a subject no longer than one may be."""
    format_of = token_pb2.TOKEN_FORMAT_OPENTOK_T1

    def ask(one: Api, asked: str, **fields: object) -> dict[str, object]:
        return recorded(lambda: one.generate(asked, **fields))

    named = {"project_id": project_id, "session_id": session_id, "role": "publisher"}
    assert refused("INVALID_ARGUMENT", "INVALID_FIELD", **named, lifetime=0) == ask(api, session_id, ttl=0)
    assert refused("INVALID_ARGUMENT", "INVALID_FIELD", **named, subject="x" * 255, format="OPENTOK_T1") == ask(
        api, session_id, subject="x" * 300, format=format_of
    )
    assert refused("INVALID_ARGUMENT", "INVALID_FIELD", **named) == ask(api, session_id, format=99)
    assert refused("INVALID_ARGUMENT", "INVALID_FIELD", lifetime=5) == ask(api, "x", role="No Role", ttl=5)
    assert refused("PERMISSION_DENIED", "PROJECT_NOT_GRANTED", **named) == ask(connect("home"), session_id)
    assert refused("INVALID_ARGUMENT", "INVALID_FIELD", role="publisher") == recorded(
        lambda: api.tokens.GenerateToken(token_pb2.GenerateTokenRequest())
    )


def test_batch(api: Api, recorded: Recorded, session_id: str, project_id: str) -> None:
    """How many were wanted, what all of them agree on, and each token."""
    made: list[token_pb2.Token] = []
    items = [wanted(session_id, role=role, subject=f"{role}-1", ttl=60) for role in ("publisher", "subscriber")]
    done = recorded(lambda: made.extend(api.batch(items)))
    tokens = [
        {
            "token_id": token.token_id,
            "project_id": project_id,
            "session_id": session_id,
            "role": token.role,
            "format": "SESSION_JWT",
            "lifetime": 60,
            "subject": f"{token.role}-1",
        }
        for token in made
    ]

    assert done == ok(
        project_id=project_id,
        session_id=session_id,
        items=2,
        token_ids=[token.token_id for token in made],
        tokens=tokens,
    )


@pytest.mark.parametrize(("subjects", "listed"), [(("", ""), False), (("bob", "bob"), False), (("bob", "eve"), True)])
def test_batch_of_equal_tokens(
    api: Api, recorded: Recorded, session_id: str, project_id: str, subjects: tuple[str, str], *, listed: bool
) -> None:
    """Once in the fields of the record where they differ in their ids alone, however their data differs."""
    made: list[token_pb2.Token] = []
    items = [wanted(session_id, role="publisher", subject=name, ttl=60, data=f"{n}") for n, name in enumerate(subjects)]

    record = recorded(lambda: made.extend(api.batch(items)))

    assert [token.token_id for token in made] == record["token_ids"]
    assert listed is ("tokens" in record)
    said = {"project_id": project_id, "session_id": session_id, "role": "publisher"}
    of_each = {"format": "SESSION_JWT", "lifetime": 60} | ({"subject": subjects[0]} if subjects[0] else {})
    assert said.items() <= record.items()
    assert listed or of_each.items() <= record.items()


def test_batch_of_two_formats_or_lifetimes(api: Api, recorded: Recorded, session_id: str) -> None:
    """Each token has its own in the record, also where it differs from the others in nothing else."""
    jwt, t1 = token_pb2.TOKEN_FORMAT_OPENTOK_JWT, token_pb2.TOKEN_FORMAT_OPENTOK_T1
    formats = recorded(lambda: api.batch([wanted(session_id, format=each, ttl=60) for each in (jwt, t1)]))
    lifetimes = recorded(lambda: api.batch([wanted(session_id, ttl=each) for each in (60, 61)]))

    assert ["OPENTOK_JWT", "OPENTOK_T1"] == [token["format"] for token in formats["tokens"]]  # type: ignore[attr-defined]  # a list of objects, as JSON has it
    assert [60, 61] == [token["lifetime"] for token in lifetimes["tokens"]]  # type: ignore[attr-defined]  # a list of objects, as JSON has it


def test_batch_of_two_roles(api: Api, recorded: Recorded, session_id: str) -> None:
    """Each token has its own, also where nothing else differs: the record never says one role for all."""
    items = [wanted(session_id, role=role, ttl=60) for role in ("publisher", "subscriber")]

    record = recorded(lambda: api.batch(items))

    assert "role" not in record
    assert ["publisher", "subscriber"] == [token["role"] for token in record["tokens"]]  # type: ignore[attr-defined]  # a list of objects, as JSON has it


def test_batch_refused(api: Api, connect: Connect, recorded: Recorded, session_id: str, project_id: str) -> None:
    """What all items agree on; nothing of a batch that is refused for its size alone."""

    def ask(one: Api, *items: token_pb2.TokenRequest) -> dict[str, object]:
        return recorded(lambda: one.batch(items))

    item, other = wanted(session_id), wanted(session_id, role="subscriber")
    named = {"project_id": project_id, "session_id": session_id}
    denied = "PERMISSION_DENIED", "PROJECT_NOT_GRANTED"
    invalid = "INVALID_ARGUMENT", "INVALID_FIELD"
    assert refused(*denied, **named, role="publisher", items=2) == ask(connect("home"), item, item)
    assert refused(*denied, **named, items=2) == ask(connect("home"), item, other)
    assert refused(*invalid, role="publisher", items=2) == ask(api, item, wanted("x"))
    assert refused(*invalid) == ask(api, *[item] * 1001)
    assert refused("RESOURCE_EXHAUSTED", "RATE_LIMIT") == ask(connect("slow"), *[item] * 3)


def test_empty_batch(api: Api, recorded: Recorded) -> None:
    """No items are a number too."""
    assert refused("INVALID_ARGUMENT", "INVALID_FIELD", items=0) == recorded(lambda: api.batch([]))


def test_verify_token(api: Api, home: Api, recorded: Recorded, session_id: str, project_id: str) -> None:
    """The claims of a token whose signature holds, and why it is not valid."""
    token = new_token(api, session_id)
    claims = {
        "project_id": project_id,
        "session_id": session_id,
        "role": "publisher",
        "format": "SESSION_JWT",
        "subject": "user-7",
        "token_ids": [token.token_id],
    }

    assert ok(**claims) == recorded(lambda: api.verify(token.token))
    assert ok(**claims, reason="PERMISSION_MISSING") == recorded(
        lambda: api.verify(token.token, required=[role_pb2.PERMISSION_FORCE_MUTE])
    )
    assert ok(reason="MALFORMED") == recorded(lambda: api.verify("x", session_id=session_id))
    assert ok(reason="PROJECT_UNKNOWN") == recorded(lambda: home.verify(token.token))
    assert refused("INVALID_ARGUMENT", "INVALID_FIELD") == recorded(lambda: api.verify("", session_id=session_id))


def revoke(api: Api, **fields: str) -> token_pb2.Revocation:
    """Revoke what *fields* name."""
    return api.tokens.RevokeTokens(token_pb2.RevokeTokensRequest(**fields)).revocation  # type: ignore[arg-type]  # all are texts


@pytest.mark.parametrize("target", ["token", "token_id", "session_id", "subject"])
def test_revoke_tokens(api: Api, recorded: Recorded, session_id: str, project_id: str, target: str) -> None:
    """Whom it hits and up to when, and the caller's comment; a repeat has its own comment."""
    token = new_token(api, session_id)
    made: list[token_pb2.Revocation] = []
    targets: dict[str, tuple[dict[str, str], dict[str, object]]] = {
        "token": ({"token": token.token}, {"token_ids": [token.token_id]}),
        "token_id": ({"token_id": "t-1", "project_id": project_id}, {"token_ids": ["t-1"]}),
        "session_id": ({"session_id": session_id}, {"session_id": session_id}),
        "subject": ({"subject": "user-8", "project_id": project_id}, {"subject": "user-8"}),
    }
    asked, given = targets[target]

    def expected(comment: str) -> dict[str, object]:
        changes = [f"issued_before={made[-1].issued_before.seconds}"]
        return ok(project_id=project_id, object_id=made[-1].revocation_id, changes=changes, comment=comment, **given)

    for comment in ("lost phone", "again"):
        done = recorded(lambda comment=comment: made.append(revoke(api, **asked, comment=comment)))  # type: ignore[misc]  # a lambda with a default
        assert expected(comment) == done


def test_revoke_tokens_refused(api: Api, home: Api, recorded: Recorded, session_id: str, project_id: str) -> None:
    """The project and the session that were named; no comment, token id or subject of a call that did nothing."""
    named = {"project_id": project_id, "session_id": session_id}

    assert refused("PERMISSION_DENIED", "PROJECT_NOT_GRANTED", **named) == recorded(
        lambda: revoke(home, session_id=session_id, comment="x")
    )
    assert refused("INVALID_ARGUMENT", "INVALID_FIELD", **named) == recorded(
        lambda: revoke(api, session_id=session_id, comment="x" * 300)
    )
    assert refused("NOT_FOUND", "PROJECT_NOT_FOUND", project_id=NOWHERE) == recorded(
        lambda: revoke(api, subject="user-7", project_id=NOWHERE)
    )
    assert refused("INVALID_ARGUMENT", "INVALID_FIELD") == recorded(lambda: revoke(api, token="x"))


def test_watch_revocations(shared: RunningAuthority, api: Api, home: Api, recorded: Recorded) -> None:
    """The project, if it is one; nothing of those that are refused."""

    def ask(one: Api, *project_ids: str) -> dict[str, object]:
        before = len(records(shared.audit_path))
        stream = one.tokens.WatchRevocations(token_pb2.WatchRevocationsRequest(project_ids=project_ids))
        with contextlib.suppress(grpc.RpcError):
            next(stream)
            stream.cancel()
            # The record of its end must not be taken for that of another call.
            eventually(lambda: len(records(shared.audit_path)) == before + 2, "the end of the stream is not recorded")
        record = next(each for each in records(shared.audit_path)[before:] if each["method"] == WATCH)
        return {name: value for name, value in record.items() if name not in _ABOUT_THE_CALL}

    assert ok(reason="OPENED", project_id=HOME) == ask(api, HOME)
    assert ok(reason="OPENED") == ask(api)
    assert ok(reason="OPENED") == ask(api, HOME, AWAY)
    assert refused("PERMISSION_DENIED", "PROJECT_NOT_GRANTED") == ask(home, AWAY)


def test_roles(api: Api, recorded: Recorded, project_id: str) -> None:
    """The project and the role; the permissions of an update."""
    role = {"project_id": project_id, "name": "viewer"}
    create = role_pb2.CreateRoleRequest(**role, permissions=[SUBSCRIBE])
    update = role_pb2.UpdateRoleRequest(**role, permissions=[PUBLISH, SUBSCRIBE])  # type: ignore[arg-type]  # both are texts
    describe = role_pb2.UpdateRoleRequest(**role, description="x")  # type: ignore[arg-type]  # both are texts
    get, delete = role_pb2.GetRoleRequest(**role), role_pb2.DeleteRoleRequest(**role)
    done = ok(project_id=project_id, role="viewer")

    assert done == recorded(lambda: api.roles.CreateRole(create))
    assert refused("ALREADY_EXISTS", "ROLE_EXISTS", project_id=project_id, role="viewer") == recorded(
        lambda: api.roles.CreateRole(create)
    )
    assert done == recorded(lambda: api.roles.GetRole(get))
    assert ok(project_id=project_id) == recorded(
        lambda: api.roles.ListRoles(role_pb2.ListRolesRequest(project_id=project_id))
    )
    assert {**done, "changes": ["permissions=subscribe,publish"]} == recorded(lambda: api.roles.UpdateRole(update))
    assert done == recorded(lambda: api.roles.UpdateRole(describe))
    assert done == recorded(lambda: api.roles.DeleteRole(delete))
    assert refused("NOT_FOUND", "ROLE_NOT_FOUND", project_id=project_id, role="viewer") == recorded(
        lambda: api.roles.GetRole(get)
    )


def test_roles_refused(home: Api, recorded: Recorded) -> None:
    """The project and the role that were named; a role that cannot be one is not."""
    unknown = role_pb2.UpdateRoleRequest(name="viewer", permissions=[99])  # type: ignore[list-item]  # no permission

    assert refused("INVALID_ARGUMENT", "INVALID_FIELD", project_id=HOME, role="viewer", changes=["permissions="]) == (
        recorded(lambda: home.roles.UpdateRole(unknown))
    )
    assert refused("PERMISSION_DENIED", "PROJECT_NOT_GRANTED", project_id=AWAY, role="viewer") == recorded(
        lambda: home.roles.DeleteRole(role_pb2.DeleteRoleRequest(project_id=AWAY, name="viewer"))
    )
    assert refused("INVALID_ARGUMENT", "INVALID_FIELD", role="viewer") == recorded(
        lambda: home.roles.CreateRole(role_pb2.CreateRoleRequest(project_id="x", name="viewer"))
    )
    assert refused("INVALID_ARGUMENT", "INVALID_FIELD", project_id=HOME) == recorded(
        lambda: home.roles.GetRole(role_pb2.GetRoleRequest(name="No Role"))
    )


def test_create_and_import_project(api: Api, home: Api, recorded: Recorded) -> None:
    """The project and the id of its secret, never the secret."""
    made: list[project_pb2.CreateProjectResponse] = []
    done = recorded(lambda: made.append(api.projects.CreateProject(project_pb2.CreateProjectRequest())))
    opentok = project_pb2.OpenTokCredential(api_key="46111222", api_secret="0" * 40)
    vonage = project_pb2.VonageCredential(application_id=UUID, private_key="no key")

    assert ok(project_id=made[0].project.project_id, object_id=made[0].secret.secret_id) == done
    assert refused("ALREADY_EXISTS", "PROJECT_EXISTS", project_id=HOME) == recorded(
        lambda: api.projects.CreateProject(project_pb2.CreateProjectRequest(project_id=HOME))
    )
    assert ok(project_id="46111222") == recorded(
        lambda: api.projects.ImportProject(project_pb2.ImportProjectRequest(opentok=opentok))
    )
    assert refused("PERMISSION_DENIED", "PROJECT_NOT_GRANTED", project_id="46111222") == recorded(
        lambda: home.projects.ImportProject(project_pb2.ImportProjectRequest(opentok=opentok))
    )
    assert refused("INVALID_ARGUMENT", "INVALID_FIELD", object_id=UUID) == recorded(
        lambda: api.projects.ImportProject(project_pb2.ImportProjectRequest(vonage=vonage))
    )
    assert refused("INVALID_ARGUMENT", "INVALID_FIELD", project_id="46111223") == recorded(
        lambda: api.projects.ImportProject(project_pb2.ImportProjectRequest(project_id="46111223"))
    )


def test_read_projects(home: Api, recorded: Recorded) -> None:
    """The project, also if the caller has only one and names none; a list is of no project."""

    def get(project_id: str) -> dict[str, object]:
        return recorded(lambda: home.projects.GetProject(project_pb2.GetProjectRequest(project_id=project_id)))

    assert [ok(project_id=HOME)] * 2 == [get(""), get(HOME)]
    assert refused("PERMISSION_DENIED", "PROJECT_NOT_GRANTED", project_id=AWAY) == get(AWAY)
    assert refused("INVALID_ARGUMENT", "INVALID_FIELD") == get("x")
    assert ok() == recorded(lambda: home.projects.ListProjects(project_pb2.ListProjectsRequest()))


def test_update_project(api: Api, home: Api, recorded: Recorded, project_id: str) -> None:
    """The new values, each at most 200 characters long."""

    def ask(one: Api, asked: str, *paths: str, **fields: object) -> dict[str, object]:
        project = project_pb2.Project(project_id=asked, **fields)  # type: ignore[arg-type]  # of several types
        request = project_pb2.UpdateProjectRequest(project=project)
        request.update_mask.paths.extend(paths)
        return recorded(lambda: one.projects.UpdateProject(request))

    both = {"display_name": "rooms", "external_sessions": True}
    assert ok(project_id=project_id, changes=["display_name=rooms", "external_sessions=True"]) == ask(
        api, project_id, *both, **both
    )
    long = "x" * 300
    assert refused(
        "INVALID_ARGUMENT", "INVALID_FIELD", project_id=project_id, changes=[f"display_name={long}"[:200]]
    ) == ask(api, project_id, "display_name", display_name=long)
    assert refused("INVALID_ARGUMENT", "INVALID_FIELD", project_id=project_id) == ask(api, project_id, "secrets")
    assert refused("PERMISSION_DENIED", "PROJECT_NOT_GRANTED", project_id=project_id) == ask(
        home, project_id, "display_name", display_name="x"
    )
    assert refused("INVALID_ARGUMENT", "INVALID_FIELD", changes=["display_name=x"]) == ask(
        api, "x", "display_name", display_name="x"
    )


def test_secrets(api: Api, home: Api, recorded: Recorded, created: project_pb2.CreateProjectResponse) -> None:
    """The project and the secret's id; a text that cannot be one is not recorded."""
    project_id, first = created.project.project_id, created.secret.secret_id
    made: list[project_pb2.ProjectSecret] = []
    rotate = project_pb2.RotateProjectSecretRequest(project_id=project_id)

    def retire(one: Api, secret_id: str) -> dict[str, object]:
        request = project_pb2.RetireProjectSecretRequest(project_id=project_id, secret_id=secret_id)
        return recorded(lambda: one.projects.RetireProjectSecret(request))

    done = recorded(lambda: made.append(api.projects.RotateProjectSecret(rotate).secret))
    assert ok(project_id=project_id, object_id=made[0].secret_id) == done
    assert refused("FAILED_PRECONDITION", "SECRET_COUNT", project_id=project_id) == recorded(
        lambda: api.projects.RotateProjectSecret(rotate)
    )
    assert refused("PERMISSION_DENIED", "PROJECT_NOT_GRANTED", project_id=project_id, object_id=first) == (
        retire(home, first)
    )
    assert ok(project_id=project_id, object_id=first) == retire(api, first)
    assert refused("NOT_FOUND", "SECRET_NOT_FOUND", project_id=project_id) == retire(api, "0" * 40)


def test_an_imported_secret(api: Api, recorded: Recorded) -> None:
    """Its id, which has no shape of its own, is recorded once it is certain to be one."""
    key = f"API{secrets.token_hex(6)}"
    credential = project_pb2.LiveKitCredential(api_key=key, api_secret="x" * 32)
    project_id = api.projects.ImportProject(project_pb2.ImportProjectRequest(livekit=credential)).project.project_id
    retire = project_pb2.RetireProjectSecretRequest(project_id=project_id, secret_id=key)

    assert refused("FAILED_PRECONDITION", "SECRET_COUNT", project_id=project_id) == recorded(
        lambda: api.projects.RetireProjectSecret(retire)
    )
    api.projects.RotateProjectSecret(project_pb2.RotateProjectSecretRequest(project_id=project_id))
    assert ok(project_id=project_id, object_id=key) == recorded(lambda: api.projects.RetireProjectSecret(retire))


def test_signing_keys(api: Api, recorded: Recorded) -> None:
    """The key, once the request is valid, and the comment of a revocation."""
    made: list[key_pb2.SigningKey] = []

    def activate(key_id: str) -> dict[str, object]:
        return recorded(lambda: api.keys.ActivateSigningKey(key_pb2.ActivateSigningKeyRequest(key_id=key_id)))

    def revoke_key(key_id: str, comment: str) -> dict[str, object]:
        request = key_pb2.RevokeSigningKeyRequest(key_id=key_id, comment=comment)
        return recorded(lambda: api.keys.RevokeSigningKey(request))

    done = recorded(lambda: made.append(api.keys.PrepareSigningKey(key_pb2.PrepareSigningKeyRequest()).key))
    assert ok(key_id=made[0].key_id) == done
    assert ok(key_id=made[0].key_id, comment="lost") == revoke_key(made[0].key_id, "lost")
    assert refused("NOT_FOUND", "KEY_NOT_FOUND", key_id=KEY_ID) == activate(KEY_ID)
    assert refused("INVALID_ARGUMENT", "INVALID_FIELD") == activate("x")
    assert refused("NOT_FOUND", "KEY_NOT_FOUND", key_id=KEY_ID, comment="lost") == revoke_key(KEY_ID, "lost")
    assert refused("INVALID_ARGUMENT", "INVALID_FIELD") == revoke_key(KEY_ID, "x" * 300)
    assert [ok()] * 2 == [
        recorded(lambda: api.keys.GetJsonWebKeySet(key_pb2.GetJsonWebKeySetRequest())),
        recorded(lambda: api.keys.ListSigningKeys(key_pb2.ListSigningKeysRequest())),
    ]


def test_nothing_is_recorded_of_a_request_that_is_not_read(
    shared: RunningAuthority, connect: Connect, recorded: Recorded
) -> None:
    """A request of a stranger, or of a caller without the action, is not even decoded."""
    stranger, idle = connect(authority=shared, api_key="unknown"), connect("idle")

    problem = "the bearer credential is neither an API key nor a JWT"
    assert refused("UNAUTHENTICATED", "CREDENTIAL_INVALID", credential_problem=problem) == recorded(
        lambda: stranger.new_session(HOME)
    )
    assert refused("PERMISSION_DENIED", "ACTION_NOT_GRANTED") == recorded(lambda: idle.new_session(HOME))
