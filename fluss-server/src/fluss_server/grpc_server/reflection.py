"""gRPC server reflection: what services there are and how their messages look, for tools such as grpcurl."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from fluss_server.api.messages import FILE_NAME, pool
from fluss_server.grpc_server.standard_protos import REFLECTION_PACKAGES, message_class, reflection_file

if TYPE_CHECKING:
    from google.protobuf.descriptor_pb2 import DescriptorProto, FileDescriptorProto

_NOT_FOUND = 5
_UNIMPLEMENTED = 12


class Reflection:
    """Serves reflection requests, the same for every version of the protocol.

    Args:
        files: descriptors of the services; ``fluss.proto`` and the reflection protocol itself are added.
        services: full names of what is served.
    """

    def __init__(self, files: Sequence[FileDescriptorProto], services: Sequence[str]) -> None:
        self._services = list(services)
        self._files: dict[str, FileDescriptorProto] = {}
        self._file_of: dict[str, str] = {}
        for file in (_fluss_file(), *files, *map(reflection_file, REFLECTION_PACKAGES)):
            self._files[file.name] = file
            for symbol in _symbols(file):
                self._file_of[symbol] = file.name

    async def respond_all(self, package: str, requests: AsyncIterator[Any], call: Any) -> AsyncIterator[Any]:
        """Serve a stream of requests of one version of the protocol."""
        response_class = message_class(f"{package}.ServerReflectionResponse")
        async for request in requests:
            response = response_class(valid_host=request.host)
            response.original_request.CopyFrom(request)
            self._respond(request, response)
            yield response

    def _respond(self, request: Any, response: Any) -> None:
        kind = request.WhichOneof("message_request")
        name = None
        if kind == "list_services":
            for service in self._services:
                response.list_services_response.service.add(name=service)
            return
        if kind == "file_by_filename":
            name = request.file_by_filename
        elif kind == "file_containing_symbol":
            name = self._file_of.get(request.file_containing_symbol)
        elif kind == "all_extension_numbers_of_type" and request.all_extension_numbers_of_type in self._file_of:
            response.all_extension_numbers_response.base_type_name = request.all_extension_numbers_of_type
            return
        elif kind is None:
            response.error_response.error_code = _UNIMPLEMENTED
            response.error_response.error_message = "this kind of reflection request is not known"
            return
        if name is None or name not in self._files:
            response.error_response.error_code = _NOT_FOUND
            response.error_response.error_message = f"{kind}: not found"
            return
        for file in self._with_dependencies(name):
            response.file_descriptor_response.file_descriptor_proto.append(file.SerializeToString())

    def _with_dependencies(self, name: str) -> Iterator[FileDescriptorProto]:
        """A file, then what it imports; no import here has imports itself."""
        yield self._files[name]
        for dependency in self._files[name].dependency:
            yield self._files[dependency]


def _fluss_file() -> FileDescriptorProto:
    from google.protobuf.descriptor_pb2 import FileDescriptorProto

    file = FileDescriptorProto()
    pool().FindFileByName(FILE_NAME).CopyToProto(file)
    return file


def _symbols(file: FileDescriptorProto) -> Iterator[str]:
    for message in file.message_type:
        yield from _message_symbols(file.package, message)
    for service in file.service:
        yield f"{file.package}.{service.name}"
        for method in service.method:
            yield f"{file.package}.{service.name}.{method.name}"


def _message_symbols(scope: str, message: DescriptorProto) -> Iterator[str]:
    name = f"{scope}.{message.name}"
    yield name
    for field in message.field:
        yield f"{name}.{field.name}"
    for enum in message.enum_type:
        yield f"{name}.{enum.name}"
