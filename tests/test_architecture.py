"""The shape of the code base and of its tests."""

from __future__ import annotations

import ast
import re

from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Final, TypeAlias

import pytest

from importlinter.cli import lint_imports


ROOT = Path(__file__).resolve().parents[1]
TESTS = ROOT / "tests"
PACKAGE = ROOT / "src" / "tokenauthority"
GENERATED = {PACKAGE / "client" / "blocking", PACKAGE / "v1"}
MODULES = sorted(path for path in PACKAGE.rglob("*.py") if GENERATED.isdisjoint(path.parents))
CLIENTS = [path for name in ("interop", "python") for path in (ROOT / "clients" / name).rglob("*.py")]
SOURCES = sorted({*MODULES, *TESTS.rglob("*.py"), *CLIENTS, *(ROOT / "benchmarks").rglob("*.py")})

MODULE_LINES: Final = 299
FUNCTION_LINES: Final = 40
LONG_FUNCTIONS: Final = 0.003
"""The share of functions that may be longer: the two that build a server from its parts."""

SHARED_NAMES: Final = 25
"""How many names of functions may stand on four or more definitions that have nothing in common."""

SUPPRESSION = re.compile(r"#\s*(?:type:\s*ignore|noqa)")
REASONED = re.compile(r"#\s*(?:type: ignore\[[a-z, -]+\]  # |noqa: [A-Z]+[0-9]+(?:, [A-Z]+[0-9]+)* - )\w")

FOLDERS = {"conformance", "docs", "packaging", "scenarios", "security"}
"""Folders whose tests hold what no single module promises; tests/README.md says what is in each."""

HELD_ELSEWHERE = {
    # Values and protocols, which decide nothing.
    "audit/errors.py": "audit/writing",
    "callers/authenticator.py": "callers/test_bearer.py",
    "domain/change.py": "storage/test_sql_changes.py",
    "domain/credential.py": "storage/test_sql_projects.py",
    "domain/key.py": "domain/test_rotation.py",
    "domain/sealed.py": "storage/test_sql_sealed.py",
    "signing/formats/jitsi_jwt.py": "signing/formats/test_table.py",
    "signing/formats/livekit_jwt.py": "signing/formats/test_table.py",
    "signing/key_provider.py": "authority/test_remote_signing.py",
    "signing/results.py": "signing/formats/test_registry.py",
    "verifier/values.py": "verifier/test_checks.py",
    # What every store does alike: the tests of each subject run with every store.
    "storage/errors.py": "storage",
    "storage/store.py": "storage",
    "storage/server_store.py": "storage/test_sql_servers.py",
    "storage/project_deletion_store.py": "storage/test_sql_project_deletion.py",
    # Parts of a request or an answer, which the tests of the RPCs and commands see whole.
    "audit/reading/report.py": "cli/test_audit.py",
    "audit/reading/trusted_checkpoint.py": "cli/test_audit.py",
    "authority/key_checks.py": "authority/test_projects.py",
    "authority/project_secrets.py": "service/test_projects_correction.py",
    "authority/project_deletion.py": "service/test_projects_deletion.py",
    "authority/project_spec.py": "service/test_projects.py",
    "authority/turn.py": "service/test_tokens_turn.py",
    "authority/waiting.py": "interceptors/test_changes.py",
    "callers/explain.py": "cli/test_callers.py",
    "callers/explain_jwt.py": "cli/test_callers_jwt.py",
    "callers/jwt_rules.py": "callers/test_jwt.py",
    "callers/x509_svid.py": "callers/test_spiffe.py",
    "http_request.py": "callers/test_jwks_sources.py",
    "callers/identity.py": "callers/test_file_checks.py",
    "config/group.py": "config/test_settings.py",
    "config/groups.py": "config/test_settings.py",
    "config/telemetry_settings.py": "config/test_telemetry.py",
    "declaration/models.py": "declaration/test_reading.py",
    "enforcer/metrics.py": "enforcer/test_main.py",
    "cli/callers_file.py": "cli/test_callers.py",
    "cli/batch.py": "cli/test_app_every_rpc.py",
    "client/aio/calls.py": "client/aio/test_authority.py",
    "cli/calls.py": "cli/test_failures.py",
    "service/mapping.py": "service",
    "service/problems.py": "service/test_tokens_batch.py",
    "service/token_mapping.py": "service/test_tokens_generate.py",
    "server/http_places.py": "server/test_http.py",
    # How the parts of a server are put together: every test with a server uses them.
    "server/background_tasks.py": "server/test_lifecycle.py",
    "server/core.py": "server/test_lifecycle.py",
    "server/exporting.py": "server/test_telemetry.py",
    "web/api.py": "web/test_connect.py",
    "interceptors/call.py": "interceptors/test_chain.py",
    "server/messages.py": "interceptors/test_receiving.py",
    "server/turn_servers.py": "service/test_tokens_turn.py",
    "server/usage.py": "cli/test_callers_usage.py",
    "server/grpc_options.py": "scenarios/test_keepalive.py",
    "server/wiring.py": "server/test_lifecycle.py",
}
"""Modules without tests at their own path, and where under tests/ their promises are held."""

Definition: TypeAlias = tuple[Path, ast.ClassDef | None, ast.FunctionDef | ast.AsyncFunctionDef]
"""A function with its module and, for a method, its class."""


def test_imports_keep_the_contracts(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Every import obeys the contracts in pyproject.toml."""
    monkeypatch.chdir(ROOT)
    # It would switch off every logger that there is, for the tests after this one too.
    monkeypatch.setattr("logging.config.dictConfig", lambda _: None)

    broken = lint_imports(no_cache=True, no_logo=True)

    assert not broken, capsys.readouterr().out


def test_modules_are_short() -> None:
    """A module has few enough lines to be read in one sitting."""
    lines = {_name(path): len(path.read_text(encoding="utf-8").splitlines()) for path in (*MODULES, *CLIENTS)}

    assert {} == {name: count for name, count in lines.items() if count > MODULE_LINES}


def test_functions_are_short() -> None:
    """A function is seen whole on a screen."""
    functions = list(_functions())
    long = [
        f"{_name(path)}:{function.lineno} {function.name}"
        for path, _, function in functions
        if (function.end_lineno or 0) - function.lineno >= FUNCTION_LINES
    ]

    assert len(long) <= LONG_FUNCTIONS * len(functions), long


def test_modules_open_with_their_promise() -> None:
    """A module opens with a docstring."""
    assert [] == [_name(path) for path, tree in _trees().items() if not ast.get_docstring(tree)]


def test_suppressions_name_their_rule_and_reason() -> None:
    """A comment that silences a checker names the rules that it silences and says why."""
    assert [] == [
        f"{_name(path)}:{number}: {line.strip()}"
        for path in SOURCES
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if (found := SUPPRESSION.search(line)) and not REASONED.match(line, found.start())
    ]


def test_no_two_classes_share_a_name() -> None:
    """A class name means one thing in all of the package, so that a search for it finds one place."""
    homes = defaultdict(list)
    for path, tree in _trees().items():
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                homes[node.name].append(_name(path))

    assert {} == {name: places for name, places in homes.items() if len(places) > 1}


def test_few_functions_share_a_name() -> None:
    """A search for a function finds few places; a protocol and the classes that implement it count once."""
    protocols = {
        node.name: _methods(node)
        for tree in _trees().values()
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef) and {"Protocol", "ABC"} & _bases(node)
    }
    homes: dict[str, set[str]] = defaultdict(set)
    for path, owner, function in _functions():
        if not function.name.startswith("__"):
            place = _protocol_of(function.name, owner, protocols) or f"{_name(path)}:{owner.name if owner else ''}"
            homes[function.name].add(place)
    shared = {name: sorted(places) for name, places in homes.items() if len(places) >= 4}

    assert len(shared) <= SHARED_NAMES, shared


def test_every_module_has_its_tests_at_its_path() -> None:
    """Below tests/, `x/y.py` is tested in `x/test_y.py`, in parts in `x/test_y_*.py`, or where the table says."""
    untested = {module for module in _testable() if not any(_test_files(module))}

    assert untested == HELD_ELSEWHERE.keys()
    assert [] == [place for place in HELD_ELSEWHERE.values() if not (TESTS / place).exists()]


def test_every_test_file_is_at_the_path_of_a_module_or_in_a_named_folder() -> None:
    """Whoever looks at a test file knows what it holds."""
    mirrors = {path for module in _testable() for path in _test_files(module)}
    others = {
        path
        for path in TESTS.rglob("test_*.py")
        if path not in mirrors and path.relative_to(TESTS).parts[0] not in FOLDERS and path != Path(__file__)
    }

    assert set() == {_name(path) for path in others}


def test_the_readme_of_the_tests_names_every_folder() -> None:
    """A folder of tests that the page does not explain cannot be found."""
    text = (TESTS / "README.md").read_text(encoding="utf-8")
    own = {path.name for path in TESTS.iterdir() if path.is_dir()} - {path.name for path in PACKAGE.iterdir()}

    assert [] == sorted(name for name in own - {"__pycache__"} if f"`{name}/`" not in text)


def _name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def _testable() -> list[str]:
    return [
        path.relative_to(PACKAGE).as_posix()
        for path in MODULES
        if path.name != "__init__.py" and "migrations" not in path.parts
    ]


def _test_files(module: str) -> list[Path]:
    folder, stem = (TESTS / module).parent, Path(module).stem.strip("_")
    return [*folder.glob(f"test_{stem}.py"), *folder.glob(f"test_{stem}_*.py")]


@cache
def _trees() -> dict[Path, ast.Module]:
    """What the modules say: parsed when a test asks, because each test process imports this module."""
    return {path: ast.parse(path.read_text(encoding="utf-8")) for path in MODULES}


def _functions() -> Iterator[Definition]:
    def below(path: Path, node: ast.AST, owner: ast.ClassDef | None) -> Iterator[Definition]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
                yield path, owner, child
            yield from below(path, child, child if isinstance(child, ast.ClassDef) else owner)

    for path, tree in _trees().items():
        if "migrations" not in path.parts:
            yield from below(path, tree, None)


def _methods(node: ast.ClassDef) -> set[str]:
    return {child.name for child in node.body if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef)}


def _bases(node: ast.ClassDef) -> set[str]:
    return {re.split(r"[.\[]", ast.unparse(base).removeprefix("abc."))[0] for base in node.bases}


def _protocol_of(method: str, owner: ast.ClassDef | None, protocols: dict[str, set[str]]) -> str:
    """Return the protocol that *method* of the class *owner* belongs to, or ""."""
    if owner is None or owner.name in protocols:
        return owner.name if owner else ""
    own, bases = _methods(owner), _bases(owner)
    of_method = {name: methods for name, methods in protocols.items() if method in methods}
    return next((name for name, methods in of_method.items() if methods <= own or name in bases), "")
