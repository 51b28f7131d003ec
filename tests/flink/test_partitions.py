"""Partitioned tables in Flink SQL: DDL, static and dynamic inserts, reads, new partitions while a job runs, lookups."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from pyflink.util.exceptions import TableException

from flink.sql import cancel, insert, rows, running
from waiting import wait_until

pytestmark = [pytest.mark.flink, pytest.mark.slow]


def test_partitions_by_ddl(batch: Any) -> None:
    batch.execute_sql(
        "CREATE TABLE ddl (id BIGINT, dt DATE, region STRING, PRIMARY KEY (id, dt, region) NOT ENFORCED)"
        " PARTITIONED BY (dt, region) WITH ('bucket.num' = '2')"
    )
    (text,) = rows(batch, "SHOW CREATE TABLE ddl")[0]
    assert "PARTITIONED BY (`dt`, `region`)" in text
    assert "'bucket.key' = 'id'" in text
    assert rows(batch, "SHOW PARTITIONS ddl") == []
    for day, region in (("2026-01-01", "eu"), ("2026-01-01", "us"), ("2026-01-02", "eu")):
        batch.execute_sql(f"ALTER TABLE ddl ADD PARTITION (region = '{region}', dt = '{day}')")
    batch.execute_sql("ALTER TABLE ddl ADD IF NOT EXISTS PARTITION (dt = '2026-01-01', region = 'eu')")
    everything = [("dt=2026-01-01/region=eu",), ("dt=2026-01-01/region=us",), ("dt=2026-01-02/region=eu",)]
    assert rows(batch, "SHOW PARTITIONS ddl") == everything
    assert rows(batch, "SHOW PARTITIONS ddl PARTITION (region = 'eu')") == [everything[0], everything[2]]
    batch.execute_sql("ALTER TABLE ddl DROP PARTITION (dt = '2026-01-01', region = 'us')")
    batch.execute_sql("ALTER TABLE ddl DROP IF EXISTS PARTITION (dt = '2026-01-01', region = 'us')")
    assert rows(batch, "SHOW PARTITIONS ddl") == [everything[0], everything[2]]
    for statement, words in (
        ("ALTER TABLE ddl ADD PARTITION (dt = '2026-01-02', region = 'eu')", "already exists"),
        ("ALTER TABLE ddl ADD PARTITION (dt = '2026-01-02')", "PartitionSpec"),
        ("ALTER TABLE ddl DROP PARTITION (dt = '2026-01-02', region = 'xx')", "PartitionNotExistException"),
    ):
        with pytest.raises(TableException, match=words):
            batch.execute_sql(statement)


@pytest.mark.parametrize("key", ["", ", PRIMARY KEY (id, dt, region) NOT ENFORCED"], ids=["log", "keyed"])
def test_inserts_create_partitions_and_reads_see_all_of_them(batch: Any, key: str) -> None:
    name = f"written_{'keyed' if key else 'log'}"
    batch.execute_sql(
        f"CREATE TABLE {name} (id BIGINT, v STRING, dt STRING, region STRING{key})"
        " PARTITIONED BY (dt, region) WITH ('bucket.num' = '2')"
    )
    insert(batch, f"INSERT INTO {name} VALUES (1, 'a', '1', 'eu'), (2, 'b', '2', 'us'), (3, 'c', '1', 'eu')")
    insert(batch, f"INSERT INTO {name} PARTITION (dt = '3', region = 'eu') VALUES (4, 'd'), (5, 'e')")
    insert(batch, f"INSERT INTO {name} PARTITION (dt = '1') (id, v, region) VALUES (6, 'f', 'us')")
    partitions = [("dt=1/region=eu",), ("dt=1/region=us",), ("dt=2/region=us",), ("dt=3/region=eu",)]
    assert rows(batch, f"SHOW PARTITIONS {name}") == partitions
    found = rows(batch, f"SELECT id, dt, region, v FROM {name} ORDER BY id")
    assert found == [
        (1, "1", "eu", "a"),
        (2, "2", "us", "b"),
        (3, "1", "eu", "c"),
        (4, "3", "eu", "d"),
        (5, "3", "eu", "e"),
        (6, "1", "us", "f"),
    ]
    assert rows(batch, f"SELECT id FROM {name} WHERE dt = '1' AND region = 'eu' ORDER BY id") == [(1,), (3,)]
    assert rows(batch, f"SELECT COUNT(*) FROM {name}") == [(6,)]
    assert len(rows(batch, f"SELECT * FROM {name} LIMIT 4")) == 4
    batch.execute_sql(f"ALTER TABLE {name} DROP PARTITION (dt = '1', region = 'eu')")
    assert rows(batch, f"SELECT id FROM {name} ORDER BY id") == [(2,), (4,), (5,), (6,)]


def test_updates_and_deletes(batch: Any) -> None:
    batch.execute_sql(
        "CREATE TABLE changed (id BIGINT, v STRING, dt DATE, PRIMARY KEY (dt, id) NOT ENFORCED) PARTITIONED BY (dt)"
    )
    insert(
        batch,
        "INSERT INTO changed VALUES"
        " (1, 'a', DATE '2026-01-01'), (1, 'b', DATE '2026-01-02'), (2, 'c', DATE '2026-01-02')",
    )
    insert(batch, "UPDATE changed SET v = 'new' WHERE id = 1")
    insert(batch, "DELETE FROM changed WHERE id = 2 AND dt = DATE '2026-01-02'")
    first, second = dt.date(2026, 1, 1), dt.date(2026, 1, 2)
    assert rows(batch, "SELECT * FROM changed ORDER BY dt") == [(1, "new", first), (1, "new", second)]
    insert(batch, "INSERT INTO changed (id, dt, v) VALUES (1, DATE '2026-01-02', 'newer')")
    assert rows(batch, "SELECT v FROM changed WHERE id = 1 AND dt = DATE '2026-01-02'") == [("newer",)]
    assert rows(batch, "SELECT v FROM changed WHERE id = 1 AND dt = DATE '1999-01-01'") == []


def test_a_stream_reads_new_partitions_and_survives_dropped_ones(stream: Any, batch: Any) -> None:
    batch.execute_sql(
        "CREATE TABLE growing (id BIGINT, dt STRING, PRIMARY KEY (id, dt) NOT ENFORCED)"
        " PARTITIONED BY (dt) WITH ('scan.partition.discovery.interval' = '200ms')"
    )
    batch.execute_sql("CREATE TABLE copy (id BIGINT, dt STRING, PRIMARY KEY (id, dt) NOT ENFORCED)")
    insert(batch, "INSERT INTO growing VALUES (1, 'a')")

    def copied() -> list[tuple[Any, ...]]:
        return sorted(rows(batch, "SELECT id, dt FROM copy"))

    with running(stream, "INSERT INTO copy SELECT id, dt FROM growing") as job:
        wait_until(lambda: copied() == [(1, "a")], "the first partition is read")
        insert(batch, "INSERT INTO growing VALUES (2, 'a'), (3, 'b')")
        wait_until(lambda: copied() == [(1, "a"), (2, "a"), (3, "b")], "the new partition is read")
        batch.execute_sql("ALTER TABLE growing DROP PARTITION (dt = 'a')")
        insert(batch, "INSERT INTO growing VALUES (4, 'b'), (5, 'c')")
        expected = [(1, "a"), (2, "a"), (3, "b"), (4, "b"), (5, "c")]
        wait_until(lambda: copied() == expected, "the scan goes on without the dropped partition")
        assert job.get_job_client().get_job_status().result().name == "RUNNING"


@pytest.mark.parametrize("asynchronous", ["true", "false"])
def test_lookup_joins(stream: Any, batch: Any, asynchronous: str) -> None:
    suffix = asynchronous
    batch.execute_sql(
        f"CREATE TABLE dim_{suffix} (id BIGINT, sub INT, dt STRING, v STRING,"
        " PRIMARY KEY (id, sub, dt) NOT ENFORCED)"
        " PARTITIONED BY (dt)"
        f" WITH ('bucket.num' = '2', 'bucket.key' = 'id', 'lookup.async' = '{asynchronous}')"
    )
    batch.execute_sql(f"CREATE TABLE probe_{suffix} (id BIGINT, sub INT, dt STRING, p AS PROCTIME())")
    insert(
        batch,
        f"INSERT INTO dim_{suffix} VALUES"
        " (1, 1, 'a', 'a11'), (1, 2, 'a', 'a12'), (1, 1, 'b', 'b11'), (2, 1, 'a', 'a21')",
    )
    insert(
        batch, f"INSERT INTO probe_{suffix} VALUES (1, 1, 'a'), (1, 1, 'b'), (1, 1, 'never'), (3, 1, 'a'), (1, 9, 'a')"
    )
    full = (
        f"SELECT s.id, s.dt, d.v FROM probe_{suffix} AS s"
        f" LEFT JOIN dim_{suffix} FOR SYSTEM_TIME AS OF s.p AS d"
        " ON s.id = d.id AND s.sub = d.sub AND s.dt = d.dt"
    )
    prefix = (
        f"SELECT s.dt, d.v FROM probe_{suffix} AS s"
        f" JOIN dim_{suffix} FOR SYSTEM_TIME AS OF s.p AS d ON s.id = d.id AND s.dt = d.dt"
    )
    expected: dict[str, list[tuple[Any, ...]]] = {
        full: [
            (1, "a", "a11"),
            (1, "b", "b11"),
            (1, "never", None),
            (3, "a", None),
            (1, "a", None),
        ],
        prefix: [("a", "a11"), ("a", "a12"), ("b", "b11"), ("a", "a11"), ("a", "a12")],
    }
    for query, wanted in expected.items():
        result = stream.execute_sql(query)
        found = []
        with result.collect() as responses:
            for row in responses:
                found.append(tuple(row))
                if len(found) == len(wanted):
                    break
        cancel(result)
        assert sorted(found, key=str) == sorted(wanted, key=str)
