"""The client works with the lowest and the highest versions of its requirements that the metadata allows."""

from __future__ import annotations

import os
import re
import subprocess
import tomllib

from pathlib import Path
from typing import Final

import pytest

from tests.packaging.environments import REQUIREMENTS, RUN_SECONDS, environment, install
from tests.packaging.wheels import ROOT, Wheels
from tests.support.authority import RunningAuthority


PROGRAM: Final = """
import asyncio
import warnings

warnings.simplefilter("error")

from tokenauthority.client import AsyncAuthority, Authority, InvalidArgument, Revocation

with Authority.from_environment() as authority:
    session = authority.create_session()
    token = session.generate_token(role="publisher", data="name=Zo\u00eb")
    print(bool(authority.verify_token(token)))
    authority.revoke_tokens(token_id=token.token_id)
    with authority.watch_revocations() as watch:
        print(next(event.token_id for event in watch if isinstance(event, Revocation)) == token.token_id)
    try:
        session.generate_token(role="Not a role")
    except InvalidArgument as error:
        print(error.reason, [violation.field for violation in error.violations])


async def session_id():
    async with AsyncAuthority.from_environment() as authority:
        return (await authority.get_session(session.session_id)).session_id


print(asyncio.run(session_id()) == session.session_id)
"""


@pytest.mark.parametrize("bound", ["lowest", "highest"])
def test_the_client_works_with_its_requirements(
    bound: str, running_authority: RunningAuthority, wheels: Wheels, tmp_path: Path
) -> None:
    """Its wheel, in an environment that has them and nothing else, against a real authority; a warning is a failure."""
    python = environment(REQUIREMENTS / f"client-{bound}.txt")
    install(tmp_path, wheels.client)
    done = subprocess.run(
        [python, "-c", PROGRAM],
        capture_output=True,
        text=True,
        timeout=RUN_SECONDS,
        check=False,
        env={**os.environ, **running_authority.environment, "PYTHONPATH": str(tmp_path)},
    )

    assert "" == done.stderr
    assert ["True", "True", "INVALID_FIELD ['request.role']", "True"] == done.stdout.splitlines()


def test_the_lowest_versions_are_the_bounds_of_the_metadata() -> None:
    """Else the environment of the lowest versions would show less than the metadata promises."""
    project = tomllib.loads((ROOT / "clients" / "python" / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    bounds = {re.split("[<>=]+", wanted)[0]: re.findall(">=([^,]+)", wanted) for wanted in project["dependencies"]}
    locked = dict(re.findall(r"^(\S+)==(\S+)", (REQUIREMENTS / "client-lowest.txt").read_text(), re.MULTILINE))

    assert bounds
    assert bounds == {name: [locked[name]] for name in bounds}
