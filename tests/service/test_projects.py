"""ProjectService: making, importing and changing projects, and two live secrets."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, cast

import grpc
import opentok
import pytest

from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from google.protobuf.duration_pb2 import Duration
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message

from tests.authority.world import platform_session, rsa_pem
from tests.service.api import Api, Connect, Failure, failure, lifetime, reason_of
from tests.service.conftest import AWAY, FOUNDED, HOME, NOW, NOWHERE
from tests.support.authority import Clock, RunningAuthority
from tests.support.wire import records
from tokenauthority.v1 import project_pb2, token_pb2


SECRET = "0123456789abcdef0123456789abcdef01234567"
MONTH = 30 * 86_400
DAY = 86_400
NATIVE, T1, OPENTOK, VONAGE = (
    token_pb2.TOKEN_FORMAT_SESSION_JWT,
    token_pb2.TOKEN_FORMAT_OPENTOK_T1,
    token_pb2.TOKEN_FORMAT_OPENTOK_JWT,
    token_pb2.TOKEN_FORMAT_VONAGE_JWT,
)

_numbers = iter(range(50_000_000, 60_000_000))


def seconds(count: int) -> Duration:
    """A lifetime."""
    return Duration(seconds=count)


def fresh_id() -> str:
    """A project id, such as the platform's, that no test has used."""
    return str(next(_numbers))


def fresh_application() -> str:
    """An application id that no test has used."""
    return f"00000000-0000-4000-8000-{next(_numbers):012d}"


def create(api: Api, **fields: Any) -> project_pb2.CreateProjectResponse:
    """A project just made."""
    return api.projects.CreateProject(project_pb2.CreateProjectRequest(**fields))


def import_opentok(api: Api, api_key: str, secret: str = SECRET, **fields: Any) -> project_pb2.Project:
    """A project of the OpenTok platform, just imported."""
    credential = project_pb2.OpenTokCredential(api_key=api_key, api_secret=secret)
    return api.projects.ImportProject(project_pb2.ImportProjectRequest(opentok=credential, **fields)).project


def import_vonage(api: Api, application: str, pem: str = "", **fields: Any) -> project_pb2.Project:
    """An application of Vonage, just imported."""
    credential = project_pb2.VonageCredential(application_id=application, private_key=pem or rsa_pem())
    return api.projects.ImportProject(project_pb2.ImportProjectRequest(vonage=credential, **fields)).project


def get(api: Api, project_id: str) -> project_pb2.Project:
    """A project as it is shown."""
    return api.projects.GetProject(project_pb2.GetProjectRequest(project_id=project_id)).project


def update(api: Api, project_id: str, *paths: str, **values: Any) -> project_pb2.Project:
    """A project, changed."""
    project = project_pb2.Project(project_id=project_id, **values)
    request = project_pb2.UpdateProjectRequest(project=project, update_mask=FieldMask(paths=paths))
    return api.projects.UpdateProject(request).project


def rotate(api: Api, project_id: str, secret: str = "") -> project_pb2.ProjectSecret:
    """A second secret."""
    request = project_pb2.RotateProjectSecretRequest(project_id=project_id, secret=secret)
    return api.projects.RotateProjectSecret(request).secret


def retire(api: Api, project_id: str, secret_id: str) -> project_pb2.Project:
    """A project with one secret less."""
    request = project_pb2.RetireProjectSecretRequest(project_id=project_id, secret_id=secret_id)
    return api.projects.RetireProjectSecret(request).project


class TestCreate:
    """CreateProject."""

    def test_defaults_are_those_of_the_contract(self, api: Api, clock: Clock) -> None:
        """The native format, 24 hours, 30 days, only its own sessions."""
        made = create(api)

        project = made.project
        assert (
            project_pb2.Project(
                project_id=project.project_id,
                default_format=NATIVE,
                default_ttl=seconds(DAY),
                max_ttl=seconds(MONTH),
                create_time=project.create_time,
                secrets=[
                    project_pb2.ProjectSecret(secret_id=made.secret.secret_id, create_time=made.secret.create_time)
                ],
            )
            == project
        )
        assert 1_000_000_000 <= int(project.project_id) <= 2_147_483_647
        assert NOW == project.create_time.ToMilliseconds()
        assert 40 == len(bytes.fromhex(made.secret.secret).hex())
        assert project == get(api, project.project_id)

    def test_keeps_what_was_asked_for(self, api: Api) -> None:
        """Every value, and the wanted id."""
        values: dict[str, Any] = {
            "project_id": fresh_id(),
            "display_name": "Projekt ✓ Größe",
            "default_format": T1,
            "default_ttl": seconds(60),
            "max_ttl": seconds(61),
            "external_sessions": True,
        }

        project = create(api, **values).project

        assert values == {name: getattr(project, name) for name in values}

    def test_a_short_max_ttl_shortens_the_default(self, api: Api) -> None:
        """24 hours, or `max_ttl` where that is shorter."""
        assert seconds(60) == create(api, max_ttl=seconds(60)).project.default_ttl

    def test_names_every_invalid_field_at_once(self, api: Api) -> None:
        """Whatever is wrong with it."""
        failed = failure(
            lambda: create(
                api, project_id="x", display_name="x" * 129, default_format=VONAGE, max_ttl=seconds(MONTH + 1)
            )
        )

        assert grpc.StatusCode.INVALID_ARGUMENT == failed.code
        assert ["default_format", "display_name", "max_ttl", "project_id"] == sorted(failed.fields)

    def test_an_unknown_format_is_named_with_all_else(self, api: Api) -> None:
        """Also with both lifetimes."""
        bad: dict[str, Any] = {"default_format": 99, "default_ttl": seconds(0), "max_ttl": seconds(MONTH + 1)}

        failed = failure(lambda: create(api, project_id="x", display_name="x" * 129, **bad))

        assert ["default_format", "default_ttl", "display_name", "max_ttl", "project_id"] == sorted(failed.fields)

    def test_a_project_outside_the_grant_goes_before_what_is_wrong(self, connect: Connect) -> None:
        """PERMISSION_DENIED, however malformed the rest is."""
        founder = connect("founder")
        bad: dict[str, Any] = {"default_format": 99}
        calls: list[Callable[[], object]] = [
            partial(create, founder, project_id=HOME, **bad),
            partial(create, founder, **bad),
            partial(import_opentok, founder, HOME, "x", **bad),
            partial(import_vonage, founder, "x", project_id=HOME, **bad),
            partial(founder.projects.ImportProject, project_pb2.ImportProjectRequest(project_id=HOME)),
        ]

        assert [grpc.StatusCode.PERMISSION_DENIED] * 5 == [failure(call).code for call in calls]

    @pytest.mark.parametrize(
        ("fields", "expected"),
        [
            ({"max_ttl": seconds(0)}, "max_ttl"),
            ({"default_ttl": seconds(0)}, "default_ttl"),
            ({"default_ttl": seconds(61), "max_ttl": seconds(60)}, "default_ttl"),
            ({"default_format": 99}, "default_format"),
            ({"project_id": "2147483648"}, "project_id"),
            ({"display_name": "a\x00b"}, "display_name"),
        ],
        ids=repr,
    )
    def test_refuses_what_is_beyond_a_limit(self, api: Api, fields: dict[str, Any], expected: str) -> None:
        """Each rule names its field."""
        assert [expected] == failure(lambda: create(api, **fields)).fields

    @pytest.mark.parametrize(
        "fields",
        [
            {"max_ttl": seconds(1), "default_ttl": seconds(1)},
            {"max_ttl": seconds(MONTH), "default_ttl": seconds(MONTH)},
            {"display_name": "\N{GRINNING FACE}" * 128},
        ],
        ids=repr,
    )
    def test_takes_what_is_at_a_limit(self, api: Api, fields: dict[str, Any]) -> None:
        """Legal values are legal."""
        assert create(api, **fields).project.project_id

    def test_an_id_that_is_taken_is_refused(self, api: Api, project_id: str) -> None:
        """ALREADY_EXISTS with the project."""
        failed = failure(lambda: create(api, project_id=project_id))

        assert (grpc.StatusCode.ALREADY_EXISTS, "PROJECT_EXISTS") == failed.outcome
        assert ("project", project_id) == failed.resource

    def test_needs_a_grant_of_the_id_or_of_all_projects(self, connect: Connect) -> None:
        """A caller with a grant of one id can make that project and no other."""
        founder = connect("founder")
        outside = [failure(lambda: create(founder)), failure(lambda: create(founder, project_id=HOME))]
        made = create(founder, project_id=FOUNDED)

        assert [(grpc.StatusCode.PERMISSION_DENIED, "PROJECT_NOT_GRANTED")] * 2 == [f.outcome for f in outside]
        assert FOUNDED == made.project.project_id


class TestImportOpenTok:
    """ImportProject with an OpenTok key and secret."""

    def test_defaults_are_those_of_the_contract(self, api: Api) -> None:
        """The API key is the id; OPENTOK_JWT; the platform's sessions are valid."""
        api_key = fresh_id()
        project = import_opentok(api, api_key)

        assert (api_key, OPENTOK, True) == (project.project_id, project.default_format, project.external_sessions)
        assert (seconds(DAY), seconds(MONTH)) == (project.default_ttl, project.max_ttl)
        assert [""] == [secret.secret for secret in project.secrets]

    def test_tokens_are_valid_with_the_imported_secret(self, api: Api) -> None:
        """Those made here for the platform's sessions, and the SDK's here."""
        api_key = fresh_id()
        import_opentok(api, api_key, SECRET.upper())
        session_id = platform_session(api_key)
        token = api.generate(session_id)

        theirs = opentok.Client(api_key, SECRET.upper()).generate_token(session_id)

        assert OPENTOK == token.format
        assert ["ACTIVE"] * 2 == [reason_of(api.verify(made)) for made in (token.token, theirs)]

    def test_external_sessions_can_be_switched_off(self, api: Api) -> None:
        """False is not the same as left out."""
        assert not import_opentok(api, fresh_id(), external_sessions=False).external_sessions

    def test_names_every_invalid_field_at_once(self, api: Api) -> None:
        """Without a word of the secret."""
        failed = failure(
            lambda: import_opentok(
                api, "x", SECRET + "0", project_id="1", default_format=VONAGE, display_name="x" * 129
            )
        )

        expected = ["default_format", "display_name", "opentok.api_key", "opentok.api_secret", "project_id"]
        assert expected == sorted(failed.fields)
        assert SECRET not in repr(failed)

    def test_one_that_is_here_already_is_refused(self, api: Api) -> None:
        """ALREADY_EXISTS."""
        api_key = fresh_id()
        import_opentok(api, api_key)

        failed = failure(lambda: import_opentok(api, api_key))

        assert (grpc.StatusCode.ALREADY_EXISTS, "PROJECT_EXISTS") == failed.outcome

    def test_a_credential_is_required(self, api: Api) -> None:
        """One of the two."""
        request = project_pb2.ImportProjectRequest(project_id="x", default_format=99)  # type: ignore[arg-type]  # a number that no format has
        none = project_pb2.ImportProjectRequest(default_format=VONAGE)

        fields = [failure(partial(api.projects.ImportProject, one)).fields for one in (request, none)]

        assert [["default_format", "project_id", "credential"], ["credential"]] == fields

    def test_needs_a_grant_of_the_key(self, connect: Connect) -> None:
        """Whether the project exists or not."""
        founder = connect("founder")

        failures = [failure(partial(import_opentok, founder, api_key)) for api_key in (AWAY, NOWHERE)]

        assert [(grpc.StatusCode.PERMISSION_DENIED, "PROJECT_NOT_GRANTED")] * 2 == [f.outcome for f in failures]


def pem_of(kind: str) -> str:
    """A private key in PEM of some kind."""
    if kind == "PKCS #1":
        key = load_pem_private_key(rsa_pem().encode(), None)
        assert isinstance(key, rsa.RSAPrivateKey)
        return key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()).decode()
    if kind == "encrypted":
        key = load_pem_private_key(rsa_pem().encode(), None)
        assert isinstance(key, rsa.RSAPrivateKey)
        return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"x")).decode()
    if kind == "EC":
        return (
            ec.generate_private_key(ec.SECP256R1())
            .private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
            .decode()
        )
    if kind == "RSA 1024":
        small = rsa.generate_private_key(65537, 1024)  # noqa: S505 - what must be refused
        return small.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    return {"PKCS #8": rsa_pem(), "nothing": " ", "text": "no key at all"}[kind]


class TestImportVonage:
    """ImportProject with a Vonage application."""

    def test_defaults_are_those_of_the_contract(self, api: Api) -> None:
        """An id of our choice; VONAGE_JWT; the platform's sessions are valid; no secret."""
        application = fresh_application()
        project = import_vonage(api, application.upper())

        assert (application, VONAGE, True) == (
            project.vonage_application_id,
            project.default_format,
            project.external_sessions,
        )
        assert [] == list(project.secrets)
        assert project == get(api, project.project_id)

    @pytest.mark.parametrize("kind", ["PKCS #8", "PKCS #1"])
    def test_tokens_are_signed_with_the_imported_key(self, api: Api, kind: str) -> None:
        """For sessions of the application, and for those made here."""
        application = fresh_application()
        project = import_vonage(api, application, pem_of(kind), project_id=fresh_id())
        sessions = [platform_session(application), api.new_session(project.project_id).session_id]

        tokens = [api.generate(session_id, data="é\n") for session_id in sessions]
        verdicts = [api.verify(token.token, session_id=token.session_id) for token in tokens]

        assert [VONAGE] * 2 == [token.format for token in tokens]
        assert ["ACTIVE"] * 2 == [reason_of(verdict) for verdict in verdicts]
        assert ["é\n"] * 2 == [verdict.claims.data for verdict in verdicts]
        assert [project.project_id] * 2 == [verdict.claims.project_id for verdict in verdicts]

    @pytest.mark.parametrize("kind", ["nothing", "text", "encrypted", "EC", "RSA 1024"])
    def test_refuses_what_is_no_usable_key(self, api: Api, kind: str) -> None:
        """INVALID_ARGUMENT, without a word of the key."""
        pem = pem_of(kind)

        failed = failure(lambda: import_vonage(api, fresh_application(), pem))

        assert ["vonage.private_key"] == failed.fields
        assert all(line not in repr(failed) for line in pem.splitlines() if len(line) > 30)

    def test_names_every_invalid_field_at_once(self, api: Api) -> None:
        """The application, the key and the rest."""
        failed = failure(lambda: import_vonage(api, "x", "y", project_id="z", default_format=T1, max_ttl=seconds(0)))

        expected = ["default_format", "max_ttl", "project_id", "vonage.application_id", "vonage.private_key"]
        assert expected == sorted(failed.fields)

    def test_an_unknown_format_is_named_with_all_else(self, api: Api) -> None:
        """The application and the key."""
        failed = failure(lambda: import_vonage(api, "x", "y", default_format=99))

        assert ["default_format", "vonage.application_id", "vonage.private_key"] == sorted(failed.fields)

    def test_one_that_is_here_already_is_refused(self, api: Api) -> None:
        """ALREADY_EXISTS, under whatever project id and in either case."""
        application = fresh_application()
        import_vonage(api, application)

        failed = failure(lambda: import_vonage(api, application.upper(), project_id=fresh_id()))

        assert (grpc.StatusCode.ALREADY_EXISTS, "PROJECT_EXISTS") == failed.outcome

    def test_it_has_no_secret_to_rotate_or_sign_with(self, api: Api) -> None:
        """OpenTok's formats are not for it."""
        project_id = import_vonage(api, fresh_application()).project_id
        session_id = api.new_session(project_id).session_id

        outcomes = [
            failure(lambda: rotate(api, project_id)).outcome,
            failure(lambda: api.generate(session_id, format=T1)).outcome,
        ]

        code = grpc.StatusCode.FAILED_PRECONDITION
        assert [(code, "SECRET_COUNT"), (code, "FORMAT_UNAVAILABLE")] == outcomes
        assert ["project.default_format"] == failure(
            lambda: update(api, project_id, "default_format", default_format=T1)
        ).fields


class TestUpdate:
    """UpdateProject."""

    def test_the_mask_says_what_changes(self, api: Api) -> None:
        """What is not in it stays, whatever the message says."""
        before = create(api, display_name="before").project
        values: dict[str, Any] = {
            "display_name": "after",
            "default_format": OPENTOK,
            "default_ttl": seconds(60),
            "max_ttl": seconds(120),
            "external_sessions": True,
        }
        expected = project_pb2.Project()
        expected.CopyFrom(before)
        for path, value in values.items():
            # A shorter max_ttl does not go with the default_ttl that is there.
            paths = (path, "default_ttl") if path == "max_ttl" else (path,)
            changed = update(api, before.project_id, *paths, **values)
            expected.MergeFrom(project_pb2.Project(**{path: value}))
            assert expected == changed == get(api, before.project_id)

    def test_the_record_says_what_was_changed(self, api: Api) -> None:
        """Who asked for which new value is in the audit log, also when it is refused."""
        project_id = create(api).project.project_id
        update(api, project_id, "max_ttl", "default_ttl", max_ttl=seconds(120), default_ttl=seconds(60))
        failure(lambda: update(api, project_id, "max_ttl", max_ttl=seconds(0)))

        own = [record for record in records(api.authority.audit_path) if record.get("project_id") == project_id]
        changes = [set(cast("list[str]", record["changes"])) for record in own if "changes" in record]
        assert [{"default_ttl=60", "max_ttl=120"}, {"max_ttl=0"}] == changes

    def test_a_value_in_the_mask_that_is_not_set_is_cleared(self, api: Api) -> None:
        """An empty name is a name."""
        project_id = create(api, display_name="before", external_sessions=True).project.project_id

        changed = update(api, project_id, "display_name", "external_sessions")

        assert ("", False) == (changed.display_name, changed.external_sessions)

    def test_new_tokens_follow_at_once(self, api: Api, project_id: str, session_id: str) -> None:
        """The next token has the new default."""
        api.generate(session_id)
        update(api, project_id, "default_ttl", default_ttl=seconds(77))

        assert 77 == lifetime(api.generate(session_id))

    @pytest.mark.parametrize(
        ("paths", "values", "expected"),
        [
            ([], {"display_name": "x"}, ["update_mask"]),
            (["project_id"], {}, ["update_mask"]),
            (["secrets", "display_name"], {}, ["update_mask"]),
            (["default_format"], {}, ["project.default_format"]),
            (["default_format"], {"default_format": 99}, ["project.default_format"]),
            (["default_format"], {"default_format": VONAGE}, ["project.default_format"]),
            (["max_ttl"], {}, ["project.max_ttl"]),
            (["max_ttl"], {"max_ttl": seconds(60)}, ["project.default_ttl"]),
            (["default_ttl"], {"default_ttl": seconds(MONTH + 1)}, ["project.default_ttl"]),
            (["default_format", "max_ttl"], {}, ["project.default_format", "project.max_ttl"]),
            (
                ["default_format", "max_ttl", "default_ttl", "name"],
                {"default_format": 99},
                ["update_mask", "project.default_format", "project.max_ttl", "project.default_ttl"],
            ),
            (
                ["display_name", "max_ttl", "default_format"],
                {"display_name": "x" * 129, "default_format": VONAGE},
                ["project.display_name", "project.max_ttl", "project.default_format"],
            ),
        ],
        ids=repr,
    )
    def test_refuses_what_cannot_be(
        self, api: Api, project_id: str, paths: list[str], values: dict[str, Any], expected: list[str]
    ) -> None:
        """Every bad field is named, and nothing is changed."""
        before = get(api, project_id)

        failed = failure(lambda: update(api, project_id, *paths, **values))

        assert (grpc.StatusCode.INVALID_ARGUMENT, expected) == (failed.code, failed.fields)
        assert before == get(api, project_id)


class TestSecrets:
    """A project has one or two live secrets, so that they can be changed without an outage."""

    def test_rotating_and_retiring(self, api: Api, created: project_pb2.CreateProjectResponse, session_id: str) -> None:
        """The new one signs, both verify; once the old one is retired, what it signed is not good any more."""
        project_id, first = created.project.project_id, created.secret
        before = [api.generate(session_id, format=kind) for kind in (T1, OPENTOK)]
        second = rotate(api, project_id)
        after = [api.generate(session_id, format=kind) for kind in (T1, OPENTOK)]
        shown = get(api, project_id)
        both = [reason_of(api.verify(token.token)) for token in (*before, *after)]
        left = retire(api, project_id, first.secret_id)
        then = [reason_of(api.verify(token.token)) for token in (*before, *after)]

        assert [first.secret_id] * 2 + [second.secret_id] * 2 == [token.key_id for token in (*before, *after)]
        assert [second.secret_id, first.secret_id] == [secret.secret_id for secret in shown.secrets]
        assert ["ACTIVE"] * 4 == both
        assert [second.secret_id] == [secret.secret_id for secret in left.secrets]
        assert ["SIGNATURE_INVALID"] * 2 + ["ACTIVE"] * 2 == then
        assert first.secret != second.secret

    def test_verifying_says_which_secret_signed(self, api: Api, project_id: str, session_id: str) -> None:
        """While there are two."""
        before = api.generate(session_id, format=T1)
        rotate(api, project_id)
        after = api.generate(session_id, format=T1)

        assert [before.key_id, after.key_id] == [api.verify(t.token).claims.key_id for t in (before, after)]

    def test_the_official_sdk_takes_either(
        self, api: Api, created: project_pb2.CreateProjectResponse, session_id: str
    ) -> None:
        """A back end that still has the old secret goes on working."""
        project_id = created.project.project_id
        second = rotate(api, project_id)

        tokens = [
            opentok.Client(project_id, secret).generate_token(session_id, use_jwt=use_jwt)
            for secret in (created.secret.secret, second.secret)
            for use_jwt in (True, False)
        ]

        assert ["ACTIVE"] * 4 == [reason_of(api.verify(token)) for token in tokens]

    def test_an_imported_secret_can_be_replaced(self, api: Api) -> None:
        """By one that the platform has made, or the right one for a wrong one; the answer does not repeat it."""
        api_key, right = fresh_id(), "f" * 40
        import_opentok(api, api_key)
        (wrong,) = get(api, api_key).secrets
        session_id = platform_session(api_key)
        replaced = rotate(api, api_key, right)
        retire(api, api_key, wrong.secret_id)
        theirs = [opentok.Client(api_key, each).generate_token(session_id) for each in (right, SECRET)]

        assert ("", replaced.secret_id) == (replaced.secret, api.generate(session_id).key_id)
        assert ["ACTIVE", "SIGNATURE_INVALID"] == [reason_of(api.verify(token)) for token in theirs]

    @pytest.mark.parametrize("secret", ["x", "g" * 40, "0" * 41, SECRET])
    def test_a_given_secret_must_be_another_one(self, api: Api, secret: str) -> None:
        """Of the shape that the SDKs accept; the refusal shows nothing of it, and the project stays as it is."""
        api_key = fresh_id()
        import_opentok(api, api_key)
        failed = failure(lambda: rotate(api, api_key, secret))

        assert (grpc.StatusCode.INVALID_ARGUMENT, ["secret"]) == (failed.code, failed.fields)
        assert secret not in failed.message.replace("hex", "")
        assert 1 == len(get(api, api_key).secrets)

    def test_there_are_two_at_the_most_and_one_at_least(
        self, api: Api, created: project_pb2.CreateProjectResponse
    ) -> None:
        """A third, and none, are FAILED_PRECONDITION."""
        project_id = created.project.project_id
        only = failure(lambda: retire(api, project_id, created.secret.secret_id))
        rotate(api, project_id)
        third = failure(lambda: rotate(api, project_id))

        expected = (grpc.StatusCode.FAILED_PRECONDITION, "SECRET_COUNT", ("SECRET_COUNT", project_id))
        assert [expected] * 2 == [(*failed.outcome, failed.precondition) for failed in (only, third)]

    def test_a_secret_that_there_is_not_is_not_found(self, api: Api, project_id: str) -> None:
        """Also one of another project."""
        rotate(api, project_id)
        foreign = create(api).secret.secret_id

        failed = failure(lambda: retire(api, project_id, foreign))

        assert (grpc.StatusCode.NOT_FOUND, "SECRET_NOT_FOUND") == failed.outcome
        assert failed.resource is not None
        assert foreign == failed.resource[1]

    @pytest.mark.parametrize("secret_id", ["", "x" * 65, "x" * 20_000, "a\x00b"], ids=len)
    def test_what_is_no_id_of_a_secret_is_malformed(self, api: Api, project_id: str, secret_id: str) -> None:
        """INVALID_ARGUMENT, without repeating the text."""
        failed = failure(lambda: retire(api, project_id, secret_id))

        assert (grpc.StatusCode.INVALID_ARGUMENT, ["secret_id"]) == (failed.code, failed.fields)
        assert len(failed.message) < 200

    def test_a_secret_is_in_no_later_answer(self, api: Api, shared: RunningAuthority) -> None:
        """Only the call that made it shows it; no other answer, error or audit record does."""
        made = create(api)
        project_id = made.project.project_id
        rotated = rotate(api, project_id)
        import_opentok(api, imported := fresh_id())
        values = (made.secret.secret, rotated.secret, SECRET)

        answers: list[Message | Failure] = [
            made.project,
            get(api, project_id),
            get(api, imported),
            api.projects.ListProjects(project_pb2.ListProjectsRequest(page_size=1000)),
            update(api, project_id, "display_name", display_name="x"),
            failure(lambda: create(api, project_id=project_id)),
            failure(lambda: import_opentok(api, imported)),
            failure(lambda: rotate(api, project_id)),
            retire(api, project_id, made.secret.secret_id),
        ]

        seen = repr(answers) + shared.audit_path.read_text()
        assert [] == [value for value in values if value in seen]


@pytest.mark.parametrize(
    ("caller", "project", "expected"),
    [
        ("tester", NOWHERE, (grpc.StatusCode.NOT_FOUND, "PROJECT_NOT_FOUND")),
        ("tester", "", (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD")),
        ("tester", "x" * 20_000, (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD")),
        ("home", NOWHERE, (grpc.StatusCode.PERMISSION_DENIED, "PROJECT_NOT_GRANTED")),
        ("home", AWAY, (grpc.StatusCode.PERMISSION_DENIED, "PROJECT_NOT_GRANTED")),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_every_call_is_about_a_project_of_the_grant(
    connect: Connect, caller: str, project: str, expected: tuple[grpc.StatusCode, str]
) -> None:
    """Outside the grant it makes no difference whether it exists."""
    called = connect(caller)
    calls: list[Callable[[], object]] = [
        partial(get, called, project),
        partial(update, called, project, "display_name", display_name="x"),
        partial(rotate, called, project),
        partial(retire, called, project, "sec_x"),
    ]

    assert [expected] * 4 == [failure(call).outcome for call in calls]


def test_the_only_project_is_the_default(connect: Connect) -> None:
    """A caller with one project need not name it."""
    assert HOME == get(connect("home"), "").project_id
