from __future__ import annotations

import pytest

from fluss_server.cli.create_table_sql import create_table_sql, parse_column, parse_create_table
from fluss_server.errors import ErrorCode, FlussError
from fluss_server.model.table import TableDescriptor

FULL = """
-- everything at once
CREATE TABLE IF NOT EXISTS shop.`Order Lines` (
  id BIGINT NOT NULL COMMENT 'it''s the number',
  `line` INTEGER, name VARCHAR(30), code CHAR(3), price NUMERIC(12, 2), ratio DOUBLE PRECISION,
  raw VARBINARY, fixed BINARY(4), t TIME, a TIMESTAMP, b TIMESTAMP(9) WITHOUT TIME ZONE,
  c TIMESTAMP_LTZ(3), d TIMESTAMP(0) WITH LOCAL TIME ZONE, /* nested */
  tags ARRAY<STRING NOT NULL>, m MAP<INT, ROW<x DECIMAL, y ARRAY<DATE> 'text'>>,
  total BIGINT, list STRING,
  PRIMARY KEY (id, `line`) NOT ENFORCED
) COMMENT 'lines' PARTITIONED BY (`line`) DISTRIBUTED BY HASH (id) INTO 3 BUCKETS
WITH ('table.merge-engine' = 'aggregation', 'fields.total.agg' = 'sum', 'fields.list.agg' = 'listagg',
      'fields.list.listagg.delimiter' = ';', 'owner' = 'me',);
"""


def test_every_clause() -> None:
    statement = parse_create_table(FULL)
    assert (statement.database, statement.table, statement.if_not_exists) == ("shop", "Order Lines", True)
    table = TableDescriptor.from_json(statement.descriptor)
    assert [str(column.type) for column in table.schema.columns] == [
        "BIGINT NOT NULL",
        "INT NOT NULL",
        "STRING",
        "CHAR(3)",
        "DECIMAL(12, 2)",
        "DOUBLE",
        "BYTES",
        "BINARY(4)",
        "TIME(0)",
        "TIMESTAMP(6)",
        "TIMESTAMP(9)",
        "TIMESTAMP_LTZ(3)",
        "TIMESTAMP_LTZ(0)",
        "ARRAY<STRING NOT NULL>",
        "MAP<INT NOT NULL, ROW<`x` DECIMAL(10, 0), `y` ARRAY<DATE>>>",
        "BIGINT",
        "STRING",
    ]
    assert table.schema.primary_key == ("id", "line")
    assert table.schema.columns[0].comment == "it's the number"
    assert table.schema.columns[-2].agg_function == ("sum", ())
    assert table.schema.columns[-1].agg_function == ("listagg", (("delimiter", ";"),))
    assert (table.partition_key, table.bucket_key, table.bucket_count) == (("line",), ("id",), 3)
    assert table.properties == {"table.merge-engine": "aggregation"}
    assert table.custom_properties == {"owner": "me"}
    assert table.comment == "lines"


def test_the_statement_of_a_table_makes_the_same_table() -> None:
    document = parse_create_table(FULL).descriptor
    again = parse_create_table(create_table_sql("shop.Order Lines", document))
    assert (again.database, again.table) == ("shop", "Order Lines")
    expected = TableDescriptor.from_json(document)
    # The text of a ROW field is not part of a type's SQL.
    assert TableDescriptor.from_json(again.descriptor).schema.names == expected.schema.names
    assert again.descriptor | {"schema": None} == document | {"schema": None}


def test_options_of_the_connector() -> None:
    sql = (
        "create table t (id int primary key not enforced, n bigint) "
        "with ('bucket.num' = '4', 'bucket.key' = 'id', 'auto-increment.fields' = 'n')"
    )
    document = parse_create_table(sql).descriptor
    assert (document["bucket_count"], document["bucket_key"]) == (4, ["id"])
    assert document["schema"]["primary_key"] == ["id"]
    assert document["schema"]["auto_increment_column"] == ["n"]
    assert document["properties"] == document["custom_properties"] == {}


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("", "line 1, column 1: expected CREATE, not the end of the text"),
        ("CREATE TABLE t (a INT,)", "line 1, column 23: expected a column name, not ')'"),
        ("CREATE TABLE t (a INTT)", "line 1, column 19: unknown type 'INTT'"),
        ("CREATE TABLE t (a INT) x", "line 1, column 24: the statement should end here, not 'x'"),
        ("CREATE TABLE t (\n a ARRAY<INT)", "line 2, column 13: expected >, not ')'"),
        ("CREATE TABLE t (a INT) WITH ('k' = 'v', 'k' = 'w')", "option 'k' is given twice"),
        ("CREATE TABLE t (a INT) WITH ('bucket.num' = 'x')", "bucket.num must be a number, not 'x'"),
        ("CREATE TABLE t (a INT) WITH ('fields.b.agg' = 'sum')", "names column 'b', which there is not"),
        ("CREATE TABLE t (a INT ! )", "line 1, column 23: unexpected '!'"),
        ("CREATE TABLE t (a INT COMMENT 'open)", 'line 1, column 31: unexpected "\'"'),
        ("CREATE TABLE t (a " + "ARRAY<" * 40 + "INT" + ">" * 40 + ")", "30 levels deep"),
        ("CREATE TABLE t (a INT, PRIMARY KEY (a), PRIMARY KEY (a))", "a second primary key"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(sql: str, message: str) -> None:
    with pytest.raises(FlussError) as raised:
        parse_create_table(sql)
    assert raised.value.code is ErrorCode.INVALID_TABLE_EXCEPTION
    assert message in raised.value.message


def test_lengths_that_are_not_kept_are_told() -> None:
    sql = "CREATE TABLE t (a VARCHAR(20), b ARRAY<VARBINARY(3)>, c VARCHAR, d VARCHAR(2147483647), e CHAR(3), f STRING)"
    assert parse_create_table(sql).remarks == (
        "VARCHAR(20) becomes STRING: Fluss keeps and checks no greatest length",
        "VARBINARY(3) becomes BYTES: Fluss keeps and checks no greatest length",
    )


def test_a_column_alone() -> None:
    column, remarks = parse_column("`Order Line` VARCHAR(5) COMMENT 'x'")
    assert column == {"name": "Order Line", "data_type": {"type": "STRING"}, "comment": "x"}
    assert len(remarks) == 1
    with pytest.raises(FlussError, match="the column should end here"):
        parse_column("a INT, b INT")
