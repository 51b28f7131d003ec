"""The DataStream sink of Fluss tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyflink.datastream.connectors.base import Sink
from pyflink.java_gateway import get_gateway
from pyflink.util.java_utils import to_jarray

if TYPE_CHECKING:
    from py4j.java_gateway import JavaObject


class FlussSink(Sink):  # type: ignore[misc]
    """Writes a stream of `Row`s to a table: appends to a log table, upserts and deletes in a primary-key table.

    The fields of the rows are the columns of the table in order (or those of `set_partial_update_columns`). Give Python
    streams the row type, for example `ds.map(..., output_type=Types.ROW_NAMED(names, types))`.

    Example::

        >>> sink = FlussSink.builder() \\
        ...     .set_bootstrap_servers("127.0.0.1:9123") \\
        ...     .set_database("fluss") \\
        ...     .set_table("orders") \\
        ...     .build()
        >>> stream.sink_to(sink)
    """

    def __init__(self, j_fluss_sink: JavaObject) -> None:
        super().__init__(j_fluss_sink)

    @staticmethod
    def builder() -> FlussSinkBuilder:
        """Returns a builder; servers, database and table have to be set."""
        return FlussSinkBuilder()


class FlussSinkBuilder:
    """Builds a :class:`FlussSink`."""

    def __init__(self) -> None:
        self._j_builder = get_gateway().jvm.io.fluss.flink.sink.FlussSink.builder()

    def set_bootstrap_servers(self, bootstrap_servers: str) -> FlussSinkBuilder:
        """Sets the servers to connect to first: `host:port`, several separated by commas."""
        self._j_builder.setBootstrapServers(bootstrap_servers)
        return self

    def set_database(self, database: str) -> FlussSinkBuilder:
        """Sets the database of the table."""
        self._j_builder.setDatabase(database)
        return self

    def set_table(self, table: str) -> FlussSinkBuilder:
        """Sets the name of the table."""
        self._j_builder.setTable(table)
        return self

    def set_partial_update_columns(self, *columns: str) -> FlussSinkBuilder:
        """Writes only these columns of a primary-key table; its key columns must be among them."""
        self._j_builder.setPartialUpdateColumns(to_jarray(get_gateway().jvm.java.lang.String, list(columns)))
        return self

    def set_option(self, key: str, value: str) -> FlussSinkBuilder:
        """Sets a `client.*` option."""
        self._j_builder.setOption(key, value)
        return self

    def build(self) -> FlussSink:
        """Returns the sink; connects to read the columns of the table. A missing table is a Java error."""
        return FlussSink(self._j_builder.buildForPyFlink())
