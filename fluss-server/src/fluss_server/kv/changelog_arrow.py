"""Changelog rows as Arrow record batches (``table.log.format`` ARROW)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from fluss_server.formats.arrow_batch import decode_batch, encode_payload
from fluss_server.formats.arrow_types import arrow_schema
from fluss_server.formats.arrow_values import from_arrow
from fluss_server.formats.columns import record_batch_to_rows, rows_to_record_batch
from fluss_server.formats.keys import KeyEncoder
from fluss_server.formats.log_batch import BatchHeader, ChangeType
from fluss_server.formats.row_codec import row_codec
from fluss_server.formats.value_batch import SCHEMA_ID_SIZE, encode_value
from fluss_server.kv.changelog_body import NEW_KINDS, BatchContent, EncodedBody
from fluss_server.kv.merge_engines.row_merger import schema_id_of
from fluss_server.model.schema import FIRST_SCHEMA_ID, Schema
from fluss_server.model.table import TableInfo

_VECTORISED_FROM_ROWS = 64


class ArrowBody:
    """Arguments as for ``ChangelogWriter``, and the encoder of the table's keys."""

    def __init__(self, table: TableInfo, schemas: Callable[[int], Schema], keys: KeyEncoder) -> None:
        self._schema = table.schema
        self._schema_id = table.schema_id
        self._schemas = schemas
        self._keys = keys
        self._key_names = table.physical_primary_key
        self._key_columns = table.schema.indexes_of(self._key_names)
        self._kv_format = table.kv_format
        self._compression = table.arrow_compression
        self._level = table.arrow_compression_level

    def encode(self, images: Sequence[bytes], change_types: bytearray) -> EncodedBody:
        """See ``ChangelogBody``."""
        rows = self._to_record_batch(images)
        payload = encode_payload(rows, self._compression, self._level)
        return EncodedBody(bytes(change_types), payload, self._keys_of_new_rows(rows, change_types))

    def _keys_of_new_rows(self, images: pa.RecordBatch, change_types: bytearray) -> list[bytes]:
        columns = [images.column(index) for index in self._key_columns]
        if len(change_types) < _VECTORISED_FROM_ROWS:
            kinds = [self._schema.types[index] for index in self._key_columns]
            rows = zip(*map(from_arrow, columns, kinds), strict=True)
            return [self._keys.encode(row) for row, kind in zip(rows, change_types, strict=True) if kind in NEW_KINDS]
        types = np.frombuffer(change_types, np.uint8)
        is_new = (types == ChangeType.INSERT) | (types == ChangeType.UPDATE_AFTER)
        if not is_new.all():
            where = pa.array(np.flatnonzero(is_new))
            columns = [column.take(where) for column in columns]
        return self._keys.encode_columns(columns)

    def _to_record_batch(self, values: Sequence[bytes]) -> pa.RecordBatch:
        schema_ids = {self._schema_id}
        if self._schema_id != FIRST_SCHEMA_ID:  # else there is only one version
            schema_ids = set(map(schema_id_of, values))
        if len(schema_ids) == 1:
            schema_of_rows = self._schemas(schema_ids.pop())
            return rows_to_record_batch(self._schema, self._kv_format, values, schema_of_rows, skip=SCHEMA_ID_SIZE)
        rows = [value[SCHEMA_ID_SIZE:] for value in values]
        latest = row_codec(self._schema.types, self._kv_format)
        for index, value in enumerate(values):
            schema_id = schema_id_of(value)
            if schema_id != self._schema_id:
                fields = row_codec(self._schemas(schema_id).types, self._kv_format).split(rows[index])
                rows[index] = latest.join(fields + [None] * (len(self._schema.types) - len(fields)))
        return rows_to_record_batch(self._schema, self._kv_format, rows)

    def decode(self, schema_id: int, batches: Sequence[tuple[BatchHeader, bytes]], from_offset: int) -> BatchContent:
        """See ``ChangelogBody``."""
        decoded = [self._decode(header, data, from_offset) for header, data in batches]
        types = np.concatenate([types for types, _ in decoded])
        inserted = int(np.count_nonzero(types == ChangeType.INSERT))
        deleted = int(np.count_nonzero(types == ChangeType.DELETE))
        images = pa.Table.from_batches([images for _, images in decoded]).combine_chunks()
        return BatchContent(self._entries(schema_id, types, images), inserted - deleted)

    def _entries(
        self, schema_id: int, types: npt.NDArray[np.uint8], images: pa.Table
    ) -> Iterator[tuple[bytes, bytes | None]]:
        start = 0
        for part in images.to_batches():
            yield from self._rows(schema_id, types[start : start + part.num_rows], part)
            start += part.num_rows

    def _decode(
        self, header: BatchHeader, batch: bytes, from_offset: int
    ) -> tuple[npt.NDArray[np.uint8], pa.RecordBatch]:
        """Change types and rows from an offset on."""
        schema = arrow_schema(self._schemas(header.schema_id))
        types, images = decode_batch(batch, header, schema, trusted=True)  # written by us, and its CRC is right
        assert types is not None, "the changelog of a primary-key table has change types"
        start = max(0, from_offset - header.base_offset)
        return types[start:], images.slice(start)

    def _rows(
        self, schema_id: int, types: npt.NDArray[np.uint8], images: pa.RecordBatch
    ) -> Iterator[tuple[bytes, bytes | None]]:
        """Key and new value of every change, in order."""
        is_entry = types != ChangeType.UPDATE_BEFORE
        if not is_entry.all():
            types, images = types[is_entry], images.filter(pa.array(is_entry))
        schema = self._schemas(schema_id)
        keys = self._keys.encode_columns([images.column(index) for index in schema.indexes_of(self._key_names)])
        prefix = encode_value(schema_id, b"")
        values: list[bytes | None] = [prefix + row for row in record_batch_to_rows(schema, self._kv_format, images)]
        for index in np.flatnonzero(types == ChangeType.DELETE).tolist():
            values[index] = None
        return zip(keys, values, strict=True)
