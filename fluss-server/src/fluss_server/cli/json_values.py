"""Values of rows as JSON, for the command line: what ``fluss tail`` prints and ``fluss put`` reads.

=======================  ==================================================================
type                     JSON
=======================  ==================================================================
BOOLEAN, INT, ...        ``true``, ``1``, ``1.5``; NaN and infinities as text
DECIMAL                  text with all digits, ``"12.50"``; a number is read too, with all its digits
CHAR, STRING             text
BINARY, BYTES            text in base64
DATE, TIME               ``"2024-05-31"``, ``"23:59:59.123"``
TIMESTAMP                ``"2024-05-31 23:59:59.123"``; ``T`` is read as well
TIMESTAMP_LTZ            ``"2024-05-31T23:59:59.123Z"``; an offset such as ``+02:00`` is read too
ARRAY                    list
MAP                      list of ``[key, value]``; an object is read too when keys are text
ROW                      object
=======================  ==================================================================
"""

from __future__ import annotations

import base64
import binascii
import json
import math
import re
import struct
from collections.abc import Mapping
from datetime import date, datetime, timezone
from decimal import MAX_EMAX, MAX_PREC, MIN_EMIN, Context, Decimal, InvalidOperation
from fractions import Fraction
from typing import Any

from fluss_server.cli.failures import InputError
from fluss_server.model.types import DataType, TypeRoot

_INTEGERS = {TypeRoot.TINYINT: 8, TypeRoot.SMALLINT: 16, TypeRoot.INTEGER: 32, TypeRoot.BIGINT: 64}
_EPOCH_DAY = date(1970, 1, 1).toordinal()
_TIME = re.compile(r"(\d\d):(\d\d)(?::(\d\d)(?:\.(\d{1,9}))?)?\Z")
_TIMESTAMP = re.compile(r"(\d{4}-\d\d-\d\d)(?:[ T](\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?))?(Z|[+-]\d\d:?\d\d)?\Z")
_FLOAT = struct.Struct("f")
_DECODER = json.JSONDecoder(parse_float=Decimal)
_WIDE = Context(prec=80)
_UNROUNDED = Context(prec=MAX_PREC, Emax=MAX_EMAX, Emin=MIN_EMIN, traps=[InvalidOperation])
_BIGINT_DIGITS = 19


def parse_json(text: str | bytes) -> Any:
    """JSON with its numbers exact: integers as int, all others as Decimal.

    Raises:
        ValueError: it is not JSON, or not UTF-8.
    """
    try:
        return _DECODER.decode(text.decode() if isinstance(text, bytes) else text)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def to_json(value: Any, data_type: DataType) -> Any:
    """JSON of a value (see :mod:`fluss_server.model.types`), None for null."""
    if value is None:
        return None
    root = data_type.root
    if root in (TypeRoot.FLOAT, TypeRoot.DOUBLE):
        if math.isfinite(value):
            return _shortest_float(value) if root is TypeRoot.FLOAT else value
        return str(value)
    if root is TypeRoot.DECIMAL:
        return str(Decimal(value).scaleb(-data_type.scale, _WIDE)) if data_type.scale else str(value)
    if root in (TypeRoot.BINARY, TypeRoot.BYTES):
        return base64.b64encode(value).decode()
    if root is TypeRoot.DATE:
        return _date_text(value)
    if root is TypeRoot.TIME:
        return _time_text(value, 0, min(data_type.precision, 3))
    if root in (TypeRoot.TIMESTAMP, TypeRoot.TIMESTAMP_LTZ):
        days, milliseconds = divmod(value[0], 86_400_000)
        local = root is TypeRoot.TIMESTAMP_LTZ
        clock = _time_text(milliseconds, value[1], data_type.precision)
        return f"{_date_text(days)}{'T' if local else ' '}{clock}{'Z' if local else ''}"
    if root is TypeRoot.ARRAY:
        assert data_type.element is not None
        return [to_json(item, data_type.element) for item in value]
    if root is TypeRoot.MAP:
        assert data_type.key is not None
        assert data_type.element is not None
        return [[to_json(key, data_type.key), to_json(item, data_type.element)] for key, item in value]
    if root is TypeRoot.ROW:
        return {field.name: to_json(item, field.type) for field, item in zip(data_type.fields, value, strict=True)}
    return value


def from_json(value: Any, data_type: DataType, name: str) -> Any:
    """The reverse of :func:`to_json`; numbers, dates and so on may also be text, as CSV has them.

    Args:
        value: as :func:`parse_json` gives it. Nothing is rounded but FLOAT and DOUBLE, and those once.
        name: of the column, for errors.

    Raises:
        InputError: the value is not one of the type.
    """
    if value is None:
        if not data_type.nullable:
            raise _invalid_value(name, value, data_type)
        return None
    try:
        return _convert(value, data_type, name)
    except (ValueError, TypeError, InvalidOperation, binascii.Error, OverflowError):
        raise _invalid_value(name, value, data_type) from None


def _convert(value: Any, data_type: DataType, name: str) -> Any:
    root = data_type.root
    if root is TypeRoot.BOOLEAN:
        return _boolean(value)
    if root in _INTEGERS:
        return _integer(value, _INTEGERS[root])
    if root is TypeRoot.FLOAT:
        return _nearest_float(_not_bool(value))
    if root is TypeRoot.DOUBLE:
        return float(_not_bool(value))
    if root is TypeRoot.DECIMAL:
        return _unscaled(value, data_type)
    if root in (TypeRoot.CHAR, TypeRoot.STRING):
        if not _typed(value, str).isascii():
            value.encode()  # half of a surrogate pair is no text
        return value
    if root in (TypeRoot.BINARY, TypeRoot.BYTES):
        data = base64.b64decode(value, validate=True)
        if root is TypeRoot.BINARY and len(data) != data_type.length:
            raise ValueError
        return data
    if root is TypeRoot.DATE:
        return date.fromisoformat(value).toordinal() - _EPOCH_DAY
    if root is TypeRoot.TIME:
        return _with_precision(_time_of_day(value), min(data_type.precision, 3))[0]  # stored in milliseconds
    if root in (TypeRoot.TIMESTAMP, TypeRoot.TIMESTAMP_LTZ):
        return _with_precision(parse_timestamp(value), data_type.precision)
    if root is TypeRoot.ARRAY:
        assert data_type.element is not None
        return [from_json(item, data_type.element, name) for item in _typed(value, list)]
    if root is TypeRoot.MAP:
        assert data_type.key is not None
        assert data_type.element is not None
        entries = value.items() if isinstance(value, Mapping) else _typed(value, list)
        return [
            (from_json(key, data_type.key, name), from_json(item, data_type.element, name)) for key, item in entries
        ]
    assert root is TypeRoot.ROW
    fields = _typed(value, dict)
    unknown = fields.keys() - {field.name for field in data_type.fields}
    if unknown:
        raise ValueError
    return tuple(from_json(fields.get(field.name), field.type, f"{name}.{field.name}") for field in data_type.fields)


def _with_precision(time: tuple[int, int], precision: int) -> tuple[int, int]:
    """Milliseconds and nanoseconds; ``ValueError`` when a fraction has more digits than the column keeps."""
    milliseconds, nanoseconds = time
    if (milliseconds % 1000 * 1_000_000 + nanoseconds) % 10 ** (9 - precision):
        raise ValueError
    return time


def parse_timestamp(text: str) -> tuple[int, int]:
    """Epoch milliseconds and nanoseconds of the millisecond; without an offset, the time is UTC.

    Raises:
        ValueError: it is not a timestamp.
    """
    match = _TIMESTAMP.match(text)
    if match is None:
        raise ValueError(f"{text!r} is not a timestamp")
    day, clock, offset = match.groups()
    days = date.fromisoformat(day).toordinal() - _EPOCH_DAY
    milliseconds, nanoseconds = _time_of_day(clock) if clock else (0, 0)
    if offset and offset != "Z":
        hours, minutes = int(offset[1:3]), int(offset[-2:])
        shift = (hours * 60 + minutes) * 60_000
        milliseconds += shift if offset[0] == "-" else -shift
    return days * 86_400_000 + milliseconds, nanoseconds


def timestamp_text(milliseconds: int) -> str:
    """UTC text of epoch milliseconds, as logs show it."""
    return datetime.fromtimestamp(milliseconds / 1000, timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


def _time_of_day(text: str) -> tuple[int, int]:
    match = _TIME.match(text)
    if match is None:
        raise ValueError(f"{text!r} is not a time of day")
    hours, minutes, seconds, fraction = match.groups()
    if int(hours) > 23 or int(minutes) > 59 or int(seconds or 0) > 59:
        raise ValueError(f"{text!r} is not a time of day")
    nanoseconds = int((fraction or "").ljust(9, "0"))
    whole = (int(hours) * 60 + int(minutes)) * 60 + int(seconds or 0)
    return whole * 1000 + nanoseconds // 1_000_000, nanoseconds % 1_000_000


def _date_text(days: int) -> str:
    ordinal = days + _EPOCH_DAY
    if 1 <= ordinal <= date.max.toordinal():
        return date.fromordinal(ordinal).isoformat()
    return f"{days} days after 1970-01-01"  # years that the calendar of Python does not have


def _time_text(milliseconds: int, nanoseconds: int, precision: int) -> str:
    seconds, rest = divmod(milliseconds, 1000)
    text = f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"
    return f"{text}.{rest:03}{nanoseconds:06}"[: len(text) + 1 + precision] if precision else text


def _unscaled(value: Any, data_type: DataType) -> int:
    """``value * 10**scale``, if that is a whole number of at most the digits of the type."""
    value = _not_bool(value)
    number = value if isinstance(value, Decimal) else Decimal(str(value))
    if not number:
        return 0
    # Checked first: an exponent of a million must not be multiplied out.
    if not number.is_finite() or number.adjusted() + data_type.scale >= data_type.precision:
        raise ValueError
    scaled = number.scaleb(data_type.scale, _UNROUNDED)
    unscaled = int(scaled)
    if scaled != unscaled:
        raise ValueError
    return unscaled


def _nearest_float(value: Any) -> float:
    """The 32-bit float nearest to a number: rounded once, not first to 64 bits, maybe to the middle of two floats."""
    wide = float(value)
    near = float(_FLOAT.unpack(_FLOAT.pack(wide))[0])
    if near == wide or not math.isfinite(near) or isinstance(value, float):
        return near
    other = _next_float(near, upwards=wide > near)
    if not math.isfinite(other) or Fraction(near) + Fraction(other) != 2 * Fraction(wide):
        return near
    exact = Fraction(Decimal(value))
    return near if exact == Fraction(wide) else min(near, other, key=lambda one: abs(Fraction(one) - exact))


def _next_float(value: float, *, upwards: bool) -> float:
    import numpy as np

    with np.errstate(over="ignore"):
        return float(np.nextafter(np.float32(value), np.float32(math.inf if upwards else -math.inf)))


def _integer(value: Any, bits: int) -> int:
    value = _not_bool(value)
    if isinstance(value, Decimal):
        if not value.is_finite() or value.adjusted() >= _BIGINT_DIGITS or value != value.to_integral_value():
            raise ValueError
    elif isinstance(value, float) and not value.is_integer():
        raise ValueError
    number = int(value)
    if not -(1 << (bits - 1)) <= number < 1 << (bits - 1):
        raise ValueError
    return number


def _boolean(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    known = {"true": True, "false": False}.get(_typed(value, str).lower())
    if known is None:
        raise ValueError
    return known


def _not_bool(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, (int, float, str, Decimal)):
        raise TypeError
    return value


def _typed(value: Any, kind: type) -> Any:
    if not isinstance(value, kind):
        raise TypeError
    return value


def _shortest_float(value: float) -> float:
    """The shortest number that is the same 32-bit float."""
    import numpy as np

    return float(str(np.float32(value)))


def _invalid_value(name: str, value: Any, data_type: DataType) -> InputError:
    if isinstance(value, str):
        shown = repr(value)
    else:
        try:
            shown = json.dumps(value, default=str)
        except (TypeError, ValueError):
            shown = repr(value)
    shown = shown if len(shown) <= 80 else f"{shown[:77]}..."
    return InputError(f"column {name!r}: {shown} is not a {data_type}")
