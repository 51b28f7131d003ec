"""Tables with each merge engine: what their changelogs and rows are. Every batch takes one log batch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from error_support import code_of
from fluss_server.errors import ErrorCode
from fluss_server.kv.merge_engines import aggregation
from fluss_server.model.schema import Schema
from fluss_server.model.types import DataType, TypeRoot
from kv_support import DOUBLE, INT, STRING, Bucket, make_schema, make_table, open_bucket

BIGINT = DataType(TypeRoot.BIGINT)
SCHEMA = make_schema({"id": INT, "name": STRING, "version": BIGINT}, ["id"])

Opener = Callable[..., Bucket]


def aggregating(schema: Schema, **functions: str) -> Schema:
    """The schema with functions of columns."""
    columns = tuple(
        replace(column, agg_function=(functions[column.name], ())) if column.name in functions else column
        for column in schema.columns
    )
    return replace(schema, columns=columns)


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Opener]:
    buckets: list[Bucket] = []

    def opener(schema: Schema = SCHEMA, **properties: Any) -> Bucket:
        bucket = open_bucket(tmp_path / str(len(buckets)), make_table(schema, **properties))
        buckets.append(bucket)
        return bucket

    yield opener
    for bucket in buckets:
        bucket.close()


def overwrite(bucket: Bucket, *arguments: Any) -> None:
    result = bucket.kv.put(bucket.batch(*arguments), overwrite=True)
    bucket.kv.commit(result.last_offset + 1)


# ---------------------------------------------------------------------- first_row


@pytest.mark.parametrize("image", ["FULL", "WAL"])
def test_first_row_keeps_the_first_row(opened: Opener, image: str) -> None:
    bucket = opened(merge_engine="first_row", changelog_image=image)
    assert bucket.write([(1, "a", 1), (2, "b", 1), (1, "c", 2)]) == [("+I", (1, "a", 1)), ("+I", (2, "b", 1))]
    assert bucket.write([(1, "d", 9)]) == []
    assert bucket.log.end_offset == 3  # a batch without changes takes an offset too
    assert bucket.write([(3, "e", 1)]) == [("+I", (3, "e", 1))]
    assert bucket.get(1) == (1, "a", 1)


def test_first_row_keeps_pending_rows(opened: Opener) -> None:
    bucket = opened(merge_engine="first_row")
    bucket.kv.put(bucket.batch([(1, "a", 1)]))
    bucket.kv.put(bucket.batch([(1, "b", 2)]))
    bucket.kv.commit(bucket.log.end_offset)
    assert bucket.get(1) == (1, "a", 1)
    assert bucket.changes() == [("+I", (1, "a", 1))]


# ---------------------------------------------------------------------- versioned


def test_versions_decide(opened: Opener) -> None:
    bucket = opened(merge_engine="versioned", version_column="version")
    assert bucket.write([(1, "a", None)]) == [("+I", (1, "a", None))]
    assert bucket.write([(1, "b", None)]) == [("-U", (1, "a", None)), ("+U", (1, "b", None))]
    assert bucket.write([(1, "c", 5)]) == [("-U", (1, "b", None)), ("+U", (1, "c", 5))]
    assert bucket.write([(1, "d", 4), (1, "e", None)]) == []
    assert bucket.write([(1, "c", 5)]) == [("-U", (1, "c", 5)), ("+U", (1, "c", 5))]
    assert bucket.write([(1, "f", 6), (1, "g", 5), (1, "h", 7)]) == [
        ("-U", (1, "c", 5)),
        ("+U", (1, "f", 6)),
        ("-U", (1, "f", 6)),
        ("+U", (1, "h", 7)),
    ]
    assert bucket.get(1) == (1, "h", 7)


def test_null_is_the_smallest_version_and_no_smaller_than_the_smallest(opened: Opener) -> None:
    bucket = opened(merge_engine="versioned", version_column="version", changelog_image="WAL")
    assert bucket.write([(1, "a", -(2**63))]) == [("+I", (1, "a", -(2**63)))]
    assert bucket.write([(1, "b", None)]) == [("+U", (1, "b", None))]
    assert bucket.write([(1, "c", -(2**63))]) == [("+U", (1, "c", -(2**63)))]


@pytest.mark.parametrize("kv_format", ["COMPACTED", "INDEXED"])
@pytest.mark.parametrize(
    ("data_type", "versions"),
    [
        (INT, [-(2**31), -1, 0, 200, 2**31 - 1]),
        (BIGINT, [-(2**63), -1, 0, 200, 2**63 - 1]),
        (DataType(TypeRoot.TIMESTAMP, precision=3), [(-1, 0), (0, 0), (5, 0)]),
        (DataType(TypeRoot.TIMESTAMP, precision=6), [(-1, 999_000), (0, 0), (0, 1_000), (1, 0)]),
        (DataType(TypeRoot.TIMESTAMP_LTZ, precision=0), [(-1_000, 0), (2_000, 0)]),
        (DataType(TypeRoot.TIMESTAMP_LTZ, precision=9), [(-5, 1), (-5, 2), (-4, 0)]),
    ],
)
def test_types_of_versions(opened: Opener, data_type: DataType, versions: list[Any], kv_format: str) -> None:
    schema = make_schema({"name": STRING, "at": data_type, "id": INT}, ["id"])
    bucket = opened(schema, merge_engine="versioned", version_column="at", kv_format=kv_format)
    ordered = [None, *versions]
    for key, version in enumerate(ordered):
        bucket.write([("old", version, key)])
        for other in ordered[:key]:
            expected_change = 2 if (other is None and version == versions[0] and abs(_low(version)) >= 2**31) else 0
            assert len(bucket.write([("new", other, key)])) == expected_change, (other, version)
        assert len(bucket.write([("new", version, key)])) == 2
        for other in ordered[key + 1 :]:
            assert len(bucket.write([("newer", other, key)])) == 2, (other, version)


def _low(version: Any) -> int:
    return version if isinstance(version, int) else 0


@pytest.mark.parametrize("properties", [{"merge_engine": "first_row"}, {"merge_engine": "versioned"}])
def test_keeping_engines_know_no_partial_updates_and_no_deletes(opened: Opener, properties: dict[str, str]) -> None:
    bucket = opened(**properties, version_column="version")
    bucket.write([(1, "a", 1)])
    assert code_of(lambda: bucket.write([(1, "b", 2)], targets=[0, 1])) is ErrorCode.INVALID_TARGET_COLUMN
    assert bucket.write(deletes=[(1,)]) == []
    assert bucket.get(1) == (1, "a", 1)
    strict = opened(**properties, version_column="version", delete_behavior="DISABLE")
    strict.write([(1, "a", 1)])
    end = strict.log.end_offset
    assert code_of(lambda: strict.write([(2, "b", 2)], [(1,)])) is ErrorCode.DELETION_DISABLED_EXCEPTION
    assert strict.log.end_offset == end
    assert strict.get(2) is None


# ---------------------------------------------------------------------- aggregation

TOTALS = aggregating(
    make_schema({"id": INT, "total": BIGINT, "names": STRING, "last": STRING, "best": DOUBLE}, ["id"]),
    total="SUM",
    names="listagg",
    best="max",
)


@pytest.mark.parametrize("kv_format", ["COMPACTED", "INDEXED"])
def test_every_column_has_its_function(opened: Opener, kv_format: str) -> None:
    bucket = opened(TOTALS, merge_engine="aggregation", kv_format=kv_format)
    first, second = (1, 5, "a", "x", None), (1, 7, "b", None, 2.5)
    assert bucket.write([first]) == [("+I", first)]
    merged = (1, 12, "a,b", "x", 2.5)
    assert bucket.write([second]) == [("-U", first), ("+U", merged)]
    third = (1, None, None, "y", 1.0)
    assert bucket.write([third]) == [("-U", merged), ("+U", (1, 12, "a,b", "y", 2.5))]
    assert bucket.get(1) == (1, 12, "a,b", "y", 2.5)


def test_an_aggregate_that_stays_the_same_is_a_change(opened: Opener) -> None:
    bucket = opened(TOTALS, merge_engine="aggregation")
    row = (1, 0, None, "x", 1.0)
    bucket.write([row])
    assert bucket.write([row]) == [("-U", row), ("+U", row)]


def test_a_key_several_times_in_a_batch(opened: Opener) -> None:
    bucket = opened(TOTALS, merge_engine="aggregation")
    bucket.write([(key % 3, key, str(key), None, None) for key in range(99)])
    assert [bucket.get(key) for key in range(3)] == [
        (key, sum(range(key, 99, 3)), ",".join(map(str, range(key, 99, 3))), None, None) for key in range(3)
    ]
    assert bucket.replayed() == bucket.rows()


def test_deletes_of_aggregates(opened: Opener) -> None:
    row = (1, 5, "a", "x", 1.0)
    ignoring = opened(TOTALS, merge_engine="aggregation")
    ignoring.write([row])
    assert ignoring.write(deletes=[(1,)]) == []
    allowing = opened(TOTALS, merge_engine="aggregation", delete_behavior="ALLOW")
    allowing.write([row])
    assert allowing.write(deletes=[(1,), (2,)]) == [("-D", row)]
    assert allowing.write([row]) == [("+I", row)]


def test_partial_aggregation(opened: Opener) -> None:
    bucket = opened(TOTALS, merge_engine="aggregation", delete_behavior="ALLOW")
    first = (1, 5, None, None, None)
    assert bucket.write([first], targets=[0, 1]) == [("+I", first)]
    second = (1, 5, "a", None, None)
    assert bucket.write([(1, 1_000, "a", "never", None)], targets=[0, 2]) == [("-U", first), ("+U", second)]
    third = (1, 6, "a", None, None)
    assert bucket.write([(1, 1, None, None, None)], targets=[1, 0, 1]) == [("-U", second), ("+U", third)]
    fourth = (1, None, "a", None, None)
    assert bucket.write(deletes=[(1,)], targets=[0, 1]) == [("-U", third), ("+U", fourth)]
    assert bucket.write(deletes=[(1,)], targets=[0, 2]) == [("-D", fourth)]
    assert code_of(lambda: bucket.write([first], targets=[1])) is ErrorCode.INVALID_TARGET_COLUMN


def test_a_decimal_without_room_becomes_null(opened: Opener) -> None:
    schema = make_schema({"id": INT, "total": DataType(TypeRoot.DECIMAL, precision=5, scale=2)}, ["id"])
    bucket = opened(aggregating(schema, total="sum"), merge_engine="aggregation")
    bucket.write([(1, 99_999)])
    assert bucket.write([(1, 1)]) == [("-U", (1, 99_999)), ("+U", (1, None))]
    assert bucket.write([(1, 7)]) == [("-U", (1, None)), ("+U", (1, 7))]


def test_a_broken_bitmap_fails_its_batch(opened: Opener) -> None:
    schema = make_schema({"id": INT, "seen": DataType(TypeRoot.BYTES)}, ["id"])
    bucket = opened(aggregating(schema, seen="rbm64"), merge_engine="aggregation")
    bucket.write([(1, b"\0")])
    assert code_of(lambda: bucket.write([(1, b"no bitmap")])) is ErrorCode.CORRUPT_RECORD_EXCEPTION
    assert bucket.log.end_offset == 1
    assert bucket.get(1) == (1, b"\0")


# ---------------------------------------------------------------------- overwrite


@pytest.mark.parametrize(
    "properties",
    [
        {"merge_engine": "first_row", "delete_behavior": "DISABLE"},
        {"merge_engine": "versioned", "version_column": "version"},
        {"merge_engine": "aggregation", "delete_behavior": "IGNORE"},
        {"delete_behavior": "DISABLE"},
    ],
)
def test_overwriting_replaces_and_deletes_whatever_the_engine(opened: Opener, properties: dict[str, str]) -> None:
    schema = aggregating(SCHEMA, version="sum") if properties.get("merge_engine") == "aggregation" else SCHEMA
    bucket = opened(schema, **properties)
    bucket.write([(1, "a", 5), (2, "b", 5)])
    overwrite(bucket, [(1, "c", 3)], [(2,)])
    assert bucket.changes(2) == [("-U", (1, "a", 5)), ("+U", (1, "c", 3)), ("-D", (2, "b", 5))]
    assert bucket.rows() == {(1,): (1, "c", 3)}


def test_overwriting_some_columns(opened: Opener) -> None:
    bucket = opened(TOTALS, merge_engine="aggregation")
    bucket.write([(1, 5, "a", "x", 1.0)])
    bucket.kv.put(bucket.batch([(1, 2, None, None, None)]), [0, 1], overwrite=True)
    bucket.kv.commit(bucket.log.end_offset)
    assert bucket.get(1) == (1, 2, "a", "x", 1.0)
    bucket.kv.put(bucket.batch(deletes=[(1,)]), [0, 1], overwrite=True)
    bucket.kv.commit(bucket.log.end_offset)
    assert bucket.get(1) == (1, None, "a", "x", 1.0)


def test_overwriting_with_the_wal_image_reads_no_old_rows(opened: Opener) -> None:
    bucket = opened(merge_engine="first_row", changelog_image="WAL")
    overwrite(bucket, [(1, "a", 1)])
    assert bucket.changes() == [("+U", (1, "a", 1))]


def test_long_lists_hold_the_worker_for_a_bounded_time(opened: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    """A list is written whole for every value that is added: a small batch can make any amount of work."""
    monkeypatch.setattr(aggregation, "MAX_LIST_CHARACTERS", 10_000)
    schema = aggregating(make_schema({"id": INT, "list": STRING, "note": STRING}, ["id"]), list="listagg")
    bucket = opened(schema, merge_engine="aggregation")
    bucket.write([(1, "x" * 900, None)])
    end = bucket.log.end_offset
    for targets in ((), (0, 1)):
        too_much = lambda targets=targets: bucket.write([(1, "y", None)] * 20, targets=targets)  # noqa: E731
        assert code_of(too_much) is ErrorCode.RECORD_TOO_LARGE_EXCEPTION
        assert bucket.log.end_offset == end
        assert bucket.get(1) == (1, "x" * 900, None)
    for _ in range(3):  # each batch has the whole budget
        bucket.write([(1, "y", None)] * 8)
    assert bucket.get(1) == (1, "x" * 900 + ",y" * 24, None)
