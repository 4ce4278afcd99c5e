"""A caller gets nothing beyond its grant by a second name, a second spelling, a role, or the share of another."""

from __future__ import annotations

import base64
import hmac
import time

from collections.abc import Callable, Iterator
from functools import partial

import attrs
import grpc
import jwt
import pytest

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tests.service.api import PUBLISH, SIGNAL, SUBSCRIBE, Api, Failure, failure, reason_of
from tests.support.authority import EVERYTHING, RunningAuthority, StartAuthority, make_caller
from tests.support.faulty_store import FaultyStore
from tokenauthority.callers.api_keys import new_api_key
from tokenauthority.domain.caller import Grant
from tokenauthority.v1 import project_pb2, role_pb2, session_pb2, token_pb2


OURS, THEIRS, NOWHERE, VIDEO = "47000001", "47000002", "47000003", "47000004"
SECRET = "a" * 40
APPLICATION = "11111111-2222-3333-4444-555555555555"
ABSENT = "99999999-2222-3333-4444-555555555555"
INVALID = (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD")
ALL_PERMISSIONS = [permission for permission in role_pb2.Permission.values() if permission]


def granted(*projects: str, roles: str = "*", application: str = "") -> Grant:
    """Every action in some projects."""
    return attrs.evolve(
        EVERYTHING,
        projects=frozenset(projects),
        roles=frozenset(roles.split()),
        vonage_applications=frozenset({application} if application else ()),
    )


GRANTS = {
    "operator": EVERYTHING,
    "mallory": granted(OURS),
    "acme": granted(THEIRS, VIDEO, application=APPLICATION),
    "app": granted(OURS, roles="guest"),
    "kiosk": granted(OURS, roles="guest"),
}


@attrs.frozen
class Attacked:
    """An authority, its store and its callers."""

    authority: RunningAuthority
    store: FaultyStore
    callers: dict[str, Api]

    def __getitem__(self, name: str) -> Api:
        """Return the stubs of a caller."""
        return self.callers[name]


@pytest.fixture
def attacked(start_authority: StartAuthority) -> Iterator[Attacked]:
    """An authority with two projects, imported with one secret, and a limit of 40 revocations."""
    store, keys = FaultyStore(), {name: new_api_key() for name in GRANTS}
    callers = {keys[name]: make_caller(name, grant) for name, grant in GRANTS.items()}
    authority = start_authority(store=store, callers=callers, settings={"limits": {"max_revocations": 40}})
    apis = {name: Api(authority, key) for name, key in keys.items()}
    for project_id in (OURS, THEIRS):
        credential = project_pb2.OpenTokCredential(api_key=project_id, api_secret=SECRET)
        apis["operator"].projects.ImportProject(project_pb2.ImportProjectRequest(opentok=credential))
    yield Attacked(authority, store, apis)
    for api in apis.values():
        api.close()


def rsa_key() -> tuple[RSAPrivateKey, str]:
    """A key, and its PEM."""
    key = generate_private_key(65537, 2048)
    return key, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def import_application(api: Api, application_id: str, project_id: str, pem: str) -> project_pb2.Project:
    """A Vonage application, imported."""
    credential = project_pb2.VonageCredential(application_id=application_id, private_key=pem)
    request = project_pb2.ImportProjectRequest(project_id=project_id, vonage=credential)
    return api.projects.ImportProject(request).project


def encoded(owner: str, flag: str = "P") -> str:
    """The body of a session id as the platform writes it, with padding."""
    return base64.urlsafe_b64encode(f"1~{owner}~~1700000000000~abcdefghijklmnopqrstuvw~{flag}~~".encode()).decode()


def platform_session(owner: str) -> str:
    """A session id that the platform made."""
    return "2_" + encoded(owner).rstrip("=")


def t1(project_id: str, session_id: str, secret: str = SECRET) -> str:
    """A T1 token as an SDK makes it."""
    now = int(time.time())
    data = f"session_id={session_id}&create_time={now}&expire_time={now + 600}&role=publisher&nonce=1"
    signature = hmac.digest(secret.encode(), data.encode(), "sha1").hex()
    return "T1==" + base64.b64encode(f"partner_id={project_id}&sig={signature}:{data}".encode()).decode()


def vonage_jwt(key: RSAPrivateKey) -> str:
    """A token of the application as an SDK makes it."""
    now = int(time.time())
    claims = {
        "scope": "session.connect",
        "session_id": platform_session(APPLICATION),
        "role": "moderator",
        "sub": "video",
        "acl": {"paths": {"/session/**": {}}},
        "jti": "x",
        "iat": now,
        "exp": now + 600,
        "application_id": APPLICATION,
    }
    return jwt.encode(claims, key, algorithm="RS256")


def calls_about(api: Api, session_id: str) -> list[Callable[[], object]]:
    """Every call that names a session."""
    wanted = token_pb2.TokenRequest(session_id=session_id)
    return [
        lambda: api.generate(session_id),
        lambda: api.tokens.BatchGenerateTokens(token_pb2.BatchGenerateTokensRequest(requests=[wanted])),
        lambda: api.sessions.GetSession(session_pb2.GetSessionRequest(session_id=session_id)),
        lambda: api.tokens.RevokeTokens(token_pb2.RevokeTokensRequest(session_id=session_id)),
        lambda: api.end(session_id),
    ]


def answer_of(failed: Failure) -> tuple[object, ...]:
    """What a caller sees, but for the id of the request."""
    facts = {name: value for name, value in failed.facts.items() if name != "request_id"}
    return failed.code, failed.message.replace(failed.facts["request_id"], ""), failed.reason, tuple(facts.items())


def test_nobody_imports_an_application_that_the_grant_does_not_name(attacked: Attacked) -> None:
    """Else a forged token of the owner's application would be valid, and the owner's own one would not."""
    forging, forged_pem = rsa_key()
    genuine, pem = rsa_key()
    squat = failure(lambda: import_application(attacked["mallory"], APPLICATION.upper(), OURS, forged_pem))
    imported = import_application(attacked["acme"], APPLICATION.upper(), VIDEO, pem)
    verdicts = [reason_of(attacked["operator"].verify(vonage_jwt(key))) for key in (forging, genuine)]

    assert (grpc.StatusCode.PERMISSION_DENIED, "PROJECT_NOT_GRANTED") == squat.outcome
    assert ("vonage_applications", "vonage.application_id") == (squat.facts["limit"], squat.facts["field"])
    assert APPLICATION == imported.vonage_application_id
    assert ["SIGNATURE_INVALID", "ACTIVE"] == verdicts


def test_a_refused_import_does_not_say_whether_another_tenant_has_the_application(attacked: Attacked) -> None:
    """One answer and no read of the store for an application that exists here and for one that does not."""
    _, pem = rsa_key()
    import_application(attacked["operator"], APPLICATION, VIDEO, pem)
    before = attacked.store.count("get_project", "find_vonage_project", "create_project")
    refusals = [
        failure(partial(import_application, attacked["mallory"], application, OURS, pem))
        for application in (APPLICATION, ABSENT)
    ]

    assert 1 == len({answer_of(refused) for refused in refusals})
    assert before == attacked.store.count("get_project", "find_vonage_project", "create_project")


def test_an_application_is_used_by_who_may_use_its_project(attacked: Attacked) -> None:
    """Its sessions and tokens name the application alone; a grant of some projects finds it among these."""
    key, pem = rsa_key()
    import_application(attacked["operator"], APPLICATION, VIDEO, pem)
    acme = attacked["acme"]
    made = acme.generate(platform_session(APPLICATION))

    assert [VIDEO, "ACTIVE", "ACTIVE"] == [
        made.project_id,
        reason_of(acme.verify(made.token)),
        reason_of(acme.verify(vonage_jwt(key))),
    ]


@pytest.mark.parametrize(
    ("there", "absent"), [(THEIRS, NOWHERE), (APPLICATION, ABSENT)], ids=["project", "application"]
)
def test_whether_a_session_or_a_token_is_of_another_tenant_cannot_be_found_out(
    attacked: Attacked, there: str, absent: str
) -> None:
    """Not by an answer, and not by its time: the same is read for both, and of no project outside the grant."""
    _, pem = rsa_key()
    import_application(attacked["operator"], APPLICATION, VIDEO, pem)
    attacked["operator"].generate(platform_session(there))
    operations = ("get_project", "find_vonage_project", "list_projects", "get_session", "list_roles")
    observers, refusals, asked = [], [], []
    for owner in (there, absent):
        observer = attacked.store.observe(*operations)
        refusals.append([failure(call) for call in calls_about(attacked["mallory"], platform_session(owner))])
        observers.append([(call.operation, call.arguments) for call in observer.calls])
        asked.append([("find_vonage_project", {"application_id": owner, "only": frozenset({OURS})})])

    assert list(map(answer_of, refusals[0])) == list(map(answer_of, refusals[1]))
    assert {grpc.StatusCode.PERMISSION_DENIED} == {refused.code for refused in refusals[0]}
    # Each call may read it anew: that an id is absent is cached for a second.
    distinct = [[call for number, call in enumerate(calls) if call not in calls[:number]] for calls in observers]
    assert ([[], []] if there == THEIRS else asked) == distinct


def test_verify_token_asks_the_grant_before_the_store(attacked: Attacked) -> None:
    """The verdict about a token of a project that exists elsewhere is that about a project that does not."""
    _, pem = rsa_key()
    import_application(attacked["operator"], APPLICATION, VIDEO, pem)
    mallory = attacked["mallory"]
    before = attacked.store.count("get_project", "list_projects", "get_session")
    verdicts = [mallory.verify(t1(owner, platform_session(owner))) for owner in (THEIRS, NOWHERE) for _ in range(2)]
    verdicts.append(mallory.verify(vonage_jwt(rsa_key()[0])))

    assert ["PROJECT_UNKNOWN"] * 5 == [reason_of(verdict) for verdict in verdicts]
    assert 1 == len({verdict.SerializeToString() for verdict in verdicts})
    assert before == attacked.store.count("get_project", "list_projects", "get_session")


def permissions_of(attacked: Attacked, caller: str, session_id: str, role: str) -> list[int]:
    """The permissions of a token that a caller makes."""
    token = attacked[caller].generate(session_id, role=role, format=token_pb2.TOKEN_FORMAT_SESSION_JWT).token
    return list(attacked["operator"].verify(token).claims.permissions)


def test_roles_write_gives_nobody_more_than_the_callers_file(attacked: Attacked) -> None:
    """Neither the caller, by a role that it may grant, nor another caller whose grant names the role."""
    operator, app = attacked["operator"], attacked["app"]
    role = role_pb2.CreateRoleRequest(project_id=OURS, name="guest", permissions=[SUBSCRIBE])
    operator.roles.CreateRole(role)
    session_id = app.new_session("").session_id
    attempts: list[Callable[[], object]] = [
        lambda: app.roles.UpdateRole(role_pb2.UpdateRoleRequest(name="guest", permissions=ALL_PERMISSIONS)),
        lambda: app.roles.UpdateRole(role_pb2.UpdateRoleRequest(name="guest", permissions=[SUBSCRIBE, SIGNAL])),
        lambda: app.roles.DeleteRole(role_pb2.DeleteRoleRequest(name="guest")),
        lambda: app.roles.CreateRole(role_pb2.CreateRoleRequest(name="host", permissions=[PUBLISH])),
        lambda: operator.roles.UpdateRole(
            role_pb2.UpdateRoleRequest(project_id=OURS, name="guest", permissions=ALL_PERMISSIONS)
        ),
    ]
    outcomes = [failure(attempt).outcome for attempt in attempts]

    denied = (grpc.StatusCode.PERMISSION_DENIED, "ROLE_NOT_GRANTED")
    in_use = (grpc.StatusCode.FAILED_PRECONDITION, "ROLE_IN_USE")
    assert [denied, denied, in_use, denied, in_use] == outcomes
    assert [[SUBSCRIBE]] * 2 == [permissions_of(attacked, name, session_id, "guest") for name in ("app", "kiosk")]
    assert "ROLE_NOT_GRANTED" == failure(lambda: app.generate(session_id, role="moderator")).reason


def spellings(owner: str) -> dict[str, str]:
    """Other ways to write the id of `platform_session`, for a decoder that is not strict."""
    padded = encoded(owner)
    body = padded.rstrip("=")
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    stray = body[:-1] + alphabet[alphabet.index(body[-1]) ^ 1]
    return {
        "padded": f"2_{padded}",
        "one =": f"2_{body}=",
        "stray bits": f"2_{stray}",
        "line break": f"2_{body}\n",
        "leading zero": platform_session(f"0{owner}"),
        "other digits": platform_session("".join(chr(0x660 + int(digit)) for digit in owner)),
        "blank": platform_session(f"{owner} "),
    }


def test_a_session_has_one_spelling(attacked: Attacked) -> None:
    """No call takes another one, and no token with another one is valid."""
    assert len(encoded(OURS).rstrip("=")) % 4, "the id must have bits to spare"
    outcomes = {
        name: {failure(call).outcome for call in calls_about(attacked["mallory"], spelling)}
        for name, spelling in spellings(OURS).items()
    }
    verdicts = {
        name: reason_of(attacked["mallory"].verify(t1(OURS, spelling))) for name, spelling in spellings(OURS).items()
    }

    assert {name: {INVALID} for name in outcomes} == outcomes
    assert dict.fromkeys(verdicts, "SESSION_MISMATCH") == verdicts


@pytest.mark.parametrize("prefixes", ["12", "21"])
@pytest.mark.parametrize("how", ["ended", "revoked"])
def test_a_session_is_over_under_both_prefixes(attacked: Attacked, prefixes: str, how: str) -> None:
    """The platform writes 1_ and 2_; whoever ends or revokes one reaches the tokens of the other."""
    named, other = (f"{prefix}_{encoded(OURS).rstrip('=')}" for prefix in prefixes)
    mallory = attacked["mallory"]
    tokens = [mallory.generate(session_id).token for session_id in (named, other)] + [t1(OURS, other)]
    before = [reason_of(mallory.verify(token)) for token in tokens]
    if how == "ended":
        mallory.end(named)
    else:
        mallory.tokens.RevokeTokens(token_pb2.RevokeTokensRequest(session_id=named))
    after = [reason_of(mallory.verify(token)) for token in tokens]

    assert (["ACTIVE"] * 3, [f"SESSION_{how}".upper() if how == "ended" else "REVOKED"] * 3) == (before, after)
    if how == "ended":
        assert "SESSION_ENDED" == failure(lambda: mallory.generate(named)).reason
        assert {INVALID} == {failure(call).outcome for call in calls_about(mallory, other)}


def test_a_session_made_here_has_the_spelling_it_was_given(attacked: Attacked) -> None:
    """The other prefix names no session, in any call, and a token that names it is invalid."""
    mallory = attacked["mallory"]
    made = mallory.new_session("").session_id
    other = f"1_{made[2:]}"
    outcomes = {failure(call).outcome for call in calls_about(mallory, other)}

    assert {INVALID} == outcomes
    assert ["ACTIVE", "SESSION_MISMATCH"] == [
        reason_of(mallory.verify(t1(OURS, spelling))) for spelling in (made, other)
    ]


def test_no_tenant_uses_the_revocations_of_another(attacked: Attacked) -> None:
    """Revocations of tokens that never were fill the share of their project, and no more."""
    mallory, acme = attacked["mallory"], attacked["acme"]
    stolen = acme.generate(platform_session(THEIRS)).token
    for number in range(21):
        mallory.tokens.RevokeTokens(token_pb2.RevokeTokensRequest(token_id=f"x{number}"))
    refused = failure(lambda: mallory.tokens.RevokeTokens(token_pb2.RevokeTokensRequest(subject="more")))
    acme.tokens.RevokeTokens(token_pb2.RevokeTokensRequest(token=stolen))

    assert (grpc.StatusCode.RESOURCE_EXHAUSTED, "REVOCATION_LIMIT") == refused.outcome
    assert "REVOKED" == reason_of(acme.verify(stolen))
