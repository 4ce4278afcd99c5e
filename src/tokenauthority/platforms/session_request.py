"""Write the request that creates a session at the platform, as the official SDKs send it (`POST /session/create`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from urllib.parse import urlencode

import msgspec

from tokenauthority.domain.credential import CredentialKind
from tokenauthority.domain.project import Project
from tokenauthority.domain.session import MediaMode, SessionSpec
from tokenauthority.domain.times import Millis
from tokenauthority.http_request import HttpRequest
from tokenauthority.signing.project_keys import ProjectKeys, ProjectSecret, VonageKey


PATH: Final = "/session/create"

_PAST: Final = 30
"""Seconds by which `iat` lies back: the platform refuses a credential of the future, however little."""

_LIFE: Final = 120
"""Seconds that a credential is valid; the platform takes 300 at most."""


def signing_key(project: Project, keys: ProjectKeys) -> ProjectSecret | VonageKey | None:
    """Return the key that the platform knows the project by: its application's, else its newest secret."""
    kind = CredentialKind.VONAGE_KEY if project.vonage_application_id else CredentialKind.SECRET
    return keys.current(kind)


def create_request(
    project: Project, key: ProjectSecret | VonageKey, spec: SessionSpec, *, now: Millis, jti: str
) -> HttpRequest:
    """Return the request for a session of *project*; *jti* makes its credential differ from every other one."""
    return HttpRequest(
        method="POST",
        url=project.platform_url + PATH,
        headers={
            "accept": "application/json",
            "content-type": "application/x-www-form-urlencoded",
            **_credential(project, key, now // 1000, jti),
        },
        body=urlencode(_form(spec)).encode(),
    )


def _credential(project: Project, key: ProjectSecret | VonageKey, now: int, jti: str) -> Mapping[str, str]:
    times: dict[str, str | int] = {"iat": now - _PAST, "exp": now - _PAST + _LIFE, "jti": jti}
    if isinstance(key, VonageKey):
        return {"authorization": f"Bearer {_signed(key, {'application_id': key.application_id, **times})}"}
    return {"x-opentok-auth": _signed(key, {"iss": project.project_id, "ist": "project", **times})}


def _signed(key: ProjectSecret | VonageKey, claims: Mapping[str, str | int]) -> str:
    return key.signer.sign(msgspec.json.encode(claims))[0]


def _form(spec: SessionSpec) -> Mapping[str, str]:
    """Return the options, those alone that are set."""
    options = {
        "archiveMode": spec.archive_mode.value,
        "p2p.preference": "disabled" if spec.media_mode is MediaMode.ROUTED else "enabled",
        "location": spec.location,
        "e2ee": "true" if spec.e2ee else "",
        "archiveName": spec.archive_name,
        "archiveResolution": spec.archive_resolution,
    }
    return {name: value for name, value in options.items() if value}
