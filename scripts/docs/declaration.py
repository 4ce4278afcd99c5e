"""Generate the reference of the declaration from the pydantic models that read it."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import BaseModel

from scripts.docs.markdown import code, page, table
from tokenauthority.declaration.models import AuthorityDocument, DeclaredImport, DeclaredProject, DeclaredRole


def declaration_page() -> str:
    """Return the page of the fields of a declaration."""
    return page(
        "The declaration",
        "`tokenauthority apply` reads this YAML file, of at most 1 MiB, whole or not at all: each error is reported "
        "with its line. [Declare projects, roles and callers](../how-to/declare-with-a-file.md) has the commands.",
        *_section("The file", AuthorityDocument),
        *_section("`projects`", DeclaredProject),
        *_section("`roles` of a project", DeclaredRole),
        *_section("`imported` of a project", DeclaredImport),
        "## `callers`",
        "The fields are those of `[[callers]]` in [the callers file](callers-file.md), with moments such as "
        "`2027-01-31T00:00:00Z`. A caller without a proof, such as `api_key_sha256`, has that of the callers file.",
    )


def _section(title: str, model: type[BaseModel]) -> Iterator[str]:
    yield f"## {title}"
    yield table(
        ("field", "required", "meaning"),
        [
            (code(field), "yes" if info.is_required() else "", info.description or "")
            for field, info in model.model_fields.items()
        ],
    )
