"""What the contract says about each RPC, read from the descriptors of `protos/`: see `options.proto`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.descriptor_pb2 import MethodOptions

from tokenauthority.v1 import key_pb2, options_pb2, project_pb2, role_pb2, session_pb2, token_pb2


DEFAULT_REQUEST_BYTES: Final = 64 * 1024
"""Bytes of the largest request of a method that states no other, and of an item of a list. gRPC takes so much of a
request before the server asks for it."""


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
        max_request_bytes: Bytes of the largest request.
        max_items: Items of the only field of a request that is a list; 0 for other requests.
    """

    descriptor: MethodDescriptor
    service: str
    name: str
    required_action: str
    idempotency: MethodOptions.IdempotencyLevel.ValueType
    retry_on_unavailable_only: bool
    max_request_bytes: int
    max_items: int

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
                    max_request_bytes=options.Extensions[options_pb2.max_request_bytes] or DEFAULT_REQUEST_BYTES,
                    max_items=options.Extensions[options_pb2.max_items],
                )


METHODS: Final[Mapping[str, Method]] = {method.path: method for method in _methods()}
"""Every RPC by its path, in the order of the contract."""

SERVICES: Final = tuple(dict.fromkeys(method.service for method in METHODS.values()))
"""Full names of the services, such as `tokenauthority.v1.TokenService`."""

MAX_REQUEST_BYTES: Final = max(method.max_request_bytes for method in METHODS.values())
"""Bytes of the largest request of all methods."""
