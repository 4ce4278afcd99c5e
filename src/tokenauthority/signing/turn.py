"""Make the user names of TURN credentials, and their passwords: HMACs under a secret that TURN servers have too."""

from __future__ import annotations

import base64

from typing import Final

from tokenauthority.domain.times import Seconds
from tokenauthority.signing.mac import Mac


_ID_BYTES: Final = 16


class TurnSigner:
    """Makes the credentials that a TURN server with the same *secret* accepts (draft-uberti-behave-turn-rest-00)."""

    def __init__(self, secret: str) -> None:
        self._passwords = Mac(secret.encode(), "sha1")
        # Of another hash: no pseudonym is a password.
        self._pseudonyms = Mac(secret.encode(), "sha256")

    def username(self, project_id: str, subject: str, expire_time: Seconds) -> str:
        """Return `EXPIRY:ID`, whose ID is a pseudonym of the project's *subject*.

        It is not the subject itself: user names travel in plaintext, and coturn 4.6 answers 400 to a name that has a
        space, a quote or a word of SQL. All credentials of a subject have the same: coturn's `user-quota` counts by it.
        """
        pseudonym = self._pseudonyms.of(f"{project_id}:{subject}".encode())[:_ID_BYTES]
        return f"{expire_time}:{pseudonym.hex()}"

    def password(self, username: str) -> str:
        """Return the password that goes with *username*."""
        return base64.b64encode(self._passwords.of(username.encode())).decode()
