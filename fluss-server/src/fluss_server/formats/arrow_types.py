"""Arrow types of table columns (docs/formats/arrow.md)."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from fluss_server.model.schema import Schema
from fluss_server.model.types import DataType, TypeRoot

if TYPE_CHECKING:
    import pyarrow as pa


def arrow_schema(schema: Schema) -> pa.Schema:
    """Schema of the Arrow batches of a table: one field per column, nullable where the column is."""
    return _arrow_schema(schema.names, schema.types)


@lru_cache(maxsize=1024)
def _arrow_schema(names: tuple[str, ...], types: tuple[DataType, ...]) -> pa.Schema:
    import pyarrow as pa

    fields = [pa.field(name, arrow_type(kind), kind.nullable) for name, kind in zip(names, types, strict=True)]
    return pa.schema(fields)


@lru_cache(maxsize=1024)
def arrow_type(data_type: DataType) -> pa.DataType:
    """Arrow type of a column or nested field.

    Timestamps carry no time zone, also TIMESTAMP_LTZ. Precisions choose units: 0 seconds, 1-3 milliseconds, 4-6
    microseconds, 7-9 nanoseconds.
    """
    import pyarrow as pa

    root = data_type.root
    simple = {
        TypeRoot.BOOLEAN: pa.bool_,
        TypeRoot.TINYINT: pa.int8,
        TypeRoot.SMALLINT: pa.int16,
        TypeRoot.INTEGER: pa.int32,
        TypeRoot.BIGINT: pa.int64,
        TypeRoot.FLOAT: pa.float32,
        TypeRoot.DOUBLE: pa.float64,
        TypeRoot.CHAR: pa.utf8,
        TypeRoot.STRING: pa.utf8,
        TypeRoot.BYTES: pa.binary,
        TypeRoot.DATE: pa.date32,
    }.get(root)
    if simple is not None:
        return simple()
    if root is TypeRoot.BINARY:
        return pa.binary(data_type.length)
    if root is TypeRoot.DECIMAL:
        return pa.decimal128(data_type.precision, data_type.scale)
    if root is TypeRoot.TIME:
        unit = time_unit(data_type.precision)
        return pa.time32(unit) if data_type.precision <= 3 else pa.time64(unit)
    if root in (TypeRoot.TIMESTAMP, TypeRoot.TIMESTAMP_LTZ):
        return pa.timestamp(time_unit(data_type.precision))
    if root is TypeRoot.ARRAY:
        assert data_type.element is not None
        return pa.list_(pa.field("element", arrow_type(data_type.element), data_type.element.nullable))
    if root is TypeRoot.MAP:
        assert data_type.key is not None
        assert data_type.element is not None
        return pa.map_(
            pa.field("key", arrow_type(data_type.key), nullable=False),
            pa.field("value", arrow_type(data_type.element), data_type.element.nullable),
        )
    assert root is TypeRoot.ROW
    return pa.struct([pa.field(field.name, arrow_type(field.type), field.type.nullable) for field in data_type.fields])


def time_unit(precision: int) -> str:
    """Arrow unit of a TIME or TIMESTAMP with this many fraction digits: ``s``, ``ms``, ``us`` or ``ns``."""
    return "s" if precision == 0 else "ms" if precision <= 3 else "us" if precision <= 6 else "ns"
