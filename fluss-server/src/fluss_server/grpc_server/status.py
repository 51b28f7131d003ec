"""How an error of the product travels over gRPC: a status for gRPC's own tools, and trailing metadata for ours."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

from fluss_server.errors import ErrorCode, FlussError

if TYPE_CHECKING:
    import grpc

CODE_KEY = "fluss-error-code"
HINT_KEY = "fluss-error-hint-bin"
MESSAGE_KEY = "fluss-error-message-bin"
"""Metadata of a failed call: the number, the hint and the message; the last two are UTF-8."""

_STATUS: dict[ErrorCode, str] = {
    ErrorCode.UNKNOWN_SERVER_ERROR: "INTERNAL",
    ErrorCode.UNSUPPORTED_VERSION: "UNIMPLEMENTED",
    ErrorCode.REQUEST_TIME_OUT: "DEADLINE_EXCEEDED",
    ErrorCode.AUTHENTICATE_EXCEPTION: "UNAUTHENTICATED",
    ErrorCode.RETRIABLE_AUTHENTICATE_EXCEPTION: "UNAUTHENTICATED",
    ErrorCode.AUTHORIZATION_EXCEPTION: "PERMISSION_DENIED",
    ErrorCode.LOG_OFFSET_OUT_OF_RANGE_EXCEPTION: "OUT_OF_RANGE",
    ErrorCode.DATABASE_NOT_EMPTY: "FAILED_PRECONDITION",
    ErrorCode.SECURITY_DISABLED_EXCEPTION: "FAILED_PRECONDITION",
    ErrorCode.DELETION_DISABLED_EXCEPTION: "FAILED_PRECONDITION",
    ErrorCode.DISK_WRITE_LOCKED: "RESOURCE_EXHAUSTED",
    ErrorCode.STORAGE_BACKPRESSURE_EXCEPTION: "RESOURCE_EXHAUSTED",
    ErrorCode.TOO_MANY_SCANNERS: "RESOURCE_EXHAUSTED",
    ErrorCode.CORRUPT_MESSAGE: "INVALID_ARGUMENT",
    ErrorCode.CORRUPT_RECORD_EXCEPTION: "INVALID_ARGUMENT",
}
_ABSENT = re.compile(r"_NOT_EXISTS?(_EXCEPTION)?\Z|\AUNKNOWN_TABLE_OR_BUCKET")
_PRESENT = re.compile(r"_ALREADY_EXISTS?(_EXCEPTION)?\Z")
_LIMITED = re.compile(r"_MAX_NUM_EXCEPTION\Z|CAPACITY\Z")


def status_of(error: FlussError) -> grpc.StatusCode:
    """The gRPC status that says best what kind of error it is."""
    import grpc

    name = _STATUS.get(error.code)
    if name is None:
        if _ABSENT.search(error.name):
            name = "NOT_FOUND"
        elif _PRESENT.search(error.name):
            name = "ALREADY_EXISTS"
        elif _LIMITED.search(error.name):
            name = "RESOURCE_EXHAUSTED"
        else:
            name = "UNAVAILABLE" if error.retriable else "INVALID_ARGUMENT"
    return grpc.StatusCode[name]


def error_metadata(error: FlussError) -> tuple[tuple[str, str | bytes], ...]:
    """Trailing metadata that :func:`error_from_metadata` reads."""
    entries: list[tuple[str, str | bytes]] = [
        (CODE_KEY, str(int(error.code))),
        (MESSAGE_KEY, error.message.encode(errors="backslashreplace")[:_MAX_TEXT]),
    ]
    if error.hint:
        entries.append((HINT_KEY, error.hint.encode(errors="backslashreplace")[:_MAX_TEXT]))
    return tuple(entries)


_MAX_TEXT = 2048  # clients refuse more than 8 KiB of metadata


def error_from_metadata(metadata: Iterable[tuple[str, str | bytes]]) -> FlussError | None:
    """The error that trailing metadata holds, None if it holds none."""
    entries = dict(metadata)
    text = entries.get(CODE_KEY)
    if text is None:
        return None
    try:
        code = ErrorCode(int(text))
    except ValueError:
        code = ErrorCode.UNKNOWN_SERVER_ERROR
    hint = _text(entries.get(HINT_KEY, b""))
    return FlussError(code, _text(entries.get(MESSAGE_KEY, b"")), hint=hint or None)


def _text(value: str | bytes) -> str:
    return value if isinstance(value, str) else value.decode(errors="replace")
