"""The services of the contract, and the methods that they have."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tokenauthority.v1 import key_pb2, project_pb2, role_pb2, session_pb2, token_pb2


if TYPE_CHECKING:
    from collections.abc import Iterable

    from google.protobuf.descriptor import ServiceDescriptor


_DESCRIPTORS: Final[tuple[ServiceDescriptor, ...]] = tuple(
    descriptor
    for module in (session_pb2, token_pb2, role_pb2, project_pb2, key_pb2)
    for descriptor in module.DESCRIPTOR.services_by_name.values()
)

SERVICES: Final = tuple(descriptor.full_name for descriptor in _DESCRIPTORS)
"""Full names, such as `tokenauthority.v1.TokenService`."""


def methods_of(services: Iterable[str]) -> frozenset[str]:
    """The methods of *services* as gRPC names them: `/package.Service/Method`."""
    wanted = frozenset(services)
    return frozenset(
        f"/{descriptor.full_name}/{method.name}"
        for descriptor in _DESCRIPTORS
        if descriptor.full_name in wanted
        for method in descriptor.methods
    )
