"""Rows made of the fields of two others: as if each row were taken apart and put together by itself."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import format_strategies as strategies
from example_support import examples
from fluss_server.errors import ErrorCode, FlussError
from fluss_server.formats.row_codec import row_codec
from fluss_server.formats.row_splicing import RowSplicer
from fluss_server.model.schema import Schema
from fluss_server.model.table import KvFormat

PREFIX = b"\x07\x00"


@given(strategies.tables(), st.data())
@settings(max_examples=examples(6))
def test_spliced_rows(table: tuple[Schema, list[tuple[Any, ...]]], data: st.DataObject) -> None:
    schema, rows = table
    codec = row_codec(schema.types, KvFormat.COMPACTED)
    first = [codec.encode(row) for row in rows]
    second = data.draw(st.permutations(first))
    taken = data.draw(st.lists(st.booleans(), min_size=len(schema.types), max_size=len(schema.types)))
    expected = [
        PREFIX
        + codec.join(
            [b if from_second else a for from_second, a, b in zip(taken, *map(codec.split, pair), strict=True)]
        )
        for pair in zip(first, second, strict=True)
    ]
    splicer = RowSplicer(schema.types, taken)
    assert splicer.splice(first, second, skip=0, prefix=PREFIX) == expected
    skipped = [[b"xyz" + row for row in side] for side in (first, second)]
    assert splicer.splice(*skipped, skip=3, prefix=PREFIX) == expected
    nothing = codec.encode([None] * len(schema.types))
    assert splicer.empty_row == nothing


@given(strategies.tables(max_rows=4), st.booleans(), st.data())
@settings(max_examples=examples(6))
def test_broken_rows_are_refused(
    table: tuple[Schema, list[tuple[Any, ...]]], in_second: bool, data: st.DataObject
) -> None:
    schema, rows = table
    codec = row_codec(schema.types, KvFormat.COMPACTED)
    good = [codec.encode(row) for row in rows]
    bad = [*good[:-1], data.draw(strategies.broken(good[-1]))]
    try:
        codec.split(bad[-1])
    except FlussError:
        splicer = RowSplicer(schema.types, [False] * len(schema.types))
        sides = (good, bad) if in_second else (bad, good)
        with pytest.raises(FlussError) as raised:
            splicer.splice(*sides, skip=0, prefix=b"")
        assert raised.value.code is ErrorCode.CORRUPT_RECORD_EXCEPTION
