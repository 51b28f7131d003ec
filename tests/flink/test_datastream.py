"""PyFlink's DataStream API and catalog objects: FlussSource, FlussSink, FlussCatalog."""

from __future__ import annotations

import datetime as dt
import os
import sys
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
from pyflink.common import Row, RowKind, Types, WatermarkStrategy
from pyflink.datastream import StreamExecutionEnvironment
from pyflink.table import EnvironmentSettings, TableEnvironment

from flink.sql import table_rows
from fluss_server.testing import LocalCluster
from pyflink_fluss import FlussCatalog, FlussSink, FlussSource, FlussSourceBuilder, OffsetsInitializer, add_jar

pytestmark = [pytest.mark.flink, pytest.mark.slow]

TYPES = Types.ROW_NAMED(
    ["id", "name", "price", "ts", "day"],
    [Types.INT(), Types.STRING(), Types.BIG_DEC(), Types.SQL_TIMESTAMP(), Types.SQL_DATE()],
)
COLUMNS = "id INT, name STRING, price DECIMAL(10, 2), ts TIMESTAMP(3), `day` DATE"
AT, DAY = dt.datetime(2013, 1, 1, 5, 17, 0, 123000), dt.date(2013, 1, 1)


@pytest.fixture(scope="module", autouse=True)
def environment_variables() -> Iterator[None]:
    """PyFlink runs Python functions in this process and then forbids it, and its children, to start another Java."""
    before = os.environ.get("PYFLINK_GATEWAY_DISABLED")
    yield
    os.environ.pop("PYFLINK_GATEWAY_DISABLED", None)
    if before is not None:
        os.environ["PYFLINK_GATEWAY_DISABLED"] = before


@pytest.fixture(scope="module")
def tables(fluss: LocalCluster) -> Any:
    env = TableEnvironment.create(EnvironmentSettings.in_batch_mode())
    add_jar(env)
    env.register_catalog("fluss", FlussCatalog("fluss", fluss.bootstrap_servers))
    env.use_catalog("fluss")
    env.execute_sql(f"CREATE TABLE stream_log ({COLUMNS})")
    env.execute_sql(
        f"CREATE TABLE stream_keyed ({COLUMNS.replace('id INT', 'id INT NOT NULL')}, PRIMARY KEY (id) NOT ENFORCED)"
    )
    return env


def environment() -> Any:
    env = StreamExecutionEnvironment.get_execution_environment()
    env.set_parallelism(1)
    env.set_python_executable(sys.executable)
    add_jar(env)
    return env


def sink(fluss: LocalCluster, table: str, *columns: str) -> FlussSink:
    builder = FlussSink.builder().set_bootstrap_servers(fluss.bootstrap_servers).set_database("fluss").set_table(table)
    if columns:
        builder.set_partial_update_columns(*columns)
    return builder.build()


def source(fluss: LocalCluster, table: str) -> FlussSourceBuilder:
    builder = FlussSource.builder().set_bootstrap_servers(fluss.bootstrap_servers)
    return builder.set_database("fluss").set_table(table)


def write(target: FlussSink, values: list[Row], types: Any = TYPES) -> None:
    env = environment()
    env.from_collection(values, type_info=types).sink_to(target)
    env.execute("write")


def read(builder: FlussSourceBuilder) -> list[tuple[str, tuple[Any, ...]]]:
    env = environment()
    stream = env.from_source(builder.set_bounded().build(), WatermarkStrategy.no_watermarks(), "fluss")
    with stream.execute_and_collect() as found:
        return [(str(row.get_row_kind()), tuple(row)) for row in found]


# PyFlink's execute_and_collect cannot decode TIMESTAMP; Python functions get it whole.
COLLECTED = ("id", "name", "price", "day")


@pytest.fixture
def restored_environment() -> Iterator[None]:
    """PyFlink's in-process workers leave variables behind that would make child processes believe to be workers."""
    saved = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(saved)


@pytest.mark.usefixtures("restored_environment")
def test_a_python_function_gets_whole_timestamps(fluss: LocalCluster, tables: Any) -> None:
    tables.execute_sql("CREATE TABLE stream_times (ts TIMESTAMP(6))")
    tables.execute_sql("INSERT INTO stream_times VALUES (TIMESTAMP '2026-11-24 01:02:03.456789')").wait()
    env = environment()
    source_of_times = source(fluss, "stream_times").set_bounded().build()
    stream = env.from_source(source_of_times, WatermarkStrategy.no_watermarks(), "fluss")
    with stream.map(lambda row: row[0].isoformat(), Types.STRING()).execute_and_collect() as found:
        assert list(found) == ["2026-11-24T01:02:03.456789"]


def test_log_table_there_and_back(fluss: LocalCluster, tables: Any) -> None:
    values = [Row(1, "Ünï", Decimal("1.50"), AT, DAY), Row(2, None, None, None, None)]
    write(sink(fluss, "stream_log"), values)
    assert sorted(read(source(fluss, "stream_log").set_projected_fields(*COLLECTED))) == [
        ("+I", (1, "Ünï", Decimal("1.50"), DAY)),
        ("+I", (2, None, None, None)),
    ]
    projected = source(fluss, "stream_log").set_projected_fields("name", "id")
    assert sorted(read(projected), key=str) == [("+I", ("Ünï", 1)), ("+I", (None, 2))]
    assert read(source(fluss, "stream_log").set_starting_offsets(OffsetsInitializer.latest())) == []
    earliest = source(fluss, "stream_log").set_starting_offsets(OffsetsInitializer.earliest())
    assert len(read(earliest)) == 2
    since = source(fluss, "stream_log").set_starting_offsets(OffsetsInitializer.timestamp(0))
    assert len(read(since)) == 2


def test_keyed_table_takes_upserts_deletes_and_some_columns(fluss: LocalCluster, tables: Any) -> None:
    deleted = Row(2, "two", Decimal("2.00"), AT, DAY)
    deleted.set_row_kind(RowKind.DELETE)
    write(
        sink(fluss, "stream_keyed"),
        [Row(1, "one", Decimal("1.00"), AT, DAY), Row(2, "two", Decimal("2.00"), AT, DAY), deleted],
    )
    write(
        sink(fluss, "stream_keyed", "id", "name"),
        [Row(1, "uno")],
        Types.ROW_NAMED(["id", "name"], [Types.INT(), Types.STRING()]),
    )
    assert [row[:3] for row in table_rows(fluss.port, "stream_keyed")] == [(1, "uno", 100)]  # unscaled
    keyed = source(fluss, "stream_keyed").set_projected_fields(*COLLECTED)
    assert read(keyed) == [("+I", (1, "uno", Decimal("1.00"), DAY))]


def test_dates_before_the_gregorian_calendar(fluss: LocalCluster, tables: Any) -> None:
    days = [dt.date(2, 1, 1), dt.date(1500, 3, 1), dt.date(1582, 10, 4), dt.date(1582, 10, 14), dt.date(1582, 10, 15)]
    tables.execute_sql("CREATE TABLE stream_days (id INT, `day` DATE)")
    types = Types.ROW_NAMED(["id", "day"], [Types.INT(), Types.SQL_DATE()])
    write(sink(fluss, "stream_days"), [Row(index, day) for index, day in enumerate(days)], types)
    with tables.execute_sql("SELECT id, CAST(`day` AS STRING) FROM stream_days").collect() as found:
        assert sorted(tuple(row) for row in found) == [(index, str(day)) for index, day in enumerate(days)]
    with pytest.raises(Exception, match=r"Field 'day': DATE .* cannot be read as java\.sql\.Date"):
        read(source(fluss, "stream_days"))


def test_an_auto_increment_column_is_left_out(fluss: LocalCluster, tables: Any) -> None:
    tables.execute_sql(
        "CREATE TABLE stream_numbered (name STRING, number INT, PRIMARY KEY (name) NOT ENFORCED)"
        " WITH ('auto-increment.fields' = 'number')"
    )
    with pytest.raises(Exception, match="setPartialUpdateColumns"):
        sink(fluss, "stream_numbered")
    write(sink(fluss, "stream_numbered", "name"), [Row("a")], Types.ROW_NAMED(["name"], [Types.STRING()]))
    assert read(source(fluss, "stream_numbered")) == [("+I", ("a", 1))]


def test_the_builder_names_what_is_wrong(fluss: LocalCluster, tables: Any) -> None:
    with pytest.raises(Exception, match="no_such_table"):
        source(fluss, "no_such_table").build()
    with pytest.raises(Exception, match="no column 'nope'"):
        source(fluss, "stream_log").set_projected_fields("nope").build()
    with pytest.raises(Exception, match=r"needs setTable\."):
        FlussSource.builder().set_bootstrap_servers(fluss.bootstrap_servers).set_database("fluss").build()


def test_a_stream_without_its_type_is_refused(fluss: LocalCluster, tables: Any) -> None:
    env = environment()
    # Without a type PyFlink sends pickled bytes.
    env.from_collection([(1, "one")]).sink_to(sink(fluss, "stream_log"))
    with pytest.raises(Exception, match=r"takes a stream of Row, not of byte\[\]\. .*output_type=Types\.ROW_NAMED"):
        env.execute()
