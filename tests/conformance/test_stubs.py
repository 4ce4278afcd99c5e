"""`buf.gen.yaml` makes the stubs of every language, with the names that the contract promises."""

from __future__ import annotations

import os
import sys

from pathlib import Path

import pytest

from tests.conformance.sdk.go_programs import GoPrograms
from tests.conformance.sdk.node_sdk import HERE as NODE
from tests.conformance.sdk.node_sdk import node_with_packages
from tests.conformance.sdk.programs import Announce, find, report_missing, run
from tests.conformance.sdk.stubs import GENERATE_SECONDS, ROOT, generate, plugins


NOT_HERE = {"grpc_csharp_plugin"}
"""Comes with the package Grpc.Tools for .NET alone."""

NAMES = {
    "csharp": ("Token.cs", "namespace TokenAuthority.V1 {"),
    "go": ("tokenauthority/v1/token_grpc.pb.go", "package tokenauthorityv1"),
    "java": ("io/github/tokenauthority/v1/TokenServiceGrpc.java", "package io.github.tokenauthority.v1;"),
    "php": ("TokenAuthority/V1/TokenServiceClient.php", "namespace TokenAuthority\\V1;"),
    "ruby": ("tokenauthority/v1/token_services_pb.rb", "module TokenAuthority\n  module V1"),
    "typescript": ("tokenauthority/v1/token_pb.ts", "export const TokenService:"),
}
"""For each language a file that its stubs have, and a line of it."""

pytestmark = pytest.mark.timeout(700)


def test_each_language_is_generated_under_its_own_names(
    tmp_path: Path, go_programs: GoPrograms, announce: Announce
) -> None:
    """From the same files, by the programs that the developers of each language use."""
    folders = [go_programs.plugins, NODE / "node_modules" / ".bin", Path(node_with_packages(announce)).parent]
    # Debian's name for it.
    (tmp_path / "protoc-gen-grpc-java").symlink_to("/usr/bin/grpc_java_plugin")

    missing = generate(plugins(), tmp_path / "gen", *folders, tmp_path, Path(sys.executable).parent)

    absent = {plugin.program for plugin in missing} - NOT_HERE
    lost = {plugin.language for plugin in missing if plugin.program in absent}
    found = {
        language: line in (tmp_path / "gen" / language / name).read_text(encoding="utf-8")
        for language, (name, line) in NAMES.items()
        if language not in lost
    }
    assert dict.fromkeys(found, True) == found
    assert NAMES.keys() == {plugin.language for plugin in plugins()}
    if absent:
        report_missing(f"{', '.join(sorted(absent))} not on the PATH: {', '.join(sorted(lost))} not generated")


def test_the_committed_stubs_of_go_are_those_of_the_contract(tmp_path: Path, go_programs: GoPrograms) -> None:
    """`make clients` generates them."""
    template = ROOT / "clients" / "go" / "buf.gen.yaml"
    path = os.pathsep.join([str(go_programs.plugins), os.environ.get("PATH", os.defpath)])
    command = [find("buf", "buf-bin"), "generate", "--template", str(template), "--output", str(tmp_path)]

    run(command, ROOT, GENERATE_SECONDS, variables={"PATH": path})

    place = Path("clients", "go", "tokenauthority", "v1")
    fresh, committed = (
        {path.name: path.read_text(encoding="utf-8") for path in (root / place).iterdir()} for root in (tmp_path, ROOT)
    )
    assert fresh.keys() == committed.keys()
    assert [] == [name for name in fresh if fresh[name] != committed[name]]


def test_no_plugin_is_fetched_from_a_remote_host() -> None:
    """A build that sends the contract elsewhere, or that needs a network, is nobody's default."""
    assert {"local", "protoc_builtin"} == {plugin.kind for plugin in plugins()}
