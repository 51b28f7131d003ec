"""Key bytes: what identifies a row in a KvStore, and what chooses its bucket (docs/formats/keys-and-buckets.md).

The default is the compacted key: the compacted fields of the key columns one after the other, in the order in which the
key declares them, without null bits and without a length. Because each field says where it ends, the key of the first
columns is a prefix of the whole key, which prefix lookups rely on. Tables of a lake use the lake's encoding.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

from fluss_server.errors import ErrorCode, FlussError
from fluss_server.formats.compacted_row import field_codec
from fluss_server.formats.lake_keys import LAKE_KEY_ENCODERS
from fluss_server.formats.scalars import corrupt_row
from fluss_server.model.types import DataType

if TYPE_CHECKING:
    import pyarrow as pa

_SPLIT_KEY_VERSION = 2  # of table.kv.format-version: keys of prefix-lookup tables are compacted whatever the lake


class KeyEncoder(Protocol):
    """Bytes of keys."""

    def encode(self, values: Sequence[Any]) -> bytes:
        """Key of one value per key column.

        Raises:
            FlussError: ``CORRUPT_RECORD_EXCEPTION`` for a value that cannot be part of a key, null among them.
        """

    def encode_columns(self, columns: Sequence[pa.Array]) -> list[bytes]:
        """Keys of many rows, given as one Arrow array per key column; errors as :meth:`encode`."""

    def decode(self, key: bytes) -> tuple[Any, ...]:
        """Values of a key.

        Raises:
            FlussError: ``CORRUPT_RECORD_EXCEPTION`` if the bytes are not exactly one key;
                ``INVALID_TABLE_EXCEPTION`` if the encoding cannot be reversed.
        """


def key_encoder(types: Sequence[DataType], lake: str | None = None) -> KeyEncoder:
    """Encoder of keys.

    Args:
        types: of the key columns, in the order of the key.
        lake: lake whose encoding is wanted (``paimon``, ``iceberg``, ``hudi``); None and ``lance`` = compacted keys.

    Raises:
        FlussError: ``INVALID_TABLE_EXCEPTION`` if the lake is unknown or cannot have such a key.
    """
    if lake is None or lake.lower() == "lance":
        return CompactedKeyEncoder(types)
    encoder = LAKE_KEY_ENCODERS.get(lake.lower())
    if encoder is None:
        known = ", ".join(sorted([*LAKE_KEY_ENCODERS, "lance"]))
        raise FlussError(ErrorCode.INVALID_TABLE_EXCEPTION, f"unknown lake format {lake!r}; known are {known}")
    return encoder(types)


def encoder_choice(kv_format_version: int | None, lake: str | None, *, default_bucket_key: bool) -> str | None:
    """Lake whose encoding the *primary key* of a table has, as :func:`key_encoder` wants it.

    Bucket keys always have the encoding of the lake.

    Args:
        kv_format_version: ``table.kv.format-version``; None = the option is not set.
        lake: ``table.datalake.format``, whether or not the lake is enabled.
        default_bucket_key: whether the bucket key is the whole physical primary key.
    """
    lake = lake.lower() if lake is not None else None
    if lake in (None, "lance"):
        return None
    if kv_format_version is not None and kv_format_version >= _SPLIT_KEY_VERSION:
        # A Hudi key is a hash, which cannot identify a row.
        return lake if default_bucket_key and lake != "hudi" else None
    return lake


class CompactedKeyEncoder:
    """The default keys."""

    def __init__(self, types: Sequence[DataType]) -> None:
        self._types = tuple(types)
        self._fields = [field_codec(data_type) for data_type in types]

    def encode(self, values: Sequence[Any]) -> bytes:
        """See :class:`KeyEncoder`."""
        if None in values:
            raise corrupt_row("null in a key column")
        return b"".join([field.write(value) for field, value in zip(self._fields, values, strict=True)])

    def encode_columns(self, columns: Sequence[pa.Array]) -> list[bytes]:
        """See :class:`KeyEncoder`; vectorised."""
        from fluss_server.formats.column_writer import write_keys

        if any(column.null_count for column in columns):
            raise corrupt_row("null in a key column")
        return write_keys(columns, self._types)

    def decode(self, key: bytes) -> tuple[Any, ...]:
        """See :class:`KeyEncoder`."""
        values = []
        position = 0
        for field in self._fields:
            value, position = field.read(key, position)
            values.append(value)
        if position != len(key):
            raise corrupt_row(f"a key of {len(key)} bytes whose columns take {position}")
        return tuple(values)
