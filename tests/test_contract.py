"""The contract says of each RPC which action it needs, and what a second call does."""

from __future__ import annotations

import importlib

from pathlib import Path

from google.protobuf.descriptor_pb2 import FileOptions

from tokenauthority.contract import METHODS, SERVICES


PROTOS = Path(__file__).parents[1] / "protos" / "tokenauthority" / "v1"


def named(*, side_effects: bool, idempotent: bool) -> list[str]:
    """Return the names of the RPCs of that kind, in the order of the contract."""
    return [
        method.name
        for method in METHODS.values()
        if (method.has_side_effects, method.is_idempotent) == (side_effects, idempotent)
    ]


def test_names_every_service_of_the_contract() -> None:
    """What serves, reports health and reflects the services reads this list."""
    expected = ("SessionService", "TokenService", "RoleService", "ProjectService", "KeyService")

    assert tuple(f"tokenauthority.v1.{name}" for name in expected) == SERVICES
    assert set(SERVICES) == {path.split("/")[1] for path in METHODS}


def test_each_file_has_the_names_that_generated_code_bears() -> None:
    """Of every language: a file without one would have its code under another name than the others, for ever."""
    files = sorted(PROTOS.glob("*.proto"))
    named = {path.stem: importlib.import_module(f"tokenauthority.v1.{path.stem}_pb2").DESCRIPTOR for path in files}
    expected = {
        stem: FileOptions(
            csharp_namespace="TokenAuthority.V1",
            go_package="github.com/tokenauthority/tokenauthority/clients/go/tokenauthority/v1;tokenauthorityv1",
            java_multiple_files=True,
            java_outer_classname=f"{stem.title()}Proto",
            java_package="io.github.tokenauthority.v1",
            php_metadata_namespace="TokenAuthority\\V1\\Metadata",
            php_namespace="TokenAuthority\\V1",
            ruby_package="TokenAuthority::V1",
        )
        for stem in named
    }

    assert expected
    assert expected == {stem: descriptor.GetOptions() for stem, descriptor in named.items()}


def test_states_an_action_for_every_rpc() -> None:
    """An RPC without one would be refused to everybody."""
    assert [] == [path for path, method in METHODS.items() if not method.required_action]


def test_an_rpc_without_side_effects_only_reads_or_signs() -> None:
    """The server drops such a call when its caller leaves; every other one it finishes, and records as done."""
    verbs = ("Get", "List", "Watch", "Verify", "Generate", "BatchGenerate", "CreateTurn")

    assert [method.name for method in METHODS.values() if method.name.startswith(verbs)] == named(
        side_effects=False, idempotent=True
    )


def test_an_rpc_that_makes_something_new_each_time_is_not_idempotent() -> None:
    """No client may retry it: a second project, secret or key would come from a lost answer."""
    assert ["CreateProject", "RotateProjectSecret", "PrepareSigningKey"] == named(side_effects=True, idempotent=False)


def test_only_an_rpc_that_changes_something_has_a_rule_of_its_own_for_retries() -> None:
    """The rule narrows the retries of IDEMPOTENT; on another level it would say nothing."""
    narrowed = [method.name for method in METHODS.values() if method.retry_on_unavailable_only]

    assert [
        *("CreateRole", "DeleteRole", "ImportProject", "DeleteProject", "RetireProjectSecret"),
        *("ActivateSigningKey", "RevokeSigningKey"),
    ] == narrowed
    assert set(narrowed) <= set(named(side_effects=True, idempotent=True))
