"""The gRPC service's own descriptor: one method per API that a server serves, named like the API's messages."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from fluss_server.api import own_messages
from fluss_server.api.keys import ApiSpec
from fluss_server.api.messages import FILE_NAME

if TYPE_CHECKING:
    from google.protobuf.descriptor_pb2 import FileDescriptorProto

PACKAGE = "fluss"
SERVICE = f"{PACKAGE}.Fluss"
SERVICE_FILE_NAME = "fluss_service.proto"


def method_path(spec: ApiSpec) -> str:
    """Path of an API's method in HTTP/2, for example ``/fluss.Fluss/CreateTable``."""
    return f"/{SERVICE}/{spec.messages}"


def service_file(specs: Iterable[ApiSpec]) -> FileDescriptorProto:
    """Descriptor of ``fluss_service.proto``, which imports ``fluss.proto`` and the messages of this project."""
    from google.protobuf.descriptor_pb2 import FileDescriptorProto

    files = [FILE_NAME, own_messages.FILE_NAME]
    file = FileDescriptorProto(name=SERVICE_FILE_NAME, package=PACKAGE, dependency=files)
    service = file.service.add(name=SERVICE.rpartition(".")[2])
    for spec in specs:
        package = own_messages.PACKAGE if spec.is_own else PACKAGE
        service.method.add(
            name=spec.messages,
            input_type=f".{package}.{spec.messages}Request",
            output_type=f".{package}.{spec.messages}Response",
        )
    return file
