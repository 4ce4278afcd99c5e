"""Do with the Python client what `make interop` asks; clients/interop/README.md has the protocol."""

from __future__ import annotations

import base64
import json
import sys
import threading

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from typing import Any, Final

from tokenauthority.client import (
    Authority,
    AuthorityError,
    Revocation,
    SessionEnd,
    TokenRequest,
    translated_errors,
)


Fields = dict[str, Any]

STUBS: Final = {
    "KeyService": "keys",
    "ProjectService": "projects",
    "RoleService": "roles",
    "SessionService": "sessions",
    "TokenService": "tokens",
}


class Watcher:
    """Reads a watch in a thread of its own, and keeps what it has seen."""

    def __init__(self, authority: Authority, resume_token: str) -> None:
        self._watch = authority.watch_revocations(resume_token=resume_token, on_lost=self._note)
        self._seen: list[tuple[Revocation | SessionEnd, str]] = []
        self._losses: list[Fields] = []
        self._changed = threading.Condition()
        threading.Thread(target=self._read, daemon=True).start()

    def wait_for(self, wanted: Mapping[str, str], within: float) -> Fields:
        """Return the event whose fields have the values of *wanted*; TimeoutError if it has not come in time."""

        def find() -> Fields | None:
            for event, resume_token in self._seen:
                if all(getattr(event, name, None) == value for name, value in wanted.items()):
                    kind = "revocation" if isinstance(event, Revocation) else "ended_session"
                    return {"kind": kind, "resume_token": resume_token}
            return None

        with self._changed:
            found = self._changed.wait_for(find, within)
        if found is None:
            raise TimeoutError("no such event was seen in time")
        return found

    def wait_for_loss(self, within: float) -> Fields:
        """Return the first loss of the stream; TimeoutError if none has come in time."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._losses, within):
                raise TimeoutError("the watch was not lost in time")
            return self._losses[0]

    def close(self) -> None:
        """End the watch."""
        self._watch.close()

    def _note(self, error: AuthorityError, pause: float) -> None:
        with self._changed:
            self._losses.append({"code": error.code.name, "pause": pause})
            self._changed.notify_all()

    def _read(self) -> None:
        for event in self._watch:
            if isinstance(event, Revocation | SessionEnd):
                with self._changed:
                    self._seen.append((event, self._watch.resume_token))
                    self._changed.notify_all()


class Operations:
    """The operations of the protocol, by their names."""

    def __init__(self, authority: Authority) -> None:
        self._authority = authority
        self._watcher: Watcher | None = None

    def call(self, method: str, request: str) -> Fields:
        """Call any unary RPC through the generated stubs."""
        service, _, name = method.removeprefix("tokenauthority.v1.").partition("/")
        module = import_module(f"tokenauthority.v1.{service.removesuffix('Service').lower()}_pb2")
        message = getattr(module, f"{name}Request").FromString(base64.b64decode(request))
        with translated_errors():
            response = getattr(getattr(self._authority, STUBS[service]), name)(message)
        return {"response": base64.b64encode(response.SerializeToString()).decode()}

    def create_session(self, options: Fields) -> Fields:
        """Create a session."""
        return {"session_id": self._authority.create_session(**options).session_id}

    def generate_token(self, session_id: str, via: str, options: Fields) -> Fields:
        """Generate a token, by the authority or by the session."""
        if via == "session":
            token = self._authority.get_session(session_id).generate_token(**options)
        else:
            token = self._authority.generate_token(session_id, **options)
        expire_time = int(token.expire_time.timestamp())
        return {"token": token.token, "token_id": token.token_id, "expire_time": expire_time}

    def generate_tokens(self, requests: list[Fields]) -> Fields:
        """Generate a batch."""
        tokens = self._authority.generate_tokens(TokenRequest(**request) for request in requests)
        return {"tokens": [token.token for token in tokens]}

    def create_turn_credentials(self, session_id: str, via: str, options: Fields) -> Fields:
        """Create TURN credentials, by the authority or by the session."""
        if via == "session":
            made = self._authority.get_session(session_id).create_turn_credentials(**options)
        else:
            made = self._authority.create_turn_credentials(session_id, **options)
        expire_time = int(made.expire_time.timestamp())
        given = {"urls": made.urls, "username": made.username, "credential": made.credential}
        return {**given, "expire_time": expire_time, "shown": repr(made)}

    def verify_token(self, token: str, **options: Any) -> Fields:
        """Verify a token."""
        found = self._authority.verify_token(token, **options)
        role, data = (found.claims.role, found.claims.data) if found.claims else ("", "")
        return {"active": found.active, "reason": found.reason, "role": role, "data": data}

    def revoke_tokens(self, via: str = "authority", **options: Any) -> Fields:
        """Revoke tokens, by the authority or by the session."""
        if via == "session":
            self._authority.get_session(options.pop("session_id")).revoke_tokens(**options)
        else:
            self._authority.revoke_tokens(**options)
        return {}

    def list_sessions(self, **options: Any) -> Fields:
        """List all sessions of the project."""
        return {"session_ids": [session.session_id for session in self._authority.list_sessions(**options)]}

    def end_session(self, session_id: str) -> Fields:
        """End a session."""
        return {"state": self._authority.end_session(session_id).state}

    def watch(self, resume_token: str = "") -> Fields:
        """Watch from now on, in place of a watch before."""
        if self._watcher is not None:
            self._watcher.close()
        self._watcher = Watcher(self._authority, resume_token)
        return {}

    def lost(self, within: float) -> Fields:
        """Wait until the watch has reported a loss."""
        if self._watcher is None:
            raise ValueError("there is no watch")
        return self._watcher.wait_for_loss(within)

    def watched(self, within: float, **wanted: str) -> Fields:
        """Wait for an event of the watch."""
        if self._watcher is None:
            raise ValueError("there is no watch")
        return self._watcher.wait_for(wanted, within)

    def load(self, session_id: str, callers: int, calls: int) -> Fields:
        """Generate many tokens, from several threads at once."""

        def work(_: int) -> list[str]:
            errors = []
            for _ in range(calls):
                try:
                    self._authority.generate_token(session_id)
                except AuthorityError as error:
                    errors.append(f"{error.code.name}: {error}")
            return errors

        with ThreadPoolExecutor(callers) as pool:
            errors = [error for found in pool.map(work, range(callers)) for error in found]
        return {"failed": len(errors), "errors": errors[:5]}


def describe(error: Exception) -> Fields:
    """Return an error as the protocol shows it."""
    if not isinstance(error, AuthorityError):
        return {"code": "CLIENT", "message": str(error)}
    return {
        "code": error.code.name,
        "reason": error.reason,
        "violations": [{"field": found.field, "problem": found.problem} for found in error.violations],
        "retry_after": error.retry_after,
        "message": str(error),
    }


def answer(operations: Callable[[], Operations], request: Fields) -> Fields:
    """Do what *request* asks."""
    operation = request.pop("op")
    try:
        return {"ok": getattr(operations(), operation)(**request)}
    except (AuthorityError, ValueError, TypeError, OSError) as error:
        return {"error": describe(error)}


def main() -> None:
    """Answer each line of standard input, in order, until its end."""
    made: list[Operations] = []

    def operations() -> Operations:
        # An invalid environment is the answer to each request.
        if not made:
            made.append(Operations(Authority.from_environment()))
        return made[0]

    for line in sys.stdin.buffer:
        print(json.dumps(answer(operations, json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
