"""Disconnect people from Centrifugo by its HTTP API."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import chain
from typing import Final

import msgspec

from tokenauthority.enforcer.admin_api import AdminApi, AdminApiError
from tokenauthority.enforcer.driver import Found, Outcome, Present, all_of
from tokenauthority.enforcer.pending import Wanted


_UNKNOWN_CHANNEL: Final = 102
"""A channel of a namespace that the server does not have: nobody can be in it."""

_NOT_AVAILABLE: Final = 108


class _Problem(msgspec.Struct):
    code: int = 0


class _Client(msgspec.Struct):
    client: str = ""
    user: str = ""


class _Channel(msgspec.Struct):
    pass


class _Result(msgspec.Struct):
    presence: dict[str, _Client] = {}
    channels: dict[str, _Channel] = {}


class _Answer(msgspec.Struct):
    result: _Result = msgspec.field(default_factory=_Result)
    error: _Problem | None = None


class CentrifugoDriver:
    """One Centrifugo, reached by *api* with the key of its HTTP API.

    It disconnects an end user without looking for them. Of a room it disconnects all who are in the channel of that
    name, which Centrifugo shows where the namespace has `presence`.
    """

    def __init__(self, api: AdminApi, key: str) -> None:
        self._api = api
        self._headers = {"x-api-key": key}

    async def find(self, wanted: Wanted) -> Found:
        """Return the subjects, wherever they are, and who is in one of the channels."""
        found = [Present(room="", subject=subject) for subject in wanted.subjects]
        rooms, unlisted = set(wanted.rooms), None
        if wanted.everybody:
            try:
                listed = await self._call("channels", {})
                rooms |= set(filter(wanted.may_own, listed.result.channels))
            except AdminApiError as error:
                unlisted = error
        inside, problem = await all_of(self._inside(room) for room in rooms)
        return Found([*found, *chain.from_iterable(inside)], unlisted or problem)

    async def remove(self, present: Present) -> Outcome:
        """Disconnect one connection, or all of a user."""
        if not present.handle:
            await self._call("disconnect", {"user": present.subject})
            return Outcome.ASKED
        await self._call("disconnect", {"user": present.subject, "client": present.handle})
        return Outcome.REMOVED

    async def _inside(self, channel: str) -> list[Present]:
        answer = await self._call("presence", {"channel": channel}, absent=_UNKNOWN_CHANNEL)
        clients = answer.result.presence.values()
        return [Present(room=channel, subject=each.user, handle=each.client) for each in clients]

    async def _call(self, method: str, message: Mapping[str, object], absent: int | None = None) -> _Answer:
        answer = await self._api.post(f"/api/{method}", self._headers, message, _Answer)
        if answer is None:
            raise AdminApiError(f"/api/{method}: the server does not have it")
        code = answer.error.code if answer.error else 0
        if code == _NOT_AVAILABLE:
            raise AdminApiError(f"/api/{method}: the channel's namespace has no presence: switch `presence` on")
        if code not in {0, absent}:
            raise AdminApiError(f"/api/{method}: error {code}")
        return answer
