"""The DataStream source of Fluss tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyflink.datastream.connectors.base import Source
from pyflink.java_gateway import get_gateway
from pyflink.util.java_utils import to_jarray

from pyflink_fluss.offsets import OffsetsInitializer

if TYPE_CHECKING:
    from py4j.java_gateway import JavaObject


class FlussSource(Source):  # type: ignore[misc]
    """Reads a table as a stream of `Row`s; a row of a primary-key table carries its kind of change.

    Example::

        >>> source = FlussSource.builder() \\
        ...     .set_bootstrap_servers("127.0.0.1:9123") \\
        ...     .set_database("fluss") \\
        ...     .set_table("orders") \\
        ...     .set_projected_fields("id", "amount") \\
        ...     .set_starting_offsets(OffsetsInitializer.earliest()) \\
        ...     .build()
        >>> stream = env.from_source(source, WatermarkStrategy.no_watermarks(), "orders")
    """

    def __init__(self, j_fluss_source: JavaObject) -> None:
        super().__init__(j_fluss_source)

    @staticmethod
    def builder() -> FlussSourceBuilder:
        """Returns a builder; servers, database and table have to be set."""
        return FlussSourceBuilder()


class FlussSourceBuilder:
    """Builds a :class:`FlussSource`."""

    def __init__(self) -> None:
        self._j_builder = get_gateway().jvm.io.fluss.flink.source.FlussSource.builder()

    def set_bootstrap_servers(self, bootstrap_servers: str) -> FlussSourceBuilder:
        """Sets the servers to connect to first: `host:port`, several separated by commas."""
        self._j_builder.setBootstrapServers(bootstrap_servers)
        return self

    def set_database(self, database: str) -> FlussSourceBuilder:
        """Sets the database of the table."""
        self._j_builder.setDatabase(database)
        return self

    def set_table(self, table: str) -> FlussSourceBuilder:
        """Sets the name of the table."""
        self._j_builder.setTable(table)
        return self

    def set_projected_fields(self, *fields: str) -> FlussSourceBuilder:
        """Reads only these columns, in this order. The server sends no others."""
        self._j_builder.setProjectedFields(to_jarray(get_gateway().jvm.java.lang.String, list(fields)))
        return self

    def set_starting_offsets(self, starting_offsets: OffsetsInitializer) -> FlussSourceBuilder:
        """Sets where to start; without it, `OffsetsInitializer.full()`."""
        self._j_builder.setStartingOffsets(starting_offsets._j_initializer)
        return self

    def set_bounded(self) -> FlussSourceBuilder:
        """Ends with what the table holds when the job starts. A primary-key table is then read from `full` only."""
        self._j_builder.setBounded()
        return self

    def set_option(self, key: str, value: str) -> FlussSourceBuilder:
        """Sets a `client.*` option."""
        self._j_builder.setOption(key, value)
        return self

    def build(self) -> FlussSource:
        """Returns the source; connects to read the columns of the table. A missing table is a Java error."""
        return FlussSource(self._j_builder.build())
