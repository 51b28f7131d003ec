"""Which aggregation functions a column may have."""

from __future__ import annotations

import pytest

from aggregation_model import COLUMNS
from fluss_server.errors import ErrorCode, FlussError
from fluss_server.model.aggregation import ACCEPTED_ROOTS, DEFAULT_FUNCTION, AggFunction, check_agg_function
from fluss_server.model.types import DataType, TypeRoot

STRING, BIGINT, BYTES, BOOLEAN = (DataType(TypeRoot(name)) for name in ("STRING", "BIGINT", "BYTES", "BOOLEAN"))
CHAR = DataType(TypeRoot.CHAR, length=3)


def test_names_in_any_spelling() -> None:
    assert AggFunction.named(" Last-Value_IGNORE-nulls ") is AggFunction.LAST_VALUE_IGNORE_NULLS
    assert AggFunction.named("SUM") is AggFunction.SUM
    assert AggFunction.named("average") is None
    assert AggFunction.named("") is None


@pytest.mark.parametrize(
    ("name", "data_type", "parameters", "words"),
    [
        ("average", BIGINT, {}, "unknown function"),
        ("sum", STRING, {}, "not defined for STRING"),
        ("max", BYTES, {}, "not defined for BYTES"),
        ("listagg", CHAR, {}, "not defined for CHAR(3)"),
        ("bool_and", BIGINT, {}, "BOOLEAN"),
        ("rbm32", STRING, {}, "BYTES"),
        ("sum", BIGINT, {"delimiter": ","}, "no parameter"),
        ("listagg", STRING, {"separator": ","}, "no parameter"),
        ("string_agg", STRING, {"delimiter": ""}, "empty"),
    ],
)
def test_refused(name: str, data_type: DataType, parameters: dict[str, str], words: str) -> None:
    with pytest.raises(FlussError) as caught:
        check_agg_function("c", data_type, name, parameters)
    assert caught.value.code is ErrorCode.INVALID_CONFIG_EXCEPTION
    assert words in str(caught.value)
    assert "'c'" in str(caught.value)


def test_any_type_has_first_and_last_values() -> None:
    for root in (TypeRoot.ARRAY, TypeRoot.BINARY, TypeRoot.BOOLEAN):
        for name in ("first_value", "last_value", "first_value_ignore_nulls", "last_value_ignore_nulls"):
            check_agg_function("c", DataType(root), name, {})


def test_tables_with_every_function_have_every_function() -> None:
    """The table that Flink's tests compare with a model has each function for every type that few functions accept."""
    sql_names = {
        "INT": TypeRoot.INTEGER,
        "TIME": TypeRoot.TIME,
        "TIMESTAMP": TypeRoot.TIMESTAMP,
        "TIMESTAMP_LTZ": TypeRoot.TIMESTAMP_LTZ,
    }
    covered: dict[AggFunction | None, set[TypeRoot]] = {}
    for column in COLUMNS:
        name = column.sql_type.split("(")[0].split("<")[0]
        function = AggFunction.named(column.function) if column.function else DEFAULT_FUNCTION
        covered.setdefault(function, set()).add(sql_names.get(name) or TypeRoot(name))
    assert covered.keys() == set(AggFunction)
    for function, roots in ACCEPTED_ROOTS.items():
        if roots != set(TypeRoot):
            assert covered[function] == roots, function
