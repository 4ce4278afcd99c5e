"""The package is in two distributions: the client, which a back end installs, and the server, which needs it."""

from __future__ import annotations

from tests.packaging.wheels import ROOT, Wheels, files, metadata
from tokenauthority import __version__


OF_THE_CLIENT = ("tokenauthority/__init__.py", "tokenauthority/contract.py", "tokenauthority/py.typed")


def test_the_client_has_no_module_of_the_server(wheels: Wheels) -> None:
    """Only its own, the contract and the stubs."""
    others = {
        name
        for name in files(wheels.client)
        if name not in OF_THE_CLIENT and not name.startswith(("tokenauthority/client/", "tokenauthority/v1/"))
    }

    assert set() == others
    assert set(OF_THE_CLIENT) < files(wheels.client).keys()
    assert "tokenauthority/client/blocking/authority.py" in files(wheels.client)


def test_no_file_is_in_both(wheels: Wheels) -> None:
    """To remove or renew one of them leaves the other whole."""
    assert set() == files(wheels.client).keys() & files(wheels.server).keys()


def test_both_together_are_the_package(wheels: Wheels) -> None:
    """With every file of it, as it is in the checkout."""
    source = ROOT / "src"
    whole = {
        path.relative_to(source).as_posix(): path.read_bytes()
        for path in (source / "tokenauthority").rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }

    assert whole == files(wheels.client) | files(wheels.server)


def test_the_client_can_be_built_from_its_source_distribution(wheels: Wheels) -> None:
    """Without the repository: the same files come out."""
    assert files(wheels.client) == files(wheels.client_from_sdist)


def test_the_server_needs_the_client_of_its_own_version(wheels: Wheels) -> None:
    """And states the requirements of the client nowhere else."""
    required = [line for line in metadata(wheels.server).splitlines() if line.startswith("Requires-Dist: ")]

    assert [f"Requires-Dist: tokenauthority-client=={__version__}"] == [line for line in required if ";" not in line]
    assert f"\nVersion: {__version__}\n" in metadata(wheels.client)
