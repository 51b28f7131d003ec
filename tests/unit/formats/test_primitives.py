"""Checksums, varints and Java's texts."""

from __future__ import annotations

import math

import pytest

from fluss_server.errors import ErrorCode, FlussError
from fluss_server.formats import varint
from fluss_server.formats.crc import crc32c
from fluss_server.formats.java_text import java_text
from fluss_server.formats.scalars import decode_unscaled, encode_unscaled
from fluss_server.model.types import DataType, TypeRoot


def test_crc_of_every_kind_of_buffer() -> None:
    assert crc32c(b"123456789") == 0xE3069283  # the check value of the polynomial's definition
    assert crc32c(b"") == crc32c(bytearray()) == 0
    for size in (1, 4095, 4096, 4097, 100_000):
        data = bytes(index * 7 & 0xFF for index in range(size))
        buffer = bytearray(b"x" + data)
        assert crc32c(memoryview(buffer)[1:]) == crc32c(memoryview(data)) == crc32c(data) == crc32c(bytearray(data))
        buffer.append(0)  # no view of it is left behind


@pytest.mark.parametrize(
    ("value", "narrow", "wide"),
    [
        (0, "00", "00"),
        (127, "7f", "7f"),
        (128, "8001", "8001"),
        (-1, "ffffffff0f", "ffffffffffffffffff01"),
        (2**31 - 1, "ffffffff07", "ffffffff07"),
        (-(2**31), "8080808008", "80808080f8ffffffff01"),
    ],
)
def test_varints(value: int, narrow: str, wide: str) -> None:
    assert varint.encode_int32(value).hex() == narrow
    assert varint.encode_int64(value).hex() == wide
    assert varint.decode_int32(bytes.fromhex("00" + narrow + "00"), 1) == (value, 1 + len(narrow) // 2)
    assert varint.decode_int64(bytes.fromhex("00" + wide + "00"), 1) == (value, 1 + len(wide) // 2)
    assert varint.decode_unsigned32(bytes.fromhex(narrow), 0)[0] == value & 0xFFFFFFFF
    assert varint.skip(bytes.fromhex(wide), 0, 10) == len(wide) // 2


def test_varints_that_are_cut_off_or_too_long() -> None:
    for read, limit in ((varint.decode_int32, 5), (varint.decode_int64, 10), (varint.decode_unsigned32, 5)):
        for data in (b"", b"\x80", b"\xff" * limit, b"\x80" * limit + b"\0", b"\x80" * 1000):
            with pytest.raises(FlussError) as caught:
                read(data, 0)
            assert caught.value.code is ErrorCode.CORRUPT_RECORD_EXCEPTION
            with pytest.raises(FlussError):
                varint.skip(data, 0, limit)
        with pytest.raises(FlussError):
            read(b"\1", 1)


@pytest.mark.parametrize(
    ("value", "text"), [(0, "00"), (127, "7f"), (128, "0080"), (-128, "80"), (-129, "ff7f"), (255, "00ff")]
)
def test_wide_decimals(value: int, text: str) -> None:
    assert encode_unscaled(value).hex() == text
    assert decode_unscaled(bytes.fromhex(text)) == value


def test_wide_decimals_of_no_or_too_many_bytes() -> None:
    for data in (b"", bytes(17)):
        with pytest.raises(FlussError):
            decode_unscaled(data)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0.0"),
        (-0.0, "-0.0"),
        (1.0, "1.0"),
        (1e-3, "0.001"),
        (9.99e-4, "9.99E-4"),
        (9_999_999.0, "9999999.0"),
        (1e7, "1.0E7"),
        (-1.5e300, "-1.5E300"),
        (5e-324, "4.9E-324"),
        (1.7976931348623157e308, "1.7976931348623157E308"),
        (0.1 + 0.2, "0.30000000000000004"),
        (math.inf, "Infinity"),
        (-math.inf, "-Infinity"),
        (math.nan, "NaN"),
    ],
)
def test_text_of_doubles(value: float, text: str) -> None:
    assert java_text(value, DataType(TypeRoot.DOUBLE)) == text


@pytest.mark.parametrize(
    ("value", "text"), [(0.10000000149011612, "0.1"), (3.4028234663852886e38, "3.4028235E38"), (1e10, "1.0E10")]
)
def test_text_of_floats(value: float, text: str) -> None:
    assert java_text(value, DataType(TypeRoot.FLOAT)) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ((0, 0), "1970-01-01T00:00"),
        ((1000, 0), "1970-01-01T00:00:01"),
        ((-1, 999_999), "1969-12-31T23:59:59.999999999"),
        ((1_700_000_000_123, 0), "2023-11-14T22:13:20.123"),
        ((253_402_300_800_000, 0), "+10000-01-01T00:00"),
        ((-62_167_219_200_001, 0), "-0001-12-31T23:59:59.999"),
    ],
)
def test_text_of_timestamps(value: tuple[int, int], text: str) -> None:
    assert java_text(value, DataType(TypeRoot.TIMESTAMP, precision=9)) == text


def test_text_of_other_types() -> None:
    assert java_text((0, 0), DataType(TypeRoot.TIMESTAMP_LTZ, precision=3)) == "1970-01-01T00:00:00Z"
    assert java_text(-5, DataType(TypeRoot.DECIMAL, precision=5, scale=3)) == "-0.005"
    assert java_text(12, DataType(TypeRoot.DECIMAL, precision=5)) == "12"
    assert java_text(True, DataType(TypeRoot.BOOLEAN)) == "true"
    assert java_text("text", DataType(TypeRoot.STRING)) == "text"
