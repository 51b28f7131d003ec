"""Values of partition columns, read back from the text that stands for them in a partition's name.

Clients make the text (the forms are those of the official ``PartitionNameConverters``): ``.`` of numbers and fractions
is written ``_``, ``:`` of times ``-``, bytes are hexadecimal.
"""

from __future__ import annotations

import datetime
import re
import struct
from collections.abc import Callable
from typing import Any

from fluss_server.errors import ErrorCode, FlussError
from fluss_server.model.types import DataType, TypeRoot

_BOOLEAN = re.compile("true|false", re.IGNORECASE)
_INTEGER = re.compile(r"[+-]?[0-9]+")
_NUMBER = re.compile(r"[+-]?[0-9]+(?:_[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_HEX = re.compile(r"(?:[0-9a-fA-F]{2})*")
_DATE = re.compile(r"(\d{4})-(\d\d)-(\d\d)", re.ASCII)
_TIME = re.compile(r"(\d\d)-(\d\d)-(\d\d)_(\d{3})", re.ASCII)
_TIMESTAMP = re.compile(r"(\d{4}-\d\d-\d\d)(?:-(\d\d)-(\d\d)-(\d\d)_(\d{0,9}))?", re.ASCII)
_SPECIAL_NUMBERS = {"NaN": float("nan"), "Inf": float("inf"), "-Inf": float("-inf")}
_EPOCH = datetime.date(1970, 1, 1)
_DAY_MS = 86_400_000


def partition_value(text: str, data_type: DataType) -> Any:
    """The value of a partition column as rows hold it.

    Args:
        text: one part of a partition's name.
        data_type: of the column, one of ``PARTITION_KEY_TYPES``.

    Raises:
        FlussError: ``PARTITION_SPEC_INVALID_EXCEPTION``: the text is no value of the type.
    """
    try:
        return _PARSERS[data_type.root](text)
    except (ValueError, OverflowError):
        raise FlussError(
            ErrorCode.PARTITION_SPEC_INVALID_EXCEPTION, f"the partition value {text!r} is no {data_type}"
        ) from None


def _boolean(text: str) -> bool:
    return _matched(_BOOLEAN, text)[0].lower() == "true"


def _bytes(text: str) -> bytes:
    return bytes.fromhex(_matched(_HEX, text)[0])


def _integer(bits: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        value = int(_matched(_INTEGER, text)[0])
        if not -(1 << bits - 1) <= value < 1 << bits - 1:
            raise ValueError(text)
        return value

    return parse


def _double(text: str) -> float:
    if text in _SPECIAL_NUMBERS:
        return _SPECIAL_NUMBERS[text]
    return float(_matched(_NUMBER, text)[0].replace("_", "."))


def _float(text: str) -> float:
    value: float = struct.unpack("<f", struct.pack("<f", _double(text)))[0]
    return value


def _days(text: str) -> int:
    year, month, day = map(int, _matched(_DATE, text).groups())
    return (datetime.date(year, month, day) - _EPOCH).days


def _milliseconds_of_day(text: str) -> int:
    hour, minute, second, millisecond = map(int, _matched(_TIME, text).groups())
    return _time_of_day(hour, minute, second) + millisecond


def _timestamp(text: str) -> tuple[int, int]:
    day, *clock, fraction = _matched(_TIMESTAMP, text).groups()
    nanoseconds = int((fraction or "").ljust(9, "0"))
    milliseconds = _days(day) * _DAY_MS + _time_of_day(*(int(part or 0) for part in clock))
    return milliseconds + nanoseconds // 1_000_000, nanoseconds % 1_000_000


def _time_of_day(hour: int, minute: int, second: int) -> int:
    time = datetime.time(hour, minute, second)  # checks the bounds
    return ((time.hour * 60 + time.minute) * 60 + time.second) * 1000


def _matched(pattern: re.Pattern[str], text: str) -> re.Match[str]:
    match = pattern.fullmatch(text)
    if match is None:
        raise ValueError(text)
    return match


_PARSERS: dict[TypeRoot, Callable[[str], Any]] = {
    TypeRoot.CHAR: str,
    TypeRoot.STRING: str,
    TypeRoot.BOOLEAN: _boolean,
    TypeRoot.BINARY: _bytes,
    TypeRoot.BYTES: _bytes,
    TypeRoot.TINYINT: _integer(8),
    TypeRoot.SMALLINT: _integer(16),
    TypeRoot.INTEGER: _integer(32),
    TypeRoot.BIGINT: _integer(64),
    TypeRoot.DATE: _days,
    TypeRoot.TIME: _milliseconds_of_day,
    TypeRoot.FLOAT: _float,
    TypeRoot.DOUBLE: _double,
    TypeRoot.TIMESTAMP: _timestamp,
    TypeRoot.TIMESTAMP_LTZ: _timestamp,
}
