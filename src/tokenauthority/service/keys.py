"""KeyService: map its requests to the use cases of signing keys, and their results to its answers."""

from __future__ import annotations

import re

from collections.abc import Callable
from typing import Final

import attrs

from google.protobuf.duration_pb2 import Duration

from tokenauthority.authority.signing_keys import SigningKeyManager
from tokenauthority.domain.errors import FieldViolation, require_valid
from tokenauthority.domain.revocation import comment_violations
from tokenauthority.service import mapping, paging
from tokenauthority.service.problems import Problems
from tokenauthority.service.rpc import Rpc
from tokenauthority.v1 import key_pb2 as pb


_KEY_ID: Final = re.compile(r"[A-Za-z0-9_-]{43}", re.ASCII)


@attrs.frozen(eq=False, repr=False)
class KeyServicer:
    """The RPCs of KeyService."""

    _keys: SigningKeyManager
    _issuer: str
    _jwks_max_age: Callable[[], int] = attrs.field(kw_only=True)
    _require_current: Callable[[], None] = attrs.field(kw_only=True)

    async def get_json_web_key_set(
        self, _request: pb.GetJsonWebKeySetRequest, _rpc: Rpc
    ) -> pb.GetJsonWebKeySetResponse:
        """Answer GetJsonWebKeySet."""
        self._require_current()
        key_set = self._keys.key_set
        return pb.GetJsonWebKeySetResponse(
            keys=[pb.JsonWebKey(**jwk) for jwk in key_set.keys],
            json=key_set.body.decode(),
            max_age=Duration(seconds=self._jwks_max_age()),
            issuer=self._issuer,
        )

    async def list_signing_keys(self, request: pb.ListSigningKeysRequest, _rpc: Rpc) -> pb.ListSigningKeysResponse:
        """Answer ListSigningKeys."""
        problems = Problems()
        size, position = paging.requested_page(request, "keys", int, problems)
        problems.raise_if_any()
        start = max(position or 0, 0)
        keys = await self._keys.stored()
        page, next_page = paging.cut_page(keys[start : start + size + 1], size, "keys", lambda _: start + size)
        return pb.ListSigningKeysResponse(keys=map(mapping.key_message, page), next_page_token=next_page)

    async def prepare_signing_key(self, request: pb.PrepareSigningKeyRequest, rpc: Rpc) -> pb.PrepareSigningKeyResponse:
        """Answer PrepareSigningKey."""
        key = await self._keys.prepare(mapping.algorithm(request.algorithm), rpc.now)
        return pb.PrepareSigningKeyResponse(key=mapping.key_message(key))

    async def activate_signing_key(
        self, request: pb.ActivateSigningKeyRequest, rpc: Rpc
    ) -> pb.ActivateSigningKeyResponse:
        """Answer ActivateSigningKey."""
        key = await self._keys.activate(_recorded_key_id(request.key_id, "", rpc), rpc.now)
        return pb.ActivateSigningKeyResponse(key=mapping.key_message(key))

    async def revoke_signing_key(self, request: pb.RevokeSigningKeyRequest, rpc: Rpc) -> pb.RevokeSigningKeyResponse:
        """Answer RevokeSigningKey."""
        key = await self._keys.revoke(_recorded_key_id(request.key_id, request.comment, rpc), rpc.now)
        return pb.RevokeSigningKeyResponse(key=mapping.key_message(key))


def _recorded_key_id(key_id: str, comment: str, rpc: Rpc) -> str:
    """Return *key_id*; record it and *comment* once both are valid, as anything else could be a secret."""
    violations = comment_violations(comment)
    if _KEY_ID.fullmatch(key_id) is None:
        violations = [FieldViolation("key_id", "must be the 43 characters of a kid"), *violations]
    require_valid(violations)
    rpc.record.key_id, rpc.record.comment = key_id, comment
    return key_id
