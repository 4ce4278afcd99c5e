"""Generate the page of the permissions on each real-time server from the tables by which tokens are written."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from scripts.docs.markdown import code, page, table
from tokenauthority.domain.profile import ROOM, Flag, Member, Profile, RealTimeServer, Table
from tokenauthority.domain.role import BUILT_IN_ROLES, Permission
from tokenauthority.domain.token_format import DEFAULT_FORMAT, TokenFormat


SERVERS: Final[dict[Table, str]] = {
    **{each.traits.table: code(each.value) for each in TokenFormat if each.traits.table is not None},
    **{each.table: f"`{DEFAULT_FORMAT}` of a project whose `claims_for` names it" for each in RealTimeServer},
}
"""What each server takes, by its table."""


def servers_page() -> str:
    """Return the page."""
    return page(
        "Permissions on each server",
        "What a role can do on a real-time server, and what says so in the token. "
        "[Formats](../explanation/formats.md#which-role-fits-which-server) explains why a role is refused.",
        "## Built-in roles",
        "GenerateToken refuses a role that does not fit, and names the server and what is wrong.",
        table(("role", *(each.server for each in SERVERS)), map(_role_row, BUILT_IN_ROLES)),
        "## Permissions",
        "**everyone**: each bearer of a token has the permission there. **nobody**: no token gives it. **unknown**: "
        "the server has no notion of it, so it is no reason to refuse a role. Else the claim that gives it.",
        table(("permission", *(each.server for each in SERVERS)), map(_permission_row, Permission)),
        *(part for each in SERVERS for part in _section(each)),
    )


def role_cell(server: Table, name: str) -> str:
    """Return what a bearer with the built-in role *name* has at *server*, or why there is no token."""
    permissions = BUILT_IN_ROLES[name].permissions
    if misfit := server.misfit(permissions):
        return f"refused: {misfit}"
    return ", ".join(code(each.value) for each in permissions if each not in server.unknown) or "no permission"


def permission_cell(server: Table, permission: Permission) -> str:
    """Return what gives *permission* at *server*."""
    if permission in server.unknown:
        return "unknown"
    if permission in server.implied:
        return "everyone"
    return ", ".join(_place(row) for row in server.rights if permission in row.permissions) or "nobody"


def _role_row(name: str) -> tuple[str, ...]:
    return (code(name), *(role_cell(each, name) for each in SERVERS))


def _permission_row(permission: Permission) -> tuple[str, ...]:
    return (code(permission.value), *(permission_cell(each, permission) for each in SERVERS))


def _section(server: Table) -> Iterator[str]:
    yield f"## {server.server}"
    yield f"Takes {SERVERS[server]}." + (
        " Without a subject, the subject is the token id." if server.needs_subject else ""
    )
    if not server.rights:
        yield "Nothing in the token says what its bearer may do: each bearer may do the same."
    if rows := [(_place(row), _written(row), _needed(row)) for row in server.rights]:
        yield table(("claim", "written", "if the role has"), rows)
    if isinstance(server, Profile):
        yield table(("further claim", "content"), _further(server))


def _further(profile: Profile) -> Iterator[tuple[str, str]]:
    yield code(".".join(profile.room)), "the room: the session's name, or its id"
    yield code(".".join(profile.subject)), "the subject"
    yield code(".".join(profile.data)), "the connection data"
    for path in profile.demanded:
        yield code(".".join(path)), "`true`"
    for path, value in profile.constants.items():
        yield code(".".join(path)), code(value)


def _place(row: Flag | Member) -> str:
    return code(".".join(row.path))


def _written(row: Flag | Member) -> str:
    if isinstance(row, Flag):
        return "`true`; else `false`"
    if isinstance(row.member, str):
        return f"{_text(row.member)}; else not in the list"
    return f"{{{', '.join(f'`{name}`: {_text(text)}' for name, text in row.member.items())}}}; else not in the list"


def _text(text: str) -> str:
    return "the room" if text == ROOM else code(text)


def _needed(row: Flag | Member) -> str:
    needed = row.permissions | row.beside
    return ", ".join(code(each.value) for each in Permission if each in needed)
