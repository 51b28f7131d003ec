"""Timestamps of rows as Arrow numbers, at the ends of what 64 bits hold."""

from __future__ import annotations

import numpy as np
import pytest

from fluss_server.errors import ErrorCode, FlussError
from fluss_server.formats.arrow_arrays import array_from_timestamps, timestamps_of
from fluss_server.model.types import DataType, TypeRoot

_UNITS_PER_MILLI = {6: 1000, 9: 1_000_000}
_NANOS_PER_MILLI = 1_000_000


def _of_units(units: int, precision: int) -> tuple[int, int]:
    """Milliseconds, and nanoseconds of the millisecond."""
    factor = _UNITS_PER_MILLI[precision]
    milliseconds, rest = divmod(units, factor)
    return milliseconds, rest * (_NANOS_PER_MILLI // factor)


def _array(values: list[tuple[int, int]], precision: int, root: TypeRoot = TypeRoot.TIMESTAMP) -> list[int]:
    pairs = np.array(values, np.int64).reshape(len(values), 2)
    array = array_from_timestamps(pairs[:, 0], pairs[:, 1], DataType(root, precision=precision), None)
    milliseconds, nanoseconds = timestamps_of(array, DataType(root, precision=precision))
    assert list(zip(milliseconds.tolist(), nanoseconds.tolist(), strict=True)) == values
    units: list[int] = np.frombuffer(array.buffers()[1], np.int64, len(array)).tolist()
    return units


@pytest.mark.parametrize("root", [TypeRoot.TIMESTAMP, TypeRoot.TIMESTAMP_LTZ])
@pytest.mark.parametrize("precision", _UNITS_PER_MILLI)
def test_the_whole_range_of_64_bits_is_taken(precision: int, root: TypeRoot) -> None:
    units = [-(2**63), -(2**63) + 1, -1, 0, 1, 2**63 - 2, 2**63 - 1]
    assert _array([_of_units(unit, precision) for unit in units], precision, root) == units


@pytest.mark.parametrize("precision", _UNITS_PER_MILLI)
@pytest.mark.parametrize("units", [2**63, -(2**63) - 1, 2**63 + 10**9, -(2**63) - 10**9])
def test_values_outside_of_the_range_are_refused(precision: int, units: int) -> None:
    with pytest.raises(FlussError, match="out of the range of TIMESTAMP") as refused:
        _array([(0, 0), _of_units(units, precision)], precision)
    assert refused.value.code is ErrorCode.CORRUPT_RECORD_EXCEPTION


def test_the_refusal_names_the_range() -> None:
    with pytest.raises(FlussError, match=r"1677-09-21T00:12:43\.145224192 to 2262-04-11T23:47:16\.854775807"):
        _array([_of_units(2**63, 9)], 9)


def test_no_values() -> None:
    assert _array([], 9) == []
