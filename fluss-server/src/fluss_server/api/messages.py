"""Message classes of the protocol, by name: ``from fluss_server.api import messages as pb; pb.MetadataRequest()``.

The classes are made from the descriptors in ``fluss.binpb`` at the first use of one (about 2 ms, and only then
is protobuf imported), in a descriptor pool of their own, so that other protobuf users of the same process cannot
collide with them. Types for checkers and editors are in ``messages.pyi``; ``tools/build_descriptors.py`` makes both.
"""

from __future__ import annotations

import threading
from functools import cache
from typing import Any

_PACKAGE = "fluss"
FILE_NAME = "fluss.proto"
_lock = threading.Lock()


def pool() -> Any:
    """The ``DescriptorPool`` that holds ``fluss.proto``, for reflection."""
    with _lock:  # a second pool would have classes of its own, which do not mix with those of the first
        return _load_pool()


@cache
def _load_pool() -> Any:
    import pkgutil

    from google.protobuf.descriptor_pb2 import FileDescriptorSet
    from google.protobuf.descriptor_pool import DescriptorPool

    data = pkgutil.get_data(__package__, "fluss.binpb")  # a part of the program, as its modules are
    assert data is not None, "the package is installed without fluss.binpb"
    descriptors = DescriptorPool()
    for file in FileDescriptorSet.FromString(data).file:
        descriptors.AddSerializedFile(file.SerializeToString())  # type: ignore[no-untyped-call]
    return descriptors


def message_names() -> list[str]:
    """Names of all messages, in the order of ``fluss.proto``."""
    return list(pool().FindFileByName(FILE_NAME).message_types_by_name)


def __getattr__(name: str) -> Any:
    if name.startswith("_"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from google.protobuf.message_factory import GetMessageClass

    try:
        descriptor = pool().FindMessageTypeByName(f"{_PACKAGE}.{name}")
    except KeyError:
        raise AttributeError(f"fluss.proto has no message {name!r}") from None
    message_class = GetMessageClass(descriptor)
    globals()[name] = message_class  # the next access does not come here
    return message_class


def __dir__() -> list[str]:
    return sorted([*globals(), *message_names()])
