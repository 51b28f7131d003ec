"""Rows written with several versions of a schema, in one KvTablet."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from fluss_server.formats.kv_batch import build_kv_batch
from fluss_server.formats.row_codec import row_codec
from fluss_server.formats.value_batch import encode_value
from fluss_server.model.table import KvFormat, LogFormat
from kv_support import DOUBLE, INT, STRING, Bucket, make_schema, make_table, open_bucket, read_changelog

SCHEMAS = {
    1: make_schema({"id": INT, "name": STRING}, ["id"]),
    2: make_schema({"id": INT, "name": STRING, "score": DOUBLE}, ["id"]),
}


def put(bucket: Bucket, schema_id: int, row: tuple[Any, ...]) -> bytes:
    """Upsert a row as a writer of that schema; returns the value that is stored."""
    data = row_codec(SCHEMAS[schema_id].types, bucket.table.kv_format).encode(row)
    result = bucket.kv.put(build_kv_batch(schema_id, [(bucket.key(row[0]), data)]))
    bucket.kv.commit(result.last_offset + 1)
    return encode_value(schema_id, data)


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
