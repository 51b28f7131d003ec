"""Text of values as Java's ``toString`` gives it, where bytes depend on that text (Hudi bucket keys).

* FLOAT, DOUBLE: at least one digit after the point; exponents (``1.0E10``) from 10^7 up and below 10^-3.
* DECIMAL: plain, with all its fraction digits.
* DATE, TIME: their numbers.
* TIMESTAMP: ISO 8601 without seconds when they and the fraction are zero; the fraction has 0, 3, 6 or 9 digits.
* TIMESTAMP_LTZ: the same with seconds always, and ``Z``.
"""

from __future__ import annotations

import math
import struct
from typing import Any

from fluss_server.model.types import DataType, TypeRoot

_F32 = struct.Struct("<f")
_F64 = struct.Struct("<d")
_MAX_FLOAT_DIGITS = 9
_MAX_DOUBLE_DIGITS = 17
_NANOS_PER_MILLI = 1_000_000
_MILLIS_PER_DAY = 86_400_000
_PLAIN_FROM, _PLAIN_BELOW = -3, 7  # powers of ten


def java_text(value: Any, data_type: DataType) -> str:
    """Text of a scalar value that is not null."""
    root = data_type.root
    if root is TypeRoot.BOOLEAN:
        return "true" if value else "false"
    if root is TypeRoot.DECIMAL:
        return _plain(value, data_type.scale) if data_type.scale else str(value)
    if root is TypeRoot.FLOAT:
        return _float_text(_shortest(value, _F32, _MAX_FLOAT_DIGITS))
    if root is TypeRoot.DOUBLE:
        return _float_text(_shortest(value, _F64, _MAX_DOUBLE_DIGITS))
    if root is TypeRoot.TIMESTAMP:
        return _iso(*value, short=True)
    if root is TypeRoot.TIMESTAMP_LTZ:
        return _iso(*value, short=False) + "Z"
    return str(value)


def _plain(unscaled: int, scale: int) -> str:
    digits = str(abs(unscaled)).rjust(scale + 1, "0")
    return ("-" if unscaled < 0 else "") + digits[:-scale] + "." + digits[-scale:]


def _shortest(value: float, layout: struct.Struct, max_digits: int) -> str:
    """The closest of the shortest decimals of two digits and more that read back as the same number."""
    image = layout.pack(value)
    for digits in range(2, max_digits):
        text = f"{value:.{digits}g}"
        if math.isnan(value) or math.isinf(value) or _packs_to(text, layout, image):
            return text
    return f"{value:.{max_digits}g}"


def _packs_to(text: str, layout: struct.Struct, image: bytes) -> bool:
    try:
        return layout.pack(float(text)) == image
    except OverflowError:  # rounded up beyond the largest float
        return False


def _float_text(text: str) -> str:
    from decimal import Decimal  # for columns that are rarely bucket keys, 1.5 ms and 400 KB

    number = Decimal(text)
    if number.is_nan():
        return "NaN"
    if number.is_infinite():
        return "-Infinity" if number < 0 else "Infinity"
    sign = "-" if number.is_signed() else ""
    digits = "".join(map(str, number.as_tuple().digits)).rstrip("0")
    if not digits:
        return sign + "0.0"
    power = number.adjusted()
    if not _PLAIN_FROM <= power < _PLAIN_BELOW:
        return f"{sign}{digits[0]}.{digits[1:] or '0'}E{power}"
    if power < 0:
        return f"{sign}0.{'0' * (-power - 1)}{digits}"
    whole = digits[: power + 1].ljust(power + 1, "0")
    return f"{sign}{whole}.{digits[power + 1 :] or '0'}"


def _iso(milliseconds: int, nanoseconds: int, *, short: bool) -> str:
    days, rest = divmod(milliseconds, _MILLIS_PER_DAY)
    year, month, day = _civil(days)
    seconds, milli = divmod(rest, 1000)
    fraction = milli * _NANOS_PER_MILLI + nanoseconds
    sign = "-" if year < 0 else "+" if year > 9999 else ""
    text = f"{sign}{abs(year):04}-{month:02}-{day:02}T{seconds // 3600:02}:{seconds // 60 % 60:02}"
    if short and seconds % 60 == 0 and fraction == 0:
        return text
    text += f":{seconds % 60:02}"
    if fraction:
        digits = f"{fraction:09}"
        while digits.endswith("000"):
            digits = digits[:-3]
        text += "." + digits
    return text


def _civil(days: int) -> tuple[int, int, int]:
    """Year, month and day of days since 1970-01-01 in the proleptic Gregorian calendar, for any year."""
    era, day_of_era = divmod(days + 719_468, 146_097)
    year_of_era = (day_of_era - day_of_era // 1460 + day_of_era // 36_524 - day_of_era // 146_096) // 365
    day_of_year = day_of_era - (365 * year_of_era + year_of_era // 4 - year_of_era // 100)
    shifted_month = (5 * day_of_year + 2) // 153
    month = shifted_month + 3 if shifted_month < 10 else shifted_month - 9
    day = day_of_year - (153 * shifted_month + 2) // 5 + 1
    return year_of_era + 400 * era + (1 if month <= 2 else 0), month, day
