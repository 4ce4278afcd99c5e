"""Every RPC, made well and badly with secrets in it, and the search for those secrets."""

from __future__ import annotations

import base64
import secrets

from collections.abc import Mapping

import attrs

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from google.protobuf.json_format import ParseDict
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from tests.support.authority import WAIT, eventually
from tests.support.wire import V1, Outcome, Wire
from tokenauthority.callers.api_keys import new_api_key
from tokenauthority.contract import METHODS, Method
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
    """Makes calls, and records which methods were called, how the calls ended and which methods did their work."""

    wire: Wire
    secrets: Secrets
    outcomes: list[Outcome] = attrs.Factory(list)
    called: set[str] = attrs.Factory(set)
    worked: set[str] = attrs.Factory(set)

    def call(self, method: str, request: Message | bytes, *, api_key: str | None = None) -> bytes:
        """Call `Service/Method`; the answer, or nothing where it failed."""
        path = V1 + method
        # A stream that has begun would go on for ever.
        endless = METHODS[path].descriptor.server_streaming
        self.called.add(path)
        outcome = self.wire.call(path, request, api_key=api_key, timeout=1.0 if endless else WAIT)
        self.outcomes.append(outcome)
        if outcome.code == "OK" or (endless and outcome.code == "DEADLINE_EXCEEDED"):
            self.worked.add(path)
        return outcome.body

    def spoken(self) -> str:
        """What all errors said: messages, details and trailers."""
        failed = [outcome for outcome in self.outcomes if outcome.code != "OK"]
        return "\n".join(f"{outcome.message} {outcome.status} {dict(outcome.trailers)}" for outcome in failed)


def drive_well(driver: Driver, *, patient: bool = True) -> None:
    """Make every RPC as it is meant to be made; *patient*: wait until a key can be activated.

    First come the RPCs that need more than the values of known fields: they hold or make secrets, or have to be made in
    order. `request_of` derives the requests of all others, so a new RPC whose fields are known is made too.
    """
    known: dict[str, object] = {"name": "viewer", "permissions": [role_pb2.PERMISSION_SUBSCRIBE], "description": "x"}
    _drive_projects(driver, known)
    _drive_tokens(driver, known)
    _activate_key(driver, known, patient=patient)
    for method in sorted(METHODS.values(), key=_turn):
        if method.path not in driver.called:
            driver.call(method.path.removeprefix(V1), request_of(method, known))


def request_of(method: Method, known: Mapping[str, object]) -> Message:
    """Make a request that has the *known* value in each field of that name, and nothing else."""
    empty = GetMessageClass(method.descriptor.input_type)()
    return ParseDict(dict(known), empty, ignore_unknown_fields=True)


def _turn(method: Method) -> int:
    """Order the RPCs so that what they name exists: it is made first and ended last."""
    if method.name.startswith("Create"):
        return 0
    if method.name == "DeleteProject":
        # With all that the others name.
        return 3
    return 2 if method.name.startswith(("Delete", "End", "Retire", "Revoke")) else 1


def _drive_projects(driver: Driver, known: dict[str, object]) -> None:
    guarded = driver.secrets
    opentok = project_pb2.OpenTokCredential(
        api_key="47000000", api_secret=guarded.add("project secret", secrets.token_hex(20))
    )
    vonage = project_pb2.VonageCredential(application_id=APPLICATION, private_key=guarded.add_pem(pem()))
    made = project_pb2.CreateProjectResponse.FromString(
        driver.call("ProjectService/CreateProject", project_pb2.CreateProjectRequest())
    )
    guarded.add("project secret", made.secret.secret)
    known |= {"project_id": made.project.project_id, "secret_id": made.secret.secret_id}
    driver.call("ProjectService/ImportProject", project_pb2.ImportProjectRequest(opentok=opentok))
    imported = project_pb2.ImportProjectResponse.FromString(
        driver.call("ProjectService/ImportProject", project_pb2.ImportProjectRequest(vonage=vonage))
    )
    key = project_pb2.RotateProjectSecretRequest(
        project_id=imported.project.project_id, private_key=guarded.add_pem(pem())
    )
    driver.call("ProjectService/RotateProjectSecret", key)
    livekit = project_pb2.LiveKitCredential(
        api_key="APIdriven", api_secret=guarded.add("secret of LiveKit", secrets.token_urlsafe(32))
    )
    jitsi = project_pb2.JitsiCredential(
        app_id="driven", app_secret=guarded.add("secret of Jitsi", secrets.token_urlsafe(32))
    )
    of_server = project_pb2.ImportProjectResponse.FromString(
        driver.call("ProjectService/ImportProject", project_pb2.ImportProjectRequest(livekit=livekit))
    )
    corrected = project_pb2.RotateProjectSecretRequest(
        project_id=of_server.project.project_id,
        secret=guarded.add("secret of LiveKit", secrets.token_urlsafe(32)),
        secret_id=livekit.api_key,
    )
    driver.call("ProjectService/RotateProjectSecret", corrected)
    driver.call("ProjectService/ImportProject", project_pb2.ImportProjectRequest(jitsi=jitsi))
    update = project_pb2.UpdateProjectRequest(project=project_pb2.Project(project_id=made.project.project_id))
    update.update_mask.paths.append("display_name")
    driver.call("ProjectService/UpdateProject", update)
    rotate = project_pb2.RotateProjectSecretRequest(project_id=made.project.project_id)
    rotated = driver.call("ProjectService/RotateProjectSecret", rotate)
    guarded.add("project secret", project_pb2.RotateProjectSecretResponse.FromString(rotated).secret.secret)
    given = project_pb2.RotateProjectSecretRequest(
        project_id="47000000", secret=guarded.add("project secret", secrets.token_hex(20))
    )
    driver.call("ProjectService/RotateProjectSecret", given)


def _drive_tokens(driver: Driver, known: dict[str, object]) -> None:
    guarded = driver.secrets
    create = request_of(METHODS[V1 + "SessionService/CreateSession"], known)
    session = session_pb2.CreateSessionResponse.FromString(driver.call("SessionService/CreateSession", create)).session
    known["session_id"] = session.session_id
    data = guarded.add("connection data", f"{CANARY}-data")
    forms = (token_pb2.TOKEN_FORMAT_SESSION_JWT, token_pb2.TOKEN_FORMAT_OPENTOK_T1, token_pb2.TOKEN_FORMAT_OPENTOK_JWT)
    wanted = [token_pb2.TokenRequest(session_id=session.session_id, data=data, format=form) for form in forms]
    tokens = [
        token_pb2.GenerateTokenResponse.FromString(
            driver.call("TokenService/GenerateToken", token_pb2.GenerateTokenRequest(request=one))
        ).token
        for one in wanted
    ]
    batch = driver.call("TokenService/BatchGenerateTokens", token_pb2.BatchGenerateTokensRequest(requests=wanted))
    tokens += token_pb2.BatchGenerateTokensResponse.FromString(batch).tokens
    assert [True] * 6 == [len(guarded.add_token(token).token) > 100 for token in tokens]
    turn = token_pb2.CreateTurnCredentialsRequest(session_id=session.session_id, subject="alice")
    answer = driver.call("TokenService/CreateTurnCredentials", turn)
    if answer:
        created = token_pb2.CreateTurnCredentialsResponse.FromString(answer).credentials
        guarded.add("TURN password", created.credential)
    for token in tokens:
        for presented in (token.token, guarded.add("tampered token", token.token[:-2]), token.token + "."):
            driver.call("TokenService/VerifyToken", token_pb2.VerifyTokenRequest(token=presented))
        driver.call("TokenService/RevokeTokens", token_pb2.RevokeTokensRequest(token=token.token))


def _activate_key(driver: Driver, known: dict[str, object], *, patient: bool) -> None:
    listed = key_pb2.ListSigningKeysResponse.FromString(
        driver.call("KeyService/ListSigningKeys", key_pb2.ListSigningKeysRequest())
    )
    [key_id] = [key.key_id for key in listed.keys if key.state == key_pb2.SIGNING_KEY_STATE_PREPARED]
    known["key_id"] = key_id
    activate = key_pb2.ActivateSigningKeyRequest(key_id=key_id)
    # It has to have been published for as long as verifiers cache the key set.
    activated = bool(driver.call("KeyService/ActivateSigningKey", activate))
    if patient and not activated:
        eventually(lambda: bool(driver.call("KeyService/ActivateSigningKey", activate)), "the key cannot sign")


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
    rotate = project_pb2.RotateProjectSecretRequest(project_id="47000000", secret=bad_secret)
    assert b"" == driver.call("ProjectService/RotateProjectSecret", rotate)
    for token in ("x", "a.b.c", "T1==", "T1==" + "A" * 50_000):
        bad = guarded.add("bad token", f"{token}{CANARY}-token")
        driver.call("TokenService/VerifyToken", token_pb2.VerifyTokenRequest(token=bad))
