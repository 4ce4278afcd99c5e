"""Generate the reference of the contract and of its errors from the comments in `protos/`."""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from google.protobuf import descriptor_pb2

from scripts.docs.authorization import second_call
from scripts.docs.markdown import code, page, table
from tokenauthority.contract import METHODS, Method


PROTOS: Final = Path(__file__).resolve().parents[2] / "protos"
_PACKAGE: Final = "tokenauthority.v1"
_FIELD: Final = descriptor_pb2.FieldDescriptorProto
_SCALARS: Final = {
    _FIELD.TYPE_BOOL: "bool",
    _FIELD.TYPE_BYTES: "bytes",
    _FIELD.TYPE_INT32: "int32",
    _FIELD.TYPE_INT64: "int64",
    _FIELD.TYPE_STRING: "string",
    _FIELD.TYPE_UINT32: "uint32",
    _FIELD.TYPE_UINT64: "uint64",
}
# Numbers of the fields in descriptor.proto: a path of them says what a comment is about.
_MESSAGES, _ENUMS, _SERVICES = 4, 5, 6
_MESSAGE_FIELDS, _NESTED, _ENUM_VALUES, _METHODS = 2, 3, 2, 2


class _File(NamedTuple):
    proto: descriptor_pb2.FileDescriptorProto
    comments: dict[tuple[int, ...], str]

    def comment(self, *path: int) -> str:
        return self.comments.get(path, "")


def contract_page() -> str:
    """Return the page of all services, messages and enums."""
    files = list(_files())
    parts = [
        f"Every message, limit, default and error, from the comments in the files of the package `{_PACKAGE}`.",
        "## Services",
        *(part for file in files for part in _services(file)),
        "## Messages",
        *(part for file in files for part in _messages(file, file.proto.message_type, (_MESSAGES,), "")),
        "## Enums",
        *(part for file in files for part in _enums(file)),
    ]
    return page("Contract", *parts)


def errors_page() -> str:
    """Return the page of the error reasons."""
    rows = []
    for value, comment in _values("ErrorReason"):
        status, _, meaning = comment.partition(": ")
        if meaning:
            rows.append((code(value.removeprefix("ERROR_REASON_")), code(status), meaning[0].upper() + meaning[1:]))
    return page(
        "Error reasons",
        "Each error carries a `google.rpc.ErrorInfo` with the domain `tokenauthority` and one of these reasons. "
        "A program decides by the reason. The message is for a person and can change.",
        table(("reason", "gRPC status", "meaning"), rows),
        "## Why a token is not active",
        "VerifyToken answers these reasons with the status `OK`: the call succeeded, and the token is not valid.",
        table(
            ("reason", "meaning"),
            [
                (code(value.removeprefix("INACTIVE_REASON_")), comment)
                for value, comment in _values("InactiveReason")
                if not value.endswith("_UNSPECIFIED")
            ],
        ),
    )


def descriptor_set(*options: str) -> bytes:
    """Return the serialized `FileDescriptorSet` of the contract with its comments; protoc has *options* too."""
    names = sorted(path.relative_to(PROTOS).as_posix() for path in PROTOS.rglob("*.proto"))
    with tempfile.TemporaryDirectory() as directory:
        output = Path(directory) / "contract.binpb"
        given = ["--include_source_info", f"--descriptor_set_out={output}", f"--proto_path={PROTOS}", *options]
        subprocess.run([sys.executable, "-m", "grpc_tools.protoc", *given, *names], check=True)
        return output.read_bytes()


def _files() -> Iterator[_File]:
    for proto in descriptor_pb2.FileDescriptorSet.FromString(descriptor_set()).file:
        locations = proto.source_code_info.location
        yield _File(proto, {tuple(place.path): _clean(place.leading_comments) for place in locations})


def _clean(comment: str) -> str:
    return "\n".join(line.removeprefix(" ") for line in comment.splitlines()).strip()


def _values(enum: str) -> Iterator[tuple[str, str]]:
    for file in _files():
        for number, found in enumerate(file.proto.enum_type):
            if found.name == enum:
                for index, value in enumerate(found.value):
                    yield value.name, file.comment(_ENUMS, number, _ENUM_VALUES, index)


def _services(file: _File) -> Iterator[str]:
    for number, service in enumerate(file.proto.service):
        yield f"### {service.name}\n\n{file.comment(_SERVICES, number)}"
        for index, method in enumerate(service.method):
            stream = "stream of " if method.server_streaming else ""
            yield (
                f"#### {service.name}.{method.name}\n\n"
                f"{_link(method.input_type)} → {stream}{_link(method.output_type)}\n\n"
                f"{file.comment(_SERVICES, number, _METHODS, index)}\n\n"
                f"{_facts(METHODS[f'/{_PACKAGE}.{service.name}/{method.name}'])}"
            )


def _facts(method: Method) -> str:
    return f"Action: `{method.required_action}`. A second call {second_call(method)}."


def _messages(
    file: _File, messages: Iterable[descriptor_pb2.DescriptorProto], path: Sequence[int], outer: str
) -> Iterator[str]:
    for number, message in enumerate(messages):
        here = (*path, number)
        name = outer + message.name
        if message.options.map_entry:
            continue
        rows = [
            (code(field.name), _type(field), file.comment(*here, _MESSAGE_FIELDS, index))
            for index, field in enumerate(message.field)
        ]
        yield f"### {name}\n\n{file.comment(*here)}\n\n" + (table(("field", "type", "meaning"), rows) if rows else "")
        yield from _messages(file, message.nested_type, (*here, _NESTED), f"{name}.")


def _enums(file: _File) -> Iterator[str]:
    for number, enum in enumerate(file.proto.enum_type):
        rows = [
            (code(value.name), file.comment(_ENUMS, number, _ENUM_VALUES, index))
            for index, value in enumerate(enum.value)
        ]
        yield f"### {enum.name}\n\n{file.comment(_ENUMS, number)}\n\n{table(('value', 'meaning'), rows)}"


def _type(field: descriptor_pb2.FieldDescriptorProto) -> str:
    name = _SCALARS.get(field.type) or _link(field.type_name)
    return f"repeated {name}" if field.label == _FIELD.LABEL_REPEATED else name


def _link(type_name: str) -> str:
    """Return a link to the heading of one of our types, or the name of a well-known type."""
    name = type_name.removeprefix(".")
    if not name.startswith(f"{_PACKAGE}."):
        return code(name)
    name = name.removeprefix(f"{_PACKAGE}.")
    fragment = re.sub(r"[^\w-]", "", name.lower())
    return f"[{name}](#{fragment})"
