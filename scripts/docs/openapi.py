"""Generate the OpenAPI document of the unary RPCs with JSON, from `protos/`, and of the checks of proxies."""

from __future__ import annotations

import json

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, TypeAlias

from google.protobuf import descriptor_pb2
from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor

from scripts.docs.contract import descriptor_set
from scripts.docs.openapi_checks import CHECK_PATHS, CHECK_SCHEMAS, CHECK_SECURITY
from tokenauthority import __version__
from tokenauthority.contract import METHODS, Method
from tokenauthority.web.connect import HTTP_STATUS


_Json: TypeAlias = "dict[str, Any]"

_DESCRIPTION: Final = (
    "The unary RPCs of Token Authority over HTTP/1.1 with JSON, in the form of the Connect protocol. A server has them "
    "where `listen.http_api` is on. A request with a field that is not here is refused. Fields can be added to answers."
)
_TEXTS: Final[Mapping[str, _Json]] = {
    "google.protobuf.Timestamp": {"type": "string", "format": "date-time"},
    "google.protobuf.Duration": {"type": "string", "pattern": r"^-?[0-9]+(\.[0-9]{1,9})?s$"},
    "google.protobuf.FieldMask": {"type": "string", "examples": ["displayName,maxTtl"]},
}
_SCALARS: Final[Mapping[int, _Json]] = {
    FieldDescriptor.TYPE_BOOL: {"type": "boolean"},
    FieldDescriptor.TYPE_INT32: {"type": "integer", "format": "int32"},
    FieldDescriptor.TYPE_UINT32: {"type": "integer", "minimum": 0, "maximum": 2**32 - 1},
    FieldDescriptor.TYPE_INT64: {"type": "string", "pattern": "^-?[0-9]+$"},
    FieldDescriptor.TYPE_STRING: {"type": "string"},
    FieldDescriptor.TYPE_BYTES: {"type": "string", "contentEncoding": "base64"},
}
_ERROR: Final[_Json] = {
    "type": "object",
    "description": "How a call was refused. A program decides by `code`, and by the `reason` of the detail ErrorInfo.",
    "required": ["code", "message"],
    "properties": {
        "code": {
            "type": "string",
            "enum": sorted({code.name.lower().replace("cancelled", "canceled") for code in HTTP_STATUS} - {"ok"}),
        },
        "message": {"type": "string", "description": "For a person. It can change."},
        "details": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["type", "value"],
                "properties": {
                    "type": {"type": "string", "examples": ["google.rpc.ErrorInfo", "google.rpc.BadRequest"]},
                    "value": {"type": "string", "description": "The bytes of the message, in base64 without padding."},
                    "debug": {"type": "object", "description": "The same message in JSON."},
                },
            },
        },
    },
}
_PARAMETERS: Final[Mapping[str, _Json]] = {
    "Connect-Protocol-Version": {
        "description": "The version of the protocol, which may be left out.",
        "schema": {"type": "string", "enum": ["1"]},
    },
    "Connect-Timeout-Ms": {
        "description": "Milliseconds that the client waits.",
        "schema": {"type": "string", "pattern": "^[0-9]{1,10}$"},
    },
    "X-Request-Id": {
        "description": "The id of the call in the audit log. Without it the server makes one.",
        "schema": {"type": "string", "pattern": "^[A-Za-z0-9._-]{1,64}$"},
    },
}


def openapi_document() -> str:
    """Return the document (OpenAPI 3.1) as JSON."""
    methods = [method for method in METHODS.values() if not method.descriptor.server_streaming]
    comments = _comments()
    requests = _reachable(method.descriptor.input_type for method in methods)
    answers = _reachable(method.descriptor.output_type for method in methods)
    enums = {
        field.enum_type.full_name: field.enum_type
        for kind in (*requests.values(), *answers.values())
        for field in kind.fields
        if field.enum_type is not None
    }
    schemas = {
        **{
            _short(name): _message(kind, comments, asked=name in requests, answered=name in answers)
            for name, kind in {**requests, **answers}.items()
        },
        **{_short(name): _enum(kind, comments) for name, kind in enums.items()},
        **CHECK_SCHEMAS,
        "Error": _ERROR,
    }
    document = {
        "openapi": "3.1.0",
        "info": {"title": "Token Authority", "version": __version__, "description": _DESCRIPTION},
        "servers": [{"url": "https://tokens.example.com:8082"}],
        "security": [{"bearer": []}],
        "paths": {method.path: {"post": _operation(method, comments)} for method in methods} | CHECK_PATHS,
        "components": {
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "description": "An API key, or a JWT of an issuer."},
                **CHECK_SECURITY,
            },
            "parameters": {name: {"name": name, "in": "header", **rest} for name, rest in _PARAMETERS.items()},
            "responses": {"Error": {"description": "The call was refused.", **_content("Error")}},
            "schemas": dict(sorted(schemas.items())),
        },
    }
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def _operation(method: Method, comments: Mapping[str, str]) -> _Json:
    descriptor = method.descriptor
    return {
        "operationId": f"{_short(method.service)}_{method.name}",
        "tags": [_short(method.service)],
        "description": f"{comments.get(descriptor.full_name, '')}\n\nAction: `{method.required_action}`.".strip(),
        "parameters": [{"$ref": f"#/components/parameters/{name}"} for name in _PARAMETERS],
        "requestBody": {"required": True, **_content(descriptor.input_type.name)},
        "responses": {
            "200": {"description": "The answer.", **_content(descriptor.output_type.name)},
            "default": {"$ref": "#/components/responses/Error"},
        },
    }


def _content(schema: str) -> _Json:
    return {"content": {"application/json": {"schema": _reference(schema)}}}


def _message(kind: Descriptor, comments: Mapping[str, str], *, asked: bool, answered: bool) -> _Json:
    """Return the schema of a message; one of a request has no other fields, one of an answer has all its own."""
    schema: _Json = {"type": "object", "description": comments.get(kind.full_name, "")}
    properties = {field.json_name: _field(field, comments) for field in kind.fields}
    if properties:
        schema["properties"] = properties
    always = [field.json_name for field in kind.fields if not field.has_presence]
    if answered and not asked and always:
        schema["required"] = always
    if asked and not answered:
        schema["additionalProperties"] = False
    return schema


def _field(field: FieldDescriptor, comments: Mapping[str, str]) -> _Json:
    value = _value(field)
    schema = {"type": "array", "items": value} if field.is_repeated else value
    comment = comments.get(field.full_name, "")
    return {**schema, "description": comment} if comment else schema


def _value(field: FieldDescriptor) -> _Json:
    if field.message_type is not None:
        name = field.message_type.full_name
        return dict(_TEXTS[name]) if name in _TEXTS else _reference(field.message_type.name)
    if field.enum_type is not None:
        return _reference(field.enum_type.name)
    return dict(_SCALARS[field.type])


def _enum(kind: EnumDescriptor, comments: Mapping[str, str]) -> _Json:
    lines = [f"- `{value.name}`: {comments.get(f'{kind.full_name}.{value.name}', '')}" for value in kind.values]
    description = "\n".join([comments.get(kind.full_name, ""), "", *lines]).strip()
    return {"type": "string", "description": description, "enum": [value.name for value in kind.values]}


def _reachable(kinds: Iterable[Descriptor]) -> dict[str, Descriptor]:
    """Return *kinds* and the messages of their fields, without those that JSON has as a text."""
    found: dict[str, Descriptor] = {}
    waiting = list(kinds)
    while waiting:
        kind = waiting.pop()
        if kind.full_name not in found and kind.full_name not in _TEXTS:
            found[kind.full_name] = kind
            waiting += [field.message_type for field in kind.fields if field.message_type is not None]
    return found


def _reference(schema: str) -> _Json:
    return {"$ref": f"#/components/schemas/{schema}"}


def _short(name: str) -> str:
    return name.rpartition(".")[2]


def _comments() -> dict[str, str]:
    """Return the comment of each element of the contract, by its full name."""
    comments = {}
    for file in descriptor_pb2.FileDescriptorSet.FromString(descriptor_set()).file:
        places = {tuple(place.path): place.leading_comments for place in file.source_code_info.location}
        for path, name in _elements(file):
            lines = places.get(path, "").splitlines()
            comments[f"{file.package}.{name}"] = "\n".join(line.removeprefix(" ") for line in lines).strip()
    return comments


def _elements(file: descriptor_pb2.FileDescriptorProto) -> Iterator[tuple[tuple[int, ...], str]]:
    """Yield the path of each element in descriptor.proto, and its name without the package."""
    for number, message in enumerate(file.message_type):
        yield (4, number), message.name
        yield from (((4, number, 2, index), f"{message.name}.{f.name}") for index, f in enumerate(message.field))
    for number, enum in enumerate(file.enum_type):
        yield (5, number), enum.name
        yield from (((5, number, 2, index), f"{enum.name}.{v.name}") for index, v in enumerate(enum.value))
    for number, service in enumerate(file.service):
        yield (6, number), service.name
        yield from (((6, number, 2, index), f"{service.name}.{m.name}") for index, m in enumerate(service.method))
