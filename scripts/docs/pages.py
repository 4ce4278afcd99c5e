"""List the generated pages and files by their path in the site."""

from __future__ import annotations

import json

from collections.abc import Callable, Mapping
from typing import Final

from scripts.docs.audit import audit_page
from scripts.docs.authorization import authorization_page
from scripts.docs.callers import callers_page
from scripts.docs.commands import commands_page
from scripts.docs.contract import contract_page, errors_page
from scripts.docs.declaration import declaration_page
from scripts.docs.enforcer import enforcer_page
from scripts.docs.events import events_page
from scripts.docs.metrics import metrics_page
from scripts.docs.openapi import openapi_document
from scripts.docs.python_api import client_page, verifier_page
from scripts.docs.schemas import authority_schema, callers_schema, settings_schema
from scripts.docs.servers import servers_page
from scripts.docs.settings import settings_page
from tokenauthority.client import SERVICE_CONFIG


PAGES: Final[Mapping[str, Callable[[], str]]] = {
    "reference/settings.md": settings_page,
    "reference/command-line.md": commands_page,
    "reference/authorization.md": authorization_page,
    "reference/callers-file.md": callers_page,
    "reference/declaration.md": declaration_page,
    "reference/contract.md": contract_page,
    "reference/errors.md": errors_page,
    "reference/python-client.md": client_page,
    "reference/verifier.md": verifier_page,
    "reference/audit-fields.md": audit_page,
    "reference/metrics.md": metrics_page,
    "reference/log-events.md": events_page,
    "reference/enforcer.md": enforcer_page,
    "reference/permissions-per-server.md": servers_page,
}

FILES: Final[Mapping[str, Callable[[], str]]] = {
    "authority.schema.json": authority_schema,
    "callers.schema.json": callers_schema,
    "openapi.json": openapi_document,
    "service-config.json": lambda: json.dumps(json.loads(SERVICE_CONFIG), indent=2),
    "settings.schema.json": settings_schema,
}
"""What pages link to and is no page."""
