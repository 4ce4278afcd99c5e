"""List the built-in roles, and manage the roles that a project defines."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

import attrs

from tokenauthority.authority.tenant_cache import TenantCache
from tokenauthority.domain.caller import ANY, Caller
from tokenauthority.domain.change import ChangeKind
from tokenauthority.domain.errors import (
    AlreadyExistsError,
    FieldViolation,
    InvalidRequestError,
    NotFoundError,
    PreconditionError,
    Reason,
    UnavailableError,
    require_valid,
)
from tokenauthority.domain.ids import is_role_name
from tokenauthority.domain.policy import require_no_widening
from tokenauthority.domain.role import BUILT_IN_ROLES, ROLE_NAME_RULE, Permission, Role, role_violations
from tokenauthority.domain.times import Millis
from tokenauthority.storage.store import RoleStore


_BUILT_IN: Final = tuple(BUILT_IN_ROLES.values())


class Roles:
    """The use cases of RoleService. *callers_naming* returns whose grant names a role of a project now, on any thread.

    The caller's grant has already been checked for the project ids. Whether a role would be widened is decided within
    the transaction that changes it, on the roles and the callers file as they are then. They raise what the contract
    names for the RPC, and UnavailableError.
    """

    def __init__(
        self, store: RoleStore, tenants: TenantCache, callers_naming: Callable[[str, str], frozenset[str]]
    ) -> None:
        self._store = store
        self._tenants = tenants
        self._callers_naming = callers_naming

    async def list_all(self, project_id: str) -> Sequence[Role]:
        """Return the built-in roles, then those of the project by name."""
        await self._tenants.require_tenant(project_id)
        return [*_BUILT_IN, *await self._store.list_roles(project_id)]

    async def get(self, project_id: str, name: str) -> Role:
        """Return one role."""
        _require_name(name)
        await self._tenants.require_tenant(project_id)
        role = await self._tenants.role(project_id, name)
        if role is None:
            raise NotFoundError.role(name, self._tenants.role_names(project_id))
        return role

    async def create(self, role: Role, caller: Caller, problems: Sequence[FieldViolation] = ()) -> Role:
        """Store a new role and return it. *problems* were found before; they are raised together with others.

        Of a name that another caller's grant names, only a caller who may grant every role makes one.
        """
        require_valid([*problems, *role_violations(role)])
        if role.name in BUILT_IN_ROLES:
            raise AlreadyExistsError(Reason.ROLE_EXISTS, "role", role.name)

        def check(roles: Sequence[Role]) -> None:
            named = ANY not in caller.grant.roles and self._named_by_others(role, caller)
            require_no_widening(role, (), roles=[*_BUILT_IN, *roles], grant=caller.grant, named_by_others=named)

        await self._store.create_role(role, check)
        self._tenants.invalidate(ChangeKind.ROLE, role.project_id, role.name)
        return role

    async def update(
        self,
        project_id: str,
        name: str,
        caller: Caller,
        now: Millis,
        *,
        permissions: tuple[Permission, ...] | None,
        description: str | None,
        problems: Sequence[FieldViolation] = (),
    ) -> Role:
        """Change permissions, description or both, and return the role; None leaves one unchanged.

        For *problems* see `create`.
        """
        with_changes = partial(_changed, permissions=permissions, description=description, now=now)
        # The fields that stay were valid when they were stored.
        require_valid([*problems, *role_violations(with_changes(Role(name=name, permissions=tuple(Permission))))])
        await self._require_changeable(project_id, name)

        def change(role: Role, roles: Sequence[Role]) -> Role:
            changed = with_changes(role)
            if changed.unreadable:
                raise UnavailableError.seal_broken(f"the role {name}: {changed.unreadable}")
            named = self._named_by_others(role, caller)
            require_no_widening(
                changed, role.permissions, roles=[*_BUILT_IN, *roles], grant=caller.grant, named_by_others=named
            )
            return changed

        role = await self._store.update_role(project_id, name, change)
        self._tenants.invalidate(ChangeKind.ROLE, project_id, name)
        return role

    async def delete(self, project_id: str, name: str) -> None:
        """Delete a role that no caller's grant names."""
        _require_name(name)
        await self._require_changeable(project_id, name)
        there = any(role.name == name for role in await self._store.list_roles(project_id))
        if there and self._callers_naming(project_id, name):
            raise PreconditionError(Reason.ROLE_IN_USE, name, f"a caller's grant names the role {name}")
        await self._store.delete_role(project_id, name)
        self._tenants.invalidate(ChangeKind.ROLE, project_id, name)

    def _named_by_others(self, role: Role, caller: Caller) -> bool:
        return bool(self._callers_naming(role.project_id, role.name) - {caller.name})

    async def _require_changeable(self, project_id: str, name: str) -> None:
        await self._tenants.require_tenant(project_id)
        if name in BUILT_IN_ROLES:
            raise PreconditionError(Reason.ROLE_BUILT_IN, name, f"the role {name} is built in and cannot be changed")


def _changed(role: Role, *, permissions: tuple[Permission, ...] | None, description: str | None, now: Millis) -> Role:
    if permissions is not None:
        role = attrs.evolve(role, permissions=permissions, unreadable="")
    if description is not None:
        role = attrs.evolve(role, description=description)
    return attrs.evolve(role, update_time=now)


def _require_name(name: str) -> None:
    """Raise for a malformed role name, before it gets into any message."""
    if not is_role_name(name):
        raise InvalidRequestError([FieldViolation("name", ROLE_NAME_RULE)])
