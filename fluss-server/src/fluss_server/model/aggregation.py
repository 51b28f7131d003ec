"""Aggregation functions of columns: names, the types they accept, and their parameters.

Source: docs/primary-key-tables.md. What they compute is in :mod:`fluss_server.kv.merge_engines.functions`.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum

from fluss_server.errors import ErrorCode, FlussError
from fluss_server.model.types import DataType, TypeRoot

DELIMITER = "delimiter"
"""Parameter of LISTAGG and STRING_AGG: text between the parts."""

DEFAULT_DELIMITER = ","


class AggFunction(str, Enum):
    """An aggregation function; the value is its name in JSON."""

    SUM = "sum"
    PRODUCT = "product"
    MAX = "max"
    MIN = "min"
    LAST_VALUE = "last_value"
    LAST_VALUE_IGNORE_NULLS = "last_value_ignore_nulls"
    FIRST_VALUE = "first_value"
    FIRST_VALUE_IGNORE_NULLS = "first_value_ignore_nulls"
    LISTAGG = "listagg"
    STRING_AGG = "string_agg"
    BOOL_AND = "bool_and"
    BOOL_OR = "bool_or"
    RBM32 = "rbm32"
    RBM64 = "rbm64"

    @classmethod
    def named(cls, name: str) -> AggFunction | None:
        """The function of a name in any case, with ``-`` or ``_``; None for an unknown one."""
        try:
            return cls(name.strip().lower().replace("-", "_"))
        except ValueError:
            return None


DEFAULT_FUNCTION = AggFunction.LAST_VALUE_IGNORE_NULLS
"""Function of columns that declare none."""

_NUMBERS = frozenset(
    {
        TypeRoot.TINYINT,
        TypeRoot.SMALLINT,
        TypeRoot.INTEGER,
        TypeRoot.BIGINT,
        TypeRoot.FLOAT,
        TypeRoot.DOUBLE,
        TypeRoot.DECIMAL,
    }
)
_ORDERED = _NUMBERS | {
    TypeRoot.CHAR,
    TypeRoot.STRING,
    TypeRoot.DATE,
    TypeRoot.TIME,
    TypeRoot.TIMESTAMP,
    TypeRoot.TIMESTAMP_LTZ,
}
_ANY = frozenset(TypeRoot)

ACCEPTED_ROOTS: Mapping[AggFunction, frozenset[TypeRoot]] = {
    AggFunction.SUM: _NUMBERS,
    AggFunction.PRODUCT: _NUMBERS,
    AggFunction.MAX: _ORDERED,
    AggFunction.MIN: _ORDERED,
    AggFunction.LAST_VALUE: _ANY,
    AggFunction.LAST_VALUE_IGNORE_NULLS: _ANY,
    AggFunction.FIRST_VALUE: _ANY,
    AggFunction.FIRST_VALUE_IGNORE_NULLS: _ANY,
    # Upstream creates tables with listagg on CHAR as well, and then fails every batch that merges a row.
    AggFunction.LISTAGG: frozenset({TypeRoot.STRING}),
    AggFunction.STRING_AGG: frozenset({TypeRoot.STRING}),
    AggFunction.BOOL_AND: frozenset({TypeRoot.BOOLEAN}),
    AggFunction.BOOL_OR: frozenset({TypeRoot.BOOLEAN}),
    AggFunction.RBM32: frozenset({TypeRoot.BYTES}),
    AggFunction.RBM64: frozenset({TypeRoot.BYTES}),
}
"""Kinds of columns for which a function is defined."""

_PARAMETERS: Mapping[AggFunction, frozenset[str]] = {
    AggFunction.LISTAGG: frozenset({DELIMITER}),
    AggFunction.STRING_AGG: frozenset({DELIMITER}),
}


def check_agg_function(column: str, data_type: DataType, name: str, parameters: Mapping[str, str]) -> None:
    """``INVALID_CONFIG_EXCEPTION`` unless a column of this type may have this function with these parameters."""
    function = AggFunction.named(name)
    if function is None:
        raise _invalid(column, f"unknown function {name!r}", f"functions are {', '.join(AggFunction)}")
    accepted = ACCEPTED_ROOTS[function]
    if data_type.root not in accepted:
        kinds = ", ".join(sorted(root.name for root in accepted))
        raise _invalid(column, f"{function.value} is not defined for {data_type}", f"it accepts {kinds}")
    known = _PARAMETERS.get(function, frozenset())
    for key, value in parameters.items():
        if key not in known:
            hint = f"it has {', '.join(known)}" if known else "it has none"
            raise _invalid(column, f"{function.value} has no parameter {key!r}", hint)
        if not value:
            raise _invalid(column, f"parameter {key} of {function.value} must not be empty", "leave it out for ','")


def _invalid(column: str, message: str, hint: str) -> FlussError:
    return FlussError(
        ErrorCode.INVALID_CONFIG_EXCEPTION, f"aggregation function of column {column!r}: {message}", hint=hint
    )
