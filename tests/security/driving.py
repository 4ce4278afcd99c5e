"""Every RPC, made well and badly with secrets in it, and the search for those secrets."""

from __future__ import annotations

import base64
import secrets

import attrs

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from google.protobuf.message import Message

from tests.support.authority import WAIT, eventually
from tests.support.wire import V1, Outcome, Wire
from tokenauthority.callers.api_keys import new_api_key
from tokenauthority.contract import METHODS
from tokenauthority.v1 import key_pb2, project_pb2, role_pb2, session_pb2, token_pb2


APPLICATION = "78d335fa-323d-0114-9c3d-d6f0d48968cf"
CANARY = "canary-6f0b27"


def pem() -> str:
    """A new key as Vonage hands it out."""
    key = rsa.generate_private_key(65537, 2048)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


@attrs.define
class Secrets:
    """All that must stay secret, by what it is."""

    known: dict[str, str] = attrs.Factory(dict)

    def add(self, what: str, text: str) -> str:
        """Look for *text* from now on; answers it."""
        assert len(text) >= len(CANARY)
        self.known[f"{what} {len(self.known)}"] = text
        return text

    def add_pem(self, text: str) -> str:
        """Look for every line of a key; answers it whole."""
        for line in text.splitlines():
            if len(line) >= 32 and "KEY-----" not in line:
                self.add("line of PEM", line)
        return text

    def add_token(self, token: token_pb2.Token) -> token_pb2.Token:
        """Look for a token and for its signature; answers it."""
        self.add("token", token.token)
        if "." in token.token:
            self.add("signature", token.token.rpartition(".")[2])
        return token

    def found_in(self, text: str) -> list[str]:
        """What of it is in *text*, plain or in a common disguise."""
        return [
            what
            for what, secret in self.known.items()
            if any(form in text for form in (secret, secret.encode().hex(), _in_base64(secret), _in_base64url(secret)))
        ]


def _in_base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode().rstrip("=")


def _in_base64url(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


@attrs.define
class Driver:
    """Makes calls, and records how they ended and which methods did their work."""

    wire: Wire
    secrets: Secrets
    outcomes: list[Outcome] = attrs.Factory(list)
    worked: set[str] = attrs.Factory(set)

    def call(self, method: str, request: Message | bytes, *, api_key: str | None = None) -> bytes:
        """Call `Service/Method`; the answer, or nothing where it failed."""
        # A stream that has begun would go on for ever.
        endless = method == "TokenService/WatchRevocations"
        outcome = self.wire.call(V1 + method, request, api_key=api_key, timeout=1.0 if endless else WAIT)
        self.outcomes.append(outcome)
        if outcome.code == "OK" or (endless and outcome.code == "DEADLINE_EXCEEDED"):
            self.worked.add(V1 + method)
        return outcome.body

    def spoken(self) -> str:
        """What all errors said: messages, details and trailers."""
        failed = [outcome for outcome in self.outcomes if outcome.code != "OK"]
        return "\n".join(f"{outcome.message} {outcome.status} {dict(outcome.trailers)}" for outcome in failed)


def drive_well(driver: Driver, *, patient: bool = True) -> None:
    """Make every RPC as it is meant to be made; *patient*: wait until a key can be activated."""
    project = _drive_projects(driver)
    session = session_pb2.CreateSessionResponse.FromString(
        driver.call("SessionService/CreateSession", session_pb2.CreateSessionRequest(project_id=project))
    ).session.session_id
    driver.call("SessionService/GetSession", session_pb2.GetSessionRequest(session_id=session))
    driver.call("SessionService/ListSessions", session_pb2.ListSessionsRequest(project_id=project))
    _drive_tokens(driver, session)
    _drive_roles(driver, project)
    driver.call("KeyService/GetJsonWebKeySet", key_pb2.GetJsonWebKeySetRequest())
    listed = key_pb2.ListSigningKeysResponse.FromString(
        driver.call("KeyService/ListSigningKeys", key_pb2.ListSigningKeysRequest())
    )
    driver.call("KeyService/PrepareSigningKey", key_pb2.PrepareSigningKeyRequest())
    [at_hand] = [key.key_id for key in listed.keys if key.state == key_pb2.SIGNING_KEY_STATE_PREPARED]
    activate = key_pb2.ActivateSigningKeyRequest(key_id=at_hand)
    # It has to have been published for as long as verifiers keep the key set.
    activated = bool(driver.call("KeyService/ActivateSigningKey", activate))
    if patient and not activated:
        eventually(lambda: bool(driver.call("KeyService/ActivateSigningKey", activate)), "the key cannot sign")
    driver.call("KeyService/RevokeSigningKey", key_pb2.RevokeSigningKeyRequest(key_id=at_hand))
    driver.call("SessionService/EndSession", session_pb2.EndSessionRequest(session_id=session))


def _drive_projects(driver: Driver) -> str:
    guarded = driver.secrets
    opentok = project_pb2.OpenTokCredential(
        api_key="47000000", api_secret=guarded.add("project secret", secrets.token_hex(20))
    )
    vonage = project_pb2.VonageCredential(application_id=APPLICATION, private_key=guarded.add_pem(pem()))
    made = project_pb2.CreateProjectResponse.FromString(
        driver.call("ProjectService/CreateProject", project_pb2.CreateProjectRequest())
    )
    first = made.secret
    guarded.add("project secret", first.secret)
    project_id = made.project.project_id
    driver.call("ProjectService/ImportProject", project_pb2.ImportProjectRequest(opentok=opentok))
    driver.call("ProjectService/ImportProject", project_pb2.ImportProjectRequest(vonage=vonage))
    driver.call("ProjectService/GetProject", project_pb2.GetProjectRequest(project_id=project_id))
    driver.call("ProjectService/ListProjects", project_pb2.ListProjectsRequest())
    update = project_pb2.UpdateProjectRequest(project=project_pb2.Project(project_id=project_id, display_name="x"))
    update.update_mask.paths.append("display_name")
    driver.call("ProjectService/UpdateProject", update)
    rotated = project_pb2.RotateProjectSecretResponse.FromString(
        driver.call("ProjectService/RotateProjectSecret", project_pb2.RotateProjectSecretRequest(project_id=project_id))
    )
    guarded.add("project secret", rotated.secret.secret)
    retire = project_pb2.RetireProjectSecretRequest(project_id=project_id, secret_id=first.secret_id)
    driver.call("ProjectService/RetireProjectSecret", retire)
    return str(project_id)


def _drive_tokens(driver: Driver, session: str) -> None:
    guarded = driver.secrets
    data = guarded.add("connection data", f"{CANARY}-data")
    forms = (token_pb2.TOKEN_FORMAT_SESSION_JWT, token_pb2.TOKEN_FORMAT_OPENTOK_T1, token_pb2.TOKEN_FORMAT_OPENTOK_JWT)
    wanted = [token_pb2.TokenRequest(session_id=session, data=data, format=form) for form in forms]
    tokens = [
        token_pb2.GenerateTokenResponse.FromString(
            driver.call("TokenService/GenerateToken", token_pb2.GenerateTokenRequest(request=one))
        ).token
        for one in wanted
    ]
    batch = driver.call("TokenService/BatchGenerateTokens", token_pb2.BatchGenerateTokensRequest(requests=wanted))
    tokens += token_pb2.BatchGenerateTokensResponse.FromString(batch).tokens
    assert [True] * 6 == [len(guarded.add_token(token).token) > 100 for token in tokens]
    for token in tokens:
        for presented in (token.token, guarded.add("tampered token", token.token[:-2]), token.token + "."):
            driver.call("TokenService/VerifyToken", token_pb2.VerifyTokenRequest(token=presented))
        driver.call("TokenService/RevokeTokens", token_pb2.RevokeTokensRequest(token=token.token))
    driver.call("TokenService/WatchRevocations", token_pb2.WatchRevocationsRequest())


def _drive_roles(driver: Driver, project: str) -> None:
    permissions = [role_pb2.PERMISSION_SUBSCRIBE]
    create = role_pb2.CreateRoleRequest(project_id=project, name="viewer", permissions=permissions)
    update = role_pb2.UpdateRoleRequest(project_id=project, name="viewer", description="x")
    update.update_mask.paths.append("description")
    driver.call("RoleService/CreateRole", create)
    driver.call("RoleService/GetRole", role_pb2.GetRoleRequest(project_id=project, name="viewer"))
    driver.call("RoleService/ListRoles", role_pb2.ListRolesRequest(project_id=project))
    driver.call("RoleService/UpdateRole", update)
    driver.call("RoleService/DeleteRole", role_pb2.DeleteRoleRequest(project_id=project, name="viewer"))


def drive_badly(driver: Driver) -> None:
    """Make every RPC in ways that fail while they hold secrets."""
    guarded = driver.secrets
    wrong_key = guarded.add("wrong API key", new_api_key())
    odd_key = guarded.add("odd API key", f"tak_{CANARY}-key")
    malformed = b"\xff\xff" + guarded.add("malformed bytes", f"{CANARY}-bytes").encode()
    for method in sorted(METHODS):
        short = method.removeprefix(V1)
        driver.call(short, b"", api_key=wrong_key)
        driver.call(short, b"", api_key=odd_key)
        driver.call(short, malformed)
        driver.call(short, b"")
    broken = guarded.add_pem(pem()).replace("\n", "\nA", 3)
    bad_secret = guarded.add("malformed project secret", f"{CANARY}-secret")
    taken = guarded.add("project secret", secrets.token_hex(20))
    imports = [
        project_pb2.ImportProjectRequest(
            vonage=project_pb2.VonageCredential(application_id=APPLICATION, private_key=broken)
        ),
        project_pb2.ImportProjectRequest(
            vonage=project_pb2.VonageCredential(application_id=APPLICATION, private_key=guarded.add_pem(pem()))
        ),
        project_pb2.ImportProjectRequest(
            vonage=project_pb2.VonageCredential(application_id=APPLICATION, private_key=bad_secret)
        ),
        project_pb2.ImportProjectRequest(
            opentok=project_pb2.OpenTokCredential(api_key="47000001", api_secret=bad_secret)
        ),
        project_pb2.ImportProjectRequest(opentok=project_pb2.OpenTokCredential(api_key="47000000", api_secret=taken)),
        project_pb2.ImportProjectRequest(opentok=project_pb2.OpenTokCredential(api_key="x", api_secret=taken)),
    ]
    for request in imports:
        assert b"" == driver.call("ProjectService/ImportProject", request)
    for token in ("x", "a.b.c", "T1==", "T1==" + "A" * 50_000):
        bad = guarded.add("bad token", f"{token}{CANARY}-token")
        driver.call("TokenService/VerifyToken", token_pb2.VerifyTokenRequest(token=bad))
