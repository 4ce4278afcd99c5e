"""Kick people from MediaMTX by its control API, whatever protocol they use (api/openapi.yaml of MediaMTX)."""

from __future__ import annotations

import base64

from typing import Final
from urllib.parse import parse_qs

import msgspec

from tokenauthority.domain.token import TokenRejectedError
from tokenauthority.enforcer.admin_api import AdminApi, AdminApiError
from tokenauthority.enforcer.driver import Found, Outcome, Present, all_of
from tokenauthority.enforcer.pending import Wanted
from tokenauthority.signing.jose import parse_compact


_KINDS: Final = (
    "webrtcsessions",
    "rtspsessions",
    "rtspssessions",
    "rtmpconns",
    "rtmpsconns",
    "srtconns",
    "hlssessions",
)
"""Lists of connections, each with a kick of its own. A server has no list of a protocol that it does not serve."""

_PAGE: Final = 1000
"""Connections on a page."""

_MAX_PAGES: Final = 100
"""Pages of a list that are read: one more page is an error, because people on it would stay inside unseen."""


class _MediaConnection(msgspec.Struct):
    id: str = ""
    path: str = ""
    user: str = ""
    query: str = ""


class _Page(msgspec.Struct, rename="camel"):
    page_count: int = 0
    items: list[_MediaConnection] = []


class _Kicked(msgspec.Struct):
    pass


class MediaMtxDriver:
    """One MediaMTX, reached by *api* as *user* with *password*; without both if the user is empty."""

    def __init__(self, api: AdminApi, user: str, password: str) -> None:
        self._api = api
        credential = base64.b64encode(f"{user}:{password}".encode()).decode()
        self._headers = {"authorization": f"Basic {credential}"} if user else {}

    async def find(self, wanted: Wanted) -> Found:
        """Return the connections whose path or user is wanted."""
        lists, problem = await all_of(self._list(kind, wanted) for kind in _KINDS)
        if problem is None and all(each is None for each in lists):
            raise AdminApiError("there is no control API at this URL")
        return Found([present for each in lists for present in each or ()], problem)

    async def remove(self, present: Present) -> Outcome:
        """Kick one connection."""
        answer = await self._api.request("POST", present.handle, self._headers, _Kicked)
        return Outcome.GONE if answer is None else Outcome.REMOVED

    async def _list(self, kind: str, wanted: Wanted) -> list[Present] | None:
        found: list[Present] = []
        number, count = 0, 1
        while number < count:
            place = f"/v3/{kind}/list?itemsPerPage={_PAGE}&page={number}"
            page = await self._api.request("GET", place, self._headers, _Page)
            if page is None:
                return None
            if page.page_count > _MAX_PAGES:
                raise AdminApiError(f"/v3/{kind}: {page.page_count} pages, more than {_MAX_PAGES}")
            for each in page.items:
                subject = next((name for name in _names(each) if wanted.cause(each.path, name)), None)
                if subject is not None:
                    found.append(Present(room=each.path, subject=subject, handle=f"/v3/{kind}/kick/{each.id}"))
            number, count = number + 1, page.page_count
        return found


def _names(connection: _MediaConnection) -> list[str]:
    """Return what is known of the subject: the user, who is the subject of the token, and what a token in the URL says.

    The token was verified by the server, so here it is only read.
    """
    names = [connection.user]
    # Without a limit of fields: whoever has more of them must be found, too. The size of the whole answer is limited.
    fields = parse_qs(connection.query)
    for token in (*fields.get("jwt", ()), *fields.get("token", ())):
        try:
            said = parse_compact(token).payload
        except TokenRejectedError:
            continue
        names += [name for name in (said.get("jti"), said.get("sub")) if isinstance(name, str)]
    return names
