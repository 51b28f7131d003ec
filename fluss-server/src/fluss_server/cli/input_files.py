"""Files of rows for ``fluss put``: JSON lines, CSV and Parquet, read in batches of the table's schema."""

from __future__ import annotations

import contextlib
import functools
import gzip
import io
import json
import sys
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, TypeAlias, cast

from fluss_server.cli.csv_records import check_header, split_record
from fluss_server.cli.failures import InputError, UsageError
from fluss_server.cli.input_batches import ROWS_PER_BATCH, BadRow, InputBatch, Progress, unknown_columns
from fluss_server.cli.json_values import from_json, parse_json
from fluss_server.model.schema import Schema

if TYPE_CHECKING:
    import pyarrow as pa

FORMATS = ("jsonl", "csv", "tsv", "parquet")
_SUFFIXES = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
    ".csv": "csv",
    ".tsv": "tsv",
    ".tab": "tsv",
    ".parquet": "parquet",
}
_DELIMITERS = {"csv": ",", "tsv": "\t"}
_MAX_RECORD_BYTES = 32 << 20
_GZIP, _UTF8_MARK, _UTF16_MARKS = b"\x1f\x8b", b"\xef\xbb\xbf", (b"\xff\xfe", b"\xfe\xff")

_Fields: TypeAlias = "list[str | None] | ValueError"
"""Fields of a record, or why it has none."""


def format_of(path: str) -> str:
    """Format that a file's name says, with ``.gz`` at its end or not; UsageError if it says none."""
    name = Path(path[:-3] if path.lower().endswith(".gz") else path)
    found = _SUFFIXES.get(name.suffix.lower())
    if found is None:
        raise UsageError(f"the name {path!r} does not tell the format", hint=f"use --format: {', '.join(FORMATS)}")
    return found


@dataclass
class InputFile:
    """A file to be read once.

    Columns are matched by name; one that the file lacks is null, one that the table lacks is an error. Text is UTF-8, a
    byte order mark in front is skipped; gzip is recognized by its first bytes.

    Args:
        path: of the file; ``-`` = standard input (not for Parquet).
        file_format: one of :data:`FORMATS`.
        schema: of the table.
        delimiter: of CSV, one character; None = the usual one.
        progress: called after every batch.

    Attributes:
        header: header line of a CSV file as it stands there, once the first batch was read; else empty.
    """

    path: str
    file_format: str
    schema: Schema
    delimiter: str | None = None
    progress: Progress = lambda read: None
    header: bytes = field(default=b"", init=False)

    def __post_init__(self) -> None:
        if self.file_format == "parquet" and self.path == "-":
            raise UsageError("Parquet cannot be read from standard input")
        if self.delimiter is not None and self.file_format not in _DELIMITERS:
            raise UsageError(f"--delimiter is for CSV, not for {self.file_format}")

    def batches(self, *, skip_rows: int = 0, stop_at_bad: bool = True) -> Iterator[InputBatch]:
        """The rows, in the order of the file.

        Args:
            skip_rows: leave out so many rows at the beginning.
            stop_at_bad: end with the first bad row, which is then the last one of the last batch.

        Raises:
            InputError: the file cannot be read on; every good row before that has been yielded.
        """
        if self.file_format == "parquet":
            from fluss_server.cli.parquet_input import parquet_batches

            with open_input(self.path) as file:
                yield from parquet_batches(file, self.path, self.schema, self.progress, skip_rows, stop_at_bad)
            return
        with contextlib.ExitStack() as stack:
            source = cast("io.BufferedReader", sys.stdin.buffer)
            if self.path != "-":
                source = stack.enter_context(open_input(self.path))
            yield from self._text_batches(source, skip_rows, stop_at_bad)

    def _text_batches(self, source: io.BufferedReader, skip_rows: int, stop_at_bad: bool) -> Iterator[InputBatch]:
        builder = _BatchBuilder(self.schema)
        failure: InputError | None = None
        lines = _Lines(source, self.path)
        try:
            for number, record in enumerate(self._records(lines), 1):
                if number <= skip_rows:
                    continue
                good = builder.add(number, record)
                if builder.full or (stop_at_bad and not good):
                    yield builder.take()
                    self.progress(lines.position)
                if stop_at_bad and not good:
                    return
        except InputError as error:
            failure = error
        if not builder.empty:
            yield builder.take()
        self.progress(lines.position)
        if failure is not None:
            raise failure

    def _records(self, lines: _Lines) -> Iterator[_Record]:
        if self.file_format == "jsonl":
            for number, line in lines:
                if line.strip():
                    yield _Record(number, line, functools.partial(_json_document, line))
            return
        yield from self._csv_records(lines, self.delimiter or _DELIMITERS[self.file_format])

    def _csv_records(self, lines: _Lines, delimiter: str) -> Iterator[_Record]:
        from fluss_server.model.types import NESTED_ROOTS

        records = _split_records(lines, delimiter)
        number, self.header, fields = next(records, (1, b"", []))
        try:
            names = check_header(_raised(fields))
        except ValueError as error:
            raise InputError(f"line {number}: {error}") from None
        self._check_names(number, names)
        nested = {column.name for column in self.schema.columns if column.type.root in NESTED_ROOTS}

        def document(fields: _Fields) -> dict[str, Any]:
            fields = _raised(fields)
            if len(fields) != len(names):
                raise ValueError(f"{len(fields)} fields, but the header names {len(names)}")
            found: dict[str, Any] = {}
            for name, value in zip(names, fields, strict=True):
                if value is not None:
                    found[name] = parse_json(value) if name in nested else value
            return found

        for number, text, fields in records:
            if text or len(names) == 1:
                yield _Record(number, text, functools.partial(document, fields))

    def _check_names(self, line: int, names: Sequence[str]) -> None:
        unknown = unknown_columns(names, self.schema)
        if unknown:
            raise InputError(f"line {line}: {unknown}")


@dataclass(frozen=True)
class _Record:
    """A row as text: its first line's number, and what makes a JSON object of it or raises ValueError."""

    line: int
    text: bytes
    document: Callable[[], dict[str, Any]]


class _BatchBuilder:
    def __init__(self, schema: Schema) -> None:
        self._schema = schema
        self._names = frozenset(schema.names)
        self._start()

    def _start(self) -> None:
        self._rows: list[list[Any]] = []
        self._numbers: list[int] = []
        self._texts: list[bytes] = []
        self._bad: list[BadRow] = []
        self._last = 0

    @property
    def empty(self) -> bool:
        return not self._rows and not self._bad

    @property
    def full(self) -> bool:
        return len(self._rows) + len(self._bad) >= ROWS_PER_BATCH

    def add(self, number: int, record: _Record) -> bool:
        """Convert a row; False if it is a bad one."""
        self._last = number
        try:
            row = self._row(record.document())
        except (InputError, ValueError) as error:
            self._bad.append(BadRow(number, record.text, f"line {record.line}: {_reason(error)}"))
            return False
        self._rows.append(row)
        self._numbers.append(number)
        self._texts.append(record.text)
        return True

    def _row(self, document: dict[str, Any]) -> list[Any]:
        if not self._names.issuperset(document):
            raise InputError(unknown_columns(list(document), self._schema))
        return [from_json(document.get(column.name), column.type, column.name) for column in self._schema.columns]

    def take(self) -> InputBatch:
        """What was gathered; the next rows begin a new batch."""
        import pyarrow as pa

        from fluss_server.formats.arrow_types import arrow_schema
        from fluss_server.formats.arrow_values import to_arrow

        columns = [to_arrow([row[index] for row in self._rows], kind) for index, kind in enumerate(self._schema.types)]
        rows = pa.RecordBatch.from_arrays(columns, schema=arrow_schema(self._schema))
        batch = InputBatch(rows, self._numbers, self._texts, self._bad, self._last)
        self._start()
        return batch


class _Lines:
    """Numbered lines without their ends; decompressed, and without a byte order mark."""

    def __init__(self, source: io.BufferedReader, path: str) -> None:
        self._source = source
        self._path = path
        self._read = 0
        self._compressed = source.peek(2)[:2] == _GZIP
        self._lines: BinaryIO = cast("BinaryIO", gzip.GzipFile(fileobj=source)) if self._compressed else source
        self._number = 0

    @property
    def position(self) -> int:
        """Bytes read of the file, compressed as it is."""
        return self._source.tell() if self._compressed and self._source.seekable() else self._read

    def __iter__(self) -> Iterator[tuple[int, bytes]]:
        while True:
            try:
                line = self._lines.readline(_MAX_RECORD_BYTES + 1)
            except (OSError, EOFError, zlib.error) as error:
                raise InputError(f"cannot read {self._path} after line {self._number}: {error}") from None
            if not line:
                return
            self._number += 1
            self._read += len(line)
            if len(line) > _MAX_RECORD_BYTES:
                raise InputError(f"line {self._number} is longer than {_MAX_RECORD_BYTES >> 20} MiB")
            if self._number == 1:
                if line.startswith(_UTF16_MARKS):
                    raise InputError(f"{self._path} is UTF-16", hint="convert it: iconv -f UTF-16 -t UTF-8")
                line = line.removeprefix(_UTF8_MARK)
            yield self._number, line.removesuffix(b"\n").removesuffix(b"\r")


def _split_records(lines: _Lines, delimiter: str) -> Iterator[tuple[int, bytes, _Fields]]:
    """Number of the first line, text and fields of records, which are several lines when quotes hold line ends."""
    first, parts, size = 0, list[bytes](), 0
    for number, line in lines:
        text = line
        if parts:
            parts.append(line)
            size += len(line)
            if size > _MAX_RECORD_BYTES:
                break
            if b'"' not in line:  # what a quote has begun, only another can end
                continue
            text = b"\n".join(parts)
        try:
            fields: _Fields | None = split_record(text.decode(), delimiter)
        except ValueError as error:
            fields = error
        if fields is not None:
            yield first if parts else number, text, fields
            parts = []
        elif not parts:
            first, parts, size = number, [line], len(line)
    if parts:
        raise InputError(f"line {first}: a quote is not closed")


def _raised(fields: _Fields) -> list[str | None]:
    if isinstance(fields, ValueError):
        raise fields
    return fields


def _json_document(text: bytes) -> dict[str, Any]:
    try:
        document = parse_json(text)
    except ValueError as error:
        raise ValueError(f"not JSON: {error}") from None
    if not isinstance(document, dict):
        raise ValueError(f"a row is a JSON object, not {type(document).__name__}")
    return document


def _reason(error: Exception) -> str:
    if isinstance(error, UnicodeDecodeError):
        return f"not UTF-8: {error.reason}"
    return error.message if isinstance(error, InputError) else str(error)


def open_input(path: str) -> io.BufferedReader:
    """Open a file for reading; InputError."""
    try:
        return open(path, "rb")
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from None


def json_lines(rows: pa.RecordBatch, schema: Schema) -> Iterator[bytes]:
    """Rows as JSON lines, without line ends."""
    from fluss_server.cli.json_values import to_json
    from fluss_server.formats.arrow_values import from_arrow

    columns = [from_arrow(rows.column(index), kind) for index, kind in enumerate(schema.types)]
    for row in zip(*columns, strict=True):
        values = (to_json(value, kind) for value, kind in zip(row, schema.types, strict=True))
        yield json.dumps(dict(zip(schema.names, values, strict=True)), ensure_ascii=False).encode()
