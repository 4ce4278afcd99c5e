"""JITSI_JWT: what Jitsi's Prosody plugins take, by its profile."""

from __future__ import annotations

from typing import Final

from tokenauthority.domain.token_format import TokenFormat
from tokenauthority.signing.formats.table import table_codec


CODEC: Final = table_codec(TokenFormat.JITSI_JWT)
