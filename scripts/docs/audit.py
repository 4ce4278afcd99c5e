"""Generate the reference of the audit record's fields from the structure that is written."""

from __future__ import annotations

import ast
import inspect
import textwrap

from itertools import pairwise

import msgspec

from scripts.docs.markdown import code, page, table
from tokenauthority.audit.record import AuditLine
from tokenauthority.context import AuditedToken


def audit_page() -> str:
    """Return the page of the fields of an audit record."""
    return page(
        "Audit record fields",
        "Each RPC leaves one line of JSON in the audit log. A field without a value is left out. "
        "[The audit log](../explanation/audit-log.md) describes the chain of the lines and their other types.",
        _fields(AuditLine),
        "## Items of `tokens`",
        "A batch has one item for each of its tokens.",
        _fields(AuditedToken),
    )


def _fields(structure: type[msgspec.Struct]) -> str:
    meanings = attribute_docstrings(structure)
    return table(("field", "meaning"), [(code(name), meanings.get(name, "")) for name in structure.__struct_fields__])


def attribute_docstrings(structure: type) -> dict[str, str]:
    """Return the string below each attribute of a class, by the attribute's name."""
    [found] = ast.parse(textwrap.dedent(inspect.getsource(structure))).body
    body = found.body if isinstance(found, ast.ClassDef) else []
    return {
        field.target.id: inspect.cleandoc(text.value.value)
        for field, text in pairwise(body)
        if isinstance(field, ast.AnnAssign)
        and isinstance(field.target, ast.Name)
        and isinstance(text, ast.Expr)
        and isinstance(text.value, ast.Constant)
        and isinstance(text.value.value, str)
    }
