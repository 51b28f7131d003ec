"""Aggregation functions over the encoded fields of rows.

Rules, with acc = what is there and in = what is written (docs/primary-key-tables.md):

======================================  ====================================================================
function                                result
======================================  ====================================================================
last_value                              in
last_value_ignore_nulls (the default)   in, or acc where in is null
first_value, first_value_ignore_nulls   acc, or in where acc is null
all others                              the one that is not null, or if both are not null:
sum, product                            whole numbers wrap around like Java's; FLOAT rounds to 32 bits; DECIMAL
                                        keeps precision and scale of its column (product: half up), null if
                                        the result has more digits
max, min                                by value; text by its bytes; NaN is the greatest number, -0.0 < 0.0
listagg, string_agg                     acc, delimiter, in
bool_and, bool_or                       and, or
rbm32, rbm64                            union of serialized roaring bitmaps
======================================  ====================================================================
"""

from __future__ import annotations

import math
import operator
import struct
from collections.abc import Callable
from typing import Any

from fluss_server.errors import ErrorCode, FlussError
from fluss_server.formats.row_codec import FieldImages, field_images
from fluss_server.kv.merge_engines.roaring import union32, union64
from fluss_server.model.aggregation import DEFAULT_DELIMITER, DEFAULT_FUNCTION, DELIMITER, AggFunction
from fluss_server.model.schema import Column
from fluss_server.model.table import KvFormat
from fluss_server.model.types import DataType, TypeRoot

Image = bytes | None
"""An encoded field; None = null."""

Combine = Callable[[Image, Image], Image]
"""From the field that is there and the field that is written to the field of the result."""

_Numbers = Callable[[Any, Any], Any]

_INTEGER_BITS = {TypeRoot.TINYINT: 8, TypeRoot.SMALLINT: 16, TypeRoot.INTEGER: 32, TypeRoot.BIGINT: 64}
_FLOAT32 = struct.Struct("<f")


def last_value(there: Image, sent: Image) -> Image:
    """What is written, null or not; also the function of key columns."""
    return sent


def last_value_ignore_nulls(there: Image, sent: Image) -> Image:
    """What is written, unless it is null."""
    return there if sent is None else sent


def first_value(there: Image, sent: Image) -> Image:
    """What is there, unless it is null; also the function of columns that a partial update leaves alone."""
    return sent if there is None else there


def keep(there: Image, sent: Image) -> Image:
    """What is there: the function of columns that a partial update does not name."""
    return there


class ListBudget:
    """Bounds how much text ``listagg`` builds for one batch: each value is written whole, however little is added.

    Args:
        limit: characters of all results together.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._left = limit

    def begin_batch(self) -> None:
        """Nothing has been built yet."""
        self._left = self._limit

    def spend(self, characters: int) -> None:
        """Take in the length of a result; ``RECORD_TOO_LARGE_EXCEPTION`` when all of the batch are too long."""
        self._left -= characters
        if self._left < 0:
            raise FlussError(
                ErrorCode.RECORD_TOO_LARGE_EXCEPTION,
                f"the listagg values that this batch builds have more than {self._limit} characters together, the last"
                f" one {characters}",
                hint="write smaller batches, or use another key before a value becomes so long",
            )


def column_function(column: Column, kv_format: KvFormat, lists: ListBudget) -> Combine:
    """The function of a column that is not part of the key, for rows of a format.

    The column was checked by :func:`fluss_server.model.aggregation.check_agg_function`.

    Args:
        column: the column.
        kv_format: of the rows.
        lists: bounds the results of ``listagg``.
    """
    name, parameters = column.agg_function or (DEFAULT_FUNCTION, ())
    function = AggFunction.named(name)
    assert function is not None, f"column {column.name} was created with an unknown function"
    if function is AggFunction.LAST_VALUE:
        return last_value
    if function is AggFunction.LAST_VALUE_IGNORE_NULLS:
        return last_value_ignore_nulls
    if function in (AggFunction.FIRST_VALUE, AggFunction.FIRST_VALUE_IGNORE_NULLS):
        return first_value
    return _ignoring_nulls(_value_function(function, column.type, dict(parameters), lists), column.type, kv_format)


def _ignoring_nulls(function: _Numbers, data_type: DataType, kv_format: KvFormat) -> Combine:
    images: FieldImages = field_images(data_type, kv_format)
    read, write = images.read, images.write

    def combine(there: Image, sent: Image) -> Image:
        if there is None:
            return sent
        if sent is None:
            return there
        result = function(read(there), read(sent))
        return None if result is None else write(result)

    return combine


def _value_function(
    function: AggFunction, data_type: DataType, parameters: dict[str, str], lists: ListBudget
) -> _Numbers:
    if function is AggFunction.SUM:
        return _arithmetic(operator.add, data_type)
    if function is AggFunction.PRODUCT:
        return _arithmetic(operator.mul, data_type)
    if function in (AggFunction.MAX, AggFunction.MIN):
        return _extreme(function, data_type)
    if function in (AggFunction.LISTAGG, AggFunction.STRING_AGG):
        return _listagg(parameters.get(DELIMITER, DEFAULT_DELIMITER), lists)
    if function is AggFunction.BOOL_AND:
        return lambda there, sent: there and sent
    if function is AggFunction.BOOL_OR:
        return lambda there, sent: there or sent
    return union32 if function is AggFunction.RBM32 else union64


def _listagg(delimiter: str, lists: ListBudget) -> _Numbers:
    def join(there: str, sent: str) -> str:
        lists.spend(len(there) + len(sent))
        return there + delimiter + sent

    return join


def _arithmetic(operation: _Numbers, data_type: DataType) -> _Numbers:
    root = data_type.root
    bits = _INTEGER_BITS.get(root)
    if bits is not None:
        return _wrapping(operation, bits)
    if root is TypeRoot.DECIMAL:
        return _decimal(operation, data_type)
    if root is TypeRoot.FLOAT:
        return lambda there, sent: _to_float32(operation(there, sent))
    return operation


def _wrapping(operation: _Numbers, bits: int) -> _Numbers:
    half = 1 << (bits - 1)
    mask = (1 << bits) - 1
    return lambda there, sent: (operation(there, sent) + half & mask) - half


def _decimal(operation: _Numbers, data_type: DataType) -> _Numbers:
    limit = 10**data_type.precision
    # The product of two unscaled values has twice the scale.
    unit = 10**data_type.scale if operation is operator.mul else 1

    def apply(there: int, sent: int) -> int | None:
        result = operation(there, sent)
        if unit > 1:
            rounded = (abs(result) + unit // 2) // unit
            result = rounded if result >= 0 else -rounded
        return result if -limit < result < limit else None

    return apply


def _to_float32(value: float) -> float:
    try:
        return float(_FLOAT32.unpack(_FLOAT32.pack(value))[0])
    except OverflowError:
        return math.copysign(math.inf, value)


def _extreme(function: AggFunction, data_type: DataType) -> _Numbers:
    order: Callable[[Any], Any] | None = None
    if data_type.root in (TypeRoot.FLOAT, TypeRoot.DOUBLE):
        order = _float_order
    is_less: Callable[[Any, Any], bool] = operator.lt
    if order is not None:
        is_less = lambda left, right: order(left) < order(right)  # noqa: E731
    if function is AggFunction.MAX:
        return lambda there, sent: sent if is_less(there, sent) else there
    return lambda there, sent: there if is_less(there, sent) else sent


def _float_order(value: float) -> tuple[bool, float, float]:
    return value != value, value, math.copysign(1.0, value)
