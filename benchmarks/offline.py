"""The offline verifier beside a real authority: what one verdict costs in the process that asks for it."""

from __future__ import annotations

import contextlib

from typing import TYPE_CHECKING, Final

from benchmarks import cpu
from benchmarks.calls import DATA, ROLE
from benchmarks.measure import Subject
from tokenauthority.client import Authority
from tokenauthority.client.connection import Connection
from tokenauthority.verifier import Verifier


if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.servers import Server
    from benchmarks.stores import Contents


_CALLS: Final = 1000


@contextlib.contextmanager
def verify(authority: Server, contents: Contents) -> Iterator[Subject]:
    """`Verifier.verify` of a valid token, with its session and a permission asked for; it follows meanwhile."""
    connection = Connection(
        address=authority.address, api_key=authority.api_key, project_id=contents.project_id, plaintext=True
    )
    session_id = contents.session_ids[0]
    with Authority.from_connection(connection) as client, Verifier(connection) as verifier:
        token = client.generate_token(session_id, role=ROLE, data=DATA, format="session_jwt", ttl=86_400).token

        def ask() -> None:
            assert verifier.verify(token, session_id=session_id, required_permissions=("publish",)).active

        yield Subject("offline verify SESSION_JWT", "call", lambda: cpu.per_call(ask, _CALLS))
