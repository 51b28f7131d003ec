"""The changelog of a primary-key table: changes to one log batch, and log batches back to changes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from fluss_server.errors import ErrorCode, FlussError
from fluss_server.formats.arrow_batch import decode_batch, encode_payload
from fluss_server.formats.arrow_types import arrow_schema
from fluss_server.formats.buffer import Buffer
from fluss_server.formats.columns import record_batch_to_rows, rows_to_record_batch
from fluss_server.formats.keys import KeyEncoder, encoder_choice, key_encoder
from fluss_server.formats.log_batch import BatchHeader, ChangeType, build_batch
from fluss_server.formats.row_codec import row_codec
from fluss_server.formats.value_batch import SCHEMA_ID_SIZE, encode_value
from fluss_server.kv.merge import Changes, schema_id_of
from fluss_server.model.schema import Schema
from fluss_server.model.table import TableInfo

FIRST_SCHEMA_ID = 1


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
        types = np.frombuffer(changes.change_types, np.uint8)
        is_new = (types == ChangeType.INSERT) | (types == ChangeType.UPDATE_AFTER)
        columns = [images.column(index) for index in self._key_columns]
        if not is_new.all():
            where = pa.array(np.flatnonzero(is_new))
            columns = [column.take(where) for column in columns]
        keys = changes.keys
        if None in changes.values:
            keys = [key for key, value in zip(keys, changes.values, strict=True) if value is not None]
        found = self._keys.encode_columns(columns)
        if found != keys:
            key, own = next((key, own) for key, own in zip(keys, found, strict=True) if key != own)
            raise FlussError(
                ErrorCode.CORRUPT_RECORD_EXCEPTION,
                f"a record has the key {key.hex()}, but the key columns of its row encode to {own.hex()}",
                hint="the client encodes keys in another way than the table's options ask for",
            )

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
class ReplayedBatch:
    """What a log batch says about the state of the store.

    Attributes:
        rows: last value of every key that it changes, None = deleted.
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

    def read(self, batch: bytes, header: BatchHeader, from_offset: int) -> ReplayedBatch:
        """Changes of the rows of a batch whose offsets are ``from_offset`` or greater.

        Values carry the schema id of the batch.

        Raises:
            FlussError: ``CORRUPT_RECORD_EXCEPTION``.
        """
        if header.record_count == 0:
            return ReplayedBatch({}, 0, 0)
        schema = self._schemas(header.schema_id)
        types, images = decode_batch(batch, header, arrow_schema(schema), trusted=True)
        assert types is not None, "the changelog of a primary-key table has change types"
        start = max(0, from_offset - header.base_offset)
        types, images = types[start:], images.slice(start)
        is_entry = types != ChangeType.UPDATE_BEFORE
        if not is_entry.all():
            types, images = types[is_entry], images.filter(pa.array(is_entry))
        key_columns = [images.column(index) for index in schema.indexes_of(self._table.physical_primary_key)]
        keys = self._keys.encode_columns(key_columns)
        prefix = encode_value(header.schema_id, b"")
        values: list[bytes | None] = [
            prefix + row for row in record_batch_to_rows(schema, self._table.kv_format, images)
        ]
        deleted = np.flatnonzero(types == ChangeType.DELETE).tolist()
        for index in deleted:
            values[index] = None
        inserted = int(np.count_nonzero(types == ChangeType.INSERT))
        rows = dict(zip(keys, values, strict=True))
        size = sum(map(len, rows)) + sum(map(len, filter(None, rows.values())))
        return ReplayedBatch(rows, inserted - len(deleted), size)


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
