"""Rotate a listener's credentials while it serves: new connections get the newest, open ones continue."""

from __future__ import annotations

import threading

from collections.abc import Callable

import grpc
import structlog

from prometheus_client import CollectorRegistry, Counter, Gauge

from tokenauthority.server.tls import CertificateError, Certificates


class CertificateMetrics:
    """Counts loaded and refused certificates, and shows the expiry of the current one, by listener; logs both."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._loads = Counter(
            "tokenauthority_certificate_loads",
            "Certificates that were loaded, or refused because they are not valid.",
            ("listener", "outcome"),
            registry=registry,
        )
        self._expiry = Gauge(
            "tokenauthority_certificate_expiry_seconds",
            "When the current certificate expires, in Unix time.",
            ("listener",),
            registry=registry,
        )

    def loaded(self, listener: str, certificates: Certificates, *, first: bool = False) -> None:
        """Count certificates that are served from now on, and log them, unless they are the *first*."""
        self._loads.labels(listener, "loaded").inc()
        self._expiry.labels(listener).set(certificates.expiry.timestamp())
        if not first:
            _logger().info("certificate.loaded", listener=listener, expiry=certificates.expiry.isoformat())

    def refused(self, listener: str, problem: str, *, again: bool = False) -> None:
        """Count invalid certificates, and log them unless *again*."""
        self._loads.labels(listener, "refused").inc()
        if not again:
            _logger().error("certificate.refused", listener=listener, problem=problem)


def _logger() -> structlog.stdlib.BoundLogger:
    return structlog.stdlib.get_logger(__name__)


class RotatingCredentials:
    """Serves with the newest valid certificates; invalid ones are counted and logged once.

    gRPC calls *poll* at each handshake, on its own thread. *poll* returns new certificates or, at little cost, None.
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
        metrics.loaded(listener, first, first=True)

    def credentials(self) -> grpc.ServerCredentials:
        """Return the credentials for gRPC: TLS 1.2 and 1.3, with client certificates if there are CAs for them."""
        return grpc.dynamic_ssl_server_credentials(
            self._first,
            self._fetch,  # type: ignore[arg-type]  # gRPC documents None for "no change"; its stubs lack it
            require_client_authentication=self._client_authentication,
        )

    def offer(self, certificates: Certificates) -> None:
        """Serve new connections with *certificates* from now on. Any thread may call this."""
        with self._lock:
            self._new = certificates

    def refuse(self, problem: str, *, again: bool = False) -> None:
        """Count invalid certificates, and log them unless *again*; the old ones stay. Any thread may call this."""
        self._metrics.refused(self._listener, problem, again=again)

    def _fetch(self) -> grpc.ServerCertificateConfiguration | None:
        """Return what to use from this handshake on, or None for no change. It must not raise into gRPC's thread."""
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
        self._metrics.loaded(self._listener, found)
        return _configuration(found)


def _configuration(certificates: Certificates) -> grpc.ServerCertificateConfiguration:
    return grpc.ssl_server_certificate_configuration(
        [(certificates.key, certificates.chain)], root_certificates=certificates.roots
    )
