"""Rows written with several versions of a schema, in one KvTablet."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fluss_server.errors import ErrorCode, FlussError
from fluss_server.formats.kv_batch import build_kv_batch
from fluss_server.formats.row_codec import row_codec
from fluss_server.formats.value_batch import decode_value, encode_value
from fluss_server.model.schema import Schema
from fluss_server.model.table import KvFormat, LogFormat
from kv_support import DOUBLE, INT, STRING, Bucket, make_schema, make_table, open_bucket, read_changelog

SCHEMAS = {
    1: make_schema({"id": INT, "name": STRING}, ["id"]),
    2: make_schema({"id": INT, "name": STRING, "score": DOUBLE}, ["id"]),
}


def put(
    bucket: Bucket,
    schema_id: int,
    row: tuple[Any, ...],
    targets: Sequence[int] = (),
    *,
    schemas: Mapping[int, Schema] = SCHEMAS,
) -> bytes:
    """Upsert a row as a writer of that schema; returns the value that is sent."""
    data = row_codec(schemas[schema_id].types, bucket.table.kv_format).encode(row)
    result = bucket.kv.put(build_kv_batch(schema_id, [(bucket.key(row[0]), data)]), targets)
    bucket.kv.commit(result.last_offset + 1)
    return encode_value(schema_id, data)


def get(bucket: Bucket, key: int, schemas: Mapping[int, Schema] = SCHEMAS) -> tuple[int, tuple[Any, ...]]:
    """Schema id and values of a stored row."""
    value = bucket.kv.lookup([bucket.key(key)])[0]
    assert value is not None
    schema_id, row = decode_value(value)
    return schema_id, row_codec(schemas[schema_id].types, bucket.table.kv_format).decode(row)


@pytest.mark.parametrize(
    ("kv_format", "log_format"),
    [
        (KvFormat.COMPACTED, LogFormat.ARROW),
        (KvFormat.INDEXED, LogFormat.ARROW),
        (KvFormat.COMPACTED, LogFormat.COMPACTED),
        (KvFormat.INDEXED, LogFormat.COMPACTED),
        (KvFormat.INDEXED, LogFormat.INDEXED),
    ],
)
def test_values_keep_the_schema_of_their_writer_and_the_changelog_has_the_latest(
    kv_format: KvFormat, log_format: LogFormat, tmp_path: Path
) -> None:
    first, second = (
        make_table(SCHEMAS[number], schema_id=number, kv_format=kv_format.value, log_format=log_format.value)
        for number in (1, 2)
    )
    bucket = open_bucket(tmp_path, first, schemas=SCHEMAS)
    old = put(bucket, 1, (1, "a"))
    bucket.kv.update_table(second)
    new = put(bucket, 2, (2, "b", 0.5))
    replaced = put(bucket, 1, (3, "c"))
    assert bucket.kv.limit_scan(9) == [old, new, replaced]
    put(bucket, 2, (1, "a", 1.5))
    assert read_changelog(bucket.log, SCHEMAS[2], 1, log_format) == [
        ("+I", (2, "b", 0.5)),
        ("+I", (3, "c", None)),
        ("-U", (1, "a", None)),
        ("+U", (1, "a", 1.5)),
    ]
    found = bucket.kv.limit_scan(9)
    bucket.close()

    # Built again from the log, values have the schema of the changelog.
    shutil.rmtree(tmp_path / "kv")
    again = open_bucket(tmp_path, second, schemas=SCHEMAS)
    replaced = encode_value(2, row_codec(SCHEMAS[2].types, kv_format).encode((3, "c", None)))
    assert again.kv.limit_scan(9) == [*found[:2], replaced]
    again.close()


def test_partial_updates_name_columns_of_the_latest_schema(tmp_path: Path) -> None:
    bucket = open_bucket(tmp_path, make_table(SCHEMAS[1]), schemas=SCHEMAS)
    put(bucket, 1, (1, "a"))
    bucket.kv.update_table(make_table(SCHEMAS[2], schema_id=2))
    put(bucket, 2, (1, None, 0.5), [0, 2])
    assert get(bucket, 1) == (2, (1, "a", 0.5))
    put(bucket, 1, (1, "b"), [0, 1])  # a writer that does not know the new column leaves it
    assert get(bucket, 1) == (2, (1, "b", 0.5))
    put(bucket, 1, (1, "c"))  # all columns it knows: the new one becomes null
    assert get(bucket, 1) == (1, (1, "c"))
    with pytest.raises(FlussError) as caught:
        bucket.kv.put(build_kv_batch(3, []))
    assert caught.value.code is ErrorCode.SCHEMA_NOT_EXIST
    assert read_changelog(bucket.log, SCHEMAS[2], 1) == [
        ("-U", (1, "a", None)),
        ("+U", (1, "a", 0.5)),
        ("-U", (1, "a", 0.5)),
        ("+U", (1, "b", 0.5)),
        ("-U", (1, "b", 0.5)),
        ("+U", (1, "c", None)),
    ]
    bucket.close()


def test_partial_deletes_of_rows_of_an_older_schema(tmp_path: Path) -> None:
    bucket = open_bucket(tmp_path, make_table(SCHEMAS[1]), schemas=SCHEMAS)
    put(bucket, 1, (1, "a"))
    bucket.kv.update_table(make_table(SCHEMAS[2], schema_id=2))
    delete = build_kv_batch(2, [(bucket.key(1), None)])
    bucket.kv.put(delete, [0, 2])
    bucket.kv.commit(bucket.log.end_offset)
    assert get(bucket, 1) == (2, (1, "a", None))
    bucket.kv.put(delete, [0, 1])
    bucket.kv.commit(bucket.log.end_offset)
    assert bucket.kv.lookup([bucket.key(1)]) == [None]
    bucket.close()


@pytest.mark.parametrize("kv_format", list(KvFormat))
def test_aggregates_gain_columns(tmp_path: Path, kv_format: KvFormat) -> None:
    functions = {"name": ("listagg", ()), "score": ("sum", ())}
    schemas = {
        number: replace(
            schema,
            columns=tuple(replace(column, agg_function=functions.get(column.name)) for column in schema.columns),
        )
        for number, schema in SCHEMAS.items()
    }
    options: dict[str, Any] = {"merge_engine": "aggregation", "kv_format": kv_format.value}
    first, second = (make_table(schemas[number], schema_id=number, **options) for number in (1, 2))
    bucket = open_bucket(tmp_path / "one", first, schemas=schemas)
    put(bucket, 1, (1, "a"))
    put(bucket, 1, (2, "x"))
    bucket.kv.update_table(second)
    put(bucket, 2, (1, "b", 0.5))
    put(bucket, 1, (1, "c"))
    put(bucket, 2, (1, None, 0.25), [0, 2])
    put(bucket, 1, (2, "y"))
    assert get(bucket, 1) == (2, (1, "a,b,c", 0.75))
    assert get(bucket, 2) == (2, (2, "x,y", None))
    assert read_changelog(bucket.log, schemas[2], 2)[-2:] == [("-U", (2, "x", None)), ("+U", (2, "x,y", None))]
    shutil.copytree(tmp_path / "one", tmp_path / "two")  # as a crash would leave it
    bucket.close()
    bucket = open_bucket(tmp_path / "two", second, schemas=schemas)
    assert get(bucket, 1) == (2, (1, "a,b,c", 0.75))
    put(bucket, 2, (1, "d", 1.0))
    assert get(bucket, 1) == (2, (1, "a,b,c,d", 1.75))
    bucket.close()


def test_versions_of_rows_of_an_older_schema(tmp_path: Path) -> None:
    options: dict[str, Any] = {"merge_engine": "versioned", "version_column": "id2"}
    schemas = {
        1: make_schema({"id": INT, "id2": INT}, ["id"]),
        2: make_schema({"id": INT, "id2": INT, "name": STRING}, ["id"]),
    }
    bucket = open_bucket(tmp_path, make_table(schemas[1], **options), schemas=schemas)
    put(bucket, 1, (1, 5), schemas=schemas)
    bucket.kv.update_table(make_table(schemas[2], schema_id=2, **options))
    put(bucket, 2, (1, 4, "older"), schemas=schemas)
    assert get(bucket, 1, schemas) == (1, (1, 5))
    put(bucket, 2, (1, 5, "same"), schemas=schemas)
    put(bucket, 1, (1, 4), schemas=schemas)
    assert get(bucket, 1, schemas) == (2, (1, 5, "same"))
    bucket.close()


def test_replay_across_a_change_of_the_schema(tmp_path: Path) -> None:
    bucket = open_bucket(tmp_path / "one", make_table(SCHEMAS[1]), schemas=SCHEMAS)
    put(bucket, 1, (1, "a"))
    put(bucket, 1, (2, "b"))
    second = make_table(SCHEMAS[2], schema_id=2)
    bucket.kv.update_table(second)
    put(bucket, 2, (2, "c", 0.5))
    put(bucket, 1, (3, "d"))
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    bucket.close()
    bucket = open_bucket(tmp_path / "two", second, schemas=SCHEMAS)
    # A value that comes from the changelog has the schema of its log batch.
    assert [get(bucket, key) for key in (1, 2, 3)] == [
        (1, (1, "a")),
        (2, (2, "c", 0.5)),
        (2, (3, "d", None)),
    ]
    assert bucket.kv.row_count == 3
    bucket.close()
