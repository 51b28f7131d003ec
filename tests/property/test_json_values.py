"""What ``fluss tail`` prints, ``fluss put`` reads back as the same values."""

from __future__ import annotations

import json
import math
from decimal import Decimal
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from example_support import examples
from fluss_server.cli.json_values import from_json, parse_json, to_json
from fluss_server.model.types import DataType, RowField, TypeRoot

_DAY = 86_400_000
_FIRST_DAY, _LAST_DAY = -719_162, 2_932_896  # years 1 to 9999


def _timestamps(precision: int) -> st.SearchStrategy[tuple[int, int]]:
    step = 10 ** max(0, 3 - precision)
    nano_step = 10 ** (9 - max(precision, 3))
    return st.tuples(
        st.integers(_FIRST_DAY * _DAY // step, ((_LAST_DAY + 1) * _DAY - 1) // step).map(lambda value: value * step),
        st.integers(0, 999_999 // nano_step if precision > 3 else 0).map(lambda value: value * nano_step),
    )


def _floats(width: int) -> st.SearchStrategy[float]:
    return st.floats(width=width, allow_nan=True)  # type: ignore[arg-type]


_SCALARS: list[st.SearchStrategy[tuple[DataType, Any]]] = [
    st.tuples(st.just(DataType(TypeRoot.BOOLEAN)), st.booleans()),
    st.tuples(st.just(DataType(TypeRoot.TINYINT)), st.integers(-128, 127)),
    st.tuples(st.just(DataType(TypeRoot.BIGINT)), st.integers(-(2**63), 2**63 - 1)),
    st.tuples(st.just(DataType(TypeRoot.FLOAT)), _floats(32)),
    st.tuples(st.just(DataType(TypeRoot.DOUBLE)), _floats(64)),
    st.tuples(st.just(DataType(TypeRoot.STRING)), st.text()),
    st.tuples(st.just(DataType(TypeRoot.BYTES)), st.binary()),
    st.tuples(st.just(DataType(TypeRoot.DATE)), st.integers(_FIRST_DAY, _LAST_DAY)),
    st.tuples(st.just(DataType(TypeRoot.TIME, precision=3)), st.integers(0, _DAY - 1)),
    st.tuples(st.just(DataType(TypeRoot.DECIMAL, precision=38, scale=7)), st.integers(-(10**38) + 1, 10**38 - 1)),
    *(
        st.tuples(st.just(DataType(root, precision=precision)), _timestamps(precision))
        for root in (TypeRoot.TIMESTAMP, TypeRoot.TIMESTAMP_LTZ)
        for precision in (0, 2, 3, 6, 9)
    ),
]


def _nested(inner: st.SearchStrategy[tuple[DataType, Any]]) -> st.SearchStrategy[tuple[DataType, Any]]:
    def array(pair: tuple[DataType, Any]) -> tuple[DataType, Any]:
        return DataType(TypeRoot.ARRAY, element=pair[0]), [pair[1], None]

    def mapping(pair: tuple[DataType, Any]) -> tuple[DataType, Any]:
        key = DataType(TypeRoot.STRING, nullable=False)
        return DataType(TypeRoot.MAP, key=key, element=pair[0]), [("a", pair[1]), ("", None)]

    def row(pair: tuple[DataType, Any]) -> tuple[DataType, Any]:
        fields = (RowField("x", pair[0]), RowField("y", DataType(TypeRoot.INTEGER)))
        return DataType(TypeRoot.ROW, fields=fields), (pair[1], None)

    return inner.map(array) | inner.map(mapping) | inner.map(row)


def _same(left: Any, right: Any) -> bool:
    if isinstance(left, float):
        return left == right or (math.isnan(left) and math.isnan(right))
    if isinstance(left, (list, tuple)):
        return len(left) == len(right) and all(map(_same, left, right))
    return bool(left == right)


@settings(max_examples=examples(100))
@given(st.recursive(st.one_of(_SCALARS), _nested, max_leaves=4))
def test_printed_values_read_back(pair: tuple[DataType, Any]) -> None:
    data_type, value = pair
    text = json.dumps(to_json(value, data_type))
    assert _same(from_json(parse_json(text), data_type, "c"), value)


@settings(max_examples=examples(100))
@given(st.integers(1, 38), st.data())
def test_decimals_are_read_exactly_from_numbers_and_from_text(precision: int, data: st.DataObject) -> None:
    scale = data.draw(st.integers(0, precision))
    unscaled = data.draw(st.integers(-(10**precision) + 1, 10**precision - 1))
    data_type = DataType(TypeRoot.DECIMAL, precision=precision, scale=scale)
    number = to_json(unscaled, data_type)
    assert from_json(parse_json(f'"{number}"'), data_type, "c") == unscaled
    assert from_json(parse_json(number), data_type, "c") == unscaled  # the same digits as a JSON number
    assert from_json(number, data_type, "c") == unscaled  # as CSV has it


@settings(max_examples=examples(100))
@given(st.decimals(allow_nan=False, allow_infinity=False, min_value=-1000, max_value=1000))
def test_doubles_and_floats_are_rounded_once(number: Decimal) -> None:
    text = f"{number:f}"
    assert from_json(parse_json(text), DataType(TypeRoot.DOUBLE), "c") == float(text)
    read = from_json(parse_json(text), DataType(TypeRoot.FLOAT), "c")
    around = (np.nextafter(np.float32(read), np.float32(limit)) for limit in (-math.inf, math.inf))
    distance = abs(Decimal(read) - number)
    assert all(distance <= abs(Decimal(float(other)) - number) for other in around)
