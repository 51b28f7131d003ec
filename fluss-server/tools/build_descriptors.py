"""Build what Python needs from ``api/fluss.proto``: the binary descriptors and the type stub of the messages.

    python fluss-server/tools/build_descriptors.py          write the files
    python fluss-server/tools/build_descriptors.py --check  fail when they are not up to date

Reads the part of the proto2 language that ``fluss.proto`` uses (flat messages of plain fields) and writes

* ``api/fluss.binpb``    a serialized ``FileDescriptorSet``, loaded at run time by every supported protobuf runtime;
  generated Python code would tie the product to the runtime of one protoc release;
* ``api/messages.pyi``   the types of the message classes for type checkers and editors.

No protoc is needed. Descriptors equal those of protoc except for ``json_name``, which runtimes derive by themselves.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
)

API = Path(__file__).resolve().parents[1] / "src" / "fluss_server" / "api"
_SCALARS = {
    "double": FieldDescriptorProto.TYPE_DOUBLE,
    "float": FieldDescriptorProto.TYPE_FLOAT,
    "int64": FieldDescriptorProto.TYPE_INT64,
    "int32": FieldDescriptorProto.TYPE_INT32,
    "bool": FieldDescriptorProto.TYPE_BOOL,
    "string": FieldDescriptorProto.TYPE_STRING,
    "bytes": FieldDescriptorProto.TYPE_BYTES,
}
_LABELS = {
    "optional": FieldDescriptorProto.LABEL_OPTIONAL,
    "required": FieldDescriptorProto.LABEL_REQUIRED,
    "repeated": FieldDescriptorProto.LABEL_REPEATED,
}
_PYTHON_TYPES = {
    FieldDescriptorProto.TYPE_DOUBLE: "float",
    FieldDescriptorProto.TYPE_FLOAT: "float",
    FieldDescriptorProto.TYPE_INT64: "int",
    FieldDescriptorProto.TYPE_INT32: "int",
    FieldDescriptorProto.TYPE_BOOL: "bool",
    FieldDescriptorProto.TYPE_STRING: "str",
    FieldDescriptorProto.TYPE_BYTES: "bytes",
}
_TOKEN = re.compile(r'\s+|//[^\n]*|(?P<token>"[^"\n]*"|[A-Za-z_][\w.]*|\d+|[{}=;\[\]])')


class ProtoSyntaxError(ValueError):
    """The input leaves the part of the language that this script reads."""


class _Tokens:
    """A stream of tokens with the few checks a parser of this size needs."""

    def __init__(self, text: str) -> None:
        self._tokens = self._split(text)
        self._next: str | None = next(self._tokens, None)

    @staticmethod
    def _split(text: str) -> Iterator[str]:
        position = 0
        while position < len(text):
            match = _TOKEN.match(text, position)
            if match is None:
                line = text.count("\n", 0, position) + 1
                raise ProtoSyntaxError(f"line {line}: unexpected {text[position]!r}")
            position = match.end()
            if match["token"] is not None:
                yield match["token"]

    def peek(self) -> str | None:
        return self._next

    def take(self) -> str:
        token = self._next
        if token is None:
            raise ProtoSyntaxError("unexpected end of file")
        self._next = next(self._tokens, None)
        return token

    def expect(self, *wanted: str) -> None:
        for token in wanted:
            if (got := self.take()) != token:
                raise ProtoSyntaxError(f"expected {token!r}, got {got!r}")


def parse_proto(text: str, name: str) -> FileDescriptorProto:
    """The descriptor of a proto2 file.

    Raises:
        ProtoSyntaxError: the text is not valid or uses more of the language than this script knows.
    """
    file = FileDescriptorProto(name=name)
    tokens = _Tokens(text)
    tokens.expect("syntax", "=", '"proto2"', ";")
    while (statement := tokens.peek()) is not None:
        tokens.take()
        if statement == "package":
            file.package = tokens.take()
            tokens.expect(";")
        elif statement == "option":
            _read_option(tokens, file)
        elif statement == "message":
            _read_message(tokens, file.message_type.add())
        else:
            raise ProtoSyntaxError(f"unexpected {statement!r} at the top level")
    _resolve_types(file)
    return file


def _read_option(tokens: _Tokens, file: FileDescriptorProto) -> None:
    option = tokens.take()
    tokens.expect("=")
    value = tokens.take()
    tokens.expect(";")
    if option == "java_package":
        file.options.java_package = value.strip('"')
    elif option == "java_multiple_files":
        file.options.java_multiple_files = value == "true"
    else:
        raise ProtoSyntaxError(f"unknown option {option!r}")


def _read_message(tokens: _Tokens, message: DescriptorProto) -> None:
    message.name = tokens.take()
    tokens.expect("{")
    while (label := tokens.take()) != "}":
        if label not in _LABELS:
            raise ProtoSyntaxError(f"{message.name}: expected a field label, got {label!r}")
        field = message.field.add(label=_LABELS[label])
        type_name = tokens.take()
        if type_name in _SCALARS:
            field.type = _SCALARS[type_name]
        else:
            field.type = FieldDescriptorProto.TYPE_MESSAGE
            field.type_name = type_name
        field.name = tokens.take()
        tokens.expect("=")
        field.number = int(tokens.take())
        if tokens.peek() == "[":
            tokens.expect("[", "packed", "=", "true", "]")
            field.options.packed = True
        tokens.expect(";")
    numbers = [field.number for field in message.field]
    names = [field.name for field in message.field]
    if len(set(numbers)) != len(numbers) or len(set(names)) != len(names):
        raise ProtoSyntaxError(f"{message.name}: a field number or name occurs twice")


def _resolve_types(file: FileDescriptorProto) -> None:
    known = {message.name for message in file.message_type}
    if len(known) != len(file.message_type):
        raise ProtoSyntaxError("a message is defined twice")
    for message in file.message_type:
        for field in message.field:
            if field.type == FieldDescriptorProto.TYPE_MESSAGE:
                if field.type_name not in known:
                    raise ProtoSyntaxError(f"{message.name}.{field.name}: unknown type {field.type_name!r}")
                field.type_name = f".{file.package}.{field.type_name}"


def build_stub(file: FileDescriptorProto) -> str:
    """Text of the type stub for the message classes of ``file``."""
    out = [
        '"""Types of the protocol messages. Made by tools/build_descriptors.py from fluss.proto; do not edit."""',
        "# fmt: off",
        "# ruff: noqa: E501",
        "",
        "from collections.abc import Iterable",
        "from typing import Literal",
        "",
        "from google.protobuf.descriptor_pool import DescriptorPool",
        "from google.protobuf.internal.containers import RepeatedCompositeFieldContainer, RepeatedScalarFieldContainer",
        "from google.protobuf.message import Message",
        "",
        "FILE_NAME: str",
        "",
        "def pool() -> DescriptorPool: ...",
        "def message_names() -> list[str]: ...",
        "",
    ]
    for message in file.message_type:
        out += _stub_of_message(message)
    return "\n".join(out)


def _stub_of_message(message: DescriptorProto) -> list[str]:
    if not message.field:
        return [f"class {message.name}(Message):", "    def __init__(self) -> None: ...", ""]
    out = [f"class {message.name}(Message):"]
    arguments: list[str] = []
    with_presence: list[str] = []
    for field in message.field:
        composite = field.type == FieldDescriptorProto.TYPE_MESSAGE
        python_type = field.type_name.rpartition(".")[2] if composite else _PYTHON_TYPES[field.type]
        if field.label == FieldDescriptorProto.LABEL_REPEATED:
            container = "RepeatedCompositeFieldContainer" if composite else "RepeatedScalarFieldContainer"
            out += ["    @property", f"    def {field.name}(self) -> {container}[{python_type}]: ..."]
            arguments.append(f"{field.name}: Iterable[{python_type}] | None = ...")
            continue
        with_presence.append(field.name)
        if composite:
            out += ["    @property", f"    def {field.name}(self) -> {python_type}: ..."]
        else:
            out.append(f"    {field.name}: {python_type}")
        arguments.append(f"{field.name}: {python_type} | None = ...")
    out += ["    def __init__(", "        self,", "        *,"]
    out += [f"        {argument}," for argument in arguments]
    out.append("    ) -> None: ...")
    if with_presence:
        literal = ", ".join(f'"{name}"' for name in with_presence)
        out.append(f"    def HasField(self, field_name: Literal[{literal}]) -> bool: ...")
    every = ", ".join(f'"{field.name}"' for field in message.field)
    out.append(f"    def ClearField(self, field_name: Literal[{every}]) -> None: ...")
    out.append("")
    return out


def build(directory: Path = API) -> dict[str, bytes]:
    """Content of every file made from ``fluss.proto``, by name."""
    file = parse_proto((directory / "fluss.proto").read_text("utf-8"), "fluss.proto")
    descriptors = FileDescriptorSet(file=[file])
    return {
        "fluss.binpb": descriptors.SerializeToString(deterministic=True),
        "messages.pyi": build_stub(file).encode(),
    }


def main(arguments: list[str]) -> int:
    """Entry point; returns the exit status."""
    stale = []
    for name, content in build().items():
        path = API / name
        if path.exists() and path.read_bytes() == content:
            continue
        stale.append(name)
        if "--check" not in arguments:
            path.write_bytes(content)
            print(f"wrote {name} ({len(content)} bytes)")
    if stale and "--check" in arguments:
        print(f"not up to date: {', '.join(stale)}; run tools/build_descriptors.py", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
