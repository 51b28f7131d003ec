"""The changelog of a primary-key table: changes to one log batch, and log batches back to changes.

The rows are encoded in the table's log format: as Arrow (:mod:`fluss_server.kv.changelog_arrow`) or as rows
(:mod:`fluss_server.kv.changelog_rows`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import groupby
from typing import Protocol

from fluss_server.errors import ErrorCode, FlussError
from fluss_server.formats import table_keys
from fluss_server.formats.buffer import Buffer
from fluss_server.formats.keys import KeyEncoder
from fluss_server.formats.log_batch import BatchHeader, build_batch
from fluss_server.kv.batch_merge import Changes
from fluss_server.kv.changelog_arrow import ArrowBody
from fluss_server.kv.changelog_body import BatchContent, EncodedBody, ReplayedChanges
from fluss_server.kv.changelog_rows import RowBody
from fluss_server.model.schema import Schema
from fluss_server.model.table import LogFormat, TableInfo


class ChangelogBody(Protocol):
    """How the rows of a changelog are encoded."""

    def encode(self, images: Sequence[bytes], change_types: bytearray) -> EncodedBody:
        """Rows of one batch, in the latest schema.

        Args:
            images: stored values, one per row.
            change_types: likewise.

        Raises:
            FlussError: ``CORRUPT_RECORD_EXCEPTION`` if a row is not one of its schema;
                ``RECORD_TOO_LARGE_EXCEPTION``.
        """

    def decode(self, schema_id: int, batches: Sequence[tuple[BatchHeader, bytes]], from_offset: int) -> BatchContent:
        """Rows of successive batches of one schema, from an offset on; ``CORRUPT_RECORD_EXCEPTION``."""


class ChangelogWriter:
    """Makes the log batches of a table; always in its latest schema (docs/primary-key-tables.md).

    Args:
        table: whose changelog.
        schemas: schema of a schema id.
    """

    def __init__(self, table: TableInfo, schemas: Callable[[int], Schema]) -> None:
        self._schema_id = table.schema_id
        self._body = _body(table, schemas)

    def build(self, changes: Changes, writer_id: int, batch_sequence: int) -> bytearray:
        """The log batch of the changes of one KV batch, header only if there are none.

        Raises:
            FlussError: ``CORRUPT_RECORD_EXCEPTION`` if a row is not one of its schema or its key is not that of the
                record; ``RECORD_TOO_LARGE_EXCEPTION``.
        """
        change_types: Buffer = b""
        payload: Buffer = b""
        if changes.images:
            encoded = self._body.encode(changes.images, changes.change_types)
            _check_keys(encoded.keys_of_new_rows, changes)
            change_types, payload = encoded.change_types, encoded.payload
        return build_batch(
            self._schema_id,
            change_types=change_types,
            payload=payload,
            record_count=len(changes.images),
            writer_id=writer_id,
            batch_sequence=batch_sequence,
        )


def _check_keys(found: list[bytes], changes: Changes) -> None:
    """Check that the new rows have the keys under which they are stored: replay knows no others."""
    keys = changes.keys
    if not all(changes.values):
        keys = [key for key, value in zip(keys, changes.values, strict=True) if value is not None]
    if found != keys:
        key, own = next((key, own) for key, own in zip(keys, found, strict=True) if key != own)
        raise FlussError(
            ErrorCode.CORRUPT_RECORD_EXCEPTION,
            f"a record has the key {key.hex()}, but the key columns of its row encode to {own.hex()}",
            hint="the client encodes keys in another way than the table's options say",
        )


class ChangelogReader:
    """Reads the log batches of a table back.

    Args:
        table: whose changelog.
        schemas: schema of a schema id.
    """

    def __init__(self, table: TableInfo, schemas: Callable[[int], Schema]) -> None:
        self._body = _body(table, schemas)

    def read(self, batches: Sequence[tuple[BatchHeader, bytes]], from_offset: int) -> ReplayedChanges:
        """Changes of the rows of successive batches whose offsets are ``from_offset`` or greater.

        Values carry the schema id of their batch. Many small batches are converted together.

        Raises:
            FlussError: ``CORRUPT_RECORD_EXCEPTION``.
        """
        rows: dict[bytes, bytes | None] = {}
        row_count_change = 0
        for schema_id, same in groupby(batches, key=lambda batch: batch[0].schema_id):
            full = [batch for batch in same if batch[0].record_count]
            if full:
                content = self._body.decode(schema_id, full, from_offset)
                rows.update(content.entries)
                row_count_change += content.row_count_change
        size = sum(map(len, rows)) + sum(map(len, filter(None, rows.values())))
        return ReplayedChanges(rows, row_count_change, size)


def _body(table: TableInfo, schemas: Callable[[int], Schema]) -> ChangelogBody:
    keys = primary_key_encoder(table)
    if table.log_format is LogFormat.ARROW:
        return ArrowBody(table, schemas, keys)
    return RowBody(table, schemas, keys)


def primary_key_encoder(table: TableInfo) -> KeyEncoder:
    """Encoder of the keys of a table's rows, as its clients choose it."""
    return table_keys.primary_key_encoder(table.descriptor)


__all__ = ["ChangelogReader", "ChangelogWriter", "ReplayedChanges", "primary_key_encoder"]
