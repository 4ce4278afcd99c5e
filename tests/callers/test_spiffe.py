"""A caller is the one SPIFFE id of its certificate, or the id of the last hop that one header from the proxy names."""

from __future__ import annotations

import contextlib
import functools

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from urllib.parse import quote

import pytest

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding

from tests.support.authority import make_caller
from tokenauthority.callers.authenticator import CredentialError, PresentedCredentials
from tokenauthority.callers.identity import SpiffeIdentity
from tokenauthority.callers.registry import CallerEntry, CallerRegistry, CurrentCallers
from tokenauthority.callers.spiffe import ForwardedAuthenticator, PeerAuthenticator


ID = "spiffe://prod.example/ns/video/sa/room-service"
OTHER = "spiffe://prod.example/ns/video/sa/other"
CALLERS = CurrentCallers(
    CallerRegistry(
        [
            CallerEntry(make_caller("known"), SpiffeIdentity(ID)),
            CallerEntry(make_caller("other"), SpiffeIdentity(OTHER)),
        ]
    )
)


async def peer_is_known(context: Mapping[str, Iterable[bytes]], trust_domain: str = "") -> bool:
    """Whether there is a caller."""
    presented = PresentedCredentials(authorization=("Bearer x",), forwarded=(f"URI={ID}",), tls=lambda: context)
    with contextlib.suppress(CredentialError):
        await PeerAuthenticator(CALLERS, trust_domain).authenticate(presented)
        return True
    return False


@functools.cache
def certificate(*extensions: x509.ExtensionType) -> bytes:
    """A self-signed certificate in PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    name, now = x509.Name([]), datetime.now(UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now, now)
    for extension in extensions:
        builder = builder.add_extension(extension, critical=True)
    return builder.sign(key, SHA256()).public_bytes(Encoding.PEM)


def key_usage(**changes: bool) -> x509.KeyUsage:
    """The key usage of a leaf with *changes*."""
    names = (
        "content_commitment",
        "key_encipherment",
        "data_encipherment",
        "key_agreement",
        "key_cert_sign",
        "crl_sign",
    )
    usages = dict.fromkeys((*names, "encipher_only", "decipher_only"), False)
    return x509.KeyUsage(**{"digital_signature": True, **usages, **changes})


ALTERNATIVE_NAMES = x509.ObjectIdentifier("2.5.29.17")
NAME_CONSTRAINTS = x509.ObjectIdentifier("2.5.29.30")
CRL_POINTS = x509.ObjectIdentifier("2.5.29.31")
URI = bytes([0x86, len(ID)]) + ID.encode()


def odd(oid: x509.ObjectIdentifier, *members: bytes) -> bytes:
    """A certificate with an extension that is a SEQUENCE of *members*."""
    body = b"".join(members)
    return certificate(x509.UnrecognizedExtension(oid, bytes([0x30, len(body)]) + body))


ODD_CERTIFICATES = {
    "a name of X.400": odd(ALTERNATIVE_NAMES, URI, b"\xa3\x02\x30\x00"),
    "a name of EDI": odd(ALTERNATIVE_NAMES, URI, b"\xa5\x02\x30\x00"),
    "a name of no kind": odd(ALTERNATIVE_NAMES, URI, b"\xaf\x02\x30\x00"),
    "an empty address": odd(ALTERNATIVE_NAMES, URI, b"\x87\x00"),
    "no name in a constraint": odd(NAME_CONSTRAINTS),
    "an empty point of CRLs": odd(CRL_POINTS, bytes.fromhex("3004a002a000")),
}
CA_CERTIFICATES = {
    "basicConstraints": certificate(x509.BasicConstraints(ca=True, path_length=None)),
    "basicConstraints with a leaf's keyUsage": certificate(x509.BasicConstraints(ca=True, path_length=0), key_usage()),
    "keyCertSign": certificate(x509.BasicConstraints(ca=False, path_length=None), key_usage(key_cert_sign=True)),
    "cRLSign": certificate(key_usage(crl_sign=True)),
    "no certificate": b"",
    "no PEM": b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
}


def context(*ids: str, uris: Iterable[str] | None = None) -> dict[str, list[bytes]]:
    """What gRPC says of a peer with these names."""
    names = list(ids if uris is None else uris)
    return {
        "x509_subject_alternative_name": [ID.encode()],
        "peer_dns": [ID.encode()],
        "peer_spiffe_id": [name.encode() for name in ids],
        "peer_uri": [name.encode() for name in names],
        "x509_pem_cert": [certificate()],
    }


@pytest.mark.parametrize("trust_domain", ["", "prod.example"])
async def test_is_who_its_one_uri_says(trust_domain: str) -> None:
    """In any trust domain, or in the one that is set."""
    assert await peer_is_known(context(ID), trust_domain)


@pytest.mark.parametrize("trust_domain", ["other.example", "prod.exampl", "example", "prod.example.org"])
async def test_is_nobody_in_another_trust_domain(trust_domain: str) -> None:
    """A trust domain is compared whole."""
    assert not await peer_is_known(context(ID), trust_domain)


@pytest.mark.parametrize(
    "names",
    [
        {},
        context(),
        context(uris=[ID]),
        context(ID, uris=[]),
        context(ID, uris=[ID, "https://example.org"]),
        context(ID, ID),
        context("spiffe://prod.example/ns/video/sa/nobody"),
        context("spiffe://prod.example"),
        context(ID + "/"),
        context("SPIFFE://prod.example/ns/video/sa/room-service"),
        context(ID + "\u00e9"),
    ],
)
async def test_other_names_prove_no_caller(names: Mapping[str, Iterable[bytes]]) -> None:
    """No certificate, no URI, several, one that is no SPIFFE id or not of a caller; no other name or header counts."""
    assert not await peer_is_known(names)


async def forwarded_caller(*forwarded: str | bytes) -> str:
    """The name of the caller, or the empty text."""
    with contextlib.suppress(CredentialError):
        return (await ForwardedAuthenticator(CALLERS).authenticate(PresentedCredentials(forwarded=forwarded))).name
    return ""


@pytest.mark.parametrize(
    "header",
    [
        f"URI={ID}",
        f'uri="{ID}"',
        f'By=spiffe://prod.example/a;By=spiffe://prod.example/b;Hash=aa;Subject="";URI={ID};DNS=a;DNS=b',
        f"URI={OTHER},URI={ID}",
        f"URI={OTHER};URI={OTHER},URI={ID}",
        f"Hash=aa;URI=,URI={ID}",
    ],
)
async def test_the_last_hop_says_who_it_is(header: str) -> None:
    """Whatever the hops before it say."""
    assert "known" == await forwarded_caller(header)


@pytest.mark.parametrize(
    "header",
    [
        "URI=spiffe://prod.example/ns/video/sa/nobody",
        f"URI={ID},Hash=aa",
        f"URI={ID},URI=",
        f"URI={ID};URI={ID}",
        f"URI={ID};URI={OTHER}",
        f"By={ID}",
        f"DNS={ID}",
        f'Subject="URI={ID}"',
        f"URI={ID},URI={OTHER}x",
        f"URI={ID.upper()}",
        f"URI={ID}/",
        f"URI={ID};Oops=1",
        f'URI={ID},Subject="',
        "",
        "URI=spiffe://prod.example",
    ],
)
async def test_nobody_else_is_anyone(header: str) -> None:
    """No id, several ids, unknown ids, and headers that are odd anywhere."""
    assert "" == await forwarded_caller(header)


@pytest.mark.parametrize("forwarded", [(), (f"URI={ID}", f"URI={ID}"), (f"URI={ID}", "x"), (f"URI={ID}".encode(),)])
async def test_takes_exactly_one_header_of_text(forwarded: Sequence[str | bytes]) -> None:
    """Two headers leave it open whose is whose."""
    assert "" == await forwarded_caller(*forwarded)


async def test_looks_at_no_other_credential() -> None:
    """Neither what a bearer sends nor what TLS says counts here."""
    presented = PresentedCredentials(
        authorization=("Bearer x",), tls=lambda: {"peer_spiffe_id": [ID.encode()], "peer_uri": [ID.encode()]}
    )

    with pytest.raises(CredentialError, match="there are 0 values of x-forwarded-client-cert"):
        await ForwardedAuthenticator(CALLERS).authenticate(presented)


@pytest.mark.parametrize("pem", CA_CERTIFICATES.values(), ids=CA_CERTIFICATES)
async def test_no_ca_is_a_caller(pem: bytes) -> None:
    """X509-SVID, section 5.2: whoever signs ids is none of them. TLS alone would take its certificate."""
    assert not await peer_is_known({**context(ID), "x509_pem_cert": [pem]})
    assert "" == await forwarded_caller(f'URI={ID};Cert="{quote(pem.decode())}"')


@pytest.mark.parametrize("pem", ODD_CERTIFICATES.values(), ids=ODD_CERTIFICATES)
async def test_a_certificate_that_cannot_be_read_is_refused_like_any_other(pem: bytes) -> None:
    """The parser has an exception of its own for each oddity; none of them ends the call as a bug."""
    presented = PresentedCredentials(tls=lambda: {**context(ID), "x509_pem_cert": [pem]})
    forwarded = PresentedCredentials(forwarded=(f'URI={ID};Cert="{quote(pem.decode())}"',))
    with pytest.raises(CredentialError, match="the certificate cannot be read"):
        await PeerAuthenticator(CALLERS).authenticate(presented)
    with pytest.raises(CredentialError, match="the certificate cannot be read"):
        await ForwardedAuthenticator(CALLERS).authenticate(forwarded)


@pytest.mark.parametrize("constraints", [(), (x509.BasicConstraints(ca=False, path_length=None), key_usage())], ids=str)
async def test_a_leaf_is_a_caller(constraints: Sequence[x509.ExtensionType]) -> None:
    """Also without the extensions that would say so, as many CAs issue it; and from a proxy that forwards it."""
    pem = certificate(*constraints)

    assert await peer_is_known({**context(ID), "x509_pem_cert": [pem]})
    assert "known" == await forwarded_caller(f'URI={ID};Cert="{quote(pem.decode())}"')


async def test_says_why_a_peer_is_no_caller() -> None:
    """To operators; an id that TLS has proved may be named."""
    problems = {
        "no caller has spiffe://prod.example/x": context("spiffe://prod.example/x"),
        "spiffe://else.example/x is not of the trust domain spiffe://prod.example/": context("spiffe://else.example/x"),
        "there is no certificate with exactly one URI, which is the SPIFFE id of a workload": context(),
        "the certificate is that of a CA (basicConstraints)": {
            **context(ID),
            "x509_pem_cert": [CA_CERTIFICATES["basicConstraints"]],
        },
    }
    for problem, names in problems.items():
        with pytest.raises(CredentialError) as caught:
            await PeerAuthenticator(CALLERS, "prod.example").authenticate(
                PresentedCredentials(tls=partial(dict, names))
            )
        assert problem == str(caught.value)
