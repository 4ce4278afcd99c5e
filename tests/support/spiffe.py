"""A certificate authority of a trust domain, for tests: trustme knows no URI names."""

from __future__ import annotations

import itertools

from datetime import UTC, datetime, timedelta

import attrs

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID


TRUST_DOMAIN = "prod.example"
HOUR = timedelta(hours=1)

_NUMBERS = itertools.count(1)


@attrs.frozen
class Issued:
    """A certificate that a trust domain gave out, with its key."""

    certificate: x509.Certificate
    private_key: ec.EllipticCurvePrivateKey = attrs.field(repr=False)

    @property
    def chain(self) -> bytes:
        """PEM."""
        return self.certificate.public_bytes(Encoding.PEM)

    @property
    def key(self) -> bytes:
        """PEM."""
        return self.private_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())

    @property
    def chain_der(self) -> bytes:
        """DER, as the Workload API has it."""
        return self.certificate.public_bytes(Encoding.DER)

    @property
    def key_der(self) -> bytes:
        """DER, PKCS #8."""
        return self.private_key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())


class SpiffeCa:
    """Signs whatever a test asks for."""

    def __init__(self, trust_domain: str = TRUST_DOMAIN) -> None:
        self.trust_domain = trust_domain
        self._key = ec.generate_private_key(ec.SECP256R1())
        # Each one has a name of its own: CAs of one name would be told apart by their keys only.
        self._name = _name(f"CA {next(_NUMBERS)} of {trust_domain}")
        self.certificate = self._build(self._name, self._key, [_uri(f"spiffe://{trust_domain}")], HOUR, ca=True)

    @property
    def bundle(self) -> bytes:
        """PEM of the CA."""
        return self.certificate.public_bytes(Encoding.PEM)

    def workload(self, path: str, *names: x509.GeneralName, lifetime: timedelta = HOUR) -> Issued:
        """An X.509-SVID of `spiffe://TRUST-DOMAIN` and *path*, with *names* beside it."""
        return self.issue(_uri(f"spiffe://{self.trust_domain}{path}"), *names, lifetime=lifetime)

    def issue(self, *names: x509.GeneralName, lifetime: timedelta = HOUR, ca: bool = False) -> Issued:
        """A certificate with any names, of a CA too; one with a negative *lifetime* ended that long ago."""
        key = ec.generate_private_key(ec.SECP256R1())
        return Issued(self._build(_name(f"leaf {next(_NUMBERS)}"), key, names, lifetime, ca=ca), key)

    def _build(
        self,
        subject: x509.Name,
        key: ec.EllipticCurvePrivateKey,
        names: list[x509.GeneralName] | tuple[x509.GeneralName, ...],
        lifetime: timedelta,
        *,
        ca: bool,
    ) -> x509.Certificate:
        now = datetime.now(UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - 2 * HOUR)
            .not_valid_after(now + lifetime)
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
            .add_extension(_usage(ca=ca), critical=True)
        )
        if not ca:
            purposes = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
            builder = builder.add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        return builder.sign(self._key, SHA256())


def _uri(text: str) -> x509.UniformResourceIdentifier:
    return x509.UniformResourceIdentifier(text)


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _usage(*, ca: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=ca,
        crl_sign=ca,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
