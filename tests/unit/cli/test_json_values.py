from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from fluss_server.cli.failures import InputError
from fluss_server.cli.json_values import from_json, parse_json, parse_timestamp, to_json
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
        (DECIMAL, Decimal("1E+2"), 10000),
        (DECIMAL, Decimal("1.2300000"), 123),
        (DECIMAL, Decimal("0E+999999999"), 0),
        (DataType(TypeRoot.DECIMAL, precision=20, scale=2), Decimal("123456789012345678.91"), 12345678901234567891),
        (INT, Decimal("17.0"), 17),
        (DataType(TypeRoot.DOUBLE), Decimal("0.1"), 0.1),
        # 1 + 2**-24 lies in the middle of two floats; a little more belongs to the upper one.
        (DataType(TypeRoot.FLOAT), Decimal("1.000000059604644775390625000000000001"), 1.0000001192092896),
        (DataType(TypeRoot.FLOAT), "1.000000059604644775390625", 1.0),
        (DataType(TypeRoot.FLOAT), Decimal("3.4028235e38"), 3.4028234663852886e38),
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
        (INT, Decimal("17.5")),
        (INT, Decimal("1E+999999999")),
        (INT, Decimal("NaN")),
        (INT, "one"),
        (INT, [1]),
        (DataType(TypeRoot.BOOLEAN), "yes"),
        (DataType(TypeRoot.BOOLEAN), 1),
        (DECIMAL, "1.234"),
        (DECIMAL, 1000),
        (DECIMAL, "NaN"),
        (DECIMAL, Decimal("1E+999999999")),
        (DECIMAL, Decimal("1." + "0" * 90 + "1")),
        (DataType(TypeRoot.STRING), 1),
        (DataType(TypeRoot.STRING), "\ud800"),
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
    with pytest.raises(InputError, match="column 'c'"):
        from_json(given, data_type, "c")


def test_json_numbers_keep_their_digits() -> None:
    assert parse_json('[123456789012345678.91, 12345678901234567890123, "x"]') == [
        Decimal("123456789012345678.91"),
        12345678901234567890123,
        "x",
    ]
    with pytest.raises(ValueError, match="nested too deeply"):
        parse_json("[" * 100_000)


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


@pytest.mark.parametrize(
    ("data_type", "text", "kept"),
    [
        (DataType(TypeRoot.TIMESTAMP, precision=3), "2026-01-01 00:00:00.1234", False),
        (DataType(TypeRoot.TIMESTAMP, precision=3), "2026-01-01 00:00:00.1230", True),
        (DataType(TypeRoot.TIMESTAMP, precision=0), "2026-01-01 00:00:00.5", False),
        (DataType(TypeRoot.TIMESTAMP_LTZ, precision=6), "1969-12-31 23:59:59.9999999Z", False),
        (DataType(TypeRoot.TIMESTAMP_LTZ, precision=6), "1969-12-31 23:59:59.999999Z", True),
        (DataType(TypeRoot.TIME, precision=3), "12:00:00.0001", False),
        (DataType(TypeRoot.TIME, precision=0), "12:00:00.5", False),
        (DataType(TypeRoot.TIME, precision=0), "12:00:00", True),
    ],
)
def test_digits_that_the_column_does_not_keep_are_refused(data_type: DataType, text: str, kept: bool) -> None:
    if kept:
        assert from_json(text, data_type, "c") is not None
    else:
        with pytest.raises(InputError):
            from_json(text, data_type, "c")
