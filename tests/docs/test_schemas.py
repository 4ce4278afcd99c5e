"""The published JSON schemas take what a server takes, and find what an editor can find."""

from __future__ import annotations

import json
import tomllib

import jsonschema
import pytest
import yaml

from scripts.docs.pages import FILES
from tests.docs.blocks import BLOCKS, Block
from tokenauthority.callers.file_models import CallerTable
from tokenauthority.config.loading import COMMAND_LINE
from tokenauthority.config.settings import Settings


SETTINGS = json.loads(FILES["settings.schema.json"]())
CALLERS = json.loads(FILES["callers.schema.json"]())
AUTHORITY = json.loads(FILES["authority.schema.json"]())

EXAMPLES = [
    (CALLERS if "[[callers]]" in block.text else SETTINGS, block)
    for block in BLOCKS
    if block.language == "toml" and block.title and "[[servers]]" not in block.text
]


@pytest.mark.parametrize("schema", [SETTINGS, CALLERS, AUTHORITY], ids=["settings", "callers", "authority"])
def test_is_a_schema(schema: dict[str, object]) -> None:
    """Of the draft that it names."""
    jsonschema.Draft202012Validator.check_schema(schema)


def test_there_are_examples() -> None:
    """Of both files."""
    assert all(any(used is schema for used, _ in EXAMPLES) for schema in (CALLERS, SETTINGS))


@pytest.mark.parametrize(("schema", "block"), EXAMPLES, ids=lambda part: part.page if isinstance(part, Block) else "")
def test_every_example_of_the_pages_conforms(schema: dict[str, object], block: Block) -> None:
    """The pages show what editors accept."""
    jsonschema.validate(tomllib.loads(block.text), schema)


@pytest.mark.parametrize(
    "block", [block for block in BLOCKS if block.language == "yaml" and "version: 1" in block.text], ids=repr
)
def test_every_declaration_of_the_pages_conforms(block: Block) -> None:
    """Also where an id is a number for YAML."""
    jsonschema.validate(yaml.safe_load(block.text), AUTHORITY)


@pytest.mark.parametrize(
    "text",
    [
        "projects: []",
        "version: 2",
        "{version: 1, projects: [{project_id: 1, max_tll: 1h}]}",
        "{version: 1, projects: [{project_id: 1, default_format: session_jwt}]}",
        "{version: 1, projects: [{project_id: 1, roles: [{name: a, permissions: [fly]}]}]}",
        "{version: 1, callers: [{name: a}]}",
    ],
)
def test_finds_a_mistake_in_a_declaration(text: str) -> None:
    """Unknown names, wrong values, and what is missing."""
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(yaml.safe_load(text), AUTHORITY)


@pytest.mark.parametrize(
    ("schema", "text"),
    [
        (SETTINGS, "[listen]\ngrcp = '127.0.0.1:1'"),
        (SETTINGS, "dev = true"),
        (SETTINGS, "[keys]\nalgorithm = 'HS256'"),
        (SETTINGS, "[audit]\nmax_bytes = 1"),
        (CALLERS, "[[callers]]\nname = 'a'\nprojects = ['*']\nactions = ['tokens.genrate']"),
        (CALLERS, "[[callers]]\nname = 'a'\nproject = ['*']\nactions = ['*']"),
        (CALLERS, "callers = []"),
    ],
)
def test_finds_a_mistake(schema: dict[str, object], text: str) -> None:
    """Unknown names, wrong values, what is for the command line, and what is missing."""
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(tomllib.loads(text), schema)


def test_every_field_is_described() -> None:
    """Editors show what the pages say."""
    groups = {name for name in Settings.model_fields if name not in COMMAND_LINE}

    assert groups == SETTINGS["properties"].keys()
    assert CallerTable.model_fields.keys() == CALLERS["$defs"]["CallerTable"]["properties"].keys()
    assert [] == [
        (name, field)
        for name, group in (SETTINGS["$defs"] | CALLERS["$defs"] | AUTHORITY["$defs"]).items()
        for field, value in group.get("properties", {}).items()
        if "description" not in value
    ]
