from __future__ import annotations

from typing import Any

import pytest

from fluss_server.cli.json_values import from_json, parse_timestamp, to_json
from fluss_server.errors import ErrorCode, FlussError
from fluss_server.model.types import DataType, RowField, TypeRoot

INT = DataType(TypeRoot.INTEGER)
DECIMAL = DataType(TypeRoot.DECIMAL, precision=5, scale=2)
ROW = DataType(TypeRoot.ROW, fields=(RowField("x", INT),))


@pytest.mark.parametrize(
    ("data_type", "given", "value"),
    [
        (INT, "17", 17),
        (INT, 17.0, 17),
        (DataType(TypeRoot.BOOLEAN), "TRUE", True),
        (DataType(TypeRoot.DOUBLE), "-Infinity", float("-inf")),
        (DECIMAL, 7, 700),
        (DECIMAL, 1.1, 110),
        (DECIMAL, "-999.99", -99999),
        (DataType(TypeRoot.TIME, precision=0), "23:59", 86_340_000),
        (DataType(TypeRoot.DATE), "1969-12-31", -1),
        (DataType(TypeRoot.MAP, key=DataType(TypeRoot.STRING, nullable=False), element=INT), {"a": 1}, [("a", 1)]),
        (ROW, {}, (None,)),
    ],
)
def test_other_ways_to_write_a_value(data_type: DataType, given: Any, value: Any) -> None:
    assert from_json(given, data_type, "c") == value


@pytest.mark.parametrize(
    ("data_type", "given"),
    [
        (INT, 2**31),
        (INT, 1.5),
        (INT, True),
        (INT, "one"),
        (INT, [1]),
        (DataType(TypeRoot.BOOLEAN), "yes"),
        (DataType(TypeRoot.BOOLEAN), 1),
        (DECIMAL, "1.234"),
        (DECIMAL, 1000),
        (DECIMAL, "NaN"),
        (DataType(TypeRoot.STRING), 1),
        (DataType(TypeRoot.BYTES), "not base64!"),
        (DataType(TypeRoot.BINARY, length=2), "AAAA"),
        (DataType(TypeRoot.DATE), "2026-02-30"),
        (DataType(TypeRoot.TIME, precision=0), "24:00"),
        (DataType(TypeRoot.TIMESTAMP, precision=3), "yesterday"),
        (DataType(TypeRoot.ARRAY, element=INT), {"a": 1}),
        (DataType(TypeRoot.ARRAY, element=INT.with_nullable(False)), [None]),
        (ROW, {"z": 1}),
        (INT.with_nullable(False), None),
    ],
)
def test_what_does_not_fit_is_refused(data_type: DataType, given: Any) -> None:
    with pytest.raises(FlussError, match="column 'c'") as raised:
        from_json(given, data_type, "c")
    assert raised.value.code is ErrorCode.INVALID_TABLE_EXCEPTION


def test_timestamps_with_an_offset_are_moved_to_utc() -> None:
    assert parse_timestamp("1970-01-01T02:00:00.000000001+02:00") == (0, 1)
    assert parse_timestamp("1970-01-01 00:00-00:30") == (1_800_000, 0)
    assert parse_timestamp("1970-01-02") == (86_400_000, 0)


def test_what_people_read() -> None:
    assert to_json(0.1, DataType(TypeRoot.DOUBLE)) == 0.1
    assert to_json(0.10000000149011612, DataType(TypeRoot.FLOAT)) == 0.1
    assert to_json(-5, DECIMAL) == "-0.05"
    assert to_json((-1, 999_999), DataType(TypeRoot.TIMESTAMP, precision=9)) == "1969-12-31 23:59:59.999999999"
    assert to_json((0, 0), DataType(TypeRoot.TIMESTAMP_LTZ, precision=0)) == "1970-01-01T00:00:00Z"
    assert to_json(10**7, DataType(TypeRoot.DATE)) == "10000000 days after 1970-01-01"
