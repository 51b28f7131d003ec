"""Arrow arrays from Python values and back, for every type; the values are those of :mod:`fluss_server.model.types`."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa

from fluss_server.formats.arrow_arrays import (
    DECIMAL_WIDTH,
    Column,
    array_from_buffers,
    array_from_numbers,
    array_from_timestamps,
    check_fixed_size,
    fixed_size_values,
    nulls_of,
    numbers_of,
    offsets_of,
    timestamps_of,
)
from fluss_server.formats.arrow_types import arrow_type
from fluss_server.formats.scalars import TIMESTAMP_ROOTS, corrupt_row, fixed_width
from fluss_server.model.types import DataType, TypeRoot


def to_arrow(values: Sequence[Any], data_type: DataType) -> pa.Array:
    """Array of a list of values; None = null.

    Raises:
        FlussError: ``CORRUPT_RECORD_EXCEPTION`` for a value that its Arrow type cannot hold,
            ``RECORD_TOO_LARGE_EXCEPTION`` for an excessive number of BINARY values.
    """
    root = data_type.root
    check_fixed_size(data_type, len(values))
    absent = [value is None for value in values]
    nulls = np.array(absent, np.bool_) if any(absent) else None
    fixed = fixed_width(data_type)
    if fixed is not None:
        convert = fixed.to_number
        numbers = [0 if value is None else value if convert is None else convert(value) for value in values]
        return array_from_numbers(np.array(numbers, "<" + fixed.code), data_type, nulls)
    if root in TIMESTAMP_ROOTS:
        pairs = np.array([(0, 0) if value is None else value for value in values], np.int64).reshape(-1, 2)
        return array_from_timestamps(pairs[:, 0], pairs[:, 1], data_type, nulls)
    if root is TypeRoot.DECIMAL:
        data = b"".join((value or 0).to_bytes(DECIMAL_WIDTH, "little", signed=True) for value in values)
        return array_from_buffers(data_type, len(values), nulls, [data])
    if root is TypeRoot.ARRAY:
        assert data_type.element is not None
        child = to_arrow(_flat(values), data_type.element)
        return array_from_buffers(data_type, len(values), nulls, [_offsets(values)], [child])
    if root is TypeRoot.MAP:
        assert data_type.key is not None
        assert data_type.element is not None
        entries = _flat(values)
        if any(key is None for key, _ in entries):
            raise corrupt_row("a null key in a map")
        columns = [
            to_arrow([key for key, _ in entries], data_type.key),
            to_arrow([value for _, value in entries], data_type.element),
        ]
        kind = arrow_type(data_type).field(0).type
        child = pa.Array.from_buffers(kind, len(entries), [None], 0, children=columns)
        return array_from_buffers(data_type, len(values), nulls, [_offsets(values)], [child])
    if root is TypeRoot.ROW:
        columns = [
            to_arrow([None if value is None else value[index] for value in values], field.type)
            for index, field in enumerate(data_type.fields)
        ]
        return array_from_buffers(data_type, len(values), nulls, [], columns)
    try:
        return pa.array(values, arrow_type(data_type))
    except pa.ArrowException as error:  # a BINARY(n) value that has not n bytes, or more than 2 GiB
        raise corrupt_row(f"a value does not match {data_type}: {error}") from None


def from_arrow(array: pa.Array, data_type: DataType) -> list[Any]:
    """Values of an array, None = null; errors as :func:`to_arrow`."""
    root = data_type.root
    fixed = fixed_width(data_type)
    values: list[Any]
    if fixed is not None:
        values = numbers_of(array, data_type).tolist()
        if fixed.from_number is not None:
            values = [fixed.from_number(value) for value in values]
    elif root in TIMESTAMP_ROOTS:
        milliseconds, nanoseconds = timestamps_of(array, data_type)
        values = list(zip(milliseconds.tolist(), nanoseconds.tolist(), strict=True))
    elif root is TypeRoot.DECIMAL:
        data = fixed_size_values(array, DECIMAL_WIDTH).tobytes()
        positions = range(0, len(data), DECIMAL_WIDTH)
        values = [int.from_bytes(data[at : at + DECIMAL_WIDTH], "little", signed=True) for at in positions]
    elif root is TypeRoot.ARRAY:
        assert data_type.element is not None
        values = _lists(array, lambda child: from_arrow(child, _required(data_type.element)))
    elif root is TypeRoot.MAP:
        values = _lists(array, lambda child: _entries(child, data_type))
    elif root is TypeRoot.ROW:
        columns = [from_arrow(array.field(index), field.type) for index, field in enumerate(data_type.fields)]
        values = list(zip(*columns, strict=True)) if columns else [()] * len(array)
    else:
        plain: list[Any] = array.to_pylist()
        return plain
    nulls = nulls_of(array)
    if nulls is not None:
        for index in np.flatnonzero(nulls).tolist():
            values[index] = None
    return values


def _flat(values: Sequence[Any]) -> list[Any]:
    return [item for value in values if value is not None for item in value]


def _offsets(values: Sequence[Any]) -> Column:
    offsets = np.zeros(len(values) + 1, "<i4")
    np.cumsum([0 if value is None else len(value) for value in values], out=offsets[1:])
    return offsets


def _lists(array: pa.Array, convert: Any) -> list[Any]:
    offsets = offsets_of(array).tolist()
    child = convert(array.values.slice(offsets[0], offsets[-1] - offsets[0]))
    start = offsets[0]
    return [child[one - start : other - start] for one, other in pairwise(offsets)]


def _entries(child: pa.Array, data_type: DataType) -> list[tuple[Any, Any]]:
    keys = from_arrow(child.field(0), _required(data_type.key))
    items = from_arrow(child.field(1), _required(data_type.element))
    return list(zip(keys, items, strict=True))


def _required(data_type: DataType | None) -> DataType:
    assert data_type is not None
    return data_type
