"""Arrow arrays from numpy columns of row numbers, and back.

Rows and Arrow batches count time differently: a row holds milliseconds (and nanoseconds of the millisecond), Arrow the
unit of the column's precision. Row to Arrow truncates what is finer than that unit: seconds toward zero, smaller units
toward the past (docs/formats/arrow.md).
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from fluss_server.errors import ErrorCode, FlussError
from fluss_server.formats.arrow_types import arrow_type, time_unit
from fluss_server.formats.scalars import TIMESTAMP_ROOTS, corrupt_row
from fluss_server.model.types import DataType, TypeRoot

Mask: TypeAlias = "npt.NDArray[np.bool_]"
Column: TypeAlias = "npt.NDArray[Any]"

DECIMAL_WIDTH = 16
_MAX_BINARY_COLUMN_BYTES = 1 << 28  # Arrow spends the full width on a null, too
_PER_SECOND = 1000
_NANOS_PER_MILLI = 1_000_000
_PER_MILLI = {"us": 1000, "ns": _NANOS_PER_MILLI}
_RANGES = {
    1000: "-290308-12-21T19:59:05.224192 to 294247-01-10T04:00:54.775807",
    _NANOS_PER_MILLI: "1677-09-21T00:12:43.145224192 to 2262-04-11T23:47:16.854775807",
}
_U1: np.dtype[Any] = np.dtype("u1")
_I4: np.dtype[Any] = np.dtype("<i4")
_I8: np.dtype[Any] = np.dtype("<i8")
_DTYPES: dict[TypeRoot, np.dtype[Any]] = {
    TypeRoot.TINYINT: np.dtype("<i1"),
    TypeRoot.SMALLINT: np.dtype("<i2"),
    TypeRoot.INTEGER: np.dtype("<i4"),
    TypeRoot.DATE: np.dtype("<i4"),
    TypeRoot.BIGINT: np.dtype("<i8"),
    TypeRoot.FLOAT: np.dtype("<f4"),
    TypeRoot.DOUBLE: np.dtype("<f8"),
}


def check_fixed_size(data_type: DataType, count: int) -> None:
    """Refuse ``count`` values of a BINARY(n) that would take an excessive column.

    Raises:
        FlussError: ``RECORD_TOO_LARGE_EXCEPTION``.
    """
    if data_type.root is TypeRoot.BINARY and data_type.length * count > _MAX_BINARY_COLUMN_BYTES:
        raise FlussError(
            ErrorCode.RECORD_TOO_LARGE_EXCEPTION,
            f"{count} values of {data_type} in one batch",
            hint=f"send fewer rows at once; a BINARY column of a batch takes at most {_MAX_BINARY_COLUMN_BYTES} bytes",
        )


def array_from_buffers(
    data_type: DataType, count: int, nulls: Mask | None, buffers: list[Any], children: list[pa.Array] | None = None
) -> pa.Array:
    """An array of a type from its buffers without the validity buffer, which ``nulls`` (True = null) gives."""
    validity = None
    null_count = 0
    if nulls is not None:
        validity = pa.py_buffer(np.packbits(~nulls, bitorder="little"))
        null_count = int(np.count_nonzero(nulls))
    return pa.Array.from_buffers(
        arrow_type(data_type),
        count,
        [validity, *(pa.py_buffer(buffer) for buffer in buffers)],
        null_count,
        children=children,
    )


def array_from_numbers(numbers: Column, data_type: DataType, nulls: Mask | None) -> pa.Array:
    """An array of a type of fixed width (:func:`fluss_server.formats.scalars.fixed_width`).

    Args:
        numbers: as rows hold them; timestamps as milliseconds, booleans as anything but zero for true.
        data_type: type of the column.
        nulls: True = null; None = no nulls.

    Raises:
        FlussError: ``CORRUPT_RECORD_EXCEPTION`` for a timestamp that its unit cannot hold.
    """
    root = data_type.root
    if root is TypeRoot.BOOLEAN:
        values: Column = np.packbits(numbers != 0, bitorder="little")
    elif root is TypeRoot.DECIMAL:
        values = np.empty((len(numbers), 2), "<i8")
        values[:, 0] = numbers
        values[:, 1] = numbers >> 63
    elif root is TypeRoot.TIME:
        values = _time_to_unit(numbers, data_type.precision)
    elif root in TIMESTAMP_ROOTS:
        values = _seconds(numbers) if data_type.precision == 0 else numbers
    else:
        values = numbers
    return array_from_buffers(data_type, len(numbers), nulls, [np.ascontiguousarray(values)])


def array_from_timestamps(
    milliseconds: Column, nanoseconds: Column, data_type: DataType, nulls: Mask | None
) -> pa.Array:
    """An array of a timestamp type of precision 4 to 9; errors as :func:`array_from_numbers`.

    Args:
        milliseconds: int64.
        nanoseconds: of the millisecond, 0 to 999,999.
        data_type: type of the column.
        nulls: True = null; None = no nulls.
    """
    factor = _PER_MILLI[time_unit(data_type.precision)]
    units = nanoseconds // (_NANOS_PER_MILLI // factor)
    if len(milliseconds):
        _check_range(milliseconds, units, factor, data_type)
    # The product of the first millisecond of the range overflows; adding the units brings the value back into it.
    values = milliseconds * factor + units
    return array_from_buffers(data_type, len(values), nulls, [values])


def _check_range(milliseconds: Column, units: Column, factor: int, data_type: DataType) -> None:
    first, first_units = divmod(-(2**63), factor)
    last, last_units = divmod(2**63 - 1, factor)
    if first < int(milliseconds.min()) and int(milliseconds.max()) < last:
        return
    too_early = (milliseconds < first) | ((milliseconds == first) & (units < first_units))
    too_late = (milliseconds > last) | ((milliseconds == last) & (units > last_units))
    if bool((too_early | too_late).any()):
        raise corrupt_row(f"a timestamp is out of the range of {data_type}, {_RANGES[factor]}")


def nulls_of(array: pa.Array) -> Mask | None:
    """True where an array is null; None if it has no nulls."""
    if array.null_count == 0:
        return None
    validity = array.buffers()[0]
    bits = np.unpackbits(np.frombuffer(validity, np.uint8), bitorder="little", count=array.offset + len(array))
    absent: Mask = bits[array.offset :] == 0
    return absent


def numbers_of(array: pa.Array, data_type: DataType) -> Column:
    """Reverse of :func:`array_from_numbers`; what stands in null places is arbitrary.

    Raises:
        FlussError: ``CORRUPT_RECORD_EXCEPTION`` for seconds out of the range of milliseconds.
    """
    root = data_type.root
    if root is TypeRoot.BOOLEAN:
        data = np.frombuffer(array.buffers()[1] or b"", np.uint8)
        return np.unpackbits(data, bitorder="little", count=array.offset + len(array))[array.offset :].view(np.int8)
    if root is TypeRoot.DECIMAL:
        return _values(array, _I8, 2)[::2]
    if root is TypeRoot.TIME:
        return _time_from_unit(array, data_type.precision)
    if root in TIMESTAMP_ROOTS:
        values = _values(array, _I8)
        return _times_1000(values, data_type, nulls_of(array)) if data_type.precision == 0 else values
    return _values(array, _DTYPES[root])


def timestamps_of(array: pa.Array, data_type: DataType) -> tuple[Column, Column]:
    """Reverse of :func:`array_from_timestamps`: milliseconds, and nanoseconds of the millisecond, as int64."""
    values = _values(array, _I8)
    factor = _PER_MILLI[time_unit(data_type.precision)]
    milliseconds = values // factor
    return milliseconds, (values - milliseconds * factor) * (_NANOS_PER_MILLI // factor)


def fixed_size_values(array: pa.Array, width: int) -> Column:
    """Bytes of an array of values of ``width`` bytes (wide decimals, BINARY), one row of a matrix each."""
    return _values(array, _U1, width).reshape(len(array), width)


def offsets_of(array: pa.Array) -> Column:
    """The ``len(array) + 1`` int32 offsets of a text, bytes, list or map array."""
    if len(array) == 0:
        return np.zeros(1, "<i4")
    return np.frombuffer(array.buffers()[1], "<i4", len(array) + 1, 4 * array.offset)


def _values(array: pa.Array, dtype: np.dtype[Any], per_value: int = 1) -> Column:
    count = len(array) * per_value
    if count == 0:
        return np.zeros(0, dtype)
    return np.frombuffer(array.buffers()[1], dtype, count, array.offset * per_value * dtype.itemsize)


def _seconds(milliseconds: Column) -> Column:
    seconds: Column = (milliseconds + (milliseconds < 0) * (_PER_SECOND - 1)) // _PER_SECOND
    return seconds


def _time_to_unit(milliseconds: Column, precision: int) -> Column:
    unit = time_unit(precision)
    if unit == "s":
        return milliseconds // _PER_SECOND
    if unit == "ms":
        return milliseconds
    return milliseconds.astype(np.int64) * _PER_MILLI[unit]


def _time_from_unit(array: pa.Array, precision: int) -> Column:
    unit = time_unit(precision)
    if unit == "ms":
        return _values(array, _I4)
    if unit == "s":
        return _values(array, _I4).astype("<i8") * _PER_SECOND
    return _values(array, _I8) // _PER_MILLI[unit]


def _times_1000(seconds: Column, data_type: DataType, nulls: Mask | None) -> Column:
    if nulls is not None:
        seconds = np.where(nulls, np.int64(0), seconds)
    limit = (2**63 - 1) // _PER_SECOND
    if len(seconds) and (int(seconds.max()) > limit or int(seconds.min()) < -limit):
        raise corrupt_row(f"a timestamp is out of the range of {data_type}")
    return seconds * _PER_SECOND
