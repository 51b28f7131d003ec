"""What ALTER TABLE and ALTER DATABASE may change, what comes out, and the code of everything refused."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from fluss_server.api import messages as pb
from fluss_server.config import TABLE_OPTIONS
from fluss_server.coordinator.alter_requests import option_changes, table_changes
from fluss_server.coordinator.alterations import (
    MAX_SCHEMA_ID,
    AddedColumn,
    OptionChanges,
    add_columns,
    change_bucket_count,
    change_database,
    change_options,
)
from fluss_server.coordinator.validation import TableSettings, complete_descriptor
from fluss_server.errors import ErrorCode, FlussError
from fluss_server.model.identifiers import TablePath
from fluss_server.model.table import DatabaseDescriptor, TableDescriptor, TableInfo
from fluss_server.model.types import DataType

SETTINGS = TableSettings()
COLUMNS: list[dict[str, Any]] = [
    {"name": "a", "data_type": {"type": "INTEGER"}},
    {"name": "b", "data_type": {"type": "ROW", "fields": [{"name": "x", "field_type": {"type": "STRING"}}]}},
]
LOG: dict[str, Any] = {"schema": {"columns": COLUMNS}, "custom_properties": {"owner": "me"}}
KV: dict[str, Any] = {"schema": {"columns": COLUMNS, "primary_key": ["a"]}}
INVALID = ErrorCode.INVALID_ALTER_TABLE_EXCEPTION
STRING = DataType.from_json({"type": "STRING"})


def table(document: dict[str, Any] = LOG, properties: dict[str, str] | None = None, *, schema_id: int = 1) -> TableInfo:
    descriptor = complete_descriptor(TableDescriptor.from_json({**document, "properties": properties or {}}), SETTINGS)
    return TableInfo(TablePath("d", "t"), 5, schema_id, descriptor, 10, 10)


def changed(of: TableInfo, *removals: str, **settings: str) -> TableDescriptor:
    named = {key.replace("__", ".").replace("_", "-"): value for key, value in settings.items()}
    return change_options(of, OptionChanges(named, frozenset(removals)), SETTINGS)


def refused(of: TableInfo, *removals: str, **settings: str) -> FlussError:
    with pytest.raises(FlussError) as caught:
        changed(of, *removals, **settings)
    return caught.value


def test_the_changeable_options_are_those_of_apache_fluss() -> None:
    assert {option.key for option in TABLE_OPTIONS.values() if option.dynamic} == {
        "table.datalake.enabled",
        "table.datalake.historical-partition.enabled",
        "table.datalake.freshness",
        "table.datalake.auto-compaction",
        "table.log.ttl",
        "table.log.tiered.local-segments",
        "table.log.local-ttl",
        "table.auto-partition.enabled",
        "table.auto-partition.num-retention",
        "table.auto-partition.num-precreate",
        "table.statistics.columns",
        "table.kv.standby-replica.enabled",
    }


def test_options_and_custom_properties() -> None:
    before = table(LOG, {"table.log.ttl": "3 d"})
    after = changed(before, "owner", table__log__ttl="1 d", bucket__num="4", client__x="y")
    assert after.properties == {**before.descriptor.properties, "table.log.ttl": "1 d"}
    assert after.custom_properties == {"bucket.num": "4", "client.x": "y"}
    assert after.schema == before.schema
    assert "table.log.ttl" not in changed(before, "table.log.ttl").properties


def test_a_key_that_is_set_and_removed_is_removed() -> None:
    assert changed(table(), "owner", owner="you").custom_properties == {}


def test_what_changes_nothing_is_the_same_definition() -> None:
    before = table(LOG, {"table.log.ttl": "3 d"})
    assert changed(before, "never.there", owner="me", table__log__ttl="3 d") is before.descriptor


@pytest.mark.parametrize(
    ("document", "key", "value", "code", "words"),
    [
        (LOG, "table.log.format", "ARROW", INVALID, "cannot be changed"),
        (LOG, "table.replication.factor", "1", INVALID, "cannot be changed"),
        (LOG, "table.log.tll", "1 d", INVALID, "did you mean 'table.log.ttl'?"),
        (LOG, "table.kv.standby-replica.enabled", "true", INVALID, "primary key"),
        (LOG, "table.datalake.enabled", "true", INVALID, "no data lake"),
        (KV, "table.datalake.enabled", "true", INVALID, "no data lake"),
        (KV, "table.datalake.enabled", "false", INVALID, "no data lake"),
        (LOG, "table.datalake.freshness", "1 min", INVALID, "no data lake"),
        (LOG, "table.log.ttl", "soon", ErrorCode.INVALID_CONFIG_EXCEPTION, "table.log.ttl"),
        (LOG, "table.log.local-ttl", "8 d", ErrorCode.INVALID_CONFIG_EXCEPTION, "table.log.local-ttl"),
        (LOG, "table.log.tiered.local-segments", "0", ErrorCode.INVALID_CONFIG_EXCEPTION, "local-segments"),
        (LOG, "table.auto-partition.enabled", "true", ErrorCode.INVALID_CONFIG_EXCEPTION, "partitioned"),
        (KV, "table.statistics.columns", "*", ErrorCode.INVALID_CONFIG_EXCEPTION, "primary key"),
        (LOG, "owner", "x" * (1 << 20), ErrorCode.INVALID_TABLE_EXCEPTION, "bytes"),
    ],
)
def test_refused_options(document: dict[str, Any], key: str, value: str, code: ErrorCode, words: str) -> None:
    with pytest.raises(FlussError) as caught:
        change_options(table(document), OptionChanges({key: value}), SETTINGS)
    assert caught.value.code is code
    assert words in str(caught.value)


def test_removing_an_option_that_cannot_be_changed() -> None:
    assert refused(table(KV), "table.kv.format-version").code is INVALID


def test_the_lake_switch_of_a_log_table_without_bucket_key_may_be_off() -> None:
    after = change_options(table(), OptionChanges({"table.datalake.enabled": "false"}), SETTINGS)
    assert after.properties["table.datalake.enabled"] == "false"


def test_added_columns_get_new_ids() -> None:
    nested = DataType.from_json(
        {
            "type": "ARRAY",
            "element_type": {
                "type": "ROW",
                "fields": [
                    {
                        "name": "m",
                        "field_type": {
                            "type": "MAP",
                            "key_type": {"type": "STRING"},
                            "value_type": {
                                "type": "ROW",
                                "fields": [{"name": "y", "field_type": {"type": "STRING"}, "field_id": 0}],
                            },
                        },
                        "field_id": 1,
                    },
                    {"name": "z", "field_type": {"type": "STRING"}, "field_id": 7},
                ],
            },
        }
    )
    before = table()
    assert before.schema.highest_field_id == 2
    after = add_columns(before, [AddedColumn("c", nested, "deep"), AddedColumn("d", STRING)])
    assert after.schema.columns[:2] == before.schema.columns
    c, d = after.schema.columns[2:]
    assert (c.name, c.column_id, c.comment, d.name, d.column_id, d.comment) == ("c", 3, "deep", "d", 7, None)
    assert c.type.element is not None
    m, z = c.type.element.fields
    assert m.type.element is not None
    assert (m.field_id, m.type.element.fields[0].field_id, z.field_id) == (4, 5, 6)
    assert after.schema.highest_field_id == 7
    assert TableDescriptor.from_json_bytes(after.to_json_bytes()).schema == after.schema


@pytest.mark.parametrize(
    ("column", "code", "words"),
    [
        (AddedColumn("a", STRING), INVALID, "exists already"),
        (AddedColumn("c", STRING.with_nullable(False)), INVALID, "NOT NULL"),
        (AddedColumn("__offset", STRING), ErrorCode.INVALID_TABLE_EXCEPTION, "reserved"),
        (AddedColumn("c", STRING, "x" * (1 << 20)), ErrorCode.INVALID_TABLE_EXCEPTION, "bytes"),
        (AddedColumn("c", STRING, None, ("listagg", ())), ErrorCode.INVALID_CONFIG_EXCEPTION, "aggregate"),
    ],
)
def test_refused_columns(column: AddedColumn, code: ErrorCode, words: str) -> None:
    with pytest.raises(FlussError) as caught:
        add_columns(table(), [column])
    assert caught.value.code is code
    assert words in str(caught.value)


def test_a_column_cannot_be_added_twice() -> None:
    with pytest.raises(FlussError) as caught:
        add_columns(table(), [AddedColumn("c", STRING), AddedColumn("c", STRING)])
    assert caught.value.code is INVALID


def test_schema_ids_end() -> None:
    add_columns(table(schema_id=MAX_SCHEMA_ID - 1), [AddedColumn("c", STRING)])
    with pytest.raises(FlussError) as caught:
        add_columns(table(schema_id=MAX_SCHEMA_ID), [AddedColumn("c", STRING)])
    assert caught.value.code is INVALID


def test_databases() -> None:
    before = DatabaseDescriptor("about", {"a": "1", "b": "2"})
    changes = OptionChanges({"a": "3", "table.x": "4"}, frozenset({"b", "c"}))
    assert change_database(before, changes, None) == DatabaseDescriptor("about", {"a": "3", "table.x": "4"})
    assert change_database(before, OptionChanges(), "") == DatabaseDescriptor(None, before.custom_properties)
    assert change_database(before, OptionChanges(), "new").comment == "new"


def request(**fields: Any) -> pb.AlterTableRequest:
    path = pb.PbTablePath(database_name="d", table_name="t")
    return pb.AlterTableRequest(table_path=path, ignore_if_not_exists=False, **fields)


def added(**fields: Any) -> pb.PbAddColumn:
    return pb.PbAddColumn(
        **{"column_name": "c", "data_type_json": b'{"type":"STRING"}', "column_position_type": 0, **fields}
    )


def config(op_type: int, value: str | None = "v") -> pb.PbAlterConfig:
    return pb.PbAlterConfig(config_key="k", config_value=value, op_type=op_type)


def test_coming_partitions_get_another_number_of_buckets() -> None:
    partitioned = table({**LOG, "partition_key": ["a"]})
    assert change_bucket_count(partitioned, 7, SETTINGS) == replace(partitioned.descriptor, bucket_count=7)
    for of, count, code in (
        (table(), 7, INVALID),
        (partitioned, 0, INVALID),
        (partitioned, SETTINGS.max_bucket_count + 1, ErrorCode.BUCKET_MAX_NUM_EXCEPTION),
    ):
        with pytest.raises(FlussError) as caught:
            change_bucket_count(of, count, SETTINGS)
        assert caught.value.code is code
    requested = table_changes(request(modify_bucket_count=pb.PbModifyBucketCount(new_bucket_count=2)))
    assert (requested.options, requested.columns, requested.bucket_count) == (None, (), 2)


def test_requests_are_read() -> None:
    changes = table_changes(request(config_changes=[config(0), pb.PbAlterConfig(config_key="l", op_type=1)]))
    assert changes.options == OptionChanges({"k": "v"}, frozenset({"l"}))
    assert changes.columns == ()
    parameter = pb.PbKeyValue(key="delimiter", value=";")
    column = added(comment="x", agg_function_type="STRING-AGG", agg_function_params=[parameter])
    assert table_changes(request(add_columns=[column, added(column_name="d")])).columns == (
        AddedColumn("c", STRING, "x", ("string_agg", (("delimiter", ";"),))),
        AddedColumn("d", STRING),
    )
    nothing = table_changes(request())
    assert (nothing.options, nothing.columns) == (None, ())


@pytest.mark.parametrize(
    "fields",
    [
        {"config_changes": [config(0)], "add_columns": [added()]},
        {"config_changes": [config(0, None)]},
        {"config_changes": [config(2)]},
        {"config_changes": [config(3)]},
        {"config_changes": [config(-1)]},
        {"add_columns": [added(column_name="")]},
        {"add_columns": [added(column_position_type=1)]},
        {"add_columns": [added(data_type_json=b"STRING")]},
        {"add_columns": [added(data_type_json=json.dumps({"type": "ENUM"}).encode())]},
        {"drop_columns": [pb.PbDropColumn(column_name="a")]},
        {"rename_columns": [pb.PbRenameColumn(old_column_name="a", new_column_name="c")]},
        {"modify_columns": [pb.PbModifyColumn(column_name="a")]},
        {"modify_bucket_count": pb.PbModifyBucketCount(new_bucket_count=2), "config_changes": [config(0)]},
        {"modify_bucket_count": pb.PbModifyBucketCount(new_bucket_count=2), "add_columns": [added()]},
    ],
)
def test_requests_that_ask_for_what_there_is_not(fields: dict[str, Any]) -> None:
    with pytest.raises(FlussError) as caught:
        table_changes(request(**fields))
    assert caught.value.code is INVALID


def test_the_code_of_bad_database_options_is_the_callers() -> None:
    with pytest.raises(FlussError) as caught:
        option_changes([config(2)], ErrorCode.INVALID_CONFIG_EXCEPTION)
    assert caught.value.code is ErrorCode.INVALID_CONFIG_EXCEPTION
