"""Which callers lose their access, by every kind of credential that a command can have."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.callers.issuer import NAME, SUBJECT, Key, forge
from tests.support.spiffe import SpiffeCa
from tokenauthority.callers.api_keys import digest, new_api_key
from tokenauthority.callers.identity import ApiKeyIdentity, Identity, JwtIdentity, SpiffeIdentity
from tokenauthority.callers.registry import CallerEntry, CallerRegistry
from tokenauthority.cli.own_caller import lost_callers
from tokenauthority.client.connection import Connection
from tokenauthority.domain.caller import Caller, CallerKind, Grant


API_KEY = new_api_key()
NOBODY = CallerRegistry([])


def _registry(identity: Identity) -> CallerRegistry:
    grant = Grant(projects=frozenset(), actions=frozenset())
    caller = Caller(name="own", kind=CallerKind.API_KEY, identity=str(identity), grant=grant)
    return CallerRegistry([CallerEntry(caller, identity)])


@pytest.mark.parametrize("kind", ["api_key", "jwt", "spiffe"])
def test_finds_the_caller_by_each_kind_of_credential(kind: str, tmp_path: Path) -> None:
    """It is lost only if it was there before, and is not there after."""
    token, certificate = tmp_path / "token", tmp_path / "cert.pem"
    token.write_text(forge(Key("a")))
    certificate.write_bytes(SpiffeCa("a").workload("/own").chain)
    proofs: dict[str, tuple[Connection, Identity]] = {
        "api_key": (Connection(address="a:1", api_key=API_KEY), ApiKeyIdentity(digest(API_KEY))),
        "jwt": (Connection(address="a:1", token_file=str(token)), JwtIdentity(NAME, SUBJECT)),
        "spiffe": (
            Connection(address="a:1", cert_file=str(certificate), key_file="k"),
            SpiffeIdentity("spiffe://a/own"),
        ),
    }
    connection, identity = proofs[kind]
    own, other = _registry(identity), _registry(SpiffeIdentity("spiffe://a/other"))

    assert ["own"] == lost_callers(connection, own, NOBODY)
    assert [] == lost_callers(connection, own, own)
    assert [] == lost_callers(connection, other, NOBODY)


def test_a_credential_that_cannot_be_read_is_nobody(tmp_path: Path) -> None:
    """The call itself says what is wrong with it."""
    token, certificate = tmp_path / "token", tmp_path / "cert.pem"
    token.write_text("ey.ey.")
    certificate.write_text("no PEM")
    own = _registry(ApiKeyIdentity(digest(API_KEY)))

    for connection in (
        Connection(address="a:1", token_file=str(token)),
        Connection(address="a:1", token_file=str(tmp_path / "none")),
        Connection(address="a:1", cert_file=str(certificate), key_file="k"),
        Connection(address="a:1", cert_file=str(tmp_path / "none"), key_file="k"),
    ):
        assert [] == lost_callers(connection, own, NOBODY)
