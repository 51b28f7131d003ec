"""Changelog rows as encoded rows (``table.log.format`` INDEXED and COMPACTED).

When the store has the same row format, rows of the latest schema go into the log as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from fluss_server.formats.keys import KeyEncoder
from fluss_server.formats.log_batch import BatchHeader, ChangeType
from fluss_server.formats.row_codec import RowCodec, row_codec
from fluss_server.formats.row_log import decode_row_batch, encode_row_payload
from fluss_server.formats.scalars import corrupt_row
from fluss_server.formats.value_batch import SCHEMA_ID_SIZE, encode_value
from fluss_server.kv.changelog_body import NEW_KINDS, BatchContent, EncodedBody
from fluss_server.kv.merge_engines.row_merger import schema_id_of
from fluss_server.model.schema import Schema
from fluss_server.model.table import KvFormat, TableInfo


class RowBody:
    """Arguments as for ``ChangelogWriter``, and the encoder of the table's keys."""

    def __init__(self, table: TableInfo, schemas: Callable[[int], Schema], keys: KeyEncoder) -> None:
        self._schema_id = table.schema_id
        self._schemas = schemas
        self._keys = keys
        self._key_columns = table.schema.indexes_of(table.physical_primary_key)
        self._not_null = [index for index, kind in enumerate(table.schema.types) if not kind.nullable]
        self._names = table.schema.names
        self._kv_format = table.kv_format
        self._log_format = KvFormat(table.log_format.value)
        self._codec = row_codec(table.schema.types, self._log_format)

    def encode(self, images: Sequence[bytes], change_types: bytearray) -> EncodedBody:
        """See ``ChangelogBody``."""
        as_they_are = self._kv_format is self._log_format
        rows: list[bytes] = []
        keys: list[bytes] = []
        for value, kind in zip(images, change_types, strict=True):
            schema_id = schema_id_of(value)
            row = value[SCHEMA_ID_SIZE:]
            fields = self._stored(schema_id).decode(row)
            if schema_id != self._schema_id:
                fields += (None,) * (len(self._names) - len(fields))
            self._check_nulls(fields)
            rows.append(row if as_they_are and schema_id == self._schema_id else self._codec.encode(fields))
            if kind in NEW_KINDS:
                keys.append(self._key(fields))
        return EncodedBody(b"", encode_row_payload(rows, bytes(change_types)), keys)

    def decode(self, schema_id: int, batches: Sequence[tuple[BatchHeader, bytes]], from_offset: int) -> BatchContent:
        """See ``ChangelogBody``."""
        logged = row_codec(self._schemas(schema_id).types, self._log_format)
        stored = self._stored(schema_id)
        prefix = encode_value(schema_id, b"")
        entries: list[tuple[bytes, bytes | None]] = []
        row_count_change = 0
        for header, data in batches:
            change_types, rows = decode_row_batch(data, header)
            start = max(0, from_offset - header.base_offset)
            for kind, row in zip(change_types[start:], rows[start:], strict=True):
                if kind == ChangeType.UPDATE_BEFORE:
                    continue
                fields = logged.decode(row)
                key = self._key(fields)
                if kind == ChangeType.DELETE:
                    entries.append((key, None))
                    row_count_change -= 1
                    continue
                entries.append((key, prefix + (row if logged is stored else stored.encode(fields))))
                row_count_change += kind == ChangeType.INSERT
        return BatchContent(entries, row_count_change)

    def _stored(self, schema_id: int) -> RowCodec:
        return row_codec(self._schemas(schema_id).types, self._kv_format)

    def _key(self, fields: Sequence[Any]) -> bytes:
        return self._keys.encode([fields[index] for index in self._key_columns])

    def _check_nulls(self, fields: Sequence[Any]) -> None:
        for index in self._not_null:
            if fields[index] is None:
                raise corrupt_row(f"null in column {self._names[index]!r}, which is NOT NULL")
