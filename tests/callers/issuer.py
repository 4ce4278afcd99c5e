"""A real issuer of JWTs for tests: keys, tokens that it signs or that somebody forges, and the server of its JWKS."""

from __future__ import annotations

import base64
import contextlib
import json
import ssl
import threading

from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import attrs
import jwt
import trustme

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from tests.support.authority import WAIT, make_caller
from tokenauthority.callers.authenticator import CredentialError, PresentedCredentials
from tokenauthority.callers.bearer import BearerAuthenticator
from tokenauthority.callers.identity import ALGORITHMS, Identity, Issuer, JwtIdentity
from tokenauthority.callers.issuer_keys import IssuerKeyCaches
from tokenauthority.callers.jwt import JwtVerifier
from tokenauthority.callers.registry import CallerEntry, CallerRegistry, CurrentCallers
from tokenauthority.domain.times import Millis


NAME = "https://kubernetes.default.svc.cluster.local"
AUDIENCE = "https://tokens.example"
SUBJECT = "system:serviceaccount:video:room-service"
NOW = 1_790_000_000
PATH = "/openid/v1/jwks"

_GENERATORS: Mapping[str, Callable[[], Any]] = {
    "RS": lambda: rsa.generate_private_key(65_537, 2048),
    "PS": lambda: rsa.generate_private_key(65_537, 2048),
    "ES256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "ES384": lambda: ec.generate_private_key(ec.SECP384R1()),
    "ES512": lambda: ec.generate_private_key(ec.SECP521R1()),
    "EdDSA": ed25519.Ed25519PrivateKey.generate,
}


@attrs.frozen(eq=False)
class Key:
    """A private key of an issuer, for one algorithm."""

    kid: str
    algorithm: str = "ES256"
    private: Any = attrs.field(repr=False, default=None)

    def __attrs_post_init__(self) -> None:
        if self.private is None:
            make = _GENERATORS.get(self.algorithm) or _GENERATORS[self.algorithm[:2]]
            object.__setattr__(self, "private", make())

    def jwk(self, **changes: Any) -> dict[str, Any]:
        """Its public half, with *changes*; None takes a member away."""
        public = jwt.get_algorithm_by_name(self.algorithm).to_jwk(self.private.public_key(), as_dict=True)
        members = {**public, "kid": self.kid, "alg": self.algorithm, "use": "sig", **changes}
        members.pop("key_ops", None) if "key_ops" not in changes else None
        return {name: value for name, value in members.items() if value is not None}

    def sign(self, signing_input: bytes) -> bytes:
        """A genuine signature."""
        return jwt.get_algorithm_by_name(self.algorithm).sign(signing_input, self.private)


def jwks(*keys: Key | Mapping[str, Any]) -> bytes:
    """A JWKS."""
    return json.dumps({"keys": [key.jwk() if isinstance(key, Key) else key for key in keys]}).encode()


def kubernetes_claims(**changes: Any) -> dict[str, Any]:
    """The claims of a projected service-account token as Kubernetes makes them; None takes one away."""
    claims = {
        "aud": [AUDIENCE],
        "exp": NOW + 3600,
        "iat": NOW,
        "iss": NAME,
        "jti": "6a1d9c2e-58ce-4a7b-9d2d-3a2f6f0d9c11",
        "kubernetes.io": {
            "namespace": "video",
            "node": {"name": "node-1", "uid": "0f7a1f0e-7a5d-4b50-8a58-0a4c1d7d8f10"},
            "pod": {"name": "room-service-5d8", "uid": "b8c1b9a1-6a55-4b3f-8a71-1b6f7f1b7d43"},
            "serviceaccount": {"name": "room-service", "uid": "5f0f2a0b-2d86-4c5f-9a63-7f1b8a3b7f6f"},
        },
        "nbf": NOW,
        "sub": SUBJECT,
        **changes,
    }
    return {name: value for name, value in claims.items() if value is not None}


def header(key: Key, **changes: Any) -> dict[str, Any]:
    """The header as Kubernetes makes it: no `typ`."""
    found = {"alg": key.algorithm, "kid": key.kid, **changes}
    return {name: value for name, value in found.items() if value is not None}


def segment(data: bytes) -> str:
    """One segment of a compact JWS."""
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def forge(
    key: Key,
    *,
    head: Mapping[str, Any] | bytes | None = None,
    claims: Mapping[str, Any] | bytes | None = None,
    sign: Callable[[bytes], bytes] | None = None,
) -> str:
    """A token with any header and claims, signed by *key* unless *sign* does it; by default a valid one."""
    parts = (header(key) if head is None else head, kubernetes_claims() if claims is None else claims)
    segments = [segment(part if isinstance(part, bytes) else json.dumps(part).encode()) for part in parts]
    signing_input = ".".join(segments).encode()
    return f"{signing_input.decode()}.{segment((sign or key.sign)(signing_input))}"


class JwksServer:
    """Serves a JWKS, by HTTPS where *authority* signs its certificate for *name*; counts who asks."""

    def __init__(self, authority: trustme.CA | None = None, name: str = "127.0.0.1") -> None:
        self.body = b""
        self.status = 200
        self.headers: dict[str, str] = {}
        self.requests: list[dict[str, str]] = []
        self.gate = threading.Event()
        """An answer waits until it is set."""
        self.gate.set()
        self.asked = threading.Semaphore(0)
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                server.requests.append({"path": self.path, **{k.lower(): v for k, v in self.headers.items()}})
                server.asked.release()
                server.gate.wait(WAIT)
                with contextlib.suppress(OSError):
                    self.send_response(server.status)
                    for field, value in server.headers.items():
                        self.send_header(field, value)
                    self.end_headers()
                    self.wfile.write(server.body)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        class Quiet(ThreadingHTTPServer):
            def handle_error(self, *_: object) -> None:
                """A client that does not trust the certificate hangs up."""

        self._server = Quiet(("127.0.0.1", 0), Handler)
        self._scheme = "http"
        if authority is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            authority.issue_cert(name).configure_cert(context)
            self._server.socket = context.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
            self._scheme = "https"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        """Where the JWKS is."""
        return f"{self._scheme}://127.0.0.1:{self._server.server_address[1]}{PATH}"

    def close(self) -> None:
        """Stop; whoever asks is refused."""
        self.gate.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(WAIT)


@contextlib.contextmanager
def jwks_server(authority: trustme.CA | None = None, name: str = "127.0.0.1") -> Iterator[JwksServer]:
    """A server that the end of the block stops."""
    server = JwksServer(authority, name)
    try:
        yield server
    finally:
        server.close()


def make_issuer(**changes: Any) -> Issuer:
    """An issuer with *changes*."""
    values: dict[str, Any] = {"issuer": NAME, "audience": AUDIENCE, "algorithms": tuple(sorted(ALGORITHMS)), **changes}
    return Issuer(**values)


def make_registry(*issuers: Issuer, identity: Identity | None = None, name: str = "room-service") -> CallerRegistry:
    """A registry with one caller, identified by the token of `kubernetes_claims` unless *identity* is given."""
    return CallerRegistry([CallerEntry(make_caller(name), identity or JwtIdentity(NAME, SUBJECT))], issuers)


class World:
    """A bearer authenticator whose clocks a test sets."""

    def __init__(self, registry: CallerRegistry, *, refresh: float = 300, max_stale: float = 86_400) -> None:
        self.now = float(NOW)
        self.ticks = 1000.0
        self.callers = CurrentCallers(registry)
        self.caches = IssuerKeyCaches(self.callers, refresh=refresh, max_stale=max_stale, monotonic=lambda: self.ticks)
        self.authenticator = BearerAuthenticator(
            self.callers, JwtVerifier(self.caches), lambda: Millis(int(self.now * 1000))
        )

    def pass_time(self, seconds: float) -> None:
        """Both clocks go on."""
        self.now += seconds
        self.ticks += seconds

    async def knows(self, credential: str, origin: str = "") -> str | None:
        """The name of the caller who presents *credential*."""
        presented = PresentedCredentials(authorization=[f"Bearer {credential}"], origin=origin)
        try:
            return (await self.authenticator.authenticate(presented)).name
        except CredentialError:
            return None

    async def problem(self, credential: str) -> str:
        """Why *credential* proves no caller; empty if it does."""
        presented = PresentedCredentials(authorization=[f"Bearer {credential}"])
        try:
            await self.authenticator.authenticate(presented)
        except CredentialError as error:
            return str(error)
        return ""


def write_jwks(path: Path, *keys: Key | Mapping[str, Any]) -> Path:
    """Put a JWKS into a file, at once and whole."""
    fresh = path.with_suffix(".new")
    fresh.write_bytes(jwks(*keys))
    fresh.replace(path)
    return path
