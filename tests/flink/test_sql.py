"""Flink SQL on Fluss tables: DDL, inserts, batch and streaming reads, changelog, lookup joins."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

import pytest

from flink.sql import changes, environment, insert, rows, running, table_rows
from flink.standalone_flink import StandaloneFlink
from fluss_server.testing import LocalCluster
from waiting import wait_until

pytestmark = [pytest.mark.flink, pytest.mark.slow]

SCALARS = {
    "c_boolean BOOLEAN": ("TRUE", True),
    "c_tinyint TINYINT": ("CAST(-128 AS TINYINT)", -128),
    "c_smallint SMALLINT": ("CAST(32767 AS SMALLINT)", 32767),
    "c_int INT": ("-2147483648", -(2**31)),
    "c_bigint BIGINT": ("9223372036854775807", 2**63 - 1),
    "c_float FLOAT": ("CAST(1.5 AS FLOAT)", 1.5),
    "c_double DOUBLE": ("CAST(-2.25 AS DOUBLE)", -2.25),
    "c_char CHAR(3)": ("CAST('abc' AS CHAR(3))", "abc"),
    "c_string STRING": ("'Grüße, 世界'", "Grüße, 世界"),
    "c_binary BINARY(2)": ("X'00ff'", b"\x00\xff"),
    "c_bytes BYTES": ("CAST(X'010203' AS BYTES)", b"\x01\x02\x03"),
    "c_decimal DECIMAL(10, 2)": ("CAST(-12345678.90 AS DECIMAL(10, 2))", Decimal("-12345678.90")),
    "c_wide DECIMAL(38, 10)": (
        "CAST('1234567890123456789.0123456789' AS DECIMAL(38, 10))",
        Decimal("1234567890123456789.0123456789"),
    ),
    "c_date DATE": ("DATE '1969-12-31'", dt.date(1969, 12, 31)),
    "c_time TIME(0)": ("TIME '23:59:59'", dt.time(23, 59, 59)),
    "c_ts3 TIMESTAMP(3)": ("TIMESTAMP '2026-11-24 01:02:03.456'", dt.datetime(2026, 11, 24, 1, 2, 3, 456000)),
    # PyFlink's collect() keeps milliseconds only, so this one is read as text.
    "c_ts6 TIMESTAMP(6)": ("TIMESTAMP '2026-11-24 01:02:03.456789'", "2026-11-24 01:02:03.456789"),
    "c_array ARRAY<STRING>": ("ARRAY['x', 'yyyyyyyyyyyy']", ["x", "yyyyyyyyyyyy"]),
    "c_map MAP<STRING NOT NULL, INT>": ("MAP['k', 1]", {"k": 1}),
}


def test_databases_and_tables_by_ddl(batch: Any) -> None:
    batch.execute_sql("CREATE DATABASE shop COMMENT 'all of the shop' WITH ('owner' = 'ada')")
    batch.execute_sql(
        "CREATE TABLE shop.orders ("
        " id BIGINT COMMENT 'number', customer STRING, price DECIMAL(10, 2), ts TIMESTAMP(3),"
        " tax AS price * 0.19, WATERMARK FOR ts AS ts - INTERVAL '5' SECOND, PRIMARY KEY (id, customer) NOT ENFORCED)"
        " COMMENT 'what was ordered' WITH ('bucket.num' = '3', 'bucket.key' = 'customer', 'my.option' = 'kept')"
    )
    assert ("shop",) in rows(batch, "SHOW DATABASES")
    assert rows(batch, "SHOW TABLES FROM shop") == [("orders",)]
    (text,) = rows(batch, "SHOW CREATE TABLE shop.orders")[0]
    for part in (
        "`tax` AS",
        "WATERMARK FOR `ts`",
        "PRIMARY KEY (`id`, `customer`)",
        "COMMENT 'what was ordered'",
        "'my.option' = 'kept'",
    ):
        assert part in text, text
    assert "'bucket.num' = '3'" in text
    assert "'bucket.key' = 'customer'" in text
    described = {row[0]: row[1] for row in rows(batch, "DESCRIBE shop.orders")}
    assert described["id"] == "BIGINT"
    assert described["price"] == "DECIMAL(10, 2)"
    insert(batch, "INSERT INTO shop.orders VALUES (1, 'ada', 100.00, TIMESTAMP '2026-01-01 00:00:00')")
    assert rows(batch, "SELECT id, tax FROM shop.orders") == [(1, Decimal("19.0000"))]
    batch.execute_sql("DROP TABLE shop.orders")
    assert rows(batch, "SHOW TABLES FROM shop") == []
    batch.execute_sql("DROP DATABASE shop")
    assert ("shop",) not in rows(batch, "SHOW DATABASES")


@pytest.mark.parametrize("keyed", [False, True], ids=["log", "primary-key"])
def test_every_type_round_trips(batch: Any, keyed: bool) -> None:
    table = f"types_{'kv' if keyed else 'log'}"
    key = ", PRIMARY KEY (id) NOT ENFORCED" if keyed else ""
    batch.execute_sql(f"CREATE TABLE {table} (id INT, {', '.join(SCALARS)}{key})")
    values = ", ".join(literal for literal, _ in SCALARS.values())
    nulls = ", ".join(f"CAST(NULL AS {name.split(' ', 1)[1]})" for name in SCALARS)
    insert(batch, f"INSERT INTO {table} VALUES (1, {values}), (2, {nulls})")
    columns = ["CAST(c_ts6 AS STRING)" if name.startswith("c_ts6") else name.split()[0] for name in SCALARS]
    found = {row[0]: row[1:] for row in rows(batch, f"SELECT id, {', '.join(columns)} FROM {table}")}
    assert [bytes(value) if isinstance(value, bytearray) else value for value in found[1]] == [
        value for _, value in SCALARS.values()
    ]
    assert found[2] == (None,) * len(SCALARS)


def test_zero_bytes_at_the_end_of_binary_values_are_kept(batch: Any) -> None:
    batch.execute_sql(
        "CREATE TABLE zeros (id INT, b BINARY(3), PRIMARY KEY (id) NOT ENFORCED) WITH ('table.kv.format' = 'INDEXED')"
    )
    insert(batch, "INSERT INTO zeros VALUES (1, X'010000'), (2, X'000000'), (3, X'000001')")
    for query in ("SELECT id, b FROM zeros", "SELECT id, b FROM (SELECT * FROM zeros LIMIT 9)"):
        found = {row[0]: bytes(row[1]) for row in rows(batch, query)}
        assert found == {1: b"\x01\0\0", 2: b"\0\0\0", 3: b"\0\0\x01"}


@pytest.mark.parametrize("keyed", [False, True], ids=["log", "primary-key"])
def test_timestamps_up_to_the_end_of_their_range(batch: Any, keyed: bool) -> None:
    table = f"ranges_{'kv' if keyed else 'log'}"
    key = ", PRIMARY KEY (id) NOT ENFORCED" if keyed else ""
    batch.execute_sql(f"CREATE TABLE {table} (id INT, happened TIMESTAMP(9){key})")
    limits = ["1677-09-21 00:12:43.145224192", "2262-04-11 23:47:16.854775807"]
    values = ", ".join(f"({index}, CAST('{text}' AS TIMESTAMP(9)))" for index, text in enumerate(limits))
    insert(batch, f"INSERT INTO {table} VALUES {values}")
    assert sorted(rows(batch, f"SELECT id, CAST(happened AS STRING) FROM {table}")) == list(enumerate(limits))
    with pytest.raises(Exception, match=r"1677-09-21T00:12:43\.145224192") as refused:
        insert(batch, f"INSERT INTO {table} VALUES (9, TIMESTAMP '9999-12-31 00:00:00')")
    if not keyed:
        assert "Column 'happened' of type TIMESTAMP(9) cannot hold 9999-12-31T00:00" in str(refused.value)


def test_batch_reads_limits_counts_and_points(batch: Any) -> None:
    batch.execute_sql("CREATE TABLE numbers (n BIGINT, text STRING, half DOUBLE) WITH ('bucket.num' = '3')")
    batch.execute_sql(
        "CREATE TABLE keyed (n BIGINT, text STRING, PRIMARY KEY (n) NOT ENFORCED) WITH ('bucket.num' = '3')"
    )
    values = ", ".join(f"({n}, 't{n}', {n}.5)" for n in range(200))
    insert(batch, f"INSERT INTO numbers VALUES {values}")
    insert(batch, "INSERT INTO keyed SELECT n, text FROM numbers")
    insert(batch, "INSERT INTO keyed SELECT n, 'again' FROM numbers WHERE n < 10")
    assert rows(batch, "SELECT COUNT(*), SUM(n), MAX(text) FROM numbers") == [(200, sum(range(200)), "t99")]
    assert rows(batch, "SELECT COUNT(*) FROM numbers") == [(200,)]
    assert rows(batch, "SELECT COUNT(*) FROM keyed") == [(200,)]
    assert sorted(rows(batch, "SELECT half, n FROM numbers WHERE n < 3")) == [(0.5, 0), (1.5, 1), (2.5, 2)]
    assert len(rows(batch, "SELECT * FROM numbers LIMIT 7")) == 7
    assert len(rows(batch, "SELECT * FROM keyed LIMIT 7")) == 7
    assert rows(batch, "SELECT * FROM keyed WHERE n = 5") == [(5, "again")]
    assert rows(batch, "SELECT * FROM keyed WHERE n = 50") == [(50, "t50")]
    assert rows(batch, "SELECT * FROM keyed WHERE n = 5000") == []
    assert sorted(rows(batch, "SELECT n, text FROM keyed")) == [(n, "again" if n < 10 else f"t{n}") for n in range(200)]


def test_the_changelog_source_shows_state_then_changes(batch: Any, stream: Any) -> None:
    batch.execute_sql("CREATE TABLE moves (id INT, place STRING, PRIMARY KEY (id) NOT ENFORCED)")
    insert(batch, "INSERT INTO moves VALUES (1, 'a'), (2, 'b')")
    insert(batch, "INSERT INTO moves VALUES (1, 'c')")
    state = changes(stream, "SELECT * FROM moves", 2)
    assert sorted(state) == [("+I", (1, "c")), ("+I", (2, "b"))]
    everything = changes(stream, "SELECT * FROM moves /*+ OPTIONS('scan.startup.mode' = 'earliest') */", 4)
    # The two rows of the first insert may come in any order.
    assert sorted(everything[:2]) == [("+I", (1, "a")), ("+I", (2, "b"))]
    assert everything[2:] == [("-U", (1, "a")), ("+U", (1, "c"))]


def test_start_modes_of_a_log_table(batch: Any, stream: Any, fluss: LocalCluster) -> None:
    batch.execute_sql("CREATE TABLE ticks (n INT)")
    insert(batch, "INSERT INTO ticks VALUES (1), (2)")
    between = int(dt.datetime.now().timestamp() * 1000)
    wait_until(lambda: dt.datetime.now().timestamp() * 1000 > between + 2, "the next milliseconds")
    insert(batch, "INSERT INTO ticks VALUES (3), (4)")
    for mode, count, wanted in (("full", 4, {1, 2, 3, 4}), ("earliest", 4, {1, 2, 3, 4})):
        found = changes(stream, f"SELECT n FROM ticks /*+ OPTIONS('scan.startup.mode' = '{mode}') */", count)
        assert {row[0] for _, row in found} == wanted
    hint = f"/*+ OPTIONS('scan.startup.mode' = 'timestamp', 'scan.startup.timestamp' = '{between + 1}') */"
    assert {row[0] for _, row in changes(stream, f"SELECT n FROM ticks {hint}", 2)} == {3, 4}

    stream.execute_sql("CREATE TABLE newest (n INT, PRIMARY KEY (n) NOT ENFORCED)")
    with running(stream, "INSERT INTO newest SELECT n FROM ticks /*+ OPTIONS('scan.startup.mode' = 'latest') */"):
        # The job reads only what comes after its start, whenever that was: write until the first row arrives.
        value = 10

        def arrived() -> bool:
            nonlocal value
            value += 1
            insert(batch, f"INSERT INTO ticks VALUES ({value})")
            return bool(table_rows(fluss.port, "newest"))

        wait_until(arrived, "a row written after the start")
        assert min(row[0] for row in table_rows(fluss.port, "newest")) > 10


@pytest.mark.parametrize("mode", ["async", "sync", "cached"])
def test_lookup_join_by_primary_key(batch: Any, stream: Any, fluss: LocalCluster, mode: str) -> None:
    hints = {
        "async": "",
        "sync": "/*+ OPTIONS('lookup.async' = 'false') */",
        "cached": "/*+ OPTIONS('lookup.cache' = 'PARTIAL', 'lookup.partial-cache.max-rows' = '100') */",
    }
    suffix = f"_{mode}"
    batch.execute_sql(
        f"CREATE TABLE people{suffix} (id INT, name STRING, PRIMARY KEY (id) NOT ENFORCED) WITH ('bucket.num' = '2')"
    )
    batch.execute_sql(f"CREATE TABLE visits{suffix} (n INT, person INT, ts AS PROCTIME())")
    batch.execute_sql(f"CREATE TABLE named{suffix} (n INT, name STRING, PRIMARY KEY (n) NOT ENFORCED)")
    insert(batch, f"INSERT INTO people{suffix} VALUES (1, 'Ada'), (2, 'Grace')")
    insert(batch, f"INSERT INTO visits{suffix} VALUES {', '.join(f'({n}, {n % 3})' for n in range(300))}")
    join = (
        f"INSERT INTO named{suffix} SELECT v.n, p.name FROM visits{suffix} AS v"
        f" LEFT JOIN people{suffix} {hints[mode]} FOR SYSTEM_TIME AS OF v.ts AS p ON v.person = p.id"
    )
    names = {0: None, 1: "Ada", 2: "Grace"}
    with running(stream, join):
        wait_until(lambda: len(table_rows(fluss.port, f"named{suffix}")) == 300, "all visits joined")
    assert sorted(table_rows(fluss.port, f"named{suffix}")) == [(n, names[n % 3]) for n in range(300)]


def test_lookup_join_by_key_prefix(batch: Any, stream: Any, fluss: LocalCluster) -> None:
    batch.execute_sql(
        "CREATE TABLE offers (shop STRING, item INT, price INT, PRIMARY KEY (shop, item) NOT ENFORCED)"
        " WITH ('bucket.key' = 'shop', 'bucket.num' = '3')"
    )
    batch.execute_sql("CREATE TABLE requests (n INT, shop STRING, ts AS PROCTIME())")
    batch.execute_sql("CREATE TABLE joined (n INT, item INT, price INT, PRIMARY KEY (n, item) NOT ENFORCED)")
    insert(batch, "INSERT INTO offers VALUES ('a', 1, 10), ('a', 2, 20), ('ab', 1, 99), ('b', 3, 30)")
    insert(batch, "INSERT INTO requests VALUES (1, 'a'), (2, 'b'), (3, 'nowhere')")
    join = (
        "INSERT INTO joined SELECT r.n, o.item, o.price FROM requests AS r"
        " JOIN offers FOR SYSTEM_TIME AS OF r.ts AS o ON r.shop = o.shop"
    )
    with running(stream, join):
        wait_until(lambda: len(table_rows(fluss.port, "joined")) == 3, "the joined rows")
    assert sorted(table_rows(fluss.port, "joined")) == [(1, 1, 10), (1, 2, 20), (2, 3, 30)]


def test_partial_columns_and_retractions_reach_the_table(batch: Any, stream: Any, fluss: LocalCluster) -> None:
    batch.execute_sql("CREATE TABLE wide (id INT, a STRING, b STRING, PRIMARY KEY (id) NOT ENFORCED)")
    insert(batch, "INSERT INTO wide VALUES (1, 'a1', 'b1')")
    insert(batch, "INSERT INTO wide (id, b) VALUES (1, 'b2'), (2, 'b3')")
    assert sorted(table_rows(fluss.port, "wide")) == [(1, "a1", "b2"), (2, None, "b3")]

    # A filter over a changing aggregate takes rows back: the sink must delete them.
    batch.execute_sql("CREATE TABLE hits (page STRING)")
    batch.execute_sql("CREATE TABLE rare (page STRING, c BIGINT, PRIMARY KEY (page) NOT ENFORCED)")
    insert(batch, "INSERT INTO hits VALUES ('x'), ('y')")
    statement = "INSERT INTO rare SELECT page, c FROM (SELECT page, COUNT(*) AS c FROM hits GROUP BY page) WHERE c < 2"
    with running(stream, statement):
        wait_until(lambda: sorted(table_rows(fluss.port, "rare")) == [("x", 1), ("y", 1)], "both pages")
        insert(batch, "INSERT INTO hits VALUES ('x')")
        wait_until(lambda: table_rows(fluss.port, "rare") == [("y", 1)], "the deletion of x")


def test_mistakes_get_clear_errors(batch: Any, flink: StandaloneFlink) -> None:
    batch.execute_sql("CREATE TABLE plain (a INT, b INT)")
    mistakes = {
        "CREATE TABLE bad (a VARCHAR(10))": "VARCHAR(10)",
        "CREATE TABLE bad (a INT) WITH ('table.log.formt' = 'ARROW')": "table.log.format",
        "CREATE TABLE bad (a DECIMAL(4, 2)) PARTITIONED BY (a)": "DECIMAL, ARRAY, MAP and ROW",
        "CREATE TABLE plain (a INT)": "exist",
        "CREATE VIEW v AS SELECT 1": "VIEW",
        "DROP TABLE nowhere": "nowhere",
        "SELECT * FROM plain /*+ OPTIONS('scan.startup.mode' = 'timestamp') */": "scan.startup.timestamp",
    }
    for statement, part in mistakes.items():
        with pytest.raises(Exception, match="(?i)" + part.replace("(", r"\(").replace(")", r"\)").replace(".", r"\.")):
            batch.execute_sql(statement)
    with pytest.raises(Exception, match=r"127\.0\.0\.1:1"):
        environment(flink, "127.0.0.1:1", batch=True)
