"""Rows of a KvStore to Arrow batches and back: how a changelog is made, and how it is replayed.

Large batches go column by column through numpy (:mod:`fluss_server.formats.column_reader`,
:mod:`fluss_server.formats.column_writer`), a fraction of a microsecond per row; small ones row by row, because setting
up a column costs as much as some dozen rows.
"""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from fluss_server.formats.arrow_arrays import check_fixed_size
from fluss_server.formats.arrow_types import arrow_schema, arrow_type
from fluss_server.formats.arrow_values import from_arrow, to_arrow
from fluss_server.formats.column_reader import column_reader
from fluss_server.formats.column_writer import write_rows
from fluss_server.formats.row_codec import row_codec
from fluss_server.formats.scalars import corrupt_row
from fluss_server.model.schema import Schema
from fluss_server.model.table import KvFormat

READ_VECTORISED_FROM_ROWS = 32
WRITE_VECTORISED_FROM_ROWS = 80


def rows_to_record_batch(
    schema: Schema,
    kv_format: KvFormat,
    rows: Sequence[bytes],
    schema_of_rows: Schema | None = None,
    *,
    skip: int = 0,
) -> pa.RecordBatch:
    """Arrow batch of encoded rows, in order.

    Args:
        schema: schema of the batch.
        kv_format: format of the rows.
        rows: encoded with ``schema_of_rows``.
        schema_of_rows: an older schema with fewer columns at the end, which become null; None = ``schema``.
        skip: bytes before each row that are not part of it.

    Raises:
        FlussError: ``CORRUPT_RECORD_EXCEPTION`` if a row is not one of its schema, has a null in a NOT NULL column, or
            a value that Arrow cannot hold (text that is not UTF-8, a decimal of too many digits, ...);
            ``RECORD_TOO_LARGE_EXCEPTION`` if there are gigabytes of them.
    """
    types = (schema_of_rows or schema).types
    if len(types) > len(schema.types):
        raise ValueError("rows of a newer schema cannot be in a batch of an older one")
    if len(rows) >= READ_VECTORISED_FROM_ROWS:
        reader = column_reader(rows, types, kv_format, skip)
        columns = [reader.read(index) for index in range(len(types))]
        reader.finish()
    else:
        codec = row_codec(types, kv_format)
        decoded = [codec.decode(row[skip:]) for row in rows]
        columns = [to_arrow([row[index] for row in decoded], data_type) for index, data_type in enumerate(types)]
    for data_type in schema.types[len(types) :]:
        check_fixed_size(data_type, len(rows))
        columns.append(pa.nulls(len(rows), arrow_type(data_type)))
    for column, definition in zip(columns, schema.columns, strict=True):
        if column.null_count and not definition.type.nullable:
            raise corrupt_row(f"null in column {definition.name!r}, which is {definition.type}")
    batch = pa.RecordBatch.from_arrays(columns, schema=arrow_schema(schema))
    try:
        batch.validate(full=True)
    except pa.ArrowException as error:
        raise corrupt_row(f"a value does not match its column: {error}") from None
    return batch


def record_batch_to_rows(schema: Schema, kv_format: KvFormat, batch: pa.RecordBatch) -> list[bytes]:
    """Encoded rows of an Arrow batch of the same schema, in order.

    Raises:
        FlussError: ``CORRUPT_RECORD_EXCEPTION`` for a value that the row format cannot hold.
    """
    if batch.num_rows < WRITE_VECTORISED_FROM_ROWS:
        codec = row_codec(schema.types, kv_format)
        columns = [from_arrow(column, kind) for column, kind in zip(batch.columns, schema.types, strict=True)]
        return [codec.encode(values) for values in zip(*columns, strict=True)]
    return write_rows(batch.columns, schema.types, kv_format)
