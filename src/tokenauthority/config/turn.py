"""Check the settings of TURN servers, and read the secrets that the TURN servers have too."""

from __future__ import annotations

import os

from pathlib import Path
from typing import Final

from tokenauthority.config.groups import TurnSettings
from tokenauthority.config.wording import variable_of
from tokenauthority.domain.turn import MAX_TURN_SECRETS, MAX_TURN_URLS, is_turn_secret, is_turn_url
from tokenauthority.files import open_regular


MAX_FILE: Final = 1024
"""Largest size in bytes of the file: two secrets have at most 510, the rest is for white space."""

_URLS: Final = variable_of(("turn", "urls"))
_FILE: Final = variable_of(("turn", "secrets_file"))


def read_turn(turn: TurnSettings) -> tuple[tuple[str, ...], list[str]]:
    """Return the secrets, the first one first, none without TURN servers; and why the settings cannot be used."""
    problems = _problems_of_urls(turn.urls)
    if turn.secrets_file is None:
        return (), [*problems, f"{_FILE} is required with {_URLS}"] if turn.urls else problems
    if not turn.urls:
        problems.append(f"{_FILE} is for {_URLS}, which is not set")
    secrets, problems_of_file = _read_secrets(turn.secrets_file)
    return secrets, problems + problems_of_file


def _read_secrets(path: Path) -> tuple[tuple[str, ...], list[str]]:
    """Return the secrets of the file, and what is wrong with them, without any part of one."""
    try:
        with open_regular(path) as file:
            content = file.read(MAX_FILE + 1)
    except OSError as error:
        return (), [f"{_FILE}: {path} cannot be read by uid {os.geteuid()}: {error.strerror}"]
    if len(content) > MAX_FILE:
        return (), [f"{_FILE}: {path} has more than {MAX_FILE} bytes"]
    # Bytes that are no text are refused as any other that is no secret.
    secrets = tuple(content.decode("ascii", errors="replace").split())
    problems = []
    if not 1 <= len(secrets) <= MAX_TURN_SECRETS:
        problems.append(f"must have 1 or {MAX_TURN_SECRETS} secrets, one a line, has {len(secrets)}")
    problems += [
        f"secret {number} must have 32 to 255 characters: letters, digits and +/=._~-"
        for number, secret in enumerate(secrets[:MAX_TURN_SECRETS], 1)
        if not is_turn_secret(secret)
    ]
    if len(set(secrets)) < len(secrets):
        problems.append("has the same secret twice")
    return secrets, [f"{_FILE}: {path} {problem}" for problem in problems]


def _problems_of_urls(text: str) -> list[str]:
    urls = text.split()
    if text and not 1 <= len(urls) <= MAX_TURN_URLS:
        return [f"{_URLS} must be 1 to {MAX_TURN_URLS} URLs, is {len(urls)}"]
    wrong = [str(number) for number, url in enumerate(urls, 1) if not is_turn_url(url)]
    if not wrong:
        return []
    # By its number: a secret in the wrong setting is not shown.
    form = "turn:HOST or turns:HOST, then :PORT and ?transport=udp or ?transport=tcp if needed (RFC 7065)"
    return [f"{_URLS}: each URL must be {form}; not so: number {', '.join(wrong)}"]
