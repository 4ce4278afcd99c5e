"""Remove people from LiveKit, by its RoomService over Twirp with tokens of an API key (livekit_room.proto)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import chain
from typing import Final, TypeVar

import msgspec

from tokenauthority.domain.times import Millis
from tokenauthority.enforcer.admin_api import AdminApi, AdminApiError
from tokenauthority.enforcer.driver import Found, Outcome, Present, all_of
from tokenauthority.enforcer.pending import Wanted
from tokenauthority.signing.mac_signer import MacSigner


T = TypeVar("T")

_SERVICE: Final = "/twirp/livekit.RoomService/"

_LIFE: Final = 60
"""Seconds that a token of a request is valid."""


class _Room(msgspec.Struct):
    name: str = ""


class _Rooms(msgspec.Struct):
    rooms: list[_Room] = []


class _Participant(msgspec.Struct):
    identity: str = ""


class _Participants(msgspec.Struct):
    participants: list[_Participant] = []


class _Nothing(msgspec.Struct):
    pass


class LiveKitDriver:
    """One LiveKit, reached by *api* with the API key *key* and its *secret*."""

    def __init__(self, api: AdminApi, key: str, secret: str, clock: Callable[[], Millis]) -> None:
        self._api = api
        self._key = key
        self._signer = MacSigner.under(secret, {"alg": "HS256", "typ": "JWT"})
        self._clock = clock

    async def find(self, wanted: Wanted) -> Found:
        """Return the rooms to empty, and who must leave one of the others."""
        listed = await self._call("ListRooms", {}, {"roomList": True}, _Rooms)
        if listed is None:
            raise AdminApiError("there is no RoomService at this URL")
        names = [room.name for room in listed.rooms]
        found = [Present(room=name, subject="") for name in names if wanted.room_cause(name)]
        if wanted.subjects:
            others = [name for name in names if not wanted.room_cause(name) and wanted.may_own(name)]
            inside, problem = await all_of(self._inside(name, wanted) for name in others)
            return Found([*found, *chain.from_iterable(inside)], problem)
        return Found(found)

    async def remove(self, present: Present) -> Outcome:
        """Remove one person, or delete the room of all."""
        room = present.room
        if present.subject:
            message = {"room": room, "identity": present.subject}
            answer = await self._call("RemoveParticipant", message, {"roomAdmin": True, "room": room}, _Nothing)
        else:
            answer = await self._call("DeleteRoom", {"room": room}, {"roomCreate": True}, _Nothing)
        return Outcome.GONE if answer is None else Outcome.REMOVED

    async def _inside(self, room: str, wanted: Wanted) -> list[Present]:
        grant = {"roomAdmin": True, "room": room}
        listed = await self._call("ListParticipants", {"room": room}, grant, _Participants)
        people = (listed or _Participants()).participants
        return [Present(room=room, subject=each.identity) for each in people if each.identity in wanted.subjects]

    async def _call(
        self, method: str, message: Mapping[str, object], grant: Mapping[str, object], answer: type[T]
    ) -> T | None:
        now = self._clock() // 1000
        claims = {"iss": self._key, "nbf": now - _LIFE, "exp": now + _LIFE, "video": grant}
        token = self._signer.sign(msgspec.json.encode(claims))[0]
        return await self._api.post(_SERVICE + method, {"authorization": f"Bearer {token}"}, message, answer)
