"""Create what --dev needs on first start: a data directory with a master key and an API key, a project, a caller."""

from __future__ import annotations

import shlex
import shutil
import sys

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import attrs

from tokenauthority.authority.project_spec import ProjectSpec
from tokenauthority.authority.projects import Projects
from tokenauthority.callers.api_keys import digest, is_api_key, new_api_key
from tokenauthority.callers.identity import ApiKeyIdentity, OpentokIdentity
from tokenauthority.callers.registry import CallerEntry, CallerRegistry, CurrentCallers
from tokenauthority.config.loading import ConfigError
from tokenauthority.config.settings import Settings
from tokenauthority.domain.caller import ANY, Action, Caller, CallerKind, Grant
from tokenauthority.domain.times import Millis
from tokenauthority.files import create_file, replace_file
from tokenauthority.server.lifecycle import Addresses
from tokenauthority.signing.sealing import MasterKey


_GRANT: Final = Grant(projects=frozenset({ANY}), actions=frozenset(Action), roles=frozenset({ANY}))


@attrs.frozen
class DevIdentity:
    """The one caller of a development server, with every permission."""

    api_key: str = attrs.field(repr=False)
    registry: CallerRegistry


def identity(settings: Settings) -> DevIdentity:
    """Return the caller of this data directory, or of --dev-api-key; raise ConfigError if that is no API key."""
    given = settings.dev_api_key
    stored = settings.data_dir / "dev-api-key"
    api_key = _load_or_create(stored, new_api_key) if given is None else given.get_secret_value()
    if not is_api_key(api_key):
        raise ConfigError(
            ["--dev-api-key must be tak_ and 43 characters of base64url; `tokenauthority callers new-key` makes one"]
        )
    known = f"sha256:{digest(api_key)[:16]}"
    caller = Caller(name="dev", kind=CallerKind.API_KEY, identity=known, grant=_GRANT)
    return DevIdentity(api_key, CallerRegistry([CallerEntry(caller, ApiKeyIdentity(digest(api_key)))]))


def master_key(settings: Settings) -> MasterKey:
    """Return the master key of this data directory; raise ConfigError if it is damaged."""
    path = settings.data_dir / "master.key"
    try:
        return MasterKey.parse(_load_or_create(path, lambda: MasterKey.generate().reveal()))
    except ValueError as error:
        raise ConfigError([f"{path}: {error}"]) from error


async def project_id(projects: Projects, now: Millis) -> str:
    """Return the first project of the store; create one if there is none."""
    for project in await projects.list_page(_GRANT, after=0, limit=1):
        return project.project_id
    project, _ = await projects.create(ProjectSpec(display_name="dev"), _GRANT, now)
    return project.project_id


def let_sdks_in(callers: CurrentCallers, project_id: str) -> None:
    """Let the secrets of the project prove a second caller, so that the official OpenTok SDKs can be tried."""
    grant = Grant(projects=frozenset({project_id}), actions=frozenset({Action.SESSIONS_CREATE}))
    caller = Caller(name="dev-sdk", kind=CallerKind.OPENTOK, identity=project_id, grant=grant)
    callers.replace(CallerRegistry([*callers.registry.entries, CallerEntry(caller, OpentokIdentity(project_id))]))


@contextmanager
def welcomed(settings: Settings, addresses: Addresses, api_key: str, project: str) -> Iterator[str]:
    """Yield the commands to paste next; `dev.env`, to be sourced, exists while the block runs."""
    environment = {
        "TOKENAUTHORITY_ADDRESS": addresses.grpc,
        "TOKENAUTHORITY_PLAINTEXT": "1",
        "TOKENAUTHORITY_API_KEY": api_key,
        "TOKENAUTHORITY_PROJECT_ID": project,
    }
    exports = "".join(f"export {name}={shlex.quote(value)}\n" for name, value in environment.items())
    path = settings.data_dir / "dev.env"
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    replace_file(path, exports.encode("ascii"))
    try:
        yield _welcome_text(settings, environment, addresses, path)
    finally:
        # Another server of this directory may have written its own file since.
        if path.is_file() and path.read_text(encoding="ascii", errors="replace") == exports:
            path.unlink(missing_ok=True)


def _welcome_text(settings: Settings, environment: Mapping[str, str], addresses: Addresses, path: Path) -> str:
    here = shlex.quote(str(Path(sys.executable).parent))
    on_path = "" if shutil.which("tokenauthority") else f'  export PATH={here}:"$PATH"\n'
    return f"""
Token Authority is serving for development: plaintext, on loopback only.

  gRPC        {environment["TOKENAUTHORITY_ADDRESS"]}
  HTTP        http://{addresses.http}/.well-known/jwks.json
{_json_line(addresses)}  probes      http://{addresses.ops}/readyz
  project id  {environment["TOKENAUTHORITY_PROJECT_ID"]}
  API key     {environment["TOKENAUTHORITY_API_KEY"]}
  audit log   {settings.audit_path.absolute()}

In another terminal:

  source {shlex.quote(str(path.absolute()))}
{on_path}  S=$(tokenauthority sessions create --quiet)
  T=$(tokenauthority tokens generate --session "$S" --role moderator --data username=bob)
  tokenauthority tokens verify "$T"
"""


def _json_line(addresses: Addresses) -> str:
    return "" if addresses.http_api is None else f"  JSON        http://{addresses.http_api}/\n"


def _load_or_create(path: Path, make: Callable[[], str]) -> str:
    if not path.exists():
        create_file(path, (make() + "\n").encode("ascii"))
    return path.read_text(encoding="ascii", errors="replace").strip()
