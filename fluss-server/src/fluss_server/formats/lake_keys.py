"""Keys in the encodings of data lakes, so that a row is in the same bucket on both sides.

Source: docs/formats/keys-and-buckets.md.

* Paimon: an aligned row of the key columns.
* Iceberg: the one key column as Iceberg hashes it.
* Hudi: the 4-byte big-endian ``hashCode`` of the Java list of the key values as text. It is lossy: for buckets only.
"""

from __future__ import annotations

import struct
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from fluss_server.errors import ErrorCode, FlussError
from fluss_server.formats.aligned_row import AlignedRowCodec
from fluss_server.formats.java_text import java_text
from fluss_server.formats.scalars import BINARY_ROOTS, corrupt_row, encode_unscaled
from fluss_server.model.types import NESTED_ROOTS, DataType, TypeRoot

if TYPE_CHECKING:
    import pyarrow as pa

_I64 = struct.Struct("<q")
_F32 = struct.Struct("<f")
_F64 = struct.Struct("<d")
_U32_BIG = struct.Struct(">I")
_HASH_FACTOR = 31
_MASK_32 = 0xFFFFFFFF
_RECORD_SEPARATOR = ","
_PLACEHOLDERS = ("__null__", "__empty__")

_ICEBERG_WRITERS: Mapping[TypeRoot, Callable[[Any], bytes]] = MappingProxyType(
    {
        TypeRoot.INTEGER: _I64.pack,
        TypeRoot.DATE: _I64.pack,
        TypeRoot.BIGINT: _I64.pack,
        TypeRoot.TIME: lambda milliseconds: _I64.pack(milliseconds * 1000),
        TypeRoot.TIMESTAMP: lambda value: _I64.pack(value[0] * 1000 + value[1] // 1000),
        TypeRoot.FLOAT: _F32.pack,
        TypeRoot.DOUBLE: _F64.pack,
        TypeRoot.DECIMAL: encode_unscaled,
        TypeRoot.CHAR: str.encode,
        TypeRoot.STRING: str.encode,
        TypeRoot.BINARY: bytes,
        TypeRoot.BYTES: bytes,
    }
)


class _LakeKeyEncoder(ABC):
    def __init__(self, types: Sequence[DataType]) -> None:
        self._types = tuple(types)

    def encode(self, values: Sequence[Any]) -> bytes:
        """Key of one value per key column; ``CORRUPT_RECORD_EXCEPTION`` for null and values the lake cannot take."""
        if None in values:
            raise corrupt_row("null in a key column")
        return self._encode(values)

    def encode_columns(self, columns: Sequence[pa.Array]) -> list[bytes]:
        """Keys of many rows, given as one Arrow array per key column; errors as :meth:`encode`."""
        from fluss_server.formats.arrow_values import from_arrow

        values = [from_arrow(column, data_type) for column, data_type in zip(columns, self._types, strict=True)]
        return [self.encode(key) for key in zip(*values, strict=True)]

    def decode(self, key: bytes) -> tuple[Any, ...]:
        """Values of a key; ``INVALID_TABLE_EXCEPTION``: most of these encodings lose something."""
        raise _invalid(f"{type(self).__name__} keys cannot be decoded")

    @abstractmethod
    def _encode(self, values: Sequence[Any]) -> bytes:
        """Key of values without null."""


class PaimonKeyEncoder(_LakeKeyEncoder):
    """Aligned rows of the key columns."""

    def __init__(self, types: Sequence[DataType]) -> None:
        super().__init__(types)
        self._codec = AlignedRowCodec(types)

    def decode(self, key: bytes) -> tuple[Any, ...]:
        """Values of a key; ``CORRUPT_RECORD_EXCEPTION`` if it is none."""
        return self._codec.decode(key)

    def _encode(self, values: Sequence[Any]) -> bytes:
        return self._codec.encode(values)


class IcebergKeyEncoder(_LakeKeyEncoder):
    """The single key column."""

    def __init__(self, types: Sequence[DataType]) -> None:
        super().__init__(types)
        if len(types) != 1:
            raise _invalid(f"Iceberg bucket keys have exactly one column, not {len(types)}")
        if types[0].root not in _ICEBERG_WRITERS:
            raise _invalid(f"an Iceberg bucket key cannot be {types[0]}")
        self._write = _ICEBERG_WRITERS[types[0].root]

    def _encode(self, values: Sequence[Any]) -> bytes:
        try:
            return self._write(values[0])
        except struct.error:
            raise corrupt_row("a timestamp is out of the range of microseconds") from None


class HudiKeyEncoder(_LakeKeyEncoder):
    """Hash of the texts of the key values."""

    def __init__(self, types: Sequence[DataType]) -> None:
        super().__init__(types)
        for data_type in types:
            if data_type.root in NESTED_ROOTS or data_type.root in BINARY_ROOTS:
                raise _invalid(f"a Hudi bucket key cannot have a column of {data_type}")

    def _encode(self, values: Sequence[Any]) -> bytes:
        code = 1
        for value, data_type in zip(values, self._types, strict=True):
            text = java_text(value, data_type)
            if len(values) > 1 and (_RECORD_SEPARATOR in text or text in _PLACEHOLDERS):
                raise corrupt_row(f"{text!r} cannot be part of a Hudi bucket key of several columns")
            code = (_HASH_FACTOR * code + _string_hash(text)) & _MASK_32
        return _U32_BIG.pack(code)


def _string_hash(text: str) -> int:
    """Java's ``String.hashCode``: over UTF-16 units."""
    code = 0
    data = text.encode("utf-16-le", "surrogatepass")
    for (unit,) in struct.iter_unpack("<H", data):
        code = (_HASH_FACTOR * code + unit) & _MASK_32
    return code


def _invalid(message: str) -> FlussError:
    return FlussError(ErrorCode.INVALID_TABLE_EXCEPTION, message)


LAKE_KEY_ENCODERS: Mapping[str, Callable[[Sequence[DataType]], _LakeKeyEncoder]] = MappingProxyType(
    {"paimon": PaimonKeyEncoder, "iceberg": IcebergKeyEncoder, "hudi": HudiKeyEncoder}
)
