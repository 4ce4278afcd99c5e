"""Find the caller that a command itself is, so that no command takes its own access away in the middle of its work."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from tokenauthority.callers.api_keys import digest, is_api_key
from tokenauthority.callers.identity import ApiKeyIdentity, Identity, JwtIdentity, SpiffeIdentity


if TYPE_CHECKING:
    from tokenauthority.callers.registry import CallerRegistry
    from tokenauthority.client.connection import Connection


def lost_callers(connection: Connection, before: CallerRegistry, after: CallerRegistry) -> list[str]:
    """Return the names of the callers that the credentials of *connection* prove *before*, and no longer *after*."""
    return [
        caller.name
        for identity in _identities(connection)
        if (caller := before.find_caller(identity)) is not None and after.find_caller(identity) is None
    ]


def _identities(connection: Connection) -> Iterator[Identity]:
    """Yield what the credentials say, unverified; nothing for those that cannot be read, which prove nobody."""
    from tokenauthority.callers.jwt_rules import read_jwt, subject_of
    from tokenauthority.client.credentials import read_token
    from tokenauthority.client.errors import AuthorityError
    from tokenauthority.domain.token import TokenRejectedError
    from tokenauthority.signing.claims import short_text

    if connection.cert_file:
        yield from _spiffe_ids(Path(connection.cert_file))
    try:
        bearer = read_token(connection.token_file) if connection.token_file else connection.api_key
        if is_api_key(bearer):
            yield ApiKeyIdentity(digest(bearer))
        elif bearer:
            jws = read_jwt(bearer)
            yield JwtIdentity(short_text(jws.payload, "iss", len(bearer)), subject_of(jws))
    except (AuthorityError, TokenRejectedError):
        return


def _spiffe_ids(path: Path) -> Iterator[SpiffeIdentity]:
    from cryptography import x509

    try:
        extensions = x509.load_pem_x509_certificate(path.read_bytes()).extensions
        names = extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (OSError, ValueError, x509.ExtensionNotFound):
        return
    yield from map(SpiffeIdentity, names.get_values_for_type(x509.UniformResourceIdentifier))
