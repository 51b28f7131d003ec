"""What commands print: aligned columns, JSON lines, CSV or an Arrow stream.

What comes from tables never reaches a terminal as a control character: it could move the cursor, change the title or
look like other rows.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from fluss_server.cli.csv_records import join_record
from fluss_server.cli.output_format import OutputFormat

if TYPE_CHECKING:
    import pyarrow as pa

ABSENT = "-"
NULL = "null"
_GAP = "  "
_MAX_WIDTH = 60
# Control characters, line and paragraph separators, characters that reverse the direction of text.
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


class RowPrinter:
    """Prints rows batch by batch; every batch may be the last one.

    In the table format, columns keep the width of the first batch, so that later rows stay aligned with it.

    Args:
        columns: names.
        output_format: how to print.
        schema: of the Arrow stream; None = all columns are text in JSON, null kept.
        absent: what stands for None in the table format.
    """

    def __init__(
        self,
        columns: Sequence[str],
        output_format: OutputFormat,
        schema: pa.Schema | None = None,
        *,
        absent: str = NULL,
    ) -> None:
        self._columns = list(columns)
        self._format = output_format
        self._schema = schema
        self._absent = absent
        self._widths: list[int] | None = None
        self._writer: Any = None

    def rows(self, rows: Iterable[Sequence[Any]]) -> None:
        """Print rows of JSON values."""
        batch = list(rows)
        if self._format is OutputFormat.JSON:
            for row in batch:
                _line(json_line(dict(zip(self._columns, row, strict=True))))
        elif self._format is OutputFormat.CSV:
            self._csv(batch)
        elif self._format is OutputFormat.TABLE:
            self._table(batch)
        else:
            import pyarrow as pa

            schema = self._schema or pa.schema([(name, pa.string()) for name in self._columns])
            cells = [
                [None if cell is None else _cell(cell, NULL) for cell in column] for column in zip(*batch, strict=True)
            ]
            arrays = [pa.array(column, pa.string()) for column in cells or [[]] * len(schema)]
            self.batch(pa.RecordBatch.from_arrays(arrays, schema=schema))
        sys.stdout.flush()

    def batch(self, batch: pa.RecordBatch) -> None:
        """Print an Arrow batch; only for the Arrow format."""
        import pyarrow as pa

        if self._writer is None:
            self._writer = pa.ipc.new_stream(sys.stdout.buffer, batch.schema)
        self._writer.write_batch(batch)
        sys.stdout.flush()

    def close(self) -> None:
        """End the output; an Arrow stream gets its schema even if it has no rows."""
        if self._format is OutputFormat.ARROW:
            if self._writer is None:
                import pyarrow as pa

                schema = self._schema or pa.schema([(name, pa.string()) for name in self._columns])
                self._writer = pa.ipc.new_stream(sys.stdout.buffer, schema)
            self._writer.close()
        elif self._format is OutputFormat.TABLE and self._widths is None:
            self._table([])
        elif self._format is OutputFormat.CSV:
            self._csv([])

    def _csv(self, batch: Sequence[Sequence[Any]]) -> None:
        raw = not sys.stdout.isatty()
        if self._widths is None:
            self._widths = []
            batch = [self._columns, *batch]
        for row in batch:
            text = join_record(csv_field(cell) for cell in row)
            _line(text if raw else printable(text))

    def _table(self, batch: Sequence[Sequence[Any]]) -> None:
        cells = [[printable(_cell(value, self._absent)) for value in row] for row in batch]
        if self._widths is None:
            columns = zip(*cells, strict=True) if cells else [()] * len(self._columns)
            self._widths = [
                min(max(map(len, (name, *column))), _MAX_WIDTH)
                for name, column in zip(self._columns, columns, strict=True)
            ]
            self._aligned([printable(name).upper() for name in self._columns])
        for row in cells:
            self._aligned(row)

    def _aligned(self, cells: Sequence[str]) -> None:
        assert self._widths is not None
        _line(_GAP.join(cell.ljust(width) for cell, width in zip(cells, self._widths, strict=True)).rstrip())


def print_rows(
    columns: Sequence[str], rows: Iterable[Sequence[Any]], output_format: OutputFormat, *, absent: str = ABSENT
) -> None:
    """Print a whole listing.

    Args:
        absent: what stands for None in the table format.
    """
    printer = RowPrinter(columns, output_format, absent=absent)
    printer.rows(rows)
    printer.close()


def print_fields(fields: Mapping[str, Any], output_format: OutputFormat) -> None:
    """Print one thing: a line per field, more for a list; or one JSON object."""
    if output_format is OutputFormat.TABLE:
        width = max(map(len, fields))
        for name, value in fields.items():
            lines = [printable(_cell(line, ABSENT)) for line in (value if isinstance(value, list) else [value])]
            _line(f"{name.upper().ljust(width)}{_GAP}{lines[0]}".rstrip())
            for line in lines[1:]:
                _line(f"{' ' * width}{_GAP}{line}".rstrip())
    else:
        print_rows(list(fields), [list(fields.values())], output_format)


def note(text: str) -> None:
    """Tell the person what was done, on standard error, so that the output stays clean for programs."""
    print(printable(text), file=sys.stderr, flush=True)


def counted(number: int, noun: str) -> str:
    """``1 row``, ``2 rows``."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def printable(text: str) -> str:
    """Text with control characters written as escapes, ``\\x1b`` for example."""
    return _CONTROL.sub(lambda match: match[0].encode("unicode_escape").decode(), text)


def json_line(document: Any) -> str:
    """JSON in one line; also the control characters that JSON leaves as they are become escapes."""
    return _CONTROL.sub(lambda match: f"\\u{ord(match[0]):04x}", json.dumps(document, ensure_ascii=False))


def csv_field(value: Any) -> str | None:
    """A JSON value as a field of CSV, None for null."""
    return None if value is None else _cell(value, NULL)


def _cell(value: Any, absent: str) -> str:
    if value is None:
        return absent
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _line(text: str) -> None:
    sys.stdout.write(text + "\n")
