"""Generate the reference of the audit record's fields from the structure that is written."""

from __future__ import annotations

import inspect
import re

from typing import Final

import msgspec

from scripts.docs.markdown import code, page, table
from tokenauthority.audit.record import AuditedToken, AuditRecord


_ATTRIBUTE: Final = re.compile(r"^    (\w+): (.+(?:\n {8}.+)*)", re.MULTILINE)


def audit_page() -> str:
    """Return the page of the fields of an audit record."""
    return page(
        "Audit record fields",
        "Each RPC leaves one line of JSON in the audit log. A field without a value is left out. "
        "[The audit log](../explanation/audit-log.md) describes the chain of the lines and their other types.",
        _fields(AuditRecord),
        "## Items of `tokens`",
        "A batch whose tokens differ in terms or subject has one item for each of them.",
        _fields(AuditedToken),
    )


def _fields(structure: type[msgspec.Struct]) -> str:
    """Return the fields of *structure*, with the meanings in the section `Attributes` of its docstring."""
    _, _, section = inspect.cleandoc(structure.__doc__ or "").partition("Attributes:\n")
    meanings = dict(_ATTRIBUTE.findall(section))
    return table(("field", "meaning"), [(code(name), meanings.get(name, "")) for name in structure.__struct_fields__])
