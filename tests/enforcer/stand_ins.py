"""Stand-ins for the admin APIs of real-time servers: they answer as the real ones, or fail as a test says.

`media/` has the tests with the real LiveKit and Centrifugo. MediaMTX is nowhere else: no package registry has it.
"""

from __future__ import annotations

import base64
import contextlib
import json
import threading

from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import attrs
import jwt

from tests.support.authority import WAIT


SECRET = "0123456789abcdef0123456789abcdef01234567"


@attrs.frozen
class Request:
    """What came in."""

    method: str
    path: str
    headers: Mapping[str, str]
    message: dict[str, Any]


class StandIn:
    """An HTTP server of loopback that remembers its requests. While `status` is set, it answers nothing else."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.status: int | None = None
        self.lock = threading.Lock()
        stand_in = self

        class Handler(BaseHTTPRequestHandler):
            def _serve(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length", "0")))
                headers = {name.lower(): value for name, value in self.headers.items()}
                request = Request(self.command, self.path, headers, json.loads(body or b"{}"))
                with stand_in.lock:
                    stand_in.requests.append(request)
                    status, answer = (stand_in.status, {}) if stand_in.status else stand_in.answer(request)
                data = json.dumps(answer).encode()
                with contextlib.suppress(OSError):
                    self.send_response(status)
                    self.send_header("content-type", "application/json")
                    self.send_header("content-length", str(len(data)))
                    self.end_headers()
                    self.wfile.write(data)

            def do_GET(self) -> None:
                self._serve()

            def do_POST(self) -> None:
                self._serve()

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        self._thread.start()

    def answer(self, request: Request) -> tuple[int, object]:
        """The status and the JSON."""
        raise NotImplementedError

    def asked(self, place: str) -> int:
        """How many requests there were with *place* in their path."""
        with self.lock:
            return sum(place in request.path for request in self.requests)

    def close(self) -> None:
        """Stop; whoever asks is refused."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(WAIT)


class LiveKitStandIn(StandIn):
    """RoomService for the API key `APIkey`: `inside` has the people by room, and a request needs the right grant."""

    def __init__(self) -> None:
        self.inside: dict[str, set[str]] = {}
        super().__init__()

    def answer(self, request: Request) -> tuple[int, object]:
        """As RoomService does."""
        token = request.headers["authorization"].removeprefix("Bearer ")
        grant = jwt.decode(token, SECRET, ["HS256"], issuer="APIkey")["video"]
        method, room = request.path.rpartition("/")[2], request.message.get("room", "")
        needed = {"ListRooms": {"roomList": True}, "DeleteRoom": {"roomCreate": True}}
        if grant != needed.get(method, {"roomAdmin": True, "room": room}):
            return 401, {}
        match method:
            case "ListRooms":
                return 200, {"rooms": [{"sid": "RM_1", "name": name} for name in self.inside]}
            case "ListParticipants":
                people = self.inside.get(room, ())
                return 200, {"participants": [{"sid": "PA_1", "identity": each} for each in people]}
            case "RemoveParticipant" if request.message["identity"] in self.inside.get(room, ()):
                self.inside[room].remove(request.message["identity"])
                return 200, {}
            case "DeleteRoom" if room in self.inside:
                del self.inside[room]
                return 200, {}
        return 404, {"code": "not_found", "msg": "participant does not exist"}


class MediaMtxStandIn(StandIn):
    """The control API as MediaMTX 1.20 answers it, for the user `admin`: `connections` by kind, and then by id.

    The server does not serve RTMPS and HLS, so their lists are absent. The page of a list has at most two items.
    """

    def __init__(self) -> None:
        kinds = ("webrtcsessions", "rtspsessions", "rtspssessions", "rtmpconns", "srtconns")
        self.connections: dict[str, dict[str, dict[str, str]]] = {kind: {} for kind in kinds}
        super().__init__()

    def answer(self, request: Request) -> tuple[int, object]:
        """As the control API does."""
        if request.headers.get("authorization") != f"Basic {base64.b64encode(f'admin:{SECRET}'.encode()).decode()}":
            return 401, {"status": "error", "error": "authentication error"}
        url = urlsplit(request.path)
        _, _, kind, action, *rest = url.path.split("/")
        found = self.connections.get(kind)
        if found is None:
            return 404, {}
        if (request.method, action) == ("POST", "kick"):
            known = found.pop(rest[0], None)
            return (200, {"status": "ok"}) if known else (404, {"status": "error", "error": "session not found"})
        number = int(parse_qs(url.query)["page"][0])
        items = [{"id": key, "remoteAddr": "127.0.0.1:1", "state": "read", **each} for key, each in found.items()]
        pages = -(-len(items) // 2)
        return 200, {"itemCount": len(items), "pageCount": pages, "items": items[2 * number : 2 * number + 2]}


class CentrifugoStandIn(StandIn):
    """The HTTP API of Centrifugo: `inside` has the users by channel and client; `silent` channels have no presence."""

    def __init__(self) -> None:
        self.inside: dict[str, dict[str, str]] = {}
        self.silent: set[str] = set()
        super().__init__()

    def answer(self, request: Request) -> tuple[int, object]:
        """As the HTTP API does."""
        if request.headers.get("x-api-key") != SECRET:
            return 401, {}
        message = request.message
        match request.path:
            case "/api/presence" if message["channel"] in self.silent:
                return 200, {"error": {"code": 108, "message": "not available"}}
            case "/api/presence":
                people = self.inside.get(message["channel"], {})
                return 200, {"result": {"presence": {c: {"client": c, "user": u} for c, u in people.items()}}}
            case "/api/channels":
                return 200, {"result": {"channels": {name: {"num_clients": 1} for name in self.inside}}}
            case "/api/disconnect":
                for people in self.inside.values():
                    for client, user in tuple(people.items()):
                        if user == message["user"] and client == message.get("client", client):
                            del people[client]
                return 200, {"result": {}}
        return 404, {}


@contextlib.contextmanager
def closing(stand_in: StandIn) -> Iterator[None]:
    """Close it at the end of the block."""
    try:
        yield
    finally:
        stand_in.close()
