"""Tables: for each real-time server, where a token says what it allows; a `Profile` also where room and subject are.

One codec (`signing/formats/table.py`) writes and reads by it. Customers cannot write one: a token has to be read back,
and each server has its traps, as LiveKit has, which gives a right whose claim is absent.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from enum import StrEnum
from typing import Final, TypeAlias

import attrs

from tokenauthority.domain.role import Permission


ClaimPath: TypeAlias = tuple[str, ...]
"""The name of a claim, after the names of the objects that it is in."""

NO_PERMISSIONS: Final[frozenset[Permission]] = frozenset()
FORCE: Final = frozenset({Permission.FORCE_DISCONNECT, Permission.FORCE_UNPUBLISH, Permission.FORCE_MUTE})
"""What servers know as one right: to moderate."""


@attrs.frozen(kw_only=True)
class Flag:
    """A right that the server reads in a boolean. It is always written: an absent one may mean yes.

    Attributes:
        permissions: what the server knows as this one right.
        beside: what a role with the right must also have, because the right is enough to get it.
        absent: whether the server gives the right where the claim is absent; a path says that the flag there decides.
        narrowed_by: a list that takes a part of the right away if it is not empty. The authority never writes it.
        also: a text that gives the right too, if it is one of `words`. The authority never writes it.
        words: what gives the right in `also`.
    """

    permissions: frozenset[Permission]
    path: ClaimPath
    beside: frozenset[Permission] = NO_PERMISSIONS
    absent: bool | ClaimPath = False
    narrowed_by: ClaimPath | None = None
    also: ClaimPath | None = None
    words: frozenset[str] = frozenset()


ROOM: Final = "\0room"
"""In a member of a list, what stands for the room."""


@attrs.frozen(kw_only=True)
class Member:
    """A right that the server reads in a list: the member is there or not, and the list always is.

    Attributes:
        permissions: what the server knows as this one right.
        path: where the list is.
        member: the text, or the texts of an object by name; `ROOM` stands for the room.
        beside: what a role with the right must also have.
    """

    permissions: frozenset[Permission]
    path: ClaimPath
    member: str | Mapping[str, str]
    beside: frozenset[Permission] = NO_PERMISSIONS


@attrs.frozen(kw_only=True, eq=False)
class Table:
    """What one server reads of rights. There is one object for each server.

    Attributes:
        server: its name in errors.
        rights: one row for each right that a token gives or not.
        implied: what the server gives to everyone who is in.
        unknown: what the server has no notion of, so that nobody gets it there and no role needs it.
        needs_subject: whether the server takes no token without a subject. It is then the token's id, as it is for
            LiveKit.
    """

    server: str
    rights: tuple[Flag | Member, ...]
    implied: frozenset[Permission] = NO_PERMISSIONS
    unknown: frozenset[Permission] = NO_PERMISSIONS
    needs_subject: bool = False

    def held(self, permissions: Collection[Permission]) -> tuple[Flag | Member, ...]:
        """Return the rows whose right a role with *permissions* has."""
        wanted = frozenset(permissions)
        return tuple(row for row in self.rights if row.permissions | row.beside <= wanted)

    def misfit(self, permissions: Collection[Permission]) -> str:
        """Return why the server cannot keep a role to exactly *permissions*; empty if it can.

        A role is never rounded up, and no permission of it is lost that the server knows.
        """
        given = self.implied.union(*(row.permissions for row in self.held(permissions)))
        at_all = self.implied.union(*(row.permissions for row in self.rights))
        wanted = frozenset(permissions) - self.unknown
        extra = [each.value for each in Permission if each in given - wanted]
        missing = [each.value for each in Permission if each in wanted - given]
        found = [f"gives {', '.join(extra)} to everyone"] if extra else []
        if missing:
            found.append(f"cannot give {', '.join(missing)}{' without more' if at_all.issuperset(missing) else ''}")
        return f"{self.server} {' and '.join(found)}" if found else ""


@attrs.frozen(kw_only=True, eq=False)
class Profile(Table):
    """The table of a server whose tokens are a format of their own.

    Attributes:
        mark: the claim at the top by which its tokens are known.
        room: where the room is.
        subject: where the end user's id is.
        data: where the connection data is.
        demanded: booleans that are written as true, and without which a token lets nobody in.
        constants: claims that are written, and not read.
    """

    mark: str
    room: ClaimPath
    subject: ClaimPath
    data: ClaimPath
    rights: tuple[Flag, ...]
    demanded: tuple[ClaimPath, ...] = ()
    constants: Mapping[ClaimPath, str] = attrs.field(factory=dict)


LIVEKIT: Final = Profile(
    server="LiveKit",
    mark="video",
    room=("video", "room"),
    subject=("sub",),
    data=("metadata",),
    demanded=(("video", "roomJoin"),),
    rights=(
        Flag(permissions=frozenset({Permission.SUBSCRIBE}), path=("video", "canSubscribe"), absent=True),
        Flag(
            permissions=frozenset({Permission.PUBLISH}),
            path=("video", "canPublish"),
            absent=True,
            narrowed_by=("video", "canPublishSources"),
        ),
        Flag(
            permissions=frozenset({Permission.SIGNAL}),
            path=("video", "canPublishData"),
            absent=("video", "canPublish"),
        ),
        # A room admin may also call UpdateParticipant, and give itself the rest.
        Flag(permissions=FORCE, path=("video", "roomAdmin"), beside=frozenset(Permission)),
    ),
    needs_subject=True,
)
JITSI: Final = Profile(
    server="Jitsi",
    mark="room",
    room=("room",),
    subject=("context", "user", "id"),
    data=("context", "user", "data"),
    constants={("sub",): "*"},
    implied=frozenset({Permission.SUBSCRIBE, Permission.PUBLISH, Permission.SIGNAL}),
    rights=(
        Flag(
            permissions=FORCE,
            path=("context", "user", "moderator"),
            # The words of Jitsi's token_affiliation, each of which makes an owner of the room.
            also=("context", "user", "affiliation"),
            words=frozenset({"owner", "moderator", "teacher"}),
        ),
    ),
)
JANUS: Final = Table(
    server="Janus",
    rights=(),
    # A token lets its bearer into a room, and moderators have the secret of the room, which no token carries.
    implied=frozenset({Permission.SUBSCRIBE, Permission.PUBLISH, Permission.SIGNAL}),
)
CENTRIFUGO: Final = Table(
    server="Centrifugo",
    # Where a namespace lets subscribers publish, whoever is in a channel may also signal.
    rights=(Member(permissions=frozenset({Permission.SUBSCRIBE, Permission.SIGNAL}), path=("channels",), member=ROOM),),
    unknown=FORCE | {Permission.PUBLISH},
    needs_subject=True,
)
MEDIAMTX: Final = Table(
    server="MediaMTX",
    # An empty path would be every path, and one that begins with ~ a pattern: no room is either.
    rights=tuple(
        Member(
            permissions=frozenset({permission}),
            path=("mediamtx_permissions",),
            member={"action": action, "path": ROOM},
        )
        for permission, action in ((Permission.SUBSCRIBE, "read"), (Permission.PUBLISH, "publish"))
    ),
    unknown=FORCE | {Permission.SIGNAL},
)


class RealTimeServer(StrEnum):
    """A server that verifies a SESSION_JWT with the JWKS and reads a claim of its own in it."""

    CENTRIFUGO = "CENTRIFUGO"
    MEDIAMTX = "MEDIAMTX"

    @property
    def table(self) -> Table:
        """Return the server's table."""
        return _TABLES[self]


_TABLES: Final = {RealTimeServer.CENTRIFUGO: CENTRIFUGO, RealTimeServer.MEDIAMTX: MEDIAMTX}
