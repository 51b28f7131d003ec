"""Rows of every type, scalar and nested, keep their values on every way through a KvTablet."""

from __future__ import annotations

import shutil
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from example_support import examples
from fluss_server.model.schema import Column, Schema
from format_strategies import data_types, scalar_types, values
from kv_support import make_table, open_bucket
from scratch_support import scratch_directory
from vectors_loader import comparable


@st.composite
def keyed_tables(draw: st.DrawFn) -> tuple[Schema, list[tuple[Any, ...]]]:
    """A schema with one or two key columns anywhere, and rows, some of which share a key."""
    kinds = [(kind, False) for kind in draw(st.lists(data_types(), max_size=6))]
    for kind in draw(st.lists(scalar_types(st.just(False)), min_size=1, max_size=2)):
        kinds.insert(draw(st.integers(0, len(kinds))), (kind, True))
    columns = tuple(Column(f"c{index}", kind, index) for index, (kind, _) in enumerate(kinds))
    names = [f"c{index}" for index, (_, is_key) in enumerate(kinds) if is_key]
    schema = Schema(columns, tuple(draw(st.permutations(names))), highest_field_id=len(columns) - 1)
    count = draw(st.sampled_from([1, 3, 40]))
    rows = draw(st.lists(st.tuples(*(values(kind) for kind, _ in kinds)), min_size=1, max_size=count))
    return schema, rows + draw(st.lists(st.sampled_from(rows), max_size=3))


@settings(max_examples=examples(12), suppress_health_check=list(HealthCheck))
@given(keyed_tables(), st.sampled_from(["COMPACTED", "INDEXED"]), st.sampled_from(["NONE", "ZSTD", "LZ4_FRAME"]))
def test_all_types(table: tuple[Schema, list[tuple[Any, ...]]], kv_format: str, compression: str) -> None:
    schema, rows = table
    directory = scratch_directory()
    try:
        bucket = open_bucket(directory / "live", make_table(schema, kv_format=kv_format, compression=compression))
        changes = bucket.write(rows)
        expected = {bucket.key_of_row(row): comparable(row) for row in rows}
        assert comparable([row for kind, row in changes if kind != "-U"]) == comparable(rows)
        assert bucket.kv.row_count == len(expected)
        for key, value in zip(expected, bucket.kv.lookup(list(expected)), strict=True):
            assert comparable(bucket.decode(value)) == expected[key]
        replayed = bucket.crash(directory / "image")
        assert replayed.kv.lookup(list(expected)) == bucket.kv.lookup(list(expected))
        assert replayed.kv.row_count == len(expected)
        replayed.close()
        bucket.close()
    finally:
        shutil.rmtree(directory)
