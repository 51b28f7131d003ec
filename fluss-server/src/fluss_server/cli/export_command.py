"""``fluss export``: the rows of a table as a file."""

from __future__ import annotations

import argparse
import contextlib
import gzip
import io
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol, cast

from fluss_server.cli.csv_records import join_record
from fluss_server.cli.failures import CommandError, UsageError
from fluss_server.cli.input_files import format_of
from fluss_server.cli.json_values import to_json
from fluss_server.cli.output import counted, csv_field, json_line, note
from fluss_server.cli.selection import chosen_buckets, chosen_columns
from fluss_server.cli.session import Session
from fluss_server.cli.table_reader import (
    EARLIEST,
    LATEST,
    Bucket,
    bucket_offsets,
    read_log,
    scan_values,
    values_batch,
)
from fluss_server.model.table import TableInfo

if TYPE_CHECKING:
    import pyarrow as pa


def export(session: Session, parsed: argparse.Namespace) -> None:
    """``fluss export``"""
    file_format = parsed.format or ("jsonl" if parsed.file == "-" else format_of(parsed.file))
    if file_format == "parquet" and parsed.file == "-":
        raise UsageError("Parquet cannot be written to standard output")
    table = session.table(parsed.table)
    columns = chosen_columns(table, parsed.columns)
    buckets = chosen_buckets(session, table, parsed)
    rows = 0
    with _output(parsed.file) as file:
        writer = _writer(file_format, file, table, columns)
        for batch in _batches(session, table, buckets):
            writer.write(batch)
            rows += batch.num_rows
        writer.close()
    note(f"{counted(rows, 'row')} of {table.path} exported")


def _batches(session: Session, table: TableInfo, buckets: Sequence[Bucket]) -> Iterator[pa.RecordBatch]:
    if table.has_primary_key:
        for key in buckets:
            with contextlib.closing(scan_values(session, table, key)) as portions:  # type: ignore[type-var]
                for rows in portions:
                    yield values_batch(table, rows)
        return
    starts = bucket_offsets(session, table, buckets, EARLIEST)
    for page in read_log(session, table, starts, bucket_offsets(session, table, buckets, LATEST)):
        yield page.rows


@contextlib.contextmanager
def _output(path: str) -> Iterator[BinaryIO]:
    """A file that appears under its name when it is complete; ``-`` is standard output."""
    if path == "-":
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    target = Path(path)
    part = target.with_name(f"{target.name}.part")
    try:
        with contextlib.ExitStack() as stack:
            file: BinaryIO = stack.enter_context(open(part, "wb"))
            if path.lower().endswith(".gz"):
                file = cast(
                    "BinaryIO", stack.enter_context(gzip.GzipFile(filename="", mode="wb", fileobj=file, mtime=0))
                )
            yield file
        os.replace(part, target)
    except OSError as error:
        if isinstance(error, BrokenPipeError):
            raise
        raise CommandError(f"cannot write {path}: {error.strerror or error}") from None
    finally:
        part.unlink(missing_ok=True)


class _Writer(Protocol):
    def write(self, batch: pa.RecordBatch) -> None: ...

    def close(self) -> None: ...


def _writer(file_format: str, file: BinaryIO, table: TableInfo, columns: Sequence[int]) -> _Writer:
    if file_format == "parquet":
        return _ParquetWriter(file, table, columns)
    return _TextWriter(file, table, columns, {"csv": ",", "tsv": "\t"}.get(file_format))


class _ParquetWriter:
    def __init__(self, file: BinaryIO, table: TableInfo, columns: Sequence[int]) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        from fluss_server.formats.arrow_types import arrow_schema

        self._names = [table.schema.names[index] for index in columns]
        schema = arrow_schema(table.schema)
        self._writer = pq.ParquetWriter(file, pa.schema([schema.field(index) for index in columns]))

    def write(self, batch: pa.RecordBatch) -> None:
        self._writer.write_batch(batch.select(self._names))

    def close(self) -> None:
        self._writer.close()


class _TextWriter:
    """JSON lines, or CSV with a header line when there is a delimiter."""

    def __init__(self, file: BinaryIO, table: TableInfo, columns: Sequence[int], delimiter: str | None) -> None:
        self._text = io.TextIOWrapper(file, encoding="utf-8", newline="\n")
        self._types = table.schema.types
        self._columns = columns
        self._names = [table.schema.names[index] for index in columns]
        self._delimiter = delimiter
        if delimiter is not None:
            self._text.write(join_record(self._names, delimiter) + "\n")

    def write(self, batch: pa.RecordBatch) -> None:
        from fluss_server.formats.arrow_values import from_arrow

        columns: list[list[Any]] = [
            [to_json(value, self._types[index]) for value in from_arrow(batch.column(index), self._types[index])]
            for index in self._columns
        ]
        for row in zip(*columns, strict=True):
            if self._delimiter is None:
                line = json_line(dict(zip(self._names, row, strict=True)))
            else:
                line = join_record(map(csv_field, row), self._delimiter)
            self._text.write(line + "\n")

    def close(self) -> None:
        self._text.flush()
        self._text.detach()
