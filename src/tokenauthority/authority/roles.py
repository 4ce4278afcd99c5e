"""List the built-in roles, and manage the roles that a project defines."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import attrs

from tokenauthority.authority.tenant_cache import TenantCache
from tokenauthority.domain.change import ChangeKind
from tokenauthority.domain.errors import (
    AlreadyExistsError,
    FieldViolation,
    InvalidRequestError,
    NotFoundError,
    PreconditionError,
    Reason,
    require_valid,
)
from tokenauthority.domain.ids import is_role_name
from tokenauthority.domain.role import BUILT_IN_ROLES, ROLE_NAME_RULE, Permission, Role, role_violations
from tokenauthority.domain.times import Millis
from tokenauthority.storage.store import RoleStore


class Roles:
    """The use cases of RoleService. *named_in_a_grant* returns whether a caller's grant names a role of a project.

    The caller's grant has already been checked for the project ids. They raise what the contract names for
    the RPC, and UnavailableError.
    """

    def __init__(self, store: RoleStore, tenants: TenantCache, named_in_a_grant: Callable[[str, str], bool]) -> None:
        self._store = store
        self._tenants = tenants
        self._named_in_a_grant = named_in_a_grant

    async def list_all(self, project_id: str) -> Sequence[Role]:
        """Return the built-in roles, then those of the project by name."""
        await self._tenants.require_tenant(project_id)
        return [*BUILT_IN_ROLES.values(), *await self._store.list_roles(project_id)]

    async def get(self, project_id: str, name: str) -> Role:
        """Return one role."""
        _require_name(name)
        await self._tenants.require_tenant(project_id)
        role = await self._tenants.role(project_id, name)
        if role is None:
            raise NotFoundError.role(name)
        return role

    async def create(self, role: Role, problems: Sequence[FieldViolation] = ()) -> Role:
        """Store a new role and return it. *problems* were found before; they are raised together with others."""
        require_valid([*problems, *role_violations(role)])
        if role.name in BUILT_IN_ROLES:
            raise AlreadyExistsError(Reason.ROLE_EXISTS, "role", role.name)
        await self._store.create_role(role)
        self._tenants.invalidate(ChangeKind.ROLE, role.project_id, role.name)
        return role

    async def update(
        self,
        project_id: str,
        name: str,
        now: Millis,
        *,
        permissions: tuple[Permission, ...] | None,
        description: str | None,
        problems: Sequence[FieldViolation] = (),
    ) -> Role:
        """Change permissions, description or both, and return the role; None leaves one unchanged.

        For *problems* see `create`.
        """

        def change(role: Role) -> Role:
            return attrs.evolve(
                role,
                permissions=role.permissions if permissions is None else permissions,
                description=role.description if description is None else description,
                update_time=now,
            )

        # The fields that stay were valid when they were stored.
        require_valid([*problems, *role_violations(change(Role(name=name, permissions=tuple(Permission))))])
        await self._require_changeable(project_id, name)
        role = await self._store.update_role(project_id, name, change)
        self._tenants.invalidate(ChangeKind.ROLE, project_id, name)
        return role

    async def delete(self, project_id: str, name: str) -> None:
        """Delete a role that no caller's grant names."""
        _require_name(name)
        await self._require_changeable(project_id, name)
        there = any(role.name == name for role in await self._store.list_roles(project_id))
        if there and self._named_in_a_grant(project_id, name):
            raise PreconditionError(Reason.ROLE_IN_USE, name, f"a caller's grant names the role {name}")
        await self._store.delete_role(project_id, name)
        self._tenants.invalidate(ChangeKind.ROLE, project_id, name)

    async def _require_changeable(self, project_id: str, name: str) -> None:
        await self._tenants.require_tenant(project_id)
        if name in BUILT_IN_ROLES:
            raise PreconditionError(Reason.ROLE_BUILT_IN, name, f"the role {name} is built in and cannot be changed")


def _require_name(name: str) -> None:
    """Raise for a malformed role name, before it gets into any message."""
    if not is_role_name(name):
        raise InvalidRequestError([FieldViolation("name", ROLE_NAME_RULE)])
