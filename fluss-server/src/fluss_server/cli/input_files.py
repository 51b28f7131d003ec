"""Files of rows for ``fluss put``: JSON lines, CSV and Parquet, read in batches of the table's schema."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from fluss_server.cli.json_values import from_json
from fluss_server.errors import ErrorCode, FlussError
from fluss_server.model.schema import Schema

if TYPE_CHECKING:
    import pyarrow as pa

FORMATS = ("jsonl", "csv", "parquet")
ROWS_PER_BATCH = 5_000
_SUFFIXES = {".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "jsonl", ".csv": "csv", ".parquet": "parquet"}
_MAX_LINE_BYTES = 32 << 20

Progress = Callable[[int], None]
"""Is told how many bytes of the file have been read so far."""


def format_of(path: str) -> str:
    """Format that a file's name says; ``INVALID_TABLE_EXCEPTION`` if it says none."""
    found = _SUFFIXES.get(Path(path).suffix.lower())
    if found is None:
        raise FlussError(
            ErrorCode.INVALID_TABLE_EXCEPTION,
            f"the name {path!r} does not tell the format",
            hint=f"use --format with one of {', '.join(FORMATS)}",
        )
    return found


def read_rows(path: str, file_format: str, schema: Schema, progress: Progress) -> Iterator[pa.RecordBatch]:
    """Batches of a file, in order.

    Columns are matched by name; one that the file lacks is null, one that the table lacks is an error.

    Args:
        path: of the file; ``-`` = standard input (not for Parquet).
        file_format: one of :data:`FORMATS`.
        progress: called after every batch.

    Raises:
        FlussError: ``INVALID_TABLE_EXCEPTION`` with the line of what does not fit.
    """
    if file_format == "parquet":
        yield from _parquet(path, schema, progress)
        return
    if path == "-":
        yield from _text(sys.stdin.buffer, file_format, schema, progress)
        return
    with _open(path) as file:
        yield from _text(file, file_format, schema, progress)


def _text(file: BinaryIO, file_format: str, schema: Schema, progress: Progress) -> Iterator[pa.RecordBatch]:
    documents = _csv(file, schema) if file_format == "csv" else _json_lines(file)
    read = 0
    page: list[tuple[int, dict[str, Any]]] = []
    for line, size, document in documents:
        page.append((line, document))
        read += size
        if len(page) == ROWS_PER_BATCH:
            yield rows_batch(page, schema)
            progress(read)
            page = []
    if page:
        yield rows_batch(page, schema)
    progress(read)


def rows_batch(documents: Iterable[tuple[int, dict[str, Any]]], schema: Schema) -> pa.RecordBatch:
    """Batch of numbered JSON objects, one per row.

    Raises:
        FlussError: ``INVALID_TABLE_EXCEPTION`` with the number of the line.
    """
    import pyarrow as pa

    from fluss_server.formats.arrow_types import arrow_schema
    from fluss_server.formats.arrow_values import to_arrow

    names = set(schema.names)
    rows = []
    for number, document in documents:
        if not names.issuperset(document):
            unknown = ", ".join(sorted(repr(name) for name in document.keys() - names))
            raise _bad_line(number, f"no column {unknown}; columns are {', '.join(schema.names)}")
        try:
            rows.append([from_json(document.get(column.name), column.type, column.name) for column in schema.columns])
        except FlussError as error:
            raise _bad_line(number, error.message) from None
    columns = [to_arrow([row[index] for row in rows], kind) for index, kind in enumerate(schema.types)]
    return pa.RecordBatch.from_arrays(columns, schema=arrow_schema(schema))


def _json_lines(file: BinaryIO) -> Iterator[tuple[int, int, dict[str, Any]]]:
    number = 0
    while line := file.readline(_MAX_LINE_BYTES):
        number += 1
        if not line.strip():
            continue
        try:
            document = json.loads(line)
        except ValueError as error:
            raise _bad_line(number, f"not JSON: {error}") from None
        if not isinstance(document, dict):
            raise _bad_line(number, f"a row is a JSON object, not {type(document).__name__}")
        yield number, len(line), document


def _csv(file: BinaryIO, schema: Schema) -> Iterator[tuple[int, int, dict[str, Any]]]:
    """Rows of CSV with a header line. An empty field is null."""
    import csv

    from fluss_server.model.types import NESTED_ROOTS

    nested = {column.name for column in schema.columns if column.type.root in NESTED_ROOTS}
    text = io.TextIOWrapper(file, encoding="utf-8", newline="")
    reader = csv.reader(text, strict=True)
    try:
        header = next(reader, [])
        for fields in reader:
            if len(fields) != len(header):
                raise _bad_line(reader.line_num, f"{len(fields)} fields, but the header names {len(header)}")
            document: dict[str, Any] = {}
            for name, field in zip(header, fields, strict=True):
                if field:
                    document[name] = json.loads(field) if name in nested else field
            yield reader.line_num, sum(map(len, fields)) + len(fields), document
    except (csv.Error, ValueError) as error:
        raise _bad_line(reader.line_num, str(error)) from None
    finally:
        text.detach()


def _parquet(path: str, schema: Schema, progress: Progress) -> Iterator[pa.RecordBatch]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    from fluss_server.formats.arrow_types import arrow_schema

    wanted = arrow_schema(schema)
    with _open(path) as source:
        try:
            file = pq.ParquetFile(source)
        except pa.ArrowException as error:
            raise FlussError(ErrorCode.INVALID_TABLE_EXCEPTION, f"{path} is not Parquet: {error}") from None
        unknown = set(file.schema_arrow.names) - set(wanted.names)
        if unknown:
            raise FlussError(
                ErrorCode.INVALID_TABLE_EXCEPTION,
                f"{path} has columns that the table has not: {', '.join(sorted(unknown))}",
            )
        for batch in file.iter_batches(batch_size=ROWS_PER_BATCH):
            columns = []
            for field in wanted:
                index = batch.schema.get_field_index(field.name)
                column = pa.nulls(batch.num_rows, field.type) if index < 0 else batch.column(index)
                try:
                    columns.append(column if column.type == field.type else column.cast(field.type))
                except pa.ArrowException as error:
                    raise FlussError(
                        ErrorCode.INVALID_TABLE_EXCEPTION, f"{path}: column {field.name!r}: {error}"
                    ) from None
                if columns[-1].null_count and not field.nullable:
                    raise FlussError(
                        ErrorCode.INVALID_TABLE_EXCEPTION, f"{path}: null in column {field.name!r}, which is NOT NULL"
                    )
            yield pa.RecordBatch.from_arrays(columns, schema=wanted)
            progress(source.tell())


def _open(path: str) -> BinaryIO:
    try:
        return open(path, "rb")
    except OSError as error:
        raise FlussError(ErrorCode.INVALID_TABLE_EXCEPTION, f"cannot read {path}: {error.strerror or error}") from None


def _bad_line(number: int, reason: str) -> FlussError:
    return FlussError(ErrorCode.INVALID_TABLE_EXCEPTION, f"line {number}: {reason}")
