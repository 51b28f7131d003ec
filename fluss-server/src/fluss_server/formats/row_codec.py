"""The row format of a KvStore, chosen by ``table.kv.format``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, NamedTuple, Protocol

from fluss_server.formats.buffer import Buffer
from fluss_server.formats.compacted_row import CompactedRowCodec, field_codec
from fluss_server.formats.indexed_row import IndexedRowCodec, field_reader, field_writer
from fluss_server.model.table import KvFormat
from fluss_server.model.types import DataType


class RowCodec(Protocol):
    """Encoding of rows of a fixed list of types. The null bits count, also in NOT NULL columns."""

    def encode(self, value: Sequence[Any]) -> bytes:
        """Row of one value per column (see :mod:`fluss_server.model.types`); None = null."""

    def decode(self, data: Buffer) -> tuple[Any, ...]:
        """Values of a row.

        Raises:
            FlussError: ``CORRUPT_RECORD_EXCEPTION`` if the bytes are not exactly one row of these types.
        """

    def field(self, data: Buffer, index: int) -> Any:
        """Value of the column at ``index``, without reading those after it. Errors as :meth:`decode`."""

    def split(self, data: Buffer) -> list[bytes | None]:
        """Encoded fields of a row, None = null; their values are not looked at. Errors as :meth:`decode`."""

    def join(self, images: Sequence[bytes | None]) -> bytes:
        """Row of encoded fields, one per column; the reverse of :meth:`split`."""


def row_codec(types: Sequence[DataType], kv_format: KvFormat) -> RowCodec:
    """Codec for rows of these column types."""
    return _row_codec(tuple(types), kv_format)


@lru_cache(maxsize=256)
def _row_codec(types: tuple[DataType, ...], kv_format: KvFormat) -> RowCodec:
    if kv_format is KvFormat.INDEXED:
        return IndexedRowCodec(types)
    return CompactedRowCodec(types)


class FieldImages(NamedTuple):
    """What :meth:`RowCodec.split` gives for one column, and values.

    Attributes:
        read: value of an image; ``CORRUPT_RECORD_EXCEPTION`` if there is none.
        write: image of a value that is not null.
    """

    read: Callable[[bytes], Any]
    write: Callable[[Any], bytes]


def field_images(data_type: DataType, kv_format: KvFormat) -> FieldImages:
    """Images of the columns of a type."""
    if kv_format is KvFormat.INDEXED:
        return FieldImages(field_reader(data_type), field_writer(data_type))
    codec = field_codec(data_type)
    read = codec.read
    return FieldImages(lambda image: read(image, 0)[0], codec.write)
