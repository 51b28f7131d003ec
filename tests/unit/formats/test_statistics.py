"""Statistics of batches: the official bytes, and damaged ones."""

from __future__ import annotations

from typing import Any

import pytest

import vectors_loader as vectors
from fluss_server.errors import ErrorCode, FlussError
from fluss_server.formats.log_batch import parse_header
from fluss_server.formats.statistics import ColumnStatistics, StatisticsCodec
from fluss_server.model.types import DataType, TypeRoot

CASES = [case for case in vectors.load("log_arrow_1_0_0")["cases"] if case["statistics_length"]]
INT = DataType(TypeRoot.INTEGER)


def statistics_of(case: dict[str, Any]) -> bytes:
    data = bytes.fromhex(case["bytes"])
    end = parse_header(data).header_size
    return data[end - case["statistics_length"] : end]


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_official_statistics(case: dict[str, Any]) -> None:
    types = vectors.schema_of(case["schema"]).types
    stated = case["statistics"]
    expected = {
        column: ColumnStatistics(nulls, vectors.value_of(low, types[column]), vectors.value_of(high, types[column]))
        for column, nulls, low, high in zip(
            stated["columns"], stated["null_counts"], stated["min"], stated["max"], strict=True
        )
    }
    codec = StatisticsCodec(types)
    assert codec.decode(statistics_of(case)) == expected
    assert codec.encode(expected) == statistics_of(case)


def test_damaged_statistics_are_refused_or_read_and_nothing_else() -> None:
    case = CASES[0]
    good = statistics_of(case)
    codec = StatisticsCodec(vectors.schema_of(case["schema"]).types)
    for damaged in [good[:end] for end in range(len(good))] + [
        good[:at] + bytes([good[at] ^ flip]) + good[at + 1 :] for at in range(len(good)) for flip in (1, 0x80, 0xFF)
    ]:
        assert code_of(codec, damaged) in (None, ErrorCode.CORRUPT_RECORD_EXCEPTION)


def code_of(codec: StatisticsCodec, data: bytes) -> ErrorCode | None:
    try:
        codec.decode(data)
    except FlussError as error:
        return error.code
    return None


def test_columns_must_be_those_of_the_schema() -> None:
    codec = StatisticsCodec([INT])
    good = codec.encode({0: ColumnStatistics(0, 1, 2)})
    assert codec.decode(good) == {0: ColumnStatistics(0, 1, 2)}
    for column in (1, -1):
        with pytest.raises(FlussError, match="columns"):
            codec.decode(good[:3] + column.to_bytes(2, "little", signed=True) + good[5:])
    with pytest.raises(FlussError, match="version 2"):
        codec.decode(b"\x02" + good[1:])
