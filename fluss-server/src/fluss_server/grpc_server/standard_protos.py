"""Messages of the two standard gRPC services that the server offers: health checking and server reflection.

They are described here, after the gRPC project's ``health.proto`` and ``reflection.proto``, instead of being taken from
``grpcio-health-checking`` and ``grpcio-reflection``: every release of those requires the newest protobuf, so that
installing the server next to apache-flink, which pins an older one, would break apache-flink.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from google.protobuf.descriptor_pb2 import DescriptorProto, FileDescriptorProto

HEALTH_PACKAGE = "grpc.health.v1"
HEALTH_SERVICE = f"{HEALTH_PACKAGE}.Health"
REFLECTION_PACKAGES = ("grpc.reflection.v1", "grpc.reflection.v1alpha")

SERVING = 1
NOT_SERVING = 2


def reflection_service(package: str) -> str:
    """Full name of the reflection service of a package."""
    return f"{package}.ServerReflection"


def health_file() -> FileDescriptorProto:
    """Descriptor of ``grpc/health/v1/health.proto``."""
    file = _file("grpc/health/v1/health.proto", HEALTH_PACKAGE)
    _add_fields(file.message_type.add(name="HealthCheckRequest"), [("service", 1, "string")])
    response = file.message_type.add(name="HealthCheckResponse")
    status = response.enum_type.add(name="ServingStatus")
    for number, name in enumerate(("UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN")):
        status.value.add(name=name, number=number)
    response.field.add(
        name="status",
        number=1,
        label=1,
        type=14,
        type_name=f".{HEALTH_PACKAGE}.HealthCheckResponse.ServingStatus",
    )
    service = file.service.add(name="Health")
    for method, streaming in (("Check", False), ("Watch", True)):
        service.method.add(
            name=method,
            input_type=f".{HEALTH_PACKAGE}.HealthCheckRequest",
            output_type=f".{HEALTH_PACKAGE}.HealthCheckResponse",
            server_streaming=streaming,
        )
    return file


def reflection_file(package: str) -> FileDescriptorProto:
    """Descriptor of ``reflection.proto`` in one of :data:`REFLECTION_PACKAGES`."""
    file = _file(f"{package.replace('.', '/')}/reflection.proto", package)

    def message(name: str, *fields: tuple[str, int, str], oneof: str | None = None, first: int = 0) -> None:
        descriptor = file.message_type.add(name=name)
        _add_fields(descriptor, fields, package)
        if oneof is not None:
            descriptor.oneof_decl.add(name=oneof)
            for field in descriptor.field:
                if field.number >= first:
                    field.oneof_index = 0

    message(
        "ServerReflectionRequest",
        ("host", 1, "string"),
        ("file_by_filename", 3, "string"),
        ("file_containing_symbol", 4, "string"),
        ("file_containing_extension", 5, "ExtensionRequest"),
        ("all_extension_numbers_of_type", 6, "string"),
        ("list_services", 7, "string"),
        oneof="message_request",
        first=3,
    )
    message("ExtensionRequest", ("containing_type", 1, "string"), ("extension_number", 2, "int32"))
    message(
        "ServerReflectionResponse",
        ("valid_host", 1, "string"),
        ("original_request", 2, "ServerReflectionRequest"),
        ("file_descriptor_response", 4, "FileDescriptorResponse"),
        ("all_extension_numbers_response", 5, "ExtensionNumberResponse"),
        ("list_services_response", 6, "ListServiceResponse"),
        ("error_response", 7, "ErrorResponse"),
        oneof="message_response",
        first=4,
    )
    message("FileDescriptorResponse", ("file_descriptor_proto", 1, "repeated bytes"))
    message("ExtensionNumberResponse", ("base_type_name", 1, "string"), ("extension_number", 2, "repeated int32"))
    message("ListServiceResponse", ("service", 1, "repeated ServiceResponse"))
    message("ServiceResponse", ("name", 1, "string"))
    message("ErrorResponse", ("error_code", 1, "int32"), ("error_message", 2, "string"))
    file.service.add(name="ServerReflection").method.add(
        name="ServerReflectionInfo",
        input_type=f".{package}.ServerReflectionRequest",
        output_type=f".{package}.ServerReflectionResponse",
        client_streaming=True,
        server_streaming=True,
    )
    return file


@cache
def message_class(full_name: str) -> Any:
    """Class of a message of the files above, from a descriptor pool of our own."""
    from google.protobuf.message_factory import GetMessageClass

    return GetMessageClass(_pool().FindMessageTypeByName(full_name))


@cache
def _pool() -> Any:
    from google.protobuf.descriptor_pool import DescriptorPool

    pool: Any = DescriptorPool()
    for file in (health_file(), *map(reflection_file, REFLECTION_PACKAGES)):
        pool.AddSerializedFile(file.SerializeToString())
    return pool


def _file(name: str, package: str) -> FileDescriptorProto:
    from google.protobuf.descriptor_pb2 import FileDescriptorProto

    return FileDescriptorProto(name=name, package=package, syntax="proto3")


def _add_fields(descriptor: DescriptorProto, fields: Any, package: str = "") -> None:
    from google.protobuf.descriptor_pb2 import FieldDescriptorProto

    scalars = {
        "string": FieldDescriptorProto.TYPE_STRING,
        "bytes": FieldDescriptorProto.TYPE_BYTES,
        "int32": FieldDescriptorProto.TYPE_INT32,
    }
    for name, number, text in fields:
        label, _, type_name = text.rpartition(" ")
        field = descriptor.field.add(name=name, number=number)
        field.label = FieldDescriptorProto.LABEL_REPEATED if label else FieldDescriptorProto.LABEL_OPTIONAL
        if type_name in scalars:
            field.type = scalars[type_name]
        else:
            field.type = FieldDescriptorProto.TYPE_MESSAGE
            field.type_name = f".{package}.{type_name}"
