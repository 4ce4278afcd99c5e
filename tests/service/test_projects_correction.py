"""RotateProjectSecret with a credential of another program: a wrong import is corrected."""

from __future__ import annotations

import secrets

from typing import Any

import grpc
import pytest

from tests.authority.world import platform_session, rsa_pem
from tests.service.api import Api, failure, reason_of
from tests.service.test_projects import create, fresh_application, get, import_vonage
from tests.service.test_projects_import_server import (
    IMPORTS,
    SECRET,
    import_livekit,
    new_key,
    token_of_sdk,
)
from tokenauthority.v1 import project_pb2


def rotate(api: Api, project_id: str, **given: str) -> project_pb2.ProjectSecret:
    """The new secret as the answer has it."""
    request = project_pb2.RotateProjectSecretRequest(project_id=project_id, **given)
    return api.projects.RotateProjectSecret(request).secret


@IMPORTS
def test_a_secret_of_the_same_id_replaces_the_wrong_one(api: Api, import_: Any, token_format: Any) -> None:
    """The project has one secret before and after; what the wrong one signed is invalid at once."""
    key, right = new_key(), secrets.token_hex(20)
    project_id = import_(api, key).project_id
    session_id = api.new_session(project_id).session_id
    wrong = api.generate(session_id).token

    answer = rotate(api, project_id, secret=right, secret_id=key)

    token = api.generate(session_id)
    assert (key, "") == (answer.secret_id, answer.secret)
    assert [key] == [secret.secret_id for secret in get(api, project_id).secrets]
    assert (key, token_format) == (token.key_id, token.format)
    assert ["SIGNATURE_INVALID", "ACTIVE"] == [reason_of(api.verify(each)) for each in (wrong, token.token)]


def test_another_key_of_livekit_becomes_the_second_secret(api: Api) -> None:
    """Both verify during a rotation; the newer one signs, by its own name."""
    old, new, value = new_key(), new_key(), secrets.token_hex(20)
    project_id = import_livekit(api, old).project_id
    session_id = api.new_session(project_id).session_id

    rotate(api, project_id, secret=value, secret_id=new)

    tokens = [token_of_sdk(old, SECRET, session_id), token_of_sdk(new, value, session_id)]
    assert ["ACTIVE"] * 2 == [reason_of(api.verify(token)) for token in tokens]
    assert new == api.generate(session_id).key_id


def test_a_second_secret_is_corrected_as_the_only_one_is(api: Api) -> None:
    """A project with two secrets has two afterwards: nothing must be retired first."""
    old, new, right = new_key(), new_key(), secrets.token_hex(20)
    project_id = import_livekit(api, old).project_id
    session_id = api.new_session(project_id).session_id
    rotate(api, project_id, secret=secrets.token_hex(20), secret_id=new)

    rotate(api, project_id, secret=right, secret_id=new)

    tokens = [token_of_sdk(old, SECRET, session_id), token_of_sdk(new, right, session_id)]
    assert ["ACTIVE"] * 2 == [reason_of(api.verify(token)) for token in tokens]


def test_a_key_of_another_project_is_refused(api: Api) -> None:
    """Tokens of LiveKit's SDKs name the key alone, so it must be that of one project."""
    key = new_key()
    import_livekit(api, key)
    project_id = import_livekit(api, new_key()).project_id

    refused = failure(lambda: rotate(api, project_id, secret=secrets.token_hex(20), secret_id=key))

    assert (grpc.StatusCode.ALREADY_EXISTS, "PROJECT_EXISTS") == refused.outcome


def test_a_private_key_replaces_that_of_the_application(api: Api) -> None:
    """Tokens of the wrong one are invalid at once."""
    application = fresh_application()
    project_id = import_vonage(api, application).project_id
    session_id = platform_session(application)
    wrong = api.generate(session_id).token

    answer = rotate(api, project_id, private_key=rsa_pem(1))

    right = api.generate(session_id)
    assert ("", right.key_id) == (answer.secret, answer.secret_id)
    assert "ACTIVE" == reason_of(api.verify(right.token))
    assert "SIGNATURE_INVALID" == reason_of(api.verify(wrong))


def test_a_private_key_is_for_an_imported_application_alone(api: Api, project_id: str) -> None:
    """The refusal does not show the key."""
    refused = failure(lambda: rotate(api, create(api).project.project_id, private_key=rsa_pem()))

    assert (grpc.StatusCode.FAILED_PRECONDITION, "FORMAT_UNAVAILABLE") == refused.outcome
    assert "was not imported from Vonage" in refused.message


@pytest.mark.parametrize(
    ("given", "fields"),
    [
        ({"secret": "short"}, ["secret"]),
        ({"secret": SECRET}, ["secret"]),
        ({"secret_id": "APIkey"}, ["secret"]),
        ({"secret_id": "47", "secret": "short"}, ["secret_id", "secret"]),
        ({"private_key": "PEM", "secret": SECRET}, ["private_key"]),
        ({"private_key": "PEM", "secret_id": "APIkey"}, ["private_key"]),
    ],
)
def test_what_is_given_must_be_valid(api: Api, project_id: str, given: dict[str, str], fields: list[str]) -> None:
    """Each field by itself, and together."""
    assert fields == failure(lambda: rotate(api, project_id, **given)).fields


def test_an_invalid_private_key_is_named(api: Api) -> None:
    """As at the import."""
    project_id = import_vonage(api, fresh_application()).project_id

    assert ["private_key"] == failure(lambda: rotate(api, project_id, private_key="no key")).fields
