"""What a new table may look like: defaults, limits, and a code and a hint for everything refused."""

from __future__ import annotations

from typing import Any

import pytest

from fluss_server.coordinator.validation import (
    SYSTEM_COLUMNS,
    TableSettings,
    check_creation_allowed,
    check_descriptor,
    complete_descriptor,
)
from fluss_server.errors import ErrorCode, FlussError
from fluss_server.model.table import TableDescriptor

SETTINGS = TableSettings()
LOG: dict[str, Any] = {
    "schema": {"columns": [{"name": name, "data_type": {"type": "STRING"}} for name in ("a", "b", "c")]}
}
KV: dict[str, Any] = {"schema": {**LOG["schema"], "primary_key": ["b", "a"]}}
WIDE: dict[str, Any] = {
    "schema": {
        "columns": [{"name": "a", "data_type": {"type": "INTEGER"}}, {"name": "b", "data_type": {"type": "BYTES"}}]
    }
}
INVALID_TABLE = ErrorCode.INVALID_TABLE_EXCEPTION
INVALID_CONFIG = ErrorCode.INVALID_CONFIG_EXCEPTION


def completed(
    document: dict[str, Any], settings: TableSettings = SETTINGS, properties: dict[str, str] | None = None
) -> TableDescriptor:
    descriptor = TableDescriptor.from_json({**document, "properties": properties or {}})
    return complete_descriptor(descriptor, settings)


def checked(document: dict[str, Any], properties: dict[str, str] | None = None) -> TableDescriptor:
    descriptor = completed(document, SETTINGS, properties)
    check_descriptor(descriptor, SETTINGS)
    return descriptor


def refused(document: dict[str, Any], properties: dict[str, str] | None = None, **settings: Any) -> FlussError:
    changed = SETTINGS._replace(**settings)
    descriptor = completed(document, changed, properties)
    with pytest.raises(FlussError) as caught:
        check_descriptor(descriptor, changed)
    return caught.value


def test_defaults_of_a_log_table() -> None:
    descriptor = checked(LOG)
    assert descriptor.bucket_count == 1
    assert descriptor.bucket_key == ()
    assert descriptor.properties == {"table.replication.factor": "1"}


def test_defaults_of_a_primary_key_table() -> None:
    descriptor = checked(KV)
    assert descriptor.bucket_key == ("b", "a")
    assert descriptor.properties == {
        "table.replication.factor": "1",
        "table.kv.format-version": "2",
        "table.kv.standby-replica.enabled": "true",
    }


@pytest.mark.parametrize("engine", ["first_row", "versioned", "aggregation"])
def test_defaults_of_a_merge_engine(engine: str) -> None:
    assert completed(KV, properties={"table.merge-engine": engine}).properties["table.delete.behavior"] == "IGNORE"
    given = {"table.merge-engine": engine, "table.delete.behavior": "DISABLE"}
    assert completed(KV, properties=given).properties["table.delete.behavior"] == "DISABLE"
    assert "table.delete.behavior" not in completed(LOG, properties={"table.merge-engine": engine}).properties


def test_what_is_given_stays() -> None:
    document = {**KV, "bucket_count": 7, "bucket_key": ["a"], "custom_properties": {"x": "y"}, "comment": "c"}
    descriptor = checked(
        document, {"table.kv.format-version": "1", "table.log.ttl": "1 d", "table.kv.standby-replica.enabled": "false"}
    )
    assert descriptor.bucket_count == 7
    assert descriptor.bucket_key == ("a",)
    assert descriptor.comment == "c"
    assert descriptor.custom_properties == {"x": "y"}
    assert descriptor.properties == {
        "table.kv.format-version": "1",
        "table.kv.standby-replica.enabled": "false",
        "table.log.ttl": "1 d",
        "table.replication.factor": "1",
    }


def test_defaults_come_from_the_settings() -> None:
    descriptor = completed(LOG, TableSettings(default_bucket_count=3, default_replication_factor=2))
    assert descriptor.bucket_count == 3
    assert descriptor.properties["table.replication.factor"] == "2"


@pytest.mark.parametrize(
    "properties",
    [
        {"table.kv.format": "INDEXED"},
        {"table.kv.format": "compacted"},
        {"table.log.format": "arrow"},
        {"table.log.format": "compacted"},
        {"table.log.format": "COMPACTED", "table.kv.format": "INDEXED"},
        {"table.log.format": "INDEXED", "table.kv.format": "INDEXED"},
        {"table.changelog.image": "WAL"},
        {"table.delete.behavior": "disable"},
        {"table.log.arrow.compression.type": "none"},
        {"table.log.arrow.compression.type": "zstd", "table.log.arrow.compression.zstd.level": "22"},
        {"table.log.ttl": "0 ms", "table.log.local-ttl": "9 d"},
        {"table.log.ttl": "7 d", "table.log.local-ttl": "7 d"},
        {"table.log.tiered.local-segments": "1"},
        {"table.auto-partition.enabled": "false"},
        {"table.datalake.enabled": "false"},
        {"table.datalake.format": "paimon"},
        {"table.datalake.format": "lance", "table.kv.format-version": "1"},
        {"table.datalake.format": "hudi"},
        {"table.datalake.historical-partition.enabled": "false"},
        {"table.kv.standby-replica.enabled": "true"},
        {"table.auto-increment.cache-size": "5"},
    ],
)
def test_allowed_options(properties: dict[str, str]) -> None:
    assert properties.items() <= dict(checked(KV, properties).properties).items()


@pytest.mark.parametrize(
    ("document", "properties", "code", "words"),
    [
        (LOG, {"table.nonsense": "1"}, INVALID_CONFIG, "table.nonsense"),
        (LOG, {"table.log.tll": "1 d"}, INVALID_CONFIG, "table.log.ttl"),
        (LOG, {"bucket.num": "1"}, INVALID_CONFIG, "custom properties"),
        (LOG, {"table.log.ttl": "soon"}, INVALID_CONFIG, "table.log.ttl"),
        (LOG, {"table.log.format": "PARQUET"}, INVALID_CONFIG, "table.log.format"),
        (KV, {"table.merge-engine": "none"}, INVALID_CONFIG, "table.merge-engine"),
        (LOG, {"table.merge-engine": "first_row"}, INVALID_CONFIG, "primary key"),
        (KV, {"table.merge-engine": "versioned"}, INVALID_CONFIG, "ver-column"),
        (
            KV,
            {"table.merge-engine": "versioned", "table.merge-engine.versioned.ver-column": "d"},
            INVALID_CONFIG,
            "no such column",
        ),
        (
            KV,
            {"table.merge-engine": "versioned", "table.merge-engine.versioned.ver-column": "c"},
            INVALID_CONFIG,
            "it must be INT, BIGINT, TIMESTAMP or TIMESTAMP_LTZ",
        ),
        (
            KV,
            {"table.merge-engine": "aggregation", "table.changelog.image": "wal"},
            INVALID_CONFIG,
            "table.changelog.image = WAL",
        ),
        (
            KV,
            {"table.merge-engine": "first_row", "table.delete.behavior": "allow"},
            INVALID_CONFIG,
            "set table.delete.behavior to IGNORE",
        ),
        (KV, {"table.log.format": "INDEXED"}, INVALID_CONFIG, "needs table.kv.format = INDEXED"),
        (KV, {"table.statistics.columns": "*"}, INVALID_CONFIG, "primary key"),
        (LOG, {"table.statistics.columns": " , "}, INVALID_CONFIG, "names no columns"),
        (LOG, {"table.statistics.columns": "a, d"}, INVALID_CONFIG, "no column 'd'"),
        (WIDE, {"table.statistics.columns": "a,b"}, INVALID_CONFIG, "no statistics of BYTES"),
        (LOG, {"table.datalake.enabled": "true"}, INVALID_TABLE, "no data lake"),
        (LOG, {"table.datalake.format": "delta"}, INVALID_CONFIG, "table.datalake.format"),
        (KV, {"table.datalake.format": "iceberg"}, INVALID_TABLE, "exactly one column"),
        (
            KV,
            {"table.datalake.format": "hudi", "table.kv.format-version": "1"},
            INVALID_CONFIG,
            "leave out table.kv.format-version",
        ),
        (KV, {"table.datalake.historical-partition.enabled": "true"}, INVALID_CONFIG, "no data lake"),
        (LOG, {"table.delete.behavior": "IGNORE"}, INVALID_CONFIG, "primary key"),
        (LOG, {"table.auto-partition.enabled": "true"}, INVALID_CONFIG, "partitioned"),
        (LOG, {"table.replication.factor": "0"}, INVALID_CONFIG, "table.replication.factor"),
        (LOG, {"table.replication.factor": "x"}, INVALID_CONFIG, "table.replication.factor"),
        (KV, {"table.kv.format-version": "3"}, INVALID_CONFIG, "table.kv.format-version"),
        (KV, {"table.kv.format-version": "0"}, INVALID_CONFIG, "table.kv.format-version"),
        (LOG, {"table.log.arrow.compression.zstd.level": "23"}, INVALID_CONFIG, "zstd.level"),
        (LOG, {"table.log.arrow.compression.zstd.level": "0"}, INVALID_CONFIG, "zstd.level"),
        (LOG, {"table.log.tiered.local-segments": "0"}, INVALID_CONFIG, "local-segments"),
        (LOG, {"table.log.local-ttl": "8 d"}, INVALID_CONFIG, "table.log.local-ttl"),
        ({**LOG, "bucket_count": 4097}, {}, ErrorCode.BUCKET_MAX_NUM_EXCEPTION, "4096"),
        ({**LOG, "comment": "x" * (1 << 20)}, {}, INVALID_TABLE, "bytes"),
    ],
)
def test_refused(document: dict[str, Any], properties: dict[str, str], code: ErrorCode, words: str) -> None:
    error = refused(document, properties)
    assert error.code is code
    assert words in str(error)


@pytest.mark.parametrize("name", SYSTEM_COLUMNS)
def test_system_columns(name: str) -> None:
    error = refused({"schema": {"columns": [{"name": name, "data_type": {"type": "STRING"}}]}})
    assert error.code is INVALID_TABLE
    assert "reserved" in str(error)


@pytest.mark.parametrize(
    "data_type",
    [
        {"type": "ARRAY", "element_type": {"type": "INTEGER"}},
        {"type": "MAP", "key_type": {"type": "INTEGER"}, "value_type": {"type": "INTEGER"}},
        {"type": "ROW", "fields": [{"name": "x", "field_type": {"type": "INTEGER"}}]},
    ],
)
def test_nested_types_are_no_keys(data_type: dict[str, Any]) -> None:
    columns = [{"name": "a", "data_type": data_type}, {"name": "b", "data_type": {"type": "STRING"}}]
    checked({"schema": {"columns": columns, "primary_key": ["b"]}})
    for document in (
        {"schema": {"columns": columns, "primary_key": ["b", "a"]}, "bucket_key": ["b"]},
        {"schema": {"columns": columns}, "bucket_key": ["a"]},
    ):
        error = refused(document)
        assert error.code is INVALID_TABLE
        assert "cannot be keys" in str(error)


def test_switches() -> None:
    no_log = SETTINGS._replace(allow_log_tables=False)
    no_kv = SETTINGS._replace(allow_kv_tables=False)
    log, kv = TableDescriptor.from_json(LOG), TableDescriptor.from_json(KV)
    for descriptor, settings in ((log, no_log), (kv, no_kv)):
        with pytest.raises(FlussError) as caught:
            check_creation_allowed(descriptor, settings)
        assert caught.value.code is INVALID_TABLE
    check_creation_allowed(kv, no_log)
    check_creation_allowed(log, no_kv)


PARTITIONED: dict[str, Any] = {**LOG, "partition_key": ["a", "b"]}
BY_A: dict[str, Any] = {**LOG, "partition_key": ["a"]}
AUTO = "table.auto-partition."
ON = {f"{AUTO}enabled": "true"}


def with_type(name: str, **more: Any) -> dict[str, Any]:
    columns = [{"name": "n", "data_type": {"type": "BIGINT"}}, {"name": "p", "data_type": {"type": name, **more}}]
    return {"schema": {"columns": columns}, "partition_key": ["p"]}


@pytest.mark.parametrize(
    ("name", "more"),
    [
        ("CHAR", {"length": 3}),
        ("STRING", {}),
        ("BOOLEAN", {}),
        ("BINARY", {"length": 3}),
        ("BYTES", {}),
        ("TINYINT", {}),
        ("SMALLINT", {}),
        ("INTEGER", {}),
        ("BIGINT", {}),
        ("DATE", {}),
        ("TIME_WITHOUT_TIME_ZONE", {"precision": 3}),
        ("FLOAT", {}),
        ("DOUBLE", {}),
        ("TIMESTAMP_WITHOUT_TIME_ZONE", {"precision": 6}),
        ("TIMESTAMP_WITH_LOCAL_TIME_ZONE", {"precision": 6}),
    ],
)
def test_types_of_partition_columns(name: str, more: dict[str, Any]) -> None:
    checked(with_type(name, **more))


@pytest.mark.parametrize(
    ("name", "more"),
    [
        ("DECIMAL", {"precision": 10, "scale": 2}),
        ("ARRAY", {"element_type": {"type": "INTEGER"}}),
        ("ROW", {"fields": [{"name": "x", "field_type": {"type": "INTEGER"}, "field_id": 2}]}),
    ],
)
def test_types_that_partition_columns_cannot_have(name: str, more: dict[str, Any]) -> None:
    error = refused(with_type(name, **more))
    assert error.code is INVALID_TABLE
    assert f"'p' has type {name}" in error.message


@pytest.mark.parametrize(
    ("document", "properties"),
    [
        (BY_A, ON),
        (BY_A, {**ON, f"{AUTO}key": "a", f"{AUTO}time-unit": "hour", f"{AUTO}num-retention": "-1"}),
        (BY_A, {f"{AUTO}time-format": "yyyy-MM-dd"}),
        (BY_A, {f"{AUTO}key": "c"}),
        (PARTITIONED, {**ON, f"{AUTO}key": "b", f"{AUTO}num-precreate": "0"}),
        (PARTITIONED, {}),
        (with_type("DATE"), {**ON, f"{AUTO}time-format": "yyyy-MM-dd"}),
        (with_type("INTEGER"), ON),
    ],
)
def test_partition_options(document: dict[str, Any], properties: dict[str, str]) -> None:
    checked(document, properties)


def test_nothing_is_made_ahead_with_several_partition_columns() -> None:
    properties = {**ON, f"{AUTO}key": "b"}
    assert checked(PARTITIONED, properties).properties[f"{AUTO}num-precreate"] == "0"
    assert f"{AUTO}num-precreate" not in checked(BY_A, ON).properties
    assert f"{AUTO}num-precreate" not in checked(PARTITIONED).properties


@pytest.mark.parametrize(
    ("document", "properties", "code", "words"),
    [
        (LOG, {**ON, f"{AUTO}key": "a"}, INVALID_CONFIG, "needs a partitioned table"),
        (PARTITIONED, ON, INVALID_TABLE, "set table.auto-partition.key to one of a, b"),
        (PARTITIONED, {**ON, f"{AUTO}key": " "}, INVALID_TABLE, "several partition columns"),
        (PARTITIONED, {**ON, f"{AUTO}key": "c"}, INVALID_TABLE, "the partition columns are a, b"),
        (PARTITIONED, {**ON, f"{AUTO}key": "a", f"{AUTO}num-precreate": "1"}, INVALID_TABLE, "must be 0"),
        (BY_A, {**ON, f"{AUTO}key": "c"}, INVALID_TABLE, "the partition columns are a"),
        (BY_A, {**ON, f"{AUTO}time-unit": "WEEK"}, INVALID_CONFIG, "'WEEK' is not one of"),
        (BY_A, {f"{AUTO}time-zone": "Nowhere"}, INVALID_CONFIG, "'Nowhere' is not a time zone"),
        (BY_A, {f"{AUTO}time-format": "yyyy-MM"}, INVALID_TABLE, "time-format: DAY needs the fields"),
        (with_type("DATE"), ON, INVALID_TABLE, "time-format must be yyyy-MM-dd"),
        (with_type("DATE"), {**ON, f"{AUTO}time-format": "yyyyMMdd"}, INVALID_TABLE, "must be yyyy-MM-dd"),
        (with_type("DATE"), {**ON, f"{AUTO}time-unit": "MONTH"}, INVALID_TABLE, "time-unit must be DAY"),
    ],
)
def test_partition_options_that_are_refused(
    document: dict[str, Any], properties: dict[str, str], code: ErrorCode, words: str
) -> None:
    error = refused(document, properties)
    assert error.code is code
    assert words in str(error)
