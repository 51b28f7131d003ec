"""Aggregation functions on the fields of both row formats, against values that Java computes."""

from __future__ import annotations

import math
from typing import Any

import pytest
from pyroaring import BitMap

from fluss_server.errors import ErrorCode, FlussError
from fluss_server.formats.row_codec import field_images
from fluss_server.kv.merge_engines.functions import ListBudget, column_function
from fluss_server.model.aggregation import ACCEPTED_ROOTS, AggFunction, check_agg_function
from fluss_server.model.schema import Column
from fluss_server.model.table import KvFormat
from fluss_server.model.types import DataType, TypeRoot

TINYINT, SMALLINT, INT, BIGINT, FLOAT, DOUBLE, STRING, BOOLEAN, BYTES, DATE = (
    DataType(TypeRoot(name))
    for name in (
        "TINYINT",
        "SMALLINT",
        "INTEGER",
        "BIGINT",
        "FLOAT",
        "DOUBLE",
        "STRING",
        "BOOLEAN",
        "BYTES",
        "DATE",
    )
)
TIME = DataType(TypeRoot.TIME, precision=3)
CHAR = DataType(TypeRoot.CHAR, length=8)
MILLIS = DataType(TypeRoot.TIMESTAMP, precision=3)
NANOS = DataType(TypeRoot.TIMESTAMP_LTZ, precision=9)
ARRAY = DataType(TypeRoot.ARRAY, element=INT)
INF, NAN = math.inf, math.nan
LISTS = ListBudget(1 << 20)


def decimal(precision: int, scale: int) -> DataType:
    return DataType(TypeRoot.DECIMAL, precision=precision, scale=scale)


def aggregate(name: str, data_type: DataType, there: Any, sent: Any, **parameters: str) -> Any:
    """The result in both formats, which must agree."""
    check_agg_function("c", data_type, name, parameters)
    results = []
    for kv_format in KvFormat:
        images = field_images(data_type, kv_format)
        combine = column_function(Column("c", data_type, 1, None, (name, tuple(parameters.items()))), kv_format, LISTS)
        result = combine(None if there is None else images.write(there), None if sent is None else images.write(sent))
        results.append(None if result is None else images.read(result))
    assert repr(results[0]) == repr(results[1])
    return results[0]


MAX = {TINYINT: 127, SMALLINT: 2**15 - 1, INT: 2**31 - 1, BIGINT: 2**63 - 1}


@pytest.mark.parametrize("data_type", MAX)
def test_whole_numbers_wrap_around(data_type: DataType) -> None:
    most = MAX[data_type]
    assert aggregate("sum", data_type, most, 1) == -most - 1
    assert aggregate("sum", data_type, -most - 1, -1) == most
    assert aggregate("sum", data_type, 5, -7) == -2
    assert aggregate("product", data_type, most, 2) == -2
    assert aggregate("product", data_type, -most - 1, -1) == -most - 1
    assert aggregate("product", data_type, -3, 5) == -15


def test_products_wrap_in_the_middle() -> None:
    assert aggregate("product", INT, 65_537, 65_539) == 65_537 * 65_539 - 2**32
    assert aggregate("product", BIGINT, 3_037_000_500, 3_037_000_500) == 3_037_000_500**2 - 2**64


@pytest.mark.parametrize(
    ("name", "data_type", "there", "sent", "expected"),
    [
        ("sum", DOUBLE, 0.1, 0.2, 0.1 + 0.2),
        ("sum", DOUBLE, 1e308, 1e308, INF),
        ("sum", FLOAT, 16_777_216.0, 1.0, 16_777_216.0),
        ("sum", FLOAT, 3.4028234663852886e38, 3.4028234663852886e38, INF),
        ("sum", FLOAT, -3.4028234663852886e38, -3.4028234663852886e38, -INF),
        ("sum", FLOAT, INF, -INF, NAN),
        ("product", FLOAT, 1e-30, 1.0000000031710769e-30, 0.0),
        ("product", DOUBLE, -1e300, 1e300, -INF),
        ("sum", decimal(5, 2), 12_345, 5, 12_350),
        ("sum", decimal(5, 2), 99_999, 1, None),
        ("sum", decimal(5, 2), -99_999, -1, None),
        ("sum", decimal(38, 0), 10**38 - 1, 1, None),
        ("sum", decimal(38, 0), 10**38 - 1, -(10**38) + 1, 0),
        ("product", decimal(10, 2), 150, 150, 225),
        ("product", decimal(10, 2), 105, 50, 53),  # 0.525 rounds half up
        ("product", decimal(10, 2), -105, 50, -53),
        ("product", decimal(10, 2), 104, 50, 52),
        ("product", decimal(4, 0), 100, 100, None),
        ("product", decimal(30, 10), 12_345_678_901, 98_765_432_109, 121_932_631_134),
        ("max", BIGINT, -5, 3, 3),
        ("min", BIGINT, -5, 3, -5),
        ("max", decimal(20, 4), -1, -2, -1),
        ("min", decimal(9, 4), -1, -2, -2),
        ("max", DOUBLE, NAN, 5.0, NAN),
        ("max", DOUBLE, 5.0, NAN, NAN),
        ("min", DOUBLE, NAN, INF, INF),
        ("max", FLOAT, -0.0, 0.0, 0.0),
        ("min", FLOAT, 0.0, -0.0, -0.0),
        ("max", STRING, "\uffff", "\U00010000", "\U00010000"),  # by bytes, not by UTF-16 units
        ("max", STRING, "a", "ab", "ab"),
        ("min", STRING, "", "a", ""),
        ("max", CHAR, "abc", "abd", "abd"),
        ("max", DATE, 1, -1, 1),
        ("min", TIME, 5, 7, 5),
        ("max", MILLIS, (5, 0), (6, 0), (6, 0)),
        ("max", NANOS, (5, 2), (5, 1), (5, 2)),
        ("min", NANOS, (5, 2), (5, 1), (5, 1)),
        ("listagg", STRING, "a", "b", "a,b"),
        ("string_agg", STRING, "", "b", ",b"),
        ("bool_and", BOOLEAN, True, False, False),
        ("bool_and", BOOLEAN, True, True, True),
        ("bool_or", BOOLEAN, False, False, False),
        ("bool_or", BOOLEAN, False, True, True),
        ("Bool-Or", BOOLEAN, True, False, True),
        ("last_value", ARRAY, [1], [2, None], [2, None]),
        ("last_value", STRING, "a", None, None),
        ("last_value_ignore_nulls", STRING, "a", None, "a"),
        ("LAST_VALUE-ignore_nulls", STRING, "a", "b", "b"),
        ("first_value", STRING, "a", "b", "a"),
        ("first_value", STRING, None, "b", "b"),
        ("first_value_ignore_nulls", ARRAY, None, [1], [1]),
        ("rbm32", BYTES, BitMap([1, 9]).serialize(), BitMap([2]).serialize(), BitMap([1, 2, 9]).serialize()),
        ("rbm64", BYTES, b"\0", b"\0", b"\0"),
    ],
)
def test_values(name: str, data_type: DataType, there: Any, sent: Any, expected: Any) -> None:
    assert repr(aggregate(name, data_type, there, sent)) == repr(expected)


def test_delimiters() -> None:
    assert aggregate("listagg", STRING, "a", "b", delimiter=" | ") == "a | b"
    assert aggregate("string_agg", STRING, "ä", "ö", delimiter="é") == "äéö"


@pytest.mark.parametrize("function", AggFunction)
def test_a_null_gives_way_to_the_other_operand(function: AggFunction) -> None:
    samples: dict[TypeRoot, tuple[DataType, Any]] = {
        TypeRoot.STRING: (STRING, "x"),
        TypeRoot.BIGINT: (BIGINT, 7),
        TypeRoot.BOOLEAN: (BOOLEAN, False),
        TypeRoot.BYTES: (BYTES, b"not even a bitmap"),
    }
    data_type, value = next(samples[root] for root in samples if root in ACCEPTED_ROOTS[function])
    assert aggregate(function.value, data_type, None, value) == value
    assert aggregate(function.value, data_type, value, None) == (None if function.value == "last_value" else value)
    assert aggregate(function.value, data_type, None, None) is None


def test_damaged_fields_are_corrupt() -> None:
    combine = column_function(Column("c", BIGINT, 1, None, ("sum", ())), KvFormat.COMPACTED, LISTS)
    with pytest.raises(FlussError):
        combine(b"\x01", b"\x80" * 10)
    with pytest.raises(FlussError):
        aggregate("rbm32", BYTES, b"", b"")


def test_the_lists_of_a_batch_are_bounded_together() -> None:
    lists = ListBudget(10)
    images = field_images(STRING, KvFormat.COMPACTED)
    combine = column_function(Column("c", STRING, 1, None, ("listagg", ())), KvFormat.COMPACTED, lists)
    assert combine(images.write("abc"), images.write("d")) == images.write("abc,d")
    assert combine(None, images.write("x" * 100)) == images.write("x" * 100)
    with pytest.raises(FlussError, match="more than 10 characters") as caught:
        combine(images.write("abcdef"), images.write("g"))
    assert caught.value.code is ErrorCode.RECORD_TOO_LARGE_EXCEPTION
    lists.begin_batch()
    assert combine(images.write("abcdef"), images.write("g")) == images.write("abcdef,g")
