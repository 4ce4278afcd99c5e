"""Envoy as a verifier: its filter jwt_authn, given an issuer, an audience and the place of the keys."""

from __future__ import annotations

import contextlib

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx

from tests.conformance.envoy import envoy
from tests.conformance.sdk.verifiers import RefusedError
from tests.support.authority import NO_TRUST


CLAIMS = ("sub", "session_id")
"""What it forwards."""


class Gate:
    """Envoy as a verifier: what it lets through has its claims in headers."""

    def __init__(self, address: str) -> None:
        self._url = f"http://{address}/"

    def verify(self, token: str) -> dict[str, Any]:
        """The claims that Envoy forwards."""
        answer = httpx.get(self._url, headers={"authorization": f"Bearer {token}"}, verify=NO_TRUST)
        if answer.status_code != httpx.codes.OK:
            raise RefusedError(answer.text)
        return {name: answer.headers[f"x-{name}"] for name in CLAIMS}

    def close(self) -> None:
        """Nothing runs here."""


@contextlib.contextmanager
def running_gate(directory: Path, issuer: str, audience: str) -> Iterator[Gate]:
    """Envoy with its filter jwt_authn. It knows no discovery, so its configuration says where the JWKS is."""
    with envoy(directory, lambda port: _config(port, issuer, audience)) as address:
        yield Gate(address)


def _config(port: int, issuer: str, audience: str) -> dict[str, object]:
    """A listener that answers each valid token with its claims."""
    place = urlsplit(issuer)
    extensions = "type.googleapis.com/envoy.extensions.filters"
    provider = {
        "issuer": issuer,
        "audiences": [audience],
        "remote_jwks": {
            "http_uri": {
                "uri": issuer.removesuffix("/") + "/.well-known/jwks.json",
                "cluster": "authority",
                "timeout": "5s",
            },
            "cache_duration": "300s",
        },
        "claim_to_headers": [{"header_name": f"x-{name}", "claim_name": name} for name in CLAIMS],
    }
    manager = {
        "@type": f"{extensions}.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "gate",
        "route_config": {
            "virtual_hosts": [
                {
                    "name": "all",
                    "domains": ["*"],
                    "routes": [{"match": {"prefix": "/"}, "direct_response": {"status": 200}}],
                    "response_headers_to_add": [
                        {"header": {"key": f"x-{name}", "value": f"%REQ(x-{name})%"}} for name in CLAIMS
                    ],
                }
            ]
        },
        "http_filters": [
            {
                "name": "jwt",
                "typed_config": {
                    "@type": f"{extensions}.http.jwt_authn.v3.JwtAuthentication",
                    "providers": {"tokens": provider},
                    "rules": [{"match": {"prefix": "/"}, "requires": {"provider_name": "tokens"}}],
                },
            },
            {"name": "router", "typed_config": {"@type": f"{extensions}.http.router.v3.Router"}},
        ],
    }
    endpoint = {"address": {"socket_address": {"address": place.hostname, "port_value": place.port}}}
    return {
        "static_resources": {
            "listeners": [
                {
                    "name": "gate",
                    "address": {"socket_address": {"address": "127.0.0.1", "port_value": port}},
                    "filter_chains": [{"filters": [{"name": "http", "typed_config": manager}]}],
                }
            ],
            "clusters": [
                {
                    "name": "authority",
                    "type": "STATIC",
                    "load_assignment": {
                        "cluster_name": "authority",
                        "endpoints": [{"lb_endpoints": [{"endpoint": endpoint}]}],
                    },
                }
            ],
        }
    }
