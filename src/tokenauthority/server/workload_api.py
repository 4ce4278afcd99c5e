"""Follow the SPIFFE Workload API, whose agent sends new certificates long before the old ones expire."""

from __future__ import annotations

import threading

from collections.abc import Iterable
from typing import Final

from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509 import Certificate
from spiffe import WorkloadApiClient
from spiffe.errors import PySpiffeError
from spiffe.workloadapi.x509_context import X509Context

from tokenauthority.domain.one_line import one_line
from tokenauthority.server.tls import CertificateError, Certificates, CertificateUntriedError, checked_by_grpc
from tokenauthority.server.tls_credentials import RotatingCredentials


FIRST_ANSWER: Final = 30.0
"""Seconds in which the agent has to send the first certificate."""

_NAME: Final = "the X.509-SVID of the Workload API"
_PAUSE: Final = 0.5
_MAX_PAUSE: Final = 30.0
"""Seconds between two streams after an error that the library treats as final: the first, and the longest."""


class WorkloadApi:
    """Follows the Workload API on its own threads until it is closed.

    Only the bundle of the server's own trust domain is trusted: gRPC checks a certificate against all of its CAs, so
    with a federated bundle another trust domain could issue certificates for ours.
    """

    def __init__(self, endpoint: str, first_answer: float = FIRST_ANSWER) -> None:
        """Wait at most *first_answer* seconds for the first certificates; raise CertificateError without valid ones."""
        self._changed = threading.Condition()
        self._latest: Certificates | None = None
        self._problem = "it has sent no certificate; has this workload an entry?"
        self._pause = _PAUSE
        self._closed = threading.Event()
        self._ended = threading.Event()
        self._sink: RotatingCredentials | None = None
        self.trust_domain = ""
        try:
            self._client = WorkloadApiClient(endpoint)
        except PySpiffeError as error:
            raise CertificateError(f"the Workload API at {endpoint}: {one_line(str(error))}") from error
        threading.Thread(target=self._follow, name="workload-api", daemon=True).start()
        with self._changed:
            self._changed.wait_for(lambda: self._latest is not None, first_answer)
            if self._latest is None:
                self.close()
                raise CertificateError(f"the Workload API at {endpoint}: {self._problem}")
            self.first: Certificates = self._latest

    def send_to(self, sink: RotatingCredentials) -> None:
        """Send *sink* every new certificate from now on."""
        with self._changed:
            self._sink = sink
            if self._latest is not None and self._latest is not self.first:
                sink.offer(self._latest)

    def close(self) -> None:
        """Stop following."""
        self._closed.set()
        self._ended.set()

    def _follow(self) -> None:
        """Keep one stream open. The library reopens it, except after errors that it treats as final."""
        while True:
            # Before `closed` is checked, so that `close` ends one or the other.
            ended = self._ended = threading.Event()
            if self._closed.is_set():
                break
            try:
                stream = self._client.stream_x509_contexts(self._received, self._failed)
                ended.wait()
                stream.cancel()
            except Exception as error:  # noqa: BLE001 - _failed reports it; let out, it would end this thread, and the certificates would expire
                self._failed(error)
            self._closed.wait(self._pause)
            self._pause = min(2 * self._pause, _MAX_PAUSE)
        self._client.close()

    def _received(self, context: X509Context) -> None:
        svid = context.default_svid
        trust_domain = svid.spiffe_id.trust_domain
        bundle = context.x509_bundle_set.get_bundle_for_trust_domain(trust_domain)
        if bundle is None:
            raise CertificateError(f"there is no bundle of {trust_domain}")
        key = svid.private_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        found = Certificates(chain=_pem(svid.cert_chain), key=key, roots=_pem(bundle.x509_authorities))
        checked_by_grpc(found, chain=_NAME, key=_NAME, roots=f"the bundle of {trust_domain}")
        with self._changed:
            if self.trust_domain not in ("", trust_domain.name):
                raise CertificateError(f"the server's trust domain is {self.trust_domain} and not {trust_domain}")
            self.trust_domain = trust_domain.name
            self._latest, self._problem, self._pause = found, "", _PAUSE
            self._changed.notify_all()
            if self._sink is not None:
                self._sink.offer(found)

    def _failed(self, error: Exception) -> None:
        # The agent may have chosen the text.
        problem = one_line(str(error))
        with self._changed:
            if self._sink is not None and not self._closed.is_set():
                kind = CertificateUntriedError if isinstance(error, CertificateUntriedError) else CertificateError
                self._sink.refuse(kind(f"the Workload API: {problem}"))
            self._problem = problem
        self._ended.set()


def _pem(certificates: Iterable[Certificate]) -> bytes:
    return b"".join(certificate.public_bytes(Encoding.PEM) for certificate in certificates)
