"""KeyService: map its requests to the use cases of signing keys, and their results to its answers."""

from __future__ import annotations

import re

from functools import partial
from typing import TYPE_CHECKING, Final

from google.protobuf.duration_pb2 import Duration

from tokenauthority.domain.errors import FieldViolation, InvalidRequestError
from tokenauthority.domain.revocation import comment_violations
from tokenauthority.service import mapping, paging
from tokenauthority.service.problems import Problems
from tokenauthority.v1 import key_pb2


if TYPE_CHECKING:
    from collections.abc import Callable

    from tokenauthority.authority.signing_keys import SigningKeyManager
    from tokenauthority.service.rpc import Rpc


_KEY_ID: Final = re.compile(r"[A-Za-z0-9_-]{43}", re.ASCII)


class KeyServicer:
    """The RPCs of KeyService."""

    def __init__(
        self,
        keys: SigningKeyManager,
        issuer: str,
        *,
        jwks_max_age: Callable[[], int],
        require_current: Callable[[], None],
    ) -> None:
        self._keys = keys
        self._require_current = require_current
        self._issuer = issuer
        self._jwks_max_age = jwks_max_age

    async def get_json_web_key_set(
        self, _request: key_pb2.GetJsonWebKeySetRequest, _rpc: Rpc
    ) -> key_pb2.GetJsonWebKeySetResponse:
        """Answer GetJsonWebKeySet."""
        self._require_current()
        key_set = self._keys.key_set
        return key_pb2.GetJsonWebKeySetResponse(
            keys=[key_pb2.JsonWebKey(**jwk) for jwk in key_set.keys],
            json=key_set.body.decode(),
            max_age=Duration(seconds=self._jwks_max_age()),
            issuer=self._issuer,
        )

    async def list_signing_keys(
        self, request: key_pb2.ListSigningKeysRequest, _rpc: Rpc
    ) -> key_pb2.ListSigningKeysResponse:
        """Answer ListSigningKeys."""
        problems = Problems()
        size = problems.value_or(partial(paging.page_size, request.page_size), 0)
        start = problems.value_or(partial(paging.position, request.page_token, "keys", int), None) or 0
        problems.raise_if_any()
        keys = await self._keys.stored()
        page, last = paging.cut(keys[max(start, 0) :][: size + 1], size)
        return key_pb2.ListSigningKeysResponse(
            keys=[mapping.key_message(key) for key in page],
            next_page_token=paging.next_token("keys", start + size) if last else "",
        )

    async def prepare_signing_key(
        self, request: key_pb2.PrepareSigningKeyRequest, rpc: Rpc
    ) -> key_pb2.PrepareSigningKeyResponse:
        """Answer PrepareSigningKey."""
        key = await self._keys.prepare(mapping.algorithm(request.algorithm), rpc.now)
        return key_pb2.PrepareSigningKeyResponse(key=mapping.key_message(key))

    async def activate_signing_key(
        self, request: key_pb2.ActivateSigningKeyRequest, rpc: Rpc
    ) -> key_pb2.ActivateSigningKeyResponse:
        """Answer ActivateSigningKey."""
        key_id = _recorded_key_id(request.key_id, "", rpc)
        key = await self._keys.activate(key_id, rpc.now)
        return key_pb2.ActivateSigningKeyResponse(key=mapping.key_message(key))

    async def revoke_signing_key(
        self, request: key_pb2.RevokeSigningKeyRequest, rpc: Rpc
    ) -> key_pb2.RevokeSigningKeyResponse:
        """Answer RevokeSigningKey."""
        key_id = _recorded_key_id(request.key_id, request.comment, rpc)
        key = await self._keys.revoke(key_id, rpc.now)
        return key_pb2.RevokeSigningKeyResponse(key=mapping.key_message(key))


def _recorded_key_id(key_id: str, comment: str, rpc: Rpc) -> str:
    """Return *key_id*; record it and *comment* once both are valid, as anything else could be a secret."""
    violations = comment_violations(comment)
    if _KEY_ID.fullmatch(key_id) is None:
        violations = [FieldViolation("key_id", "must be the 43 characters of a kid"), *violations]
    if violations:
        raise InvalidRequestError(violations)
    rpc.record.key_id, rpc.record.comment = key_id, comment
    return key_id
