"""Printing rows of a log: the system columns, then those of the table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from fluss_server.cli.json_values import timestamp_text, to_json
from fluss_server.cli.output import RowPrinter
from fluss_server.cli.output_format import OutputFormat
from fluss_server.cli.table_reader import CHANGE_NAMES, LogPage
from fluss_server.model.table import TableInfo

if TYPE_CHECKING:
    import pyarrow as pa

_SYSTEM_COLUMNS = ("_change_type", "_log_offset", "_commit_timestamp", "_bucket")
_PARTITION_COLUMN = "_partition"


class LogPrinter:
    """Prints rows of a log.

    Args:
        table: whose log it is.
        columns: indexes of the columns of the table to be shown.
        output_format: how to print.
        system_columns: put the system columns in front.
    """

    def __init__(
        self,
        table: TableInfo,
        columns: Sequence[int],
        output_format: OutputFormat,
        *,
        system_columns: bool = True,
    ) -> None:
        self._table = table
        self._columns = list(columns)
        self._format = output_format
        partition = (_PARTITION_COLUMN,) if table.is_partitioned else ()
        self._system = (*_SYSTEM_COLUMNS, *partition) if system_columns else ()
        names = [*self._system, *(table.schema.names[index] for index in self._columns)]
        schema = self._schema() if output_format is OutputFormat.ARROW else None
        self._printer = RowPrinter(names, output_format, schema)

    def __call__(self, page: LogPage) -> None:
        """Print rows."""
        if self._format is OutputFormat.ARROW:
            self._printer.batch(self._batch(page))
            return
        from fluss_server.formats.arrow_values import from_arrow

        types = self._table.schema.types
        columns = [
            [to_json(value, types[index]) for value in from_arrow(page.rows.column(index), types[index])]
            for index in self._columns
        ]
        if self._system:
            columns = [*self._system_values(page), *columns]
        self._printer.rows(zip(*columns, strict=True))

    def _system_values(self, page: LogPage) -> list[list[object]]:
        rows = page.rows.num_rows
        text = self._format in (OutputFormat.TABLE, OutputFormat.CSV)
        values: list[list[object]] = [
            [CHANGE_NAMES[change] for change in page.change_types],  # type: ignore[index]
            list(range(page.first_offset, page.first_offset + rows)),
            [timestamp_text(page.timestamp) if text else page.timestamp] * rows,
            [page.bucket] * rows,
        ]
        return [*values, [page.partition.name] * rows] if self._table.is_partitioned else values

    def close(self) -> None:
        """End the output."""
        self._printer.close()

    def _schema(self) -> pa.Schema:
        import pyarrow as pa

        from fluss_server.formats.arrow_types import arrow_schema

        kinds = (pa.string(), pa.int64(), pa.timestamp("ms"), pa.int32(), pa.string())
        own = [pa.field(name, kind, nullable=False) for name, kind in zip(self._system, kinds, strict=False)]
        columns = arrow_schema(self._table.schema)
        return pa.schema([*own, *(columns.field(index) for index in self._columns)])

    def _batch(self, page: LogPage) -> pa.RecordBatch:
        import pyarrow as pa

        schema = self._schema()
        system = self._system_values(page) if self._system else []
        own = [pa.array(values, schema.field(index).type) for index, values in enumerate(system)]
        return pa.RecordBatch.from_arrays([*own, *map(page.rows.column, self._columns)], schema=schema)
