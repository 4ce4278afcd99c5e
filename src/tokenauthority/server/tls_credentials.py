"""Credentials of a listener that can be changed while it serves: new connections get the newest, open ones live on."""

from __future__ import annotations

import threading

from typing import TYPE_CHECKING, Final

import grpc
import structlog

from prometheus_client import Counter, Gauge

from tokenauthority.server.tls import CertificateError


if TYPE_CHECKING:
    from collections.abc import Callable

    from prometheus_client import CollectorRegistry

    from tokenauthority.server.tls import Certificates


class CertificateMetrics:
    """How often certificates were taken or refused, and when the one that is shown ends, by listener."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.loads: Final = Counter(
            "tokenauthority_certificate_loads",
            "Certificates taken, or refused in favour of the old ones.",
            ("listener", "outcome"),
            registry=registry,
        )
        self.expiry: Final = Gauge(
            "tokenauthority_certificate_expiry_seconds",
            "When the certificate that is shown ends, in Unix time.",
            ("listener",),
            registry=registry,
        )


class RotatingCredentials:
    """Serves with the certificates that were offered last; what cannot be served with is refused and logged once.

    *poll* is asked at each handshake, on a thread of gRPC's, and answers new certificates or, at little cost, None.
    """

    def __init__(
        self,
        listener: str,
        first: Certificates,
        metrics: CertificateMetrics,
        poll: Callable[[], Certificates | None] = lambda: None,
    ) -> None:
        self._listener = listener
        self._metrics = metrics
        self._poll = poll
        self._lock = threading.Lock()
        self._new: Certificates | None = None
        self._client_authentication = first.roots is not None
        self._first = _configuration(first)
        self._taken(first)

    def credentials(self) -> grpc.ServerCredentials:
        """For gRPC; TLS 1.2 and 1.3. Where there are CAs of clients, a client must show a certificate of theirs."""
        return grpc.dynamic_ssl_server_credentials(
            self._first,
            self._fetch,  # type: ignore[arg-type]  # gRPC documents None for "no change"; its stubs lack it
            require_client_authentication=self._client_authentication,
        )

    def offer(self, certificates: Certificates) -> None:
        """Serve new connections with *certificates* from now on. From any thread."""
        with self._lock:
            self._new = certificates

    def refuse(self, problem: str, *, again: bool = False) -> None:
        """Count that new certificates could not be taken, and log it if not *again*; the old ones stay. Any thread."""
        self._metrics.loads.labels(self._listener, "refused").inc()
        if not again:
            self._logger().error("certificate.refused", listener=self._listener, problem=problem)

    def _fetch(self) -> grpc.ServerCertificateConfiguration | None:
        """What to use from this handshake on, or None for no change. Nothing may escape into gRPC's thread."""
        try:
            found = self._poll()
        except CertificateError as error:
            self.refuse(str(error))
            return None
        with self._lock:
            offered, self._new = self._new, None
        found = found or offered
        if found is None:
            return None
        self._taken(found)
        self._logger().info("certificate.loaded", listener=self._listener, expiry=found.expiry.isoformat())
        return _configuration(found)

    def _taken(self, certificates: Certificates) -> None:
        self._metrics.loads.labels(self._listener, "loaded").inc()
        self._metrics.expiry.labels(self._listener).set(certificates.expiry.timestamp())

    @staticmethod
    def _logger() -> structlog.stdlib.BoundLogger:
        return structlog.stdlib.get_logger(__name__)


def _configuration(certificates: Certificates) -> grpc.ServerCertificateConfiguration:
    return grpc.ssl_server_certificate_configuration(
        [(certificates.key, certificates.chain)], root_certificates=certificates.roots
    )
