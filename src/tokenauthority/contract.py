"""What the contract says about each RPC, read from the descriptors of `protos/`: see `options.proto`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.descriptor_pb2 import MethodOptions

from tokenauthority.v1 import key_pb2, options_pb2, project_pb2, role_pb2, session_pb2, token_pb2


@dataclass(frozen=True, slots=True)
class Method:
    """One RPC.

    Attributes:
        descriptor: Its protobuf descriptor, which knows the types of its messages.
        service: Full name of its service, such as `tokenauthority.v1.TokenService`.
        name: Its name in the service, such as `GenerateToken`.
        required_action: What the caller's grant must name, such as `tokens.generate`. Empty if the contract lacks it.
        idempotency: Protobuf's `idempotency_level`.
        retry_on_unavailable_only: Whether clients retry it on fewer statuses than other idempotent RPCs.
    """

    descriptor: MethodDescriptor
    service: str
    name: str
    required_action: str
    idempotency: MethodOptions.IdempotencyLevel.ValueType
    retry_on_unavailable_only: bool

    @property
    def path(self) -> str:
        """Return the name that gRPC calls it by: `/package.Service/Method`."""
        return f"/{self.service}/{self.name}"

    @property
    def has_side_effects(self) -> bool:
        """Return whether it changes what the authority stores."""
        return self.idempotency != MethodOptions.NO_SIDE_EFFECTS

    @property
    def is_idempotent(self) -> bool:
        """Return whether a second call changes nothing more than the first."""
        return self.idempotency != MethodOptions.IDEMPOTENCY_UNKNOWN


def _methods() -> Iterator[Method]:
    for module in (session_pb2, token_pb2, role_pb2, project_pb2, key_pb2):
        for service in module.DESCRIPTOR.services_by_name.values():
            for descriptor in service.methods:
                options = descriptor.GetOptions()
                yield Method(
                    descriptor=descriptor,
                    service=service.full_name,
                    name=descriptor.name,
                    required_action=options.Extensions[options_pb2.required_action],
                    idempotency=options.idempotency_level,
                    retry_on_unavailable_only=options.Extensions[options_pb2.retry_on_unavailable_only],
                )


METHODS: Final[Mapping[str, Method]] = {method.path: method for method in _methods()}
"""Every RPC by its path, in the order of the contract."""

SERVICES: Final = tuple(dict.fromkeys(method.service for method in METHODS.values()))
"""Full names of the services, such as `tokenauthority.v1.TokenService`."""
