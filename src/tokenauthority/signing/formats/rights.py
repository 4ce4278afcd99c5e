"""Write what a role may do into claims, by the table of a real-time server."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Final

from tokenauthority.domain.profile import ROOM, ClaimPath, Flag, Table
from tokenauthority.domain.role import Permission


_COMPILED: Final = 4096
"""Roles and rooms whose claims are ready-made, for all servers together; about 1 KB each."""


# The table is compared by identity, and a role has the same permissions in every token of a batch.
@lru_cache(maxsize=_COMPILED)
def rights_claims(table: Table, permissions: tuple[Permission, ...], room: str) -> dict[str, object]:
    """Return the claims that say what a role with *permissions* may do in *room*. They are shared: never change them.

    Every flag and every list is there, also those of rights that the role lacks: a server may read an absent one as
    yes.
    """
    held = table.held(permissions)
    lists: dict[ClaimPath, list[object]] = {row.path: [] for row in table.rights if not isinstance(row, Flag)}
    claims: dict[str, object] = {}
    for row in table.rights:
        if isinstance(row, Flag):
            claims = with_claim(claims, row.path, row in held)
        elif row in held:
            lists[row.path].append(_filled(row.member, room))
    for path, members in lists.items():
        claims = with_claim(claims, path, members)
    return claims


def with_claim(claims: dict[str, object], path: ClaimPath, value: object) -> dict[str, object]:
    """Return *claims* with the claim at *path*; *claims* and the objects in it stay as they are."""
    name, rest = path[0], path[1:]
    if rest:
        inner = claims.get(name)
        value = with_claim(inner if isinstance(inner, dict) else {}, rest, value)
    return {**claims, name: value}


def _filled(member: str | Mapping[str, str], room: str) -> object:
    if isinstance(member, str):
        return room if member == ROOM else member
    return {name: room if text == ROOM else text for name, text in member.items()}
