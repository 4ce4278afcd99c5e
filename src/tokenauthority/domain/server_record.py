"""What the servers of one store record of themselves, so that each sees where the others differ."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

import attrs

from tokenauthority.domain.times import Millis


RECORD_PERIOD: Final = Millis(60_000)
"""How long a record counts that its server has not renewed."""


@attrs.frozen
class ServerRecord:
    """A server that ran at `seen`, with the `settings` that all servers of a store must have alike, by variable."""

    server_id: str
    seen: Millis
    settings: Mapping[str, str]


def differences(own: Mapping[str, str], others: Iterable[ServerRecord]) -> Mapping[str, str]:
    """Return the settings for which another server has another value, each with the value of one such server.

    A setting that only one version of the program has is no difference.
    """
    found: dict[str, str] = {}
    for record in others:
        found |= {name: value for name, value in record.settings.items() if name in own and value != own[name]}
    return dict(sorted(found.items()))
