"""ALTER TABLE in Flink SQL: options, and columns that old and new jobs live with."""

from __future__ import annotations

import datetime as dt
import re
from decimal import Decimal
from typing import Any

import pytest

from doc_examples import example
from flink.sql import changes, environment, insert, rows
from flink.standalone_flink import StandaloneFlink
from fluss_server.testing import LocalCluster

pytestmark = [pytest.mark.flink, pytest.mark.slow]


def properties(env: Any, table: str) -> str:
    ((definition,),) = rows(env, f"SHOW CREATE TABLE {table}")
    return str(definition)


def test_options_and_columns(flink: StandaloneFlink) -> None:
    with LocalCluster() as cluster:
        batch = environment(flink, cluster.bootstrap_servers, batch=True)
        stream = environment(flink, cluster.bootstrap_servers)
        batch.execute_sql("CREATE DATABASE shop")
        batch.execute_sql("CREATE TABLE shop.articles (id BIGINT, name STRING, PRIMARY KEY (id) NOT ENFORCED)")
        batch.execute_sql("CREATE TABLE shop.visits (id BIGINT, page STRING)")
        insert(batch, "INSERT INTO shop.articles VALUES (1, 'pen'), (2, 'ink')")
        insert(batch, "INSERT INTO shop.visits VALUES (1, '/a')")

        for statement in example("alter", "docs/tables.md").split(";"):
            if statement.strip():
                batch.execute_sql(statement)
        definition = properties(batch, "shop.articles")
        assert "'table.log.ttl' = '1 d'" in definition
        assert "'owner'" not in definition
        batch.execute_sql("ALTER TABLE shop.visits ADD (seen TIMESTAMP(3), who ROW<name STRING>)")

        insert(batch, "INSERT INTO shop.articles VALUES (2, 'ink', 1.25, ARRAY[3, 4])")
        insert(batch, "INSERT INTO shop.articles (id, name) VALUES (3, 'nib')")
        assert sorted(rows(batch, "SELECT * FROM shop.articles")) == [
            (1, "pen", None, None),
            (2, "ink", Decimal("1.25"), [3, 4]),
            (3, "nib", None, None),
        ]
        assert rows(batch, "SELECT price FROM shop.articles WHERE id = 2") == [(Decimal("1.25"),)]
        query = "SELECT id, price FROM shop.articles /*+ OPTIONS('scan.startup.mode' = 'earliest') */"
        assert sorted(changes(stream, query, 5)) == [
            ("+I", (1, None)),
            ("+I", (2, None)),
            ("+I", (3, None)),
            ("+U", (2, Decimal("1.25"))),
            ("-U", (2, None)),
        ]

        insert(batch, "INSERT INTO shop.visits VALUES (2, '/b', TIMESTAMP '2026-01-01 00:00:01', ROW('Ada'))")
        at = dt.datetime(2026, 1, 1, 0, 0, 1)
        assert sorted(rows(batch, "SELECT id, page, seen, who.name FROM shop.visits")) == [
            (1, "/a", None, None),
            (2, "/b", at, "Ada"),
        ]
        assert sorted(rows(batch, "SELECT seen, id FROM shop.visits"), key=lambda row: row[1]) == [(None, 1), (at, 2)]


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("ALTER TABLE t ADD (id STRING)", "id"),
        ("ALTER TABLE t ADD (c INT NOT NULL)", "NOT NULL"),
        ("ALTER TABLE t ADD (c INT FIRST)", "at the end"),
        ("ALTER TABLE t SET ('table.log.format' = 'ARROW')", "table.log.format"),
        ("ALTER TABLE t SET ('table.log.tll' = '1 d')", "did you mean 'table.log.ttl'?"),
        ("ALTER TABLE t DROP name", "altered in this way"),
    ],
)
def test_what_cannot_be_altered(
    flink: StandaloneFlink, fluss_cluster: LocalCluster, statement: str, words: str
) -> None:
    env = environment(flink, fluss_cluster.bootstrap_servers, batch=True)
    env.execute_sql("CREATE TABLE IF NOT EXISTS t (id BIGINT, name STRING)")
    with pytest.raises(Exception, match=re.escape(words)):
        env.execute_sql(statement)
