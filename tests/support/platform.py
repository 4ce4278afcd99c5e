"""A stand-in for the OpenTok platform, over real TLS: it answers as the real one, or as a test says."""

from __future__ import annotations

import base64
import contextlib
import json
import secrets
import ssl
import threading

from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qsl

import attrs
import trustme

from tests.support.authority import WAIT


JSON = "application/json"


def make_platform_session(owner: str) -> str:
    """A new session id as the platform makes them, of a project or an application."""
    fields = f"1~{owner}~~1764393294000~{base64.b64encode(secrets.token_bytes(18)).decode()}~P~~"
    return "1_" + base64.urlsafe_b64encode(fields.encode()).rstrip(b"=").decode()


def session_json(session_id: str, owner: str) -> bytes:
    """A list of one session, with the members that the platform sends."""
    session = {
        "session_id": session_id,
        "project_id": owner,
        "partner_id": owner,
        "create_dt": "Fri Feb 14 05:14:54 PST 2025",
        "session_status": None,
        "status_invalid": None,
        "media_server_hostname": None,
        "messaging_server_url": None,
        "messaging_url": None,
        "symphony_address": None,
        "properties": None,
        "ice_server": None,
        "session_segment_id": "5f0f2a0b-2d86-4c5f-9a63-7f1b8a3b7f6f",
        "ice_servers": None,
        "ice_credential_expiration": 86100,
    }
    return json.dumps([session]).encode()


def error_json(message: str) -> bytes:
    """An error as the platform writes it."""
    return json.dumps({"code": -1, "message": message, "description": message}).encode()


@attrs.frozen(kw_only=True)
class Answer:
    """One answer of the stand-in."""

    status: int = 200
    content_type: str = JSON
    body: bytes = b""
    headers: Mapping[str, str] = attrs.Factory(dict)
    cut: bool = False
    """Whether the connection ends after the half of the body."""


FORBIDDEN = Answer(status=403, body=error_json("Invalid signature"))
BROKEN = Answer(status=500, body=error_json("oops"))


@attrs.frozen(kw_only=True)
class Received:
    """One request."""

    path: str
    headers: Mapping[str, str]
    body: str

    @property
    def form(self) -> dict[str, str]:
        """The fields of the body."""
        return dict(parse_qsl(self.body))

    @property
    def claims(self) -> dict[str, object]:
        """What the credential says; its signature is not checked."""
        credential = self.headers.get("x-opentok-auth") or self.headers["authorization"].removeprefix("Bearer ")
        body = credential.split(".")[1]
        claims: dict[str, object] = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
        return claims


class Platform:
    """Serves `POST /session/create`; it gives each of `script` once, and otherwise creates sessions."""

    def __init__(self, authority: trustme.CA | None = None) -> None:
        self.script: list[Answer] = []
        self.always: Answer | None = None
        """What it answers instead of sessions, if anything."""
        self.requests: list[Received] = []
        self.gate = threading.Event()
        """An answer waits until it is set."""
        self.gate.set()
        self.asked = threading.Semaphore(0)
        platform = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"])).decode()
                headers = {name.lower(): value for name, value in self.headers.items()}
                received = Received(path=self.path, headers=headers, body=body)
                platform.requests.append(received)
                answer = platform._next(received)
                platform.asked.release()
                platform.gate.wait(WAIT)
                with contextlib.suppress(OSError):
                    self._send(answer)

            def _send(self, answer: Answer) -> None:
                self.send_response(answer.status)
                self.send_header("content-type", answer.content_type)
                self.send_header("content-length", str(len(answer.body)))
                for name, value in answer.headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(answer.body[: len(answer.body) // 2] if answer.cut else answer.body)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        class Quiet(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_: object) -> None:
                """A client that does not trust the certificate hangs up."""

        self._server = Quiet(("127.0.0.1", 0), Handler)
        if authority is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            authority.issue_cert("127.0.0.1").configure_cert(context)
            self._server.socket = context.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
        self.url = f"{'http' if authority is None else 'https'}://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        self._thread.start()

    def _next(self, received: Received) -> Answer:
        if self.script:
            return self.script.pop(0)
        if self.always is not None:
            return self.always
        owner = str(received.claims.get("iss") or received.claims["application_id"])
        return Answer(body=session_json(make_platform_session(owner), owner))

    def close(self) -> None:
        """Stop; whoever asks is refused."""
        self.gate.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(WAIT)


@contextlib.contextmanager
def running_platform(authority: trustme.CA | None = None) -> Iterator[Platform]:
    """A stand-in that the end of the block stops; by HTTPS where *authority* signs its certificate."""
    platform = Platform(authority)
    try:
        yield platform
    finally:
        platform.close()


def write_ca(authority: trustme.CA, path: Path) -> Path:
    """Write the certificate with which the stand-in is verified."""
    path.write_bytes(authority.cert_pem.bytes())
    return path
