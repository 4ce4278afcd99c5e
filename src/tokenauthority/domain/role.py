"""Roles: named sets of permissions, four built in and any that a project defines."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Final

import attrs

from tokenauthority.domain.errors import FieldViolation, stored_text_violations
from tokenauthority.domain.ids import is_role_name
from tokenauthority.domain.times import Millis


class Permission(StrEnum):
    """What a person may do in a session; the value is the one in tokens."""

    SUBSCRIBE = "subscribe"
    PUBLISH = "publish"
    SIGNAL = "signal"
    FORCE_DISCONNECT = "force_disconnect"
    FORCE_UNPUBLISH = "force_unpublish"
    FORCE_MUTE = "force_mute"


@attrs.frozen(kw_only=True)
class Role:
    """A named set of permissions; a built-in one has no project and no times.

    `unreadable` says which value of its row nobody can read; empty if all can be read.
    """

    name: str
    permissions: tuple[Permission, ...]
    project_id: str = ""
    description: str = ""
    create_time: Millis | None = None
    update_time: Millis | None = None
    unreadable: str = ""

    @property
    def built_in(self) -> bool:
        """Return whether every project has it and nobody can change it."""
        return not self.project_id

    def with_values_of(self, changed: Role) -> Role:
        """Return this role with the changeable values of *changed*."""
        return attrs.evolve(
            self,
            permissions=changed.permissions,
            description=changed.description,
            update_time=changed.update_time,
            unreadable=changed.unreadable,
        )


DEFAULT_ROLE: Final = "publisher"
MAX_ROLES: Final = 100
MAX_DESCRIPTION: Final = 256
ROLE_NAME_RULE: Final = "must be 1 to 63 of a-z, 0-9, '-' and '_', starting with a letter"

BUILT_IN_ROLES: Final[Mapping[str, Role]] = {
    role.name: role
    for role in (
        Role(name="subscriber", permissions=(Permission.SUBSCRIBE,)),
        Role(name="publisher", permissions=(Permission.SUBSCRIBE, Permission.PUBLISH, Permission.SIGNAL)),
        Role(name="publisheronly", permissions=(Permission.PUBLISH,)),
        Role(name="moderator", permissions=tuple(Permission)),
    )
}


_ORDER: Final = {permission: place for place, permission in enumerate(Permission)}


def in_order(permissions: Iterable[Permission]) -> tuple[Permission, ...]:
    """Return *permissions*, each once, in the order of the enum."""
    return tuple(sorted(set(permissions), key=_ORDER.__getitem__))


def role_violations(role: Role) -> list[FieldViolation]:
    """Return what is wrong with a role that a project wants to define."""
    found = []
    if not is_role_name(role.name):
        found.append(FieldViolation("name", ROLE_NAME_RULE))
    if not role.permissions:
        found.append(FieldViolation("permissions", "must name at least one permission"))
    return found + stored_text_violations("description", role.description, MAX_DESCRIPTION)
