"""KeyService: maps to and from the use cases of signing keys."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, NoReturn

from google.protobuf.duration_pb2 import Duration

from tokenauthority.domain.errors import UnimplementedError
from tokenauthority.service import mapping, paging
from tokenauthority.service.context import Context
from tokenauthority.service.problems import Problems
from tokenauthority.v1 import key_pb2, key_pb2_grpc


if TYPE_CHECKING:
    from tokenauthority.authority.keys import Keys


class KeyServicer(key_pb2_grpc.KeyServiceServicer):
    """Signing keys over gRPC."""

    def __init__(self, keys: Keys, issuer: str, jwks_max_age: int) -> None:
        self._keys = keys
        self._issuer = issuer
        self._jwks_max_age = jwks_max_age

    async def GetJsonWebKeySet(
        self, request: key_pb2.GetJsonWebKeySetRequest, context: Context
    ) -> key_pb2.GetJsonWebKeySetResponse:
        """See the contract."""
        key_set = self._keys.key_set
        return key_pb2.GetJsonWebKeySetResponse(
            keys=[key_pb2.JsonWebKey(**jwk) for jwk in key_set.keys],
            json=key_set.body.decode(),
            max_age=Duration(seconds=self._jwks_max_age),
            issuer=self._issuer,
        )

    async def ListSigningKeys(
        self, request: key_pb2.ListSigningKeysRequest, context: Context
    ) -> key_pb2.ListSigningKeysResponse:
        """See the contract."""
        problems = Problems()
        size = problems.read(partial(paging.page_size, request.page_size), 0)
        start = problems.read(partial(paging.position, request.page_token, "keys", int), None) or 0
        problems.refuse()
        keys = await self._keys.stored()
        page, last = paging.cut(keys[max(start, 0) :][: size + 1], size)
        return key_pb2.ListSigningKeysResponse(
            keys=[mapping.key_message(key) for key in page],
            next_page_token=paging.next_token("keys", start + size) if last else "",
        )

    async def PrepareSigningKey(self, request: key_pb2.PrepareSigningKeyRequest, context: Context) -> NoReturn:
        """Not in this version."""
        raise UnimplementedError("PrepareSigningKey")

    async def ActivateSigningKey(self, request: key_pb2.ActivateSigningKeyRequest, context: Context) -> NoReturn:
        """Not in this version."""
        raise UnimplementedError("ActivateSigningKey")

    async def RevokeSigningKey(self, request: key_pb2.RevokeSigningKeyRequest, context: Context) -> NoReturn:
        """Not in this version."""
        raise UnimplementedError("RevokeSigningKey")
