"""KeyService: maps to and from the use cases of signing keys."""

from __future__ import annotations

import re

from functools import partial
from typing import TYPE_CHECKING, Final

from google.protobuf.duration_pb2 import Duration

from tokenauthority.context import audit_record
from tokenauthority.domain.errors import FieldViolation, InvalidRequestError
from tokenauthority.domain.revocation import comment_violations
from tokenauthority.service import mapping, paging
from tokenauthority.service.context import Context
from tokenauthority.service.problems import Problems
from tokenauthority.v1 import key_pb2, key_pb2_grpc


if TYPE_CHECKING:
    from collections.abc import Callable

    from tokenauthority.authority.signing_keys import SigningKeyManager
    from tokenauthority.domain.times import Millis


_KEY_ID: Final = re.compile(r"[A-Za-z0-9_-]{43}", re.ASCII)


class KeyServicer(key_pb2_grpc.KeyServiceServicer):
    """Signing keys over gRPC."""

    def __init__(
        self,
        keys: SigningKeyManager,
        issuer: str,
        *,
        jwks_max_age: Callable[[], int],
        require_current: Callable[[], None],
        clock: Callable[[], Millis],
    ) -> None:
        self._keys = keys
        self._require_current = require_current
        self._issuer = issuer
        self._jwks_max_age = jwks_max_age
        self._clock = clock

    async def GetJsonWebKeySet(
        self, request: key_pb2.GetJsonWebKeySetRequest, context: Context
    ) -> key_pb2.GetJsonWebKeySetResponse:
        """See the contract."""
        self._require_current()
        key_set = self._keys.key_set
        return key_pb2.GetJsonWebKeySetResponse(
            keys=[key_pb2.JsonWebKey(**jwk) for jwk in key_set.keys],
            json=key_set.body.decode(),
            max_age=Duration(seconds=self._jwks_max_age()),
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

    async def PrepareSigningKey(
        self, request: key_pb2.PrepareSigningKeyRequest, context: Context
    ) -> key_pb2.PrepareSigningKeyResponse:
        """See the contract."""
        key = await self._keys.prepare(mapping.algorithm(request.algorithm), self._clock())
        audit_record().key_id = key.key_id
        return key_pb2.PrepareSigningKeyResponse(key=mapping.key_message(key))

    async def ActivateSigningKey(
        self, request: key_pb2.ActivateSigningKeyRequest, context: Context
    ) -> key_pb2.ActivateSigningKeyResponse:
        """See the contract."""
        problems = Problems()
        key_id = problems.read(partial(_key_id, request.key_id), "")
        problems.refuse()
        audit_record().key_id = key_id
        key = await self._keys.activate(key_id, self._clock())
        return key_pb2.ActivateSigningKeyResponse(key=mapping.key_message(key))

    async def RevokeSigningKey(
        self, request: key_pb2.RevokeSigningKeyRequest, context: Context
    ) -> key_pb2.RevokeSigningKeyResponse:
        """See the contract."""
        problems = Problems()
        key_id = problems.read(partial(_key_id, request.key_id), "")
        comment = problems.read(partial(_comment, request.comment), "")
        problems.refuse()
        record = audit_record()
        record.key_id, record.comment = key_id, comment
        key = await self._keys.revoke(key_id, self._clock())
        return key_pb2.RevokeSigningKeyResponse(key=mapping.key_message(key))


def _key_id(text: str) -> str:
    if _KEY_ID.fullmatch(text) is None:
        raise InvalidRequestError([FieldViolation("key_id", "must be the 43 characters of a kid")])
    return text


def _comment(text: str) -> str:
    violations = comment_violations(text)
    if violations:
        raise InvalidRequestError(violations)
    return text
