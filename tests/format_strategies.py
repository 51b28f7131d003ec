"""Hypothesis strategies for data types, values, rows and broken bytes."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from fluss_server.model.schema import Column, Schema
from fluss_server.model.types import DataType, RowField, TypeRoot

_PLAIN = (
    TypeRoot.BOOLEAN,
    TypeRoot.TINYINT,
    TypeRoot.SMALLINT,
    TypeRoot.INTEGER,
    TypeRoot.BIGINT,
    TypeRoot.FLOAT,
    TypeRoot.DOUBLE,
    TypeRoot.STRING,
    TypeRoot.BYTES,
    TypeRoot.DATE,
)
_BITS = {TypeRoot.TINYINT: 8, TypeRoot.SMALLINT: 16, TypeRoot.INTEGER: 32, TypeRoot.BIGINT: 64, TypeRoot.DATE: 32}
_MILLIS_PER_DAY = 86_400_000


def scalar_types(nullable: st.SearchStrategy[bool] | None = None) -> st.SearchStrategy[DataType]:
    """Types that are not nested."""
    null = nullable if nullable is not None else st.booleans()
    precision = st.integers(0, 9)
    return st.one_of(
        st.builds(DataType, st.sampled_from(_PLAIN), null),
        st.builds(DataType, st.sampled_from([TypeRoot.CHAR, TypeRoot.BINARY]), null, length=st.integers(1, 20)),
        st.integers(1, 38).flatmap(
            lambda p: st.builds(
                DataType, st.just(TypeRoot.DECIMAL), null, precision=st.just(p), scale=st.integers(0, p)
            )
        ),
        st.builds(
            DataType,
            st.sampled_from([TypeRoot.TIME, TypeRoot.TIMESTAMP, TypeRoot.TIMESTAMP_LTZ]),
            null,
            precision=precision,
        ),
    )


def data_types() -> st.SearchStrategy[DataType]:
    """All types, nested a few levels."""

    def nest(inner: st.SearchStrategy[DataType]) -> st.SearchStrategy[DataType]:
        return st.one_of(
            st.builds(DataType, st.just(TypeRoot.ARRAY), st.booleans(), element=inner),
            st.builds(DataType, st.just(TypeRoot.MAP), st.booleans(), key=scalar_types(st.just(False)), element=inner),
            st.builds(
                DataType,
                st.just(TypeRoot.ROW),
                st.booleans(),
                fields=st.lists(inner, min_size=1, max_size=3).map(
                    lambda types: tuple(RowField(f"f{index}", kind) for index, kind in enumerate(types))
                ),
            ),
        )

    return st.recursive(scalar_types(), nest, max_leaves=4)


def values(data_type: DataType) -> st.SearchStrategy[Any]:
    """Values of a type that every format keeps exactly."""
    strategy = _present(data_type)
    return st.none() | strategy if data_type.nullable else strategy


def _present(data_type: DataType) -> st.SearchStrategy[Any]:
    root = data_type.root
    if root is TypeRoot.BOOLEAN:
        return st.booleans()
    if root in _BITS:
        limit = 2 ** (_BITS[root] - 1)
        return st.integers(-limit, limit - 1)
    if root in (TypeRoot.FLOAT, TypeRoot.DOUBLE):
        return st.floats(allow_nan=False, width=32 if root is TypeRoot.FLOAT else 64)
    if root is TypeRoot.STRING:
        return st.text(max_size=12)
    if root is TypeRoot.CHAR:  # an indexed row keeps n bytes and drops zeros at their end
        return st.text(st.characters(min_codepoint=1, max_codepoint=0x7F), max_size=data_type.length)
    if root is TypeRoot.BYTES:
        return st.binary(max_size=12)
    if root is TypeRoot.BINARY:
        return st.binary(min_size=data_type.length, max_size=data_type.length)
    if root is TypeRoot.DECIMAL:
        limit = 10**data_type.precision - 1
        return st.integers(-limit, limit)
    if root is TypeRoot.TIME:
        return st.integers(0, _MILLIS_PER_DAY - 1) if data_type.precision else st.integers(0, 86_399).map(_thousand)
    if root in (TypeRoot.TIMESTAMP, TypeRoot.TIMESTAMP_LTZ):
        if data_type.precision == 0:
            return st.integers(-(10**9), 10**10).map(lambda seconds: (seconds * 1000, 0))
        unit = 1_000_000 if data_type.precision <= 3 else 1000 if data_type.precision <= 6 else 1
        nanoseconds = st.integers(0, 1_000_000 // unit - 1).map(lambda count: count * unit)
        return st.tuples(st.integers(-(10**12), 10**12), nanoseconds)
    if root is TypeRoot.ARRAY:
        assert data_type.element is not None
        return st.lists(values(data_type.element), max_size=4)
    if root is TypeRoot.MAP:
        assert data_type.key is not None
        assert data_type.element is not None
        return st.lists(st.tuples(values(data_type.key), values(data_type.element)), max_size=3)
    return st.tuples(*(values(field.type) for field in data_type.fields))


def _thousand(number: int) -> int:
    return number * 1000


def schema_of_types(types: list[DataType]) -> Schema:
    """Schema with columns c0, c1, ..."""
    return Schema(tuple(Column(f"c{index}", kind, index) for index, kind in enumerate(types)))


@st.composite
def tables(draw: st.DrawFn, max_rows: int = 6) -> tuple[Schema, list[tuple[Any, ...]]]:
    """A schema and some rows of values."""
    types = draw(st.lists(data_types(), min_size=1, max_size=9))
    rows = draw(st.lists(st.tuples(*map(values, types)), min_size=1, max_size=max_rows))
    return schema_of_types(types), rows


@st.composite
def broken(draw: st.DrawFn, data: bytes, start: int = 0) -> bytes:
    """Some bytes with a few changes behind ``start``: bits, numbers, cuts, insertions."""
    out = bytearray(data)
    for _ in range(draw(st.integers(1, 3))):
        if len(out) <= start:
            break
        at = draw(st.integers(start, len(out) - 1))
        change = draw(st.sampled_from(["byte", "int32", "int64", "cut", "drop", "insert"]))
        if change == "byte":
            out[at] = draw(st.integers(0, 255))
        elif change == "int32":
            out[at : at + 4] = draw(_numbers(31)).to_bytes(4, "little", signed=True)
        elif change == "int64":
            out[at : at + 8] = draw(_numbers(63)).to_bytes(8, "little", signed=True)
        elif change == "cut":
            del out[at:]
        elif change == "drop":
            del out[at : at + draw(st.integers(1, 9))]
        else:
            out[at:at] = draw(st.binary(min_size=1, max_size=9))
    return bytes(out)


def _numbers(bits: int) -> st.SearchStrategy[int]:
    limit = 2**bits
    return st.sampled_from([0, 1, -1, 8, limit - 1, -limit]) | st.integers(-limit, limit - 1)
