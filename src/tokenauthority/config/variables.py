"""Say which environment variables with the prefix of the settings are settings, and which ones a platform has set."""

from __future__ import annotations

import re

from collections.abc import Mapping
from typing import Final

from pydantic import BaseModel

from tokenauthority.client.environment import CLIENT_VARIABLES
from tokenauthority.config.settings import PREFIX, Settings


CONFIG_VARIABLE: Final = PREFIX + "CONFIG"
"""The variable that names the file, as --config does."""

TEST_VARIABLES: Final = frozenset({PREFIX + "SHARED", PREFIX + "TEST_POSTGRES"})

_URL: Final = r"(tcp|udp|sctp)://.+"
_PORT: Final = r"[0-9]{1,5}"
_LINKED_PORT: Final = rf"PORT_{_PORT}_(TCP|UDP|SCTP)"
_LINKS: Final = {
    r"SERVICE_HOST": r"[0-9A-Fa-f.:]+",
    r"SERVICE_PORT(_[A-Z0-9]+)*": _PORT,
    r"PORT": _URL,
    _LINKED_PORT: _URL,
    rf"{_LINKED_PORT}_PROTO": r"tcp|udp|sctp",
    rf"{_LINKED_PORT}_PORT(_START|_END)?": _PORT,
    rf"{_LINKED_PORT}_(START|END)": _URL,
    rf"{_LINKED_PORT}_ADDR": r"[0-9A-Fa-f.:]+",
    r"NAME": r"/.+/.+",
    r"ENV_.+": r"(?s:.*)",
}
"""What Kubernetes sets for each Service of a namespace, and Docker for each link: the end of the name, and the value.

A Service or a container that is called `tokenauthority`, or `tokenauthority-http`, gives them our prefix.
https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables
https://docs.docker.com/engine/network/links/#environment-variables
"""

_LINK: Final = re.compile("|".join(rf"{PREFIX}([A-Z0-9]+_)*?{name}=({value})" for name, value in _LINKS.items()))


def variables_of_settings() -> frozenset[str]:
    """Return the variable of every setting."""
    groups = {name: field.annotation for name, field in Settings.model_fields.items()}
    inner = {
        f"{PREFIX}{name}__{setting}".upper()
        for name, group in groups.items()
        if isinstance(group, type) and issubclass(group, BaseModel)
        for setting in group.model_fields
    }
    return frozenset({PREFIX + "DATA_DIR", *inner})


def unknown_variables(environ: Mapping[str, str]) -> list[str]:
    """Return the variables with our prefix that are no settings and no links: a misspelt one would else be ignored."""
    known = variables_of_settings() | {CONFIG_VARIABLE} | CLIENT_VARIABLES | TEST_VARIABLES
    return [
        name
        for name, value in sorted(environ.items())
        if name.upper().startswith(PREFIX) and name.upper() not in known and not is_link(name, value)
    ]


def is_link(name: str, value: str) -> bool:
    """Return whether a platform has set the variable to describe a service beside this one."""
    return _LINK.fullmatch(f"{name}={value}") is not None
