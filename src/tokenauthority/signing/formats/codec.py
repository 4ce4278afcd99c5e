"""What a codec is: how to recognise, read, make and verify the tokens of one format."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeAlias, TypeVar

import attrs
import msgspec

from tokenauthority.domain.token import GeneratedToken, TokenTerms
from tokenauthority.domain.token_format import TokenFormat
from tokenauthority.signing.jose import CompactJws, SignatureVerifier
from tokenauthority.signing.keyring import KeyRing
from tokenauthority.signing.project_keys import ProjectKeys, ProjectSecret, VonageKey
from tokenauthority.signing.results import Unverified, Verified, key_unknown, malformed, signature_invalid
from tokenauthority.signing.signing_key import SigningKey


CONNECT_SCOPE: Final = "session.connect"
MAX_TOKEN_ID: Final = 255

TokenKey: TypeAlias = SigningKey | ProjectSecret | VonageKey
"""What signs a token; the row of its format (`FormatTraits.signed_by`) says which of them."""

Encoder: TypeAlias = Callable[[str, str, str], GeneratedToken]
"""Returns a new token, given its data, its subject, and what makes it unique: its `jti`, or its nonce in decimal."""

KeyT = TypeVar("KeyT", SigningKey, ProjectSecret, VonageKey)


class TrustedKeys(msgspec.Struct, frozen=True, kw_only=True):
    """Every key that may have signed a token of one project: the authority's, as *issuer*, and the project's own."""

    ring: KeyRing
    issuer: str
    project: ProjectKeys


@attrs.frozen(kw_only=True)
class Codec:
    """How to make and verify the tokens of one format. A `JwsCodec` or a `TextCodec` also reads them.

    *prepare* returns what makes tokens on the same terms, signed with the key, or raises TypeError for a key of another
    kind. It encodes what they have in common, so that a token of a batch costs little more than its signature.
    """

    token_format: TokenFormat
    prepare: Callable[[TokenTerms, TokenKey], Encoder]
    _verify: Callable[[Unverified, TrustedKeys], Verified]

    def verify(self, unverified: Unverified, trusted: TrustedKeys) -> Verified:
        """Return what the token says, once one of the *trusted* keys has signed it.

        Raises:
            TokenRejectedError: `SIGNATURE_INVALID`, or `KEY_UNKNOWN` where none of them can have.
        """
        if unverified.format is not self.token_format:
            raise key_unknown(f"the token is no {self.token_format}")
        return self._verify(unverified, trusted)


@attrs.frozen(kw_only=True)
class JwsCodec(Codec):
    """The codec of a format that is a compact JWS. A JWS must be recognised by one format at most."""

    recognises: Callable[[CompactJws], bool]
    _read: Callable[[CompactJws], Unverified]

    def read(self, jws: CompactJws) -> Unverified:
        """Read *jws* without verifying it, or raise TokenRejectedError, `MALFORMED`; further claims are ignored."""
        if not self.recognises(jws):
            raise malformed("the token is of another format")
        return self._read(jws)


@attrs.frozen(kw_only=True)
class TextCodec(Codec):
    """The codec of a format that is no JWS. It must recognise no compact JWS.

    *read* returns a recognised text unverified, or raises TokenRejectedError, `MALFORMED`.
    """

    recognises: Callable[[str], bool]
    read: Callable[[str], Unverified]


def signed_with(
    key_type: type[KeyT], prepare: Callable[[TokenTerms, KeyT], Encoder]
) -> Callable[[TokenTerms, TokenKey], Encoder]:
    """Return *prepare* for keys of any type, which raises TypeError for one that is no *key_type*."""

    def prepare_checked(terms: TokenTerms, key: TokenKey) -> Encoder:
        if not isinstance(key, key_type):
            raise TypeError(f"{terms.format} does not sign with a {type(key).__name__}")
        return prepare(terms, key)

    return prepare_checked


def verify_with_ring(unverified: Unverified, trusted: TrustedKeys) -> Verified:
    """Return what the token says, once the key of the authority that its `kid` names has signed it.

    Raises:
        TokenRejectedError: `KEY_UNKNOWN` (no such key, a revoked one, or another issuer's token), or
            `SIGNATURE_INVALID`.
    """
    key = trusted.ring.verifying(unverified.key_hint)
    if key is None:
        revoked = trusted.ring.is_revoked(unverified.key_hint)
        raise key_unknown("the signing key is revoked" if revoked else "the authority has no such signing key")
    require_authority_signature(unverified, key.verifier, trusted.issuer)
    return Verified(claims=unverified.claims, key_id=key.key_id)


def require_authority_signature(unverified: Unverified, verifier: SignatureVerifier, issuer: str) -> None:
    """Require that the token is *issuer*'s and bears the signature of the key of *verifier*.

    Raises:
        TokenRejectedError: `SIGNATURE_INVALID`, or `KEY_UNKNOWN` for another issuer's token.
    """
    verifier.verify(unverified)
    if unverified.claims.issuer != issuer:
        raise key_unknown("the token is another issuer's")


def verify_with_secrets(
    unverified: Unverified,
    trusted: TrustedKeys,
    holds: Callable[[ProjectSecret, Unverified], bool] = lambda secret, token: secret.verifier.holds(token),
) -> Verified:
    """Return what the token says, once one of its project's live secrets has signed it. Every secret is tried.

    *holds* answers whether a signature is the secret's; the default is for a JWS.

    Raises:
        TokenRejectedError: `SIGNATURE_INVALID`, or `KEY_UNKNOWN` where the project has no secret or is not the token's.
    """
    keys = trusted.project
    if unverified.claims.project_id != keys.project_id:
        raise key_unknown("the keys are not those of the token's project")
    if not keys.secrets:
        raise key_unknown("the project has no secret")
    fitting = [secret.key_id for secret in keys.secrets if holds(secret, unverified)]
    if not fitting:
        raise signature_invalid()
    return Verified(claims=unverified.claims, key_id=fitting[0])
