"""From the bytes of a request to its message: everything that is checked once for all APIs.

* All required fields are there, and the bytes are a message of the API: ``CORRUPT_MESSAGE``.
* Text is UTF-8. protobuf hands over text that is not as ``bytes``, which no service expects: ``CORRUPT_MESSAGE``.
* Names have at most :data:`MAX_NAME_LENGTH` characters, so that they may be remembered and logged.
* A long request consists of fields that are known: unknown fields and padding, which cost memory for as long as the
  request waits, may take as much as the known ones: ``RECORD_TOO_LARGE_EXCEPTION``. Calls between servers are exempt:
  they have fields that are not in ``fluss.proto``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import TYPE_CHECKING, Any, TypeAlias

from fluss_server.api.keys import ApiKey, ApiSpec
from fluss_server.errors import ErrorCode, FlussError
from fluss_server.rpc.frames import REQUEST_HEADER_SIZE

if TYPE_CHECKING:
    from google.protobuf.message import Message

MAX_NAME_LENGTH = 1024
"""Most characters of a name, key or address; values and comments may be longer."""

MAX_PADDING_BYTES = 4096
"""What unknown fields and padding may take beyond the size of the known fields."""

_LONG_TEXTS = frozenset({"config_value", "comment", "value", "string_value"})
_UNREAD_TEXTS = frozenset({"original_partition_name"})
"""Text that no service reads; a lookup would pay for a check."""

_NAME_CODES = {
    "database_name": ErrorCode.INVALID_DATABASE_EXCEPTION,
    "table_name": ErrorCode.INVALID_TABLE_EXCEPTION,
    "partition_name": ErrorCode.PARTITION_SPEC_INVALID_EXCEPTION,
    "producer_id": ErrorCode.INVALID_PRODUCER_ID_EXCEPTION,
}


class MessageDecoder:
    """Decodes requests of one API; the message class is made when the first one arrives.

    Args:
        spec: the API.
    """

    def __init__(self, spec: ApiSpec) -> None:
        self._spec = spec
        self._from_string: Callable[[bytes], Message] | None = None
        self._decode_errors: tuple[type[Exception], ...] = ()
        self._text: TextCheck | None = None

    def __call__(self, frame: bytes | memoryview) -> Message:
        """The message in a request frame.

        Raises:
            FlussError: see the module's description.
        """
        if self._from_string is None:
            self._load()
            assert self._from_string is not None
        try:
            # Every runtime takes a memoryview, whatever its annotations say.
            message = self._from_string(frame[REQUEST_HEADER_SIZE:])  # type: ignore[arg-type]
        except self._decode_errors as error:
            raise FlussError(ErrorCode.CORRUPT_MESSAGE, f"not a {self._spec.messages}Request: {error}") from None
        if not message.IsInitialized():
            missing = ", ".join(message.FindInitializationErrors())  # type: ignore[attr-defined]
            raise FlussError(ErrorCode.CORRUPT_MESSAGE, f"{self._spec.messages}Request lacks {missing}")
        if len(frame) > MAX_PADDING_BYTES and not self._spec.between_servers:
            self._check_padding(message, len(frame) - REQUEST_HEADER_SIZE)
        if self._text is not None:
            self._text(message)
        return message

    def _load(self) -> None:
        from google.protobuf.message import DecodeError

        self._decode_errors = (DecodeError, UnicodeDecodeError)  # the pure Python runtime raises the second
        self._text = text_check(self._spec.request.DESCRIPTOR)
        self._from_string = self._spec.request.FromString

    def _check_padding(self, message: Message, size: int) -> None:
        known_only = message
        if self._spec.key is ApiKey.FETCH_LOG:  # followers send fields that are not in fluss.proto
            known_only = type(message)()
            known_only.CopyFrom(message)
        known_only.DiscardUnknownFields()
        known = known_only.ByteSize()
        if size > 2 * known + MAX_PADDING_BYTES:
            raise FlussError(
                ErrorCode.RECORD_TOO_LARGE_EXCEPTION,
                f"a {self._spec.name} request of {size} bytes has only {known} bytes of known fields",
                hint="the rest is padding or fields that this server does not know; leave them out",
            )


TextCheck: TypeAlias = "Callable[[Any], None]"
"""Refuses a message with text that is not UTF-8, or with names that are too long."""


def _check_text(name: str, limited: bool) -> TextCheck:
    field = attrgetter(name)

    def check(message: Any) -> None:
        text = field(message)
        if type(text) is not str or (limited and len(text) > MAX_NAME_LENGTH):
            raise _wrong_text(name, text)

    return check


def _check_texts(name: str, limited: bool) -> TextCheck:
    field = attrgetter(name)

    def check(message: Any) -> None:
        for text in field(message):
            if type(text) is not str or (limited and len(text) > MAX_NAME_LENGTH):
                raise _wrong_text(name, text)

    return check


def _check_message(name: str, check_inner: TextCheck) -> TextCheck:
    field = attrgetter(name)

    def check(message: Any) -> None:
        if message.HasField(name):
            check_inner(field(message))

    return check


def _check_messages(name: str, check_inner: TextCheck) -> TextCheck:
    field = attrgetter(name)

    def check(message: Any) -> None:
        for element in field(message)[:]:  # slices cost less than protobuf's iterators
            check_inner(element)

    return check


def _check_all(checks: Sequence[TextCheck]) -> TextCheck:
    def check(message: Any) -> None:
        for each in checks:
            each(message)

    return check


def _wrong_text(name: str, text: str | bytes) -> FlussError:
    if isinstance(text, bytes):
        return FlussError(ErrorCode.CORRUPT_MESSAGE, f"{name} is not UTF-8 text")
    return FlussError(
        _NAME_CODES.get(name, ErrorCode.INVALID_CONFIG_EXCEPTION),
        f"{name} has {len(text)} characters, the limit is {MAX_NAME_LENGTH}",
    )


def text_check(descriptor: Any) -> TextCheck | None:
    """The check of a message's type; None when no text can be in it."""
    return _text_check(descriptor, {})


def _text_check(descriptor: Any, known: dict[str, list[TextCheck]]) -> TextCheck | None:
    if descriptor.full_name in known:  # perhaps not complete yet: a predicate has predicates in it
        return _check_all(known[descriptor.full_name])
    if not _has_text(descriptor, set()):
        return None
    checks = known[descriptor.full_name] = []
    for field in descriptor.fields:
        # protobuf 7 has no labels, older versions have nothing else.
        repeated = field.is_repeated if hasattr(field, "is_repeated") else field.label == field.LABEL_REPEATED
        if _is_text(field):
            limited = field.name not in _LONG_TEXTS
            checks.append((_check_texts if repeated else _check_text)(field.name, limited))
        elif field.message_type is not None and (inner := _text_check(field.message_type, known)) is not None:
            checks.append((_check_messages if repeated else _check_message)(field.name, inner))
    return checks[0] if len(checks) == 1 else _check_all(checks)


def _has_text(descriptor: Any, seen: set[str]) -> bool:
    if descriptor.full_name in seen:
        return False
    seen.add(descriptor.full_name)
    return any(
        _is_text(field) or (field.message_type is not None and _has_text(field.message_type, seen))
        for field in descriptor.fields
    )


def _is_text(field: Any) -> bool:
    return field.type == field.TYPE_STRING and field.name not in _UNREAD_TEXTS
