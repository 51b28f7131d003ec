"""Auto-increment columns and lookups that insert, in one KvTablet."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from error_support import code_of
from fluss_server.errors import ErrorCode, FlussError
from fluss_server.formats.keys import key_encoder
from fluss_server.formats.kv_batch import build_kv_batch
from fluss_server.formats.row_codec import row_codec
from fluss_server.model.schema import Schema
from fluss_server.model.types import DataType, TypeRoot
from kv_support import INT, STRING, Bucket, copy_live, make_schema, make_table, open_bucket

BIGINT = DataType(TypeRoot.BIGINT)
SCHEMA = replace(make_schema({"name": STRING, "uid": BIGINT, "note": STRING}, ["name"]), auto_increment_column="uid")
NAME, NOTE = [0], [0, 2]


class Counter:
    """Hands out ids as the metadata store does; what it said is never said again."""

    def __init__(self, reserved: int = 0) -> None:
        self.reserved = reserved
        self.calls: list[int] = []
        self.failure: FlussError | None = None

    def __call__(self, count: int) -> int:
        if self.failure is not None:
            raise self.failure
        self.calls.append(count)
        self.reserved += count
        return self.reserved - count + 1


def opened(path: Path, counter: Counter, schema: Schema = SCHEMA, **properties: Any) -> Bucket:
    table = make_table(schema, **{"cache_size": "3", **properties})
    return open_bucket(path, table, reserve_ids=counter)


def find_or_insert(bucket: Bucket, *names: str) -> list[Any]:
    bucket.supply_ids(len(names))
    values, end = bucket.kv.find_or_insert([bucket.key(name) for name in names])
    bucket.kv.commit(end)
    return [bucket.decode(value) for value in values]


@pytest.mark.parametrize("kv_format", ["COMPACTED", "INDEXED"])
@pytest.mark.parametrize("image", ["FULL", "WAL"])
def test_new_rows_get_the_next_id_and_keep_it(tmp_path: Path, kv_format: str, image: str) -> None:
    counter = Counter()
    bucket = opened(tmp_path, counter, kv_format=kv_format, changelog_image=image)
    first = [("b", None, "x"), ("a", 77, "y"), ("b", None, "z")]
    changes = bucket.write(first, targets=NOTE)
    before = [] if image == "WAL" else [("-U", ("b", 1, "x"))]
    assert changes == [("+I", ("b", 1, "x")), ("+I", ("a", 2, "y")), *before, ("+U", ("b", 1, "z"))]
    bucket.write([(name, None, None) for name in "cdef"], targets=NAME)
    assert [bucket.get(name) for name in "cdef"] == [(name, 3 + n, None) for n, name in enumerate("cdef")]
    assert counter.calls == [3, 3]
    bucket.close()


def test_writers_name_their_columns_and_not_this_one(tmp_path: Path) -> None:
    bucket = opened(tmp_path, Counter())
    row = ("a", None, "x")
    for targets in ([], [0, 1], [0, 1, 2]):
        assert code_of(partial(bucket.write, [row], targets=targets)) is ErrorCode.INVALID_TARGET_COLUMN
    assert code_of(lambda: bucket.kv.put(bucket.batch([row]), overwrite=True)) is ErrorCode.INVALID_TARGET_COLUMN
    assert bucket.log.end_offset == 0
    bucket.close()


def test_deletes_null_the_targets_and_leave_the_id(tmp_path: Path) -> None:
    bucket = opened(tmp_path, Counter())
    bucket.write([("a", None, "x")], targets=NOTE)
    assert bucket.write(deletes=[("a",)], targets=NOTE) == [("-U", ("a", 1, "x")), ("+U", ("a", 1, None))]
    assert bucket.write([("a", None, "y")], targets=NOTE) == [("-U", ("a", 1, None)), ("+U", ("a", 1, "y"))]
    bucket.close()


def test_no_id_is_given_twice_whatever_happens(tmp_path: Path) -> None:
    counter = Counter()
    bucket = opened(tmp_path / "0", counter)
    given: list[int] = []
    for life in range(4):
        for name in range(5):
            bucket.write([(f"{life}-{name}", None, None)], targets=NAME)
            row = bucket.get(f"{life}-{name}")
            assert row is not None
            given.append(row[1])
        if life % 2 == 0:  # a crash: the next life finds the files as they are now
            copy_live(bucket.directory, tmp_path / str(life + 1))
        bucket.close()
        bucket = opened(tmp_path / str(life + 1) if life % 2 == 0 else bucket.directory, counter)
    assert len(set(given)) == len(given) == 20
    assert max(given) <= counter.reserved
    assert len(bucket.rows()) == 20
    bucket.close()


def test_an_int_column_ends_at_its_greatest_value(tmp_path: Path) -> None:
    schema = replace(make_schema({"name": STRING, "uid": INT}, ["name"]), auto_increment_column="uid")
    bucket = opened(tmp_path, Counter(2**31 - 3), schema)
    bucket.write([("a", None), ("b", None)], targets=NAME)
    assert bucket.get("b") == ("b", 2**31 - 1)
    end = bucket.log.end_offset
    assert code_of(lambda: bucket.write([("c", None)], targets=NAME)) is ErrorCode.OPERATION_NOT_ATTEMPTED_EXCEPTION
    assert bucket.log.end_offset == end
    assert bucket.write([("b", None)], targets=NAME) == []
    bucket.close()


def test_a_repeated_batch_takes_no_ids(tmp_path: Path) -> None:
    bucket = opened(tmp_path, Counter(), cache_size="1")
    batch = bucket.batch([("a", None, None)], writer_id=5, batch_sequence=0)
    bucket.supply_ids(1)
    assert bucket.kv.ids is not None
    assert not bucket.kv.put(batch, NAME).duplicate
    assert bucket.kv.ids.available == 0
    assert bucket.kv.put(batch, NAME).duplicate
    bucket.close()


def test_ids_of_rows_of_an_older_schema(tmp_path: Path) -> None:
    newer = replace(
        make_schema({"name": STRING, "uid": BIGINT, "note": STRING, "more": INT}, ["name"]),
        auto_increment_column="uid",
    )
    bucket = open_bucket(tmp_path, make_table(newer, schema_id=2), schemas={1: SCHEMA, 2: newer}, reserve_ids=Counter())
    bucket.supply_ids(1)
    row = row_codec(SCHEMA.types, bucket.table.kv_format).encode(("a", None, "x"))
    result = bucket.kv.put(build_kv_batch(1, [(bucket.key("a"), row)]), NOTE)
    bucket.kv.commit(result.last_offset + 1)
    assert bucket.get("a") == ("a", 1, "x", None)
    bucket.close()


# ---------------------------------------------------------------------- lookups that insert


def test_missing_keys_get_rows(tmp_path: Path) -> None:
    bucket = opened(tmp_path, Counter())
    bucket.write([("b", None, "x")], targets=NOTE)
    assert find_or_insert(bucket, "a", "b", "c", "a") == [
        ("a", 2, None),
        ("b", 1, "x"),
        ("c", 3, None),
        ("a", 2, None),
    ]
    assert bucket.changes(1) == [("+I", ("a", 2, None)), ("+I", ("c", 3, None))]
    assert find_or_insert(bucket, "c", "b") == [("c", 3, None), ("b", 1, "x")]
    assert bucket.log.end_offset == 3
    bucket.close()


def test_a_row_that_waits_for_its_commit_is_not_missing(tmp_path: Path) -> None:
    bucket = opened(tmp_path, Counter())
    bucket.supply_ids(1)
    keys = [bucket.key("a")]
    first, first_end = bucket.kv.find_or_insert(keys)
    assert bucket.kv.lookup(keys) == [None]
    assert bucket.kv.find_or_insert(keys) == (first, first_end)
    bucket.kv.commit(first_end)
    assert bucket.kv.lookup(keys) == first
    bucket.close()


def test_tables_without_numbers_insert_too(tmp_path: Path) -> None:
    schema = make_schema({"note": STRING, "id": INT, "name": STRING}, ["name", "id"])
    bucket = open_bucket(tmp_path, make_table(schema))
    values, end = bucket.kv.find_or_insert([bucket.key("a", 7)])
    bucket.kv.commit(end)
    assert bucket.decode(values[0]) == (None, 7, "a")
    assert bucket.changes() == [("+I", (None, 7, "a"))]
    bucket.close()


def test_aggregates_insert_too(tmp_path: Path) -> None:
    bucket = open_bucket(tmp_path, make_table(make_schema({"id": INT, "n": INT}, ["id"]), merge_engine="aggregation"))
    for _ in range(2):
        assert [bucket.decode(value) for value in bucket.kv.find_or_insert([bucket.key(1)])[0]] == [(1, None)]
    assert bucket.changes() == [("+I", (1, None))]
    bucket.close()


def test_rows_of_partitioned_tables_get_the_values_of_their_partition(tmp_path: Path) -> None:
    columns = {"day": DataType(TypeRoot.DATE), "name": STRING, "uid": BIGINT, "region": STRING}
    schema = replace(make_schema(columns, ["region", "name", "day"]), auto_increment_column="uid")
    table = make_table(schema, bucket_key=["name"])
    table = replace(table, descriptor=replace(table.descriptor, partition_key=("day", "region")))
    bucket = open_bucket(tmp_path, table, reserve_ids=Counter(), partition=("2022-01-08", "eu"))
    bucket.supply_ids(1)
    key = key_encoder([STRING]).encode(["ada"])
    [value], end = bucket.kv.find_or_insert([key])
    bucket.kv.commit(end)
    assert bucket.decode(value) == (19_000, "ada", 1, "eu")
    assert bucket.kv.lookup([key]) == [value]
    assert bucket.changes() == [("+I", (19_000, "ada", 1, "eu"))]
    bucket.close()
    bucket = open_bucket(tmp_path / "no day", table, reserve_ids=Counter(), partition=("winter", "eu"))
    assert code_of(lambda: bucket.kv.find_or_insert([key])) is ErrorCode.PARTITION_SPEC_INVALID_EXCEPTION
    assert bucket.log.end_offset == 0
    bucket.close()


def test_what_cannot_be_inserted(tmp_path: Path) -> None:
    strict = make_schema({"id": INT, "name": STRING.with_nullable(False)}, ["id"])
    bucket = open_bucket(tmp_path / "strict", make_table(strict))
    assert code_of(lambda: bucket.kv.find_or_insert([bucket.key(1)])) is ErrorCode.INVALID_TARGET_COLUMN
    bucket.close()
    bucket = opened(tmp_path / "garbage", Counter())
    for key in (b"", b"\x05ab", bucket.key("a") + b"x", b"\x01\xff"):
        assert code_of(partial(bucket.kv.find_or_insert, [key])) is ErrorCode.CORRUPT_RECORD_EXCEPTION
    assert bucket.log.end_offset == 0
    bucket.close()
    bucket = open_bucket(tmp_path / "first", make_table(merge_engine="first_row"))
    assert code_of(lambda: bucket.kv.find_or_insert([bucket.key(1)])) is ErrorCode.INVALID_TARGET_COLUMN
    bucket.close()
