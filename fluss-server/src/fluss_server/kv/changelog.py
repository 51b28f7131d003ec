"""The changelog of a primary-key table: changes to one log batch, and log batches back to changes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from fluss_server.errors import ErrorCode, FlussError
from fluss_server.formats.arrow_batch import decode_batch, encode_payload
from fluss_server.formats.arrow_types import arrow_schema
from fluss_server.formats.arrow_values import from_arrow
from fluss_server.formats.buffer import Buffer
from fluss_server.formats.columns import record_batch_to_rows, rows_to_record_batch
from fluss_server.formats.keys import KeyEncoder, encoder_choice, key_encoder
from fluss_server.formats.log_batch import BatchHeader, ChangeType, build_batch
from fluss_server.formats.row_codec import row_codec
from fluss_server.formats.value_batch import SCHEMA_ID_SIZE, encode_value
from fluss_server.kv.merge import Changes
from fluss_server.kv.merging.row_merger import schema_id_of
from fluss_server.model.schema import Schema
from fluss_server.model.table import TableInfo

FIRST_SCHEMA_ID = 1

_NEW = (ChangeType.INSERT, ChangeType.UPDATE_AFTER)
_VECTORISED_FROM_ROWS = 64


class ChangelogWriter:
    """Makes the log batches of a table; always in its latest schema (server-behaviour.md section 2.9).

    Args:
        table: whose changelog.
        schemas: schema of a schema id.
    """

    def __init__(self, table: TableInfo, schemas: Callable[[int], Schema]) -> None:
        self._schema = table.schema
        self._schema_id = table.schema_id
        self._schemas = schemas
        self._keys = primary_key_encoder(table)
        self._key_columns = table.schema.indexes_of(table.physical_primary_key)
        self._kv_format = table.kv_format
        self._compression = table.arrow_compression
        self._level = table.arrow_compression_level

    def build(self, changes: Changes, writer_id: int, batch_sequence: int) -> bytearray:
        """The log batch of the changes of one KV batch, header only if there are none.

        Raises:
            FlussError: ``CORRUPT_RECORD_EXCEPTION`` if a row is not one of its schema or its key is not that of the
                record; ``RECORD_TOO_LARGE_EXCEPTION``.
        """
        payload: Buffer = b""
        if changes.images:
            rows = self._to_record_batch(changes.images)
            self._check_keys(rows, changes)
            payload = encode_payload(rows, self._compression, self._level)
        return build_batch(
            self._schema_id,
            change_types=bytes(changes.change_types),
            payload=payload,
            record_count=len(changes.images),
            writer_id=writer_id,
            batch_sequence=batch_sequence,
        )

    def _check_keys(self, images: pa.RecordBatch, changes: Changes) -> None:
        """Check that the new rows have the keys under which they are stored: replay knows no others."""
        keys = changes.keys
        if None in changes.values:
            keys = [key for key, value in zip(keys, changes.values, strict=True) if value is not None]
        found = self._keys_of_new_rows(images, changes.change_types)
        if found != keys:
            key, own = next((key, own) for key, own in zip(keys, found, strict=True) if key != own)
            raise FlussError(
                ErrorCode.CORRUPT_RECORD_EXCEPTION,
                f"a record has the key {key.hex()}, but the key columns of its row encode to {own.hex()}",
                hint="the client encodes keys in another way than the table's options ask for",
            )

    def _keys_of_new_rows(self, images: pa.RecordBatch, change_types: bytearray) -> list[bytes]:
        columns = [images.column(index) for index in self._key_columns]
        if len(change_types) < _VECTORISED_FROM_ROWS:
            kinds = [self._schema.types[index] for index in self._key_columns]
            rows = zip(*map(from_arrow, columns, kinds), strict=True)
            return [self._keys.encode(row) for row, kind in zip(rows, change_types, strict=True) if kind in _NEW]
        types = np.frombuffer(change_types, np.uint8)
        is_new = (types == ChangeType.INSERT) | (types == ChangeType.UPDATE_AFTER)
        if not is_new.all():
            where = pa.array(np.flatnonzero(is_new))
            columns = [column.take(where) for column in columns]
        return self._keys.encode_columns(columns)

    def _to_record_batch(self, values: Sequence[bytes]) -> pa.RecordBatch:
        rows = [value[SCHEMA_ID_SIZE:] for value in values]
        schema_ids = {self._schema_id}
        if self._schema_id != FIRST_SCHEMA_ID:  # else there is only one version
            schema_ids = set(map(schema_id_of, values))
        if len(schema_ids) == 1:
            return rows_to_record_batch(self._schema, self._kv_format, rows, self._schemas(schema_ids.pop()))
        latest = row_codec(self._schema.types, self._kv_format)
        for index, value in enumerate(values):
            schema_id = schema_id_of(value)
            if schema_id != self._schema_id:
                fields = row_codec(self._schemas(schema_id).types, self._kv_format).split(rows[index])
                rows[index] = latest.join(fields + [None] * (len(self._schema.types) - len(fields)))
        return rows_to_record_batch(self._schema, self._kv_format, rows)


@dataclass(frozen=True, slots=True)
class ReplayedChanges:
    """What some log batches say about the state of the store.

    Attributes:
        rows: last value of every key that they change, None = deleted.
        row_count_change: rows inserted minus rows deleted.
        size_bytes: about what ``rows`` weigh.
    """

    rows: dict[bytes, bytes | None]
    row_count_change: int
    size_bytes: int


class ChangelogReader:
    """Reads the log batches of a table back.

    Args:
        table: whose changelog.
        schemas: schema of a schema id.
    """

    def __init__(self, table: TableInfo, schemas: Callable[[int], Schema]) -> None:
        self._table = table
        self._schemas = schemas
        self._keys = primary_key_encoder(table)

    def read(self, batches: Sequence[tuple[BatchHeader, bytes]], from_offset: int) -> ReplayedChanges:
        """Changes of the rows of successive batches whose offsets are ``from_offset`` or greater.

        Values carry the schema id of their batch. Many small batches are converted together.

        Raises:
            FlussError: ``CORRUPT_RECORD_EXCEPTION``.
        """
        rows: dict[bytes, bytes | None] = {}
        inserted = deleted = 0
        for schema_id, same in groupby(batches, key=lambda batch: batch[0].schema_id):
            decoded = [self._decode(header, data, from_offset) for header, data in same if header.record_count]
            if not decoded:
                continue
            types = np.concatenate([types for types, _ in decoded])
            start = 0
            for images in pa.Table.from_batches([images for _, images in decoded]).combine_chunks().to_batches():
                part = types[start : start + images.num_rows]
                start += images.num_rows
                rows.update(self._rows(schema_id, part, images))
                inserted += int(np.count_nonzero(part == ChangeType.INSERT))
                deleted += int(np.count_nonzero(part == ChangeType.DELETE))
        size = sum(map(len, rows)) + sum(map(len, filter(None, rows.values())))
        return ReplayedChanges(rows, inserted - deleted, size)

    def _decode(
        self, header: BatchHeader, batch: bytes, from_offset: int
    ) -> tuple[npt.NDArray[np.uint8], pa.RecordBatch]:
        """Change types and rows from an offset on."""
        schema = arrow_schema(self._schemas(header.schema_id))
        types, images = decode_batch(
            batch, header, schema, trusted=True
        )  # written by ChangelogWriter, and its CRC is right
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
        keys = self._keys.encode_columns([images.column(index) for index in self._key_columns(schema)])
        prefix = encode_value(schema_id, b"")
        values: list[bytes | None] = [
            prefix + row for row in record_batch_to_rows(schema, self._table.kv_format, images)
        ]
        for index in np.flatnonzero(types == ChangeType.DELETE).tolist():
            values[index] = None
        return zip(keys, values, strict=True)

    def _key_columns(self, schema: Schema) -> tuple[int, ...]:
        return schema.indexes_of(self._table.physical_primary_key)


def primary_key_encoder(table: TableInfo) -> KeyEncoder:
    """Encoder of the keys of a table's rows, as its clients choose it (data-formats.md section 7.1)."""
    names = table.physical_primary_key
    types = [table.schema.types[index] for index in table.schema.indexes_of(names)]
    properties = table.descriptor.properties
    version = properties.get("table.kv.format-version")
    lake = encoder_choice(
        int(version) if version is not None else None,
        properties.get("table.datalake.format"),
        default_bucket_key=table.descriptor.bucket_key in ((), names),
    )
    return key_encoder(types, lake)
