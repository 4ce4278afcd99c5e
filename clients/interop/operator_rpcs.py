"""Examples of the RPCs of operators, called with the stubs of a language: projects and signing keys."""

from __future__ import annotations

import secrets
import uuid

from google.protobuf.duration_pb2 import Duration
from google.protobuf.field_mask_pb2 import FieldMask

from clients.interop.client import Client
from clients.interop.rpcs import example, new_token
from clients.interop.world import new_private_key
from tests.support.authority import eventually
from tokenauthority.v1 import key_pb2, project_pb2


@example("ProjectService/CreateProject")
def create_project(client: Client) -> None:
    """With a secret, which the answer shows."""
    request = project_pb2.CreateProjectRequest(display_name="Schule → Ä", max_ttl=Duration(seconds=3600))
    answer = client.call("ProjectService/CreateProject", request, project_pb2.CreateProjectResponse)
    assert ("Schule → Ä", 3600) == (answer.project.display_name, answer.project.max_ttl.seconds)
    assert answer.secret.secret


@example("ProjectService/ImportProject")
def import_project(client: Client) -> None:
    """By either credential of the oneof."""
    opentok = project_pb2.ImportProjectRequest(
        opentok=project_pb2.OpenTokCredential(
            api_key=str(secrets.randbelow((1 << 31) - 1) + 1), api_secret=secrets.token_hex(20)
        )
    )
    vonage = project_pb2.ImportProjectRequest(
        vonage=project_pb2.VonageCredential(application_id=str(uuid.uuid4()), private_key=new_private_key())
    )
    imported = [
        client.call("ProjectService/ImportProject", request, project_pb2.ImportProjectResponse).project
        for request in (opentok, vonage)
    ]
    assert opentok.opentok.api_key == imported[0].project_id
    assert vonage.vonage.application_id == imported[1].vonage_application_id


@example("ProjectService/GetProject")
def get_project(client: Client) -> None:
    """The client's own."""
    request = project_pb2.GetProjectRequest(project_id=client.project_id)
    project = client.call("ProjectService/GetProject", request, project_pb2.GetProjectResponse).project
    assert client.project_id == project.project_id


@example("ProjectService/ListProjects")
def list_projects(client: Client) -> None:
    """The client's own is among them."""
    request = project_pb2.ListProjectsRequest(page_size=1000)
    projects = client.call("ProjectService/ListProjects", request, project_pb2.ListProjectsResponse).projects
    assert client.project_id in {project.project_id for project in projects}


@example("ProjectService/UpdateProject")
def update_project(client: Client) -> None:
    """Only what the mask names."""
    name = client.new_name("Name → ")
    request = project_pb2.UpdateProjectRequest(
        project=project_pb2.Project(project_id=client.project_id, display_name=name),
        update_mask=FieldMask(paths=["display_name"]),
    )
    project = client.call("ProjectService/UpdateProject", request, project_pb2.UpdateProjectResponse).project
    assert name == project.display_name


@example("ProjectService/DeleteProject")
def delete_project(client: Client) -> None:
    """With a count of what it had, which validate_only answers too."""
    request = project_pb2.DeleteProjectRequest(project_id=_new_project(client), validate_only=True)
    counted = client.call("ProjectService/DeleteProject", request, project_pb2.DeleteProjectResponse)
    request.validate_only = False
    assert counted == client.call("ProjectService/DeleteProject", request, project_pb2.DeleteProjectResponse)
    assert (0, 1) == (counted.sessions, counted.secrets)


@example("ProjectService/RotateProjectSecret")
def rotate_project_secret(client: Client) -> None:
    """A second secret."""
    project_id = _new_project(client)
    request = project_pb2.RotateProjectSecretRequest(project_id=project_id)
    answer = client.call("ProjectService/RotateProjectSecret", request, project_pb2.RotateProjectSecretResponse)
    assert answer.secret.secret


@example("ProjectService/RetireProjectSecret")
def retire_project_secret(client: Client) -> None:
    """The other one is left."""
    project_id = _new_project(client)
    rotate = project_pb2.RotateProjectSecretRequest(project_id=project_id)
    secret = client.call("ProjectService/RotateProjectSecret", rotate, project_pb2.RotateProjectSecretResponse).secret
    request = project_pb2.RetireProjectSecretRequest(project_id=project_id, secret_id=secret.secret_id)
    left = client.call("ProjectService/RetireProjectSecret", request, project_pb2.RetireProjectSecretResponse).project
    assert 1 == len(left.secrets)
    assert secret.secret_id != left.secrets[0].secret_id


@example("KeyService/GetJsonWebKeySet")
def get_json_web_key_set(client: Client) -> None:
    """It has the key that signs."""
    request = key_pb2.GetJsonWebKeySetRequest()
    answer = client.call("KeyService/GetJsonWebKeySet", request, key_pb2.GetJsonWebKeySetResponse)
    assert new_token(client).key_id in {key.kid for key in answer.keys}


@example("KeyService/ListSigningKeys")
def list_signing_keys(client: Client) -> None:
    """One is ACTIVE."""
    request = key_pb2.ListSigningKeysRequest(page_size=1000)
    keys = client.call("KeyService/ListSigningKeys", request, key_pb2.ListSigningKeysResponse).keys
    assert 1 == [key.state for key in keys].count(key_pb2.SIGNING_KEY_STATE_ACTIVE)


@example("KeyService/PrepareSigningKey")
def prepare_signing_key(client: Client) -> None:
    """Of the algorithm that was asked for. It is revoked at once: a ring has four at most."""
    key = _new_key(client)
    assert (key_pb2.SIGNING_KEY_STATE_PREPARED, key_pb2.SIGNING_ALGORITHM_EDDSA) == (key.state, key.algorithm)
    revoke = key_pb2.RevokeSigningKeyRequest(key_id=key.key_id)
    client.call("KeyService/RevokeSigningKey", revoke, key_pb2.RevokeSigningKeyResponse)


@example("KeyService/ActivateSigningKey")
def activate_signing_key(client: Client) -> None:
    """It signs from then on, once it has been published for long enough."""
    key = _new_key(client)
    request = key_pb2.ActivateSigningKeyRequest(key_id=key.key_id)
    eventually(lambda: client.reply("KeyService/ActivateSigningKey", request).ok is not None, "it cannot be activated")
    assert key.key_id == new_token(client).key_id


@example("KeyService/RevokeSigningKey")
def revoke_signing_key(client: Client) -> None:
    """A comment goes along."""
    request = key_pb2.RevokeSigningKeyRequest(key_id=_new_key(client).key_id, comment="leaked → é")
    key = client.call("KeyService/RevokeSigningKey", request, key_pb2.RevokeSigningKeyResponse).key
    assert key_pb2.SIGNING_KEY_STATE_REVOKED == key.state


def _new_project(client: Client) -> str:
    request = project_pb2.CreateProjectRequest()
    answer = client.call("ProjectService/CreateProject", request, project_pb2.CreateProjectResponse)
    return answer.project.project_id


def _new_key(client: Client) -> key_pb2.SigningKey:
    request = key_pb2.PrepareSigningKeyRequest(algorithm=key_pb2.SIGNING_ALGORITHM_EDDSA)
    return client.call("KeyService/PrepareSigningKey", request, key_pb2.PrepareSigningKeyResponse).key
