"""Judges tokens by PyJWT and the standard library: nothing of what is tested decides whether an answer is right."""

from __future__ import annotations

import base64
import hmac
import json

from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import parse_qs

import attrs
import jwt

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from tokenauthority.v1 import token_pb2


ISSUER: Final = "https://tokens.example"

SESSION_JWT: Final = token_pb2.TOKEN_FORMAT_SESSION_JWT
OPENTOK_T1: Final = token_pb2.TOKEN_FORMAT_OPENTOK_T1
OPENTOK_JWT: Final = token_pb2.TOKEN_FORMAT_OPENTOK_JWT
VONAGE_JWT: Final = token_pb2.TOKEN_FORMAT_VONAGE_JWT


@attrs.frozen(kw_only=True)
class Keys:
    """What verifies the tokens of one store: its key set, the secret of its project, the key of its application."""

    project_id: str
    secret: str = attrs.field(repr=False)
    vonage_project_id: str
    application_id: str
    application_key: RSAPublicKey = attrs.field(repr=False)
    key_set: jwt.PyJWKSet

    def problem(self, wanted: token_pb2.TokenRequest, token: token_pb2.Token) -> str:
        """Say why *token* is not the one that was *wanted*; empty for the right one."""
        try:
            said = self._read(token)
        except (jwt.PyJWTError, ValueError, LookupError) as error:
            return f"the token does not verify: {type(error).__name__} {error}"
        lifetime = token.expire_time.seconds - token.issue_time.seconds
        right = {
            "session_id": wanted.session_id,
            "role": wanted.role,
            "data": wanted.data,
            "subject": wanted.subject,
            "layout": tuple(wanted.initial_layout_class_list),
            "issued": token.issue_time.seconds,
            "expires": token.issue_time.seconds + wanted.ttl.seconds,
            "token_id": token.token_id,
        }
        wrong = [f"{name} is {said[name]!r} and not {value!r}" for name, value in right.items() if said[name] != value]
        answered = (token.session_id, token.role, token.format, lifetime)
        asked = (wanted.session_id, wanted.role, wanted.format, wanted.ttl.seconds)
        if answered != asked:
            wrong.append(f"{answered} is answered to {asked}")
        return "; ".join(wrong)

    def _read(self, token: token_pb2.Token) -> Mapping[str, object]:
        if token.format == OPENTOK_T1:
            return self._read_t1(token.token)
        said = self._read_jwt(token)
        layout = said.get("initial_layout_class_list", ())
        return {
            "session_id": said["session_id"],
            "role": said["role"],
            "data": said.get("connection_data", ""),
            "subject": said.get("sub", "") if token.format == SESSION_JWT else "",
            "layout": tuple(layout.split() if isinstance(layout, str) else layout),
            "issued": said["iat"],
            "expires": said["exp"],
            "token_id": said.get("jti", token.token_id),
        }

    def _read_jwt(self, token: token_pb2.Token) -> Mapping[str, Any]:
        if token.format == SESSION_JWT:
            key = self.key_set[str(jwt.get_unverified_header(token.token)["kid"])]
            said = _decode(token.token, key, key.algorithm_name)
            expected = {"iss": ISSUER, "aud": token.project_id}
        elif token.format == OPENTOK_JWT:
            said = _decode(token.token, self.secret, "HS256")
            expected = {"iss": self.project_id, "ist": "project"}
        else:
            said = _decode(token.token, self.application_key, "RS256")
            expected = {"application_id": self.application_id, "sub": "video"}
        if not expected.items() <= said.items():
            raise ValueError(f"{expected} is not in it")
        return said

    def _read_t1(self, token: str) -> Mapping[str, object]:
        inner = base64.b64decode(token.removeprefix("T1=="))
        meta, _, data = inner.decode().partition(":")
        outer = _fields(meta)
        signature = hmac.digest(self.secret.encode(), data.encode(), "sha1").hex()
        if (outer["partner_id"], outer["sig"]) != (self.project_id, signature):
            raise ValueError("the signature or the partner_id is wrong")
        said = _fields(data)
        return {
            "session_id": said["session_id"],
            "role": said["role"],
            "data": said.get("connection_data", ""),
            "subject": "",
            "layout": tuple(said.get("initial_layout_class_list", "").split()),
            "issued": int(said["create_time"]),
            "expires": int(said["expire_time"]),
            "token_id": signature,
        }


def key_set_of(document: str) -> jwt.PyJWKSet:
    """Read a JWKS."""
    return jwt.PyJWKSet.from_dict(json.loads(document))


def claims_problem(wanted: token_pb2.TokenRequest, token: token_pb2.Token, claims: token_pb2.TokenClaims) -> str:
    """Say in what the *claims* of a verdict differ from the token that was made; empty if in nothing."""
    right = (wanted.session_id, wanted.role, wanted.data, wanted.subject, token.token_id, token.format)
    said = (claims.session_id, claims.role, claims.data, claims.subject, claims.token_id, claims.format)
    times = (claims.issue_time, claims.expire_time) == (token.issue_time, token.expire_time)
    return "" if right == said and times else f"the verdict is about {said} and not {right}"


def _decode(token: str, key: Any, algorithm: str) -> Mapping[str, Any]:
    found: Mapping[str, Any] = json.loads(jwt.PyJWS().decode(token, key, algorithms=[algorithm]))
    return found


def _fields(query: str) -> Mapping[str, str]:
    return {name: _single(values) for name, values in parse_qs(query, strict_parsing=False).items()}


def _single(values: Sequence[str]) -> str:
    if len(values) != 1:
        raise ValueError("a field stands twice")
    return values[0]
