"""What a servicer is handed with each request: who calls, when, and the audit record."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec


if TYPE_CHECKING:
    from tokenauthority.audit import AuditRecord
    from tokenauthority.domain.caller import Caller, Grant
    from tokenauthority.domain.times import Millis


class Rpc(msgspec.Struct, frozen=True):
    """One RPC.

    Attributes:
        caller: The authenticated caller.
        record: The RPC's audit record. What the request and the answer name is recorded around the servicer (see
            `recording`); a servicer adds only what those messages do not say.
        now: When the request had arrived.
    """

    caller: Caller
    record: AuditRecord
    now: Millis

    @property
    def grant(self) -> Grant:
        """Return what the caller may do."""
        return self.caller.grant

    def chosen_project(self, asked: str) -> str:
        """Return the project that the request means, and record it; see `Grant.chosen_project`.

        Raises:
            InvalidRequestError: *asked* is malformed, or empty and the grant has several projects.
            PermissionDeniedError: The project is outside the grant.
        """
        self.record.project_id = self.caller.grant.chosen_project(asked)
        return self.record.project_id
