"""Values that every row format writes alike: fixed-width numbers, text, wide decimals (docs/formats/rows.md)."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from fluss_server.errors import ErrorCode, FlussError
from fluss_server.model.types import DataType, TypeRoot

MAX_NANO_OF_MILLISECOND = 999_999
MAX_DECIMAL_BYTES = 16  # 38 digits need 127 bits

TEXT_ROOTS = frozenset({TypeRoot.CHAR, TypeRoot.STRING})
BINARY_ROOTS = frozenset({TypeRoot.BINARY, TypeRoot.BYTES})
TIMESTAMP_ROOTS = frozenset({TypeRoot.TIMESTAMP, TypeRoot.TIMESTAMP_LTZ})

_CODES = {
    TypeRoot.BOOLEAN: "b",
    TypeRoot.TINYINT: "b",
    TypeRoot.SMALLINT: "h",
    TypeRoot.INTEGER: "i",
    TypeRoot.DATE: "i",
    TypeRoot.TIME: "i",
    TypeRoot.BIGINT: "q",
    TypeRoot.FLOAT: "f",
    TypeRoot.DOUBLE: "d",
}


@dataclass(frozen=True, slots=True)
class FixedWidth:
    """A type whose values are one number of fixed width.

    Attributes:
        code: character of the :mod:`struct` module, which numpy understands as well.
        layout: little-endian ``struct`` of one value.
        to_number: from the value of the server to the number; None where they are the same.
        from_number: back; None where they are the same.
    """

    code: str
    layout: struct.Struct
    to_number: Callable[[Any], Any] | None = None
    from_number: Callable[[Any], Any] | None = None

    @property
    def size(self) -> int:
        """Bytes of a value."""
        return self.layout.size


@lru_cache(maxsize=1024)
def fixed_width(data_type: DataType) -> FixedWidth | None:
    """Number format of a type; None for types of variable width and timestamps with nanoseconds."""
    root = data_type.root
    code = _CODES.get(root)
    if root is TypeRoot.BOOLEAN:
        return FixedWidth("b", struct.Struct("<b"), int, bool)
    if code is not None:
        return FixedWidth(code, struct.Struct("<" + code))
    if root is TypeRoot.DECIMAL and data_type.is_compact_decimal:
        return FixedWidth("q", struct.Struct("<q"))
    if root in TIMESTAMP_ROOTS and data_type.is_compact_timestamp:
        return FixedWidth("q", struct.Struct("<q"), _milliseconds, _timestamp)
    return None


def _milliseconds(value: tuple[int, int]) -> int:
    return value[0]


def _timestamp(milliseconds: int) -> tuple[int, int]:
    return milliseconds, 0


def encode_unscaled(value: int) -> bytes:
    """Unscaled value of a wide decimal as minimal big-endian two's complement."""
    return value.to_bytes((value if value >= 0 else ~value).bit_length() // 8 + 1, "big", signed=True)


def decode_unscaled(data: bytes) -> int:
    """Reverse of :func:`encode_unscaled`; ``CORRUPT_RECORD_EXCEPTION`` unless there are 1 to 16 bytes."""
    if not 0 < len(data) <= MAX_DECIMAL_BYTES:
        raise corrupt_row(f"a decimal of {len(data)} bytes")
    return int.from_bytes(data, "big", signed=True)


def decode_text(data: bytes) -> str:
    """UTF-8 text; ``CORRUPT_RECORD_EXCEPTION`` if it is not."""
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise corrupt_row(f"text is not UTF-8: {error.reason} at byte {error.start}") from None


def timestamp(milliseconds: int, nanoseconds: int) -> tuple[int, int]:
    """A timestamp read from a row; ``CORRUPT_RECORD_EXCEPTION`` if the nanoseconds are not those of a millisecond."""
    if not 0 <= nanoseconds <= MAX_NANO_OF_MILLISECOND:
        raise corrupt_row(f"nanoseconds of a millisecond must be 0 to 999999, not {nanoseconds}")
    return milliseconds, nanoseconds


def corrupt_row(reason: str) -> FlussError:
    """The error of a row that cannot be read."""
    return FlussError(ErrorCode.CORRUPT_RECORD_EXCEPTION, f"corrupt row: {reason}")
