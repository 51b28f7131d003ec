"""Parquet files as input of ``fluss put``."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, BinaryIO

from fluss_server.cli.failures import InputError
from fluss_server.cli.input_batches import ROWS_PER_BATCH, BadRow, InputBatch, Progress, unknown_columns
from fluss_server.model.schema import Schema

if TYPE_CHECKING:
    import pyarrow as pa


def parquet_batches(
    source: BinaryIO, path: str, schema: Schema, progress: Progress, skip_rows: int, stop_at_bad: bool
) -> Iterator[InputBatch]:
    """See ``InputFile.batches``."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from fluss_server.formats.arrow_types import arrow_schema

    wanted = arrow_schema(schema)
    try:
        parquet = pq.ParquetFile(source)
    except pa.ArrowException as error:
        raise InputError(f"{path} is not Parquet: {error}") from None
    if unknown := unknown_columns(parquet.schema_arrow.names, schema):
        raise InputError(f"{path}: {unknown}")
    batches = parquet.iter_batches(batch_size=ROWS_PER_BATCH)
    number = 1
    while True:
        try:
            batch = next(batches, None)
        except (pa.ArrowException, OSError) as error:
            raise InputError(f"cannot read {path} after row {number - 1}: {error}") from None
        if batch is None:
            return
        first, number = number, number + batch.num_rows
        skipped = min(max(skip_rows - first + 1, 0), batch.num_rows)
        if skipped == batch.num_rows:
            continue
        found = _converted(batch.slice(skipped), wanted, first + skipped, stop_at_bad)
        yield found
        progress(source.tell())
        if stop_at_bad and found.bad:
            return


def _converted(batch: pa.RecordBatch, wanted: pa.Schema, first: int, stop_at_bad: bool) -> InputBatch:
    """The rows in the types of the table. Where that fails, halves are tried until the bad rows stand alone."""
    import pyarrow as pa

    good: list[pa.RecordBatch] = []
    numbers: list[int] = []
    bad: list[BadRow] = []
    last = first + batch.num_rows - 1
    waiting = [(first, batch)]
    while waiting:
        start, part = waiting.pop()
        try:
            good.append(_cast(part, wanted))
        except (pa.ArrowException, InputError) as error:
            if part.num_rows > 1:
                half = part.num_rows // 2
                waiting += [(start + half, part.slice(half)), (start, part.slice(0, half))]
                continue
            text = json.dumps(part.to_pylist()[0], default=str, ensure_ascii=False).encode()
            bad.append(BadRow(start, text, f"row {start}: {error}"))
            if stop_at_bad:
                last = start
                break
        else:
            numbers += range(start, start + part.num_rows)
    table = pa.Table.from_batches(good, schema=wanted).combine_chunks()
    whole = table.to_batches() or [pa.RecordBatch.from_arrays([[]] * len(wanted), schema=wanted)]
    return InputBatch(whole[0], numbers, [], bad, last)


def _cast(batch: pa.RecordBatch, wanted: pa.Schema) -> pa.RecordBatch:
    import pyarrow as pa

    columns = []
    for field in wanted:
        index = batch.schema.get_field_index(field.name)
        column = pa.nulls(batch.num_rows, field.type) if index < 0 else batch.column(index)
        try:
            cast = column if column.type == field.type else column.cast(field.type)
            # Arrow rounds floats to the scale of a decimal without a word.
            inexact = pa.types.is_decimal(field.type) and pa.types.is_floating(column.type)
            if inexact and not cast.cast(column.type).equals(column):
                raise InputError(f"column {field.name!r}: not a {field.type} without rounding")
        except pa.ArrowException as error:
            raise InputError(f"column {field.name!r}: {error}") from None
        if cast.null_count and not field.nullable:
            raise InputError(f"null in column {field.name!r}, which is NOT NULL")
        columns.append(cast)
    return pa.RecordBatch.from_arrays(columns, schema=wanted)
