"""Rotate a listener's credentials while it serves: new connections get the newest, open ones continue."""

from __future__ import annotations

import threading

from collections.abc import Callable
from datetime import datetime

import attrs
import grpc
import structlog

from prometheus_client import CollectorRegistry, Counter, Gauge

from tokenauthority.domain.times import Millis
from tokenauthority.outage import Outage
from tokenauthority.server.tls import CertificateError, Certificates, CertificateUntriedError


class CertificateMetrics:
    """Counts loaded and refused certificates, and shows the expiry of the current one, by listener; logs both."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._loads = Counter(
            "tokenauthority_certificate_loads",
            "Certificates that were loaded, refused because they are not valid, or could not be tried (`untried`).",
            ("listener", "outcome"),
            registry=registry,
        )
        self._expiry = Gauge(
            "tokenauthority_certificate_expiry_seconds",
            "When the current certificate expires, in Unix time.",
            ("listener",),
            registry=registry,
        )
        self._logger = structlog.stdlib.get_logger(__name__)
        self._served: dict[str, _Served] = {}

    def loaded(self, listener: str, certificates: Certificates, *, first: bool = False) -> None:
        """Count certificates that are served from now on, and log them, unless they are the *first*."""
        expiry = certificates.expiry
        self._loads.labels(listener, "loaded").inc()
        self._expiry.labels(listener).set(expiry.timestamp())
        if first:
            self._served[listener] = _Served(
                expiry, Outage(self._logger, "certificate.refused"), Outage(self._logger, "certificate.untried")
            )
            return
        served = self._served[listener]
        served.expiry = expiry
        served.refused.recover()
        served.untried.recover()
        self._logger.info("certificate.loaded", listener=listener, expiry=expiry.isoformat())

    def refused(self, listener: str, error: CertificateError) -> None:
        """Count certificates that are not taken, and log each cause once; the old ones stay. For any thread."""
        untried, served = isinstance(error, CertificateUntriedError), self._served[listener]
        self._loads.labels(listener, "untried" if untried else "refused").inc()
        outage = served.untried if untried else served.refused
        outage.report(str(error), listener=listener, problem=str(error))

    def problem(self, now: Millis) -> str:
        """Return which listeners have an expired certificate, or did not take the one that they were offered."""
        found = []
        for listener, served in sorted(self._served.items()):
            if served.expiry.timestamp() * 1000 <= now:
                found.append(f"{listener}: expired at {served.expiry.isoformat()}")
            elif served.refused.cause:
                found.append(f"{listener}: a new one is not valid, the log says why; the one before is served")
            elif served.untried.cause:
                found.append(f"{listener}: a new one could not be tried, the log says why; the one before is served")
        return "; ".join(found)


@attrs.define
class _Served:
    expiry: datetime
    refused: Outage
    untried: Outage


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

    def refuse(self, error: CertificateError) -> None:
        """Count certificates that are not taken, and log each cause once; the old ones stay. For any thread."""
        self._metrics.refused(self._listener, error)

    def _fetch(self) -> grpc.ServerCertificateConfiguration | None:
        """Return what to use from this handshake on, or None for no change. It must not raise into gRPC's thread."""
        try:
            found = self._poll()
        except CertificateError as error:
            self.refuse(error)
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
