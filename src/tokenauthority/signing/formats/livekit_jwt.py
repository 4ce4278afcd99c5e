"""LIVEKIT_JWT: what LiveKit takes, by its profile. LiveKit's own SDKs and its refreshed tokens are read, too."""

from __future__ import annotations

from typing import Final

from tokenauthority.domain.token_format import TokenFormat
from tokenauthority.signing.formats.table import table_codec


CODEC: Final = table_codec(TokenFormat.LIVEKIT_JWT)
