"""What a release has of the contract, for whoever has no checkout."""

from __future__ import annotations

import json

from pathlib import Path

import pytest

from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool

from scripts.docs.pages import FILES
from scripts.docs.release import write_release_files
from tokenauthority import __version__
from tokenauthority.client import SERVICE_CONFIG
from tokenauthority.contract import METHODS, SERVICES


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the files."""
    directory = tmp_path_factory.mktemp("release")
    write_release_files(directory)
    return directory


def test_the_descriptor_set_is_complete(release: Path) -> None:
    """All that it names is in it, each file after what it imports, with the comments; so tools read it alone."""
    found = FileDescriptorSet.FromString((release / f"tokenauthority-{__version__}.binpb").read_bytes())
    pool = DescriptorPool()
    for file in found.file:
        pool.Add(file)

    services = [pool.FindServiceByName(name) for name in SERVICES]
    assert sorted(METHODS) == sorted(
        f"/{service.full_name}/{rpc.name}" for service in services for rpc in service.methods
    )
    assert "google.rpc.ErrorInfo" == pool.FindMessageTypeByName("google.rpc.ErrorInfo").full_name
    comments = {
        file.name: [place for place in file.source_code_info.location if place.leading_comments]
        for file in found.file
        if file.package == "tokenauthority.v1"
    }
    assert len(comments) > 5
    assert [] == [name for name, places in comments.items() if not places]


def test_the_references_are_those_of_the_site(release: Path) -> None:
    """Every RPC and every reason, the service config that clients use, and the calls with JSON."""
    contract, errors, config, openapi = (
        (release / f"tokenauthority-{__version__}-{name}").read_text(encoding="utf-8")
        for name in ("contract.md", "errors.md", "service-config.json", "openapi.json")
    )

    assert [] == [name for name in FILES if not (release / f"tokenauthority-{__version__}-{name}").is_file()]
    assert [] == [
        method.name for method in METHODS.values() if f"#### {method.descriptor.full_name[18:]}\n" not in contract
    ]
    assert "| `SESSION_NOT_FOUND` |" in errors
    assert json.loads(SERVICE_CONFIG) == json.loads(config)
    assert json.loads(openapi)["paths"].keys() - {"/check", "/check/mediamtx"} < METHODS.keys()


@pytest.mark.parametrize(
    "package",
    ["go/tokenauthority", "java/src/main/resources/io/github/tokenauthority/client", "ruby/lib/tokenauthority"],
    ids=["go", "java", "ruby"],
)
def test_a_client_has_the_published_service_config(package: str) -> None:
    """A copy, because each package is fetched without the others; `make clients` writes it."""
    copy = Path(__file__).parents[2] / "clients" / package / "service-config.json"

    assert FILES["service-config.json"]() == copy.read_text(encoding="utf-8")
