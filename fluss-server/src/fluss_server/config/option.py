"""What an option is, how its value is read, and the checked values of many.

The value syntax is Apache Fluss's own: durations are a number and a unit (``10 min``, ``500ms``, ``7 d``), sizes
likewise (``64mb``, powers of 1024), choices and booleans may be written in any case.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType
from typing import TypeAlias

from fluss_server.errors import ErrorCode, FlussError

Value: TypeAlias = "bool | int | float | str | tuple[str, ...] | Mapping[str, str]"

MAX_INT = 2**31 - 1
MAX_LONG = 2**63 - 1
REDACTED = "******"


class OptionType(Enum):
    """Kind of an option's value; the value is its name in the reference."""

    BOOL = "true or false"
    INT = "integer"
    LONG = "64-bit integer"
    DURATION = "duration"
    SIZE = "size"
    RATIO = "number from 0 to 1"
    STRING = "text"
    CHOICE = "choice"
    LIST = "a,b,..."
    MAP = "key:value,..."


@dataclass(frozen=True, slots=True)
class Option:
    """One option.

    Attributes:
        key: its name.
        type: kind of the value. A DURATION is read as milliseconds, a SIZE as bytes.
        default: as a user would write it; None = not set.
        description: what it does, with the unit of plain numbers.
        choices: allowed values of a CHOICE, in upper or lower case as they are stored.
        minimum: smallest allowed number, milliseconds or bytes.
        maximum: largest.
        dynamic: may be changed later (servers: while they run; tables: with ALTER TABLE).
        secret: the value, or the values of a MAP, must not be shown or logged.
    """

    key: str
    type: OptionType
    default: str | None
    description: str
    choices: tuple[str, ...] = ()
    minimum: int = 0
    maximum: int = MAX_LONG
    dynamic: bool = False
    secret: bool = False

    def parse(self, text: str) -> Value:
        """The value that ``text`` stands for.

        Raises:
            FlussError: ``INVALID_CONFIG_EXCEPTION``.
        """
        try:
            value = self._read(text.strip())
        except ValueError as error:
            problem = "the value cannot be read" if self.secret else str(error)
            raise FlussError(
                ErrorCode.INVALID_CONFIG_EXCEPTION, f"{self.key}: {problem}", hint=f"its type is {self.type.value}"
            ) from None
        if type(value) is int and not self.minimum <= value <= self.maximum:
            raise FlussError(
                ErrorCode.INVALID_CONFIG_EXCEPTION, f"{self.key}: {text!r} is out of range, allowed is {self._range()}"
            )
        return value

    def _read(self, text: str) -> Value:
        if self.type is OptionType.BOOL:
            return _parse_bool(text)
        if self.type is OptionType.INT:
            return _parse_int(text, MAX_INT)
        if self.type is OptionType.LONG:
            return _parse_int(text, MAX_LONG)
        if self.type is OptionType.DURATION:
            return parse_duration_ms(text)
        if self.type is OptionType.SIZE:
            return parse_size_bytes(text)
        if self.type is OptionType.RATIO:
            return _parse_ratio(text)
        if self.type is OptionType.CHOICE:
            for choice in self.choices:
                if choice.upper() == text.upper():
                    return choice
            raise ValueError(f"{text!r} is not one of {', '.join(self.choices)}")
        if self.type is OptionType.LIST:
            return tuple(_split(text))
        if self.type is OptionType.MAP:
            return _parse_map(text)
        return text

    def redact(self, text: str) -> str:
        """``text`` as it may be shown: a secret becomes ``******``, of a secret MAP the keys stay."""
        if not self.secret:
            return text
        if self.type is not OptionType.MAP:
            return REDACTED
        entries = [entry.partition(":") for entry in _split(text)]
        if not all(key and colon for key, colon, _ in entries):
            return REDACTED
        return ",".join(f"{key}:{REDACTED}" for key, _, _ in entries)

    def _range(self) -> str:
        unit = {OptionType.DURATION: " ms", OptionType.SIZE: " bytes"}.get(self.type, "")
        if self.maximum == MAX_LONG:
            return f"{self.minimum}{unit} or more"
        return f"{self.minimum} to {self.maximum}{unit}"


class Configuration:
    """Checked values of the options of one table, with defaults for those not given.

    Args:
        options: the table, by key.
        values: what a user gave, by key.

    Raises:
        FlussError: ``INVALID_CONFIG_EXCEPTION`` for an unknown key or a bad value.
    """

    def __init__(self, options: Mapping[str, Option], values: Mapping[str, str]) -> None:
        self._values: dict[str, Value | None] = {
            key: None if option.default is None else option.parse(option.default) for key, option in options.items()
        }
        self._given = frozenset(values)
        for key, text in values.items():
            self._values[key] = find_option(options, key).parse(text)

    def get(self, key: str) -> Value | None:
        """Value of a known key, None when it is not set and has no default."""
        return self._values[key]

    def find(self, key: str) -> Value | None:
        """As :meth:`get`, also for a key with a name in it that nobody has given."""
        return self._values.get(key)

    def is_given(self, key: str) -> bool:
        """True when the user gave a value."""
        return key in self._given

    def get_bool(self, key: str) -> bool:
        """Value of a BOOL."""
        value = self._values[key]
        assert isinstance(value, bool), f"{key} is not a set BOOL option"
        return value

    def get_int(self, key: str) -> int:
        """Value of an INT or LONG, milliseconds of a DURATION, bytes of a SIZE."""
        value = self._values[key]
        assert type(value) is int, f"{key} is not a set number option"
        return value

    def get_ratio(self, key: str) -> float:
        """Value of a RATIO."""
        value = self._values[key]
        assert type(value) is float, f"{key} is not a set ratio option"
        return value

    def get_str(self, key: str) -> str:
        """Value of a STRING or CHOICE."""
        value = self._values[key]
        assert isinstance(value, str), f"{key} is not a set text option"
        return value

    def find_str(self, key: str) -> str | None:
        """Value of a STRING or CHOICE, None when it is not set; also for keys with a placeholder."""
        value = self._values.get(key)
        assert value is None or isinstance(value, str), f"{key} is not a text option"
        return value

    def get_list(self, key: str) -> tuple[str, ...]:
        """Entries of a LIST, none when it is not set."""
        value = self._values[key]
        assert value is None or isinstance(value, tuple), f"{key} is not a LIST option"
        return value or ()

    def get_map(self, key: str) -> Mapping[str, str]:
        """Entries of a MAP, none when it is not set."""
        value = self._values[key]
        assert value is None or isinstance(value, Mapping), f"{key} is not a MAP option"
        return value or {}


def find_option(options: Mapping[str, Option], key: str) -> Option:
    """The option of a key. The ``<...>`` in the key of some options stands for a name.

    Raises:
        FlussError: ``INVALID_CONFIG_EXCEPTION``, naming the nearest known key.
    """
    option = options.get(key) or _find_pattern(options, key)
    if option is None:
        near = nearest_key(options, key)
        hint = f"did you mean {near!r}?" if near else "'fluss config options' lists all options"
        raise FlussError(ErrorCode.INVALID_CONFIG_EXCEPTION, f"unknown option {key!r}", hint=hint)
    return option


def _find_pattern(options: Mapping[str, Option], key: str) -> Option | None:
    for option in options.values():
        before, bracket, rest = option.key.partition("<")
        if bracket:
            after = rest.partition(">")[2]
            name = key[len(before) : len(key) - len(after)]
            if key.startswith(before) and key.endswith(after) and name and "." not in name:
                return dataclasses.replace(option, key=key)
    return None


def nearest_key(options: Mapping[str, Option], key: str) -> str | None:
    """The known key that looks most like an unknown one; None when none does."""
    import difflib  # for an error only

    near = difflib.get_close_matches(key.lower(), options, n=1, cutoff=0.5)
    return near[0] if near else None


_AMOUNT = re.compile(r"(\d+)\s*([^\d\s]*)\Z", re.ASCII)
_DURATION_UNITS_US = {
    **dict.fromkeys(("d", "day", "days"), 86_400_000_000),
    **dict.fromkeys(("h", "hour", "hours"), 3_600_000_000),
    **dict.fromkeys(("min", "m", "minute", "minutes"), 60_000_000),
    **dict.fromkeys(("s", "sec", "secs", "second", "seconds"), 1_000_000),
    **dict.fromkeys(("ms", "milli", "millis", "millisecond", "milliseconds"), 1000),
    **dict.fromkeys(("\N{MICRO SIGN}s", "micro", "micros", "microsecond", "microseconds"), 1),
}
_SIZE_UNITS = {
    **dict.fromkeys(("b", "bytes"), 1),
    **dict.fromkeys(("k", "kb", "kibibytes"), 1 << 10),
    **dict.fromkeys(("m", "mb", "mebibytes"), 1 << 20),
    **dict.fromkeys(("g", "gb", "gibibytes"), 1 << 30),
    **dict.fromkeys(("t", "tb", "tebibytes"), 1 << 40),
}


def parse_duration_ms(text: str) -> int:
    """Milliseconds of a duration such as ``10 min`` or ``500ms``.

    Raises:
        ValueError: not a whole number with a known unit, or not a whole number of milliseconds.
    """
    number, unit = _parse_amount(text, _DURATION_UNITS_US, "ms, s, min, h, d")
    milliseconds, rest = divmod(number * unit, 1000)
    if rest:
        raise ValueError(f"{text!r} is not a whole number of milliseconds")
    return milliseconds


def parse_size_bytes(text: str) -> int:
    """Bytes of a size such as ``64mb``.

    Raises:
        ValueError: not a whole number with a known unit.
    """
    number, unit = _parse_amount(text, _SIZE_UNITS, "b, kb, mb, gb, tb")
    return number * unit


def _parse_amount(text: str, units: Mapping[str, int], known: str) -> tuple[int, int]:
    match = _AMOUNT.match(text)
    unit = units.get(match[2].lower()) if match else None
    if match is None or unit is None:
        raise ValueError(f"{text!r} is not a whole number with a unit ({known})")
    # 20 digits are out of every range; cut there, no input makes int() slow or fail.
    return int(match[1].lstrip("0")[:20] or "0"), unit


def _parse_bool(text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise ValueError(f"{text!r} is not true or false")
    return text.lower() == "true"


def _split(text: str) -> list[str]:
    return [entry.strip() for entry in text.split(",") if entry.strip()]


def _parse_map(text: str) -> Mapping[str, str]:
    entries: dict[str, str] = {}
    for entry in _split(text):
        key, colon, value = entry.partition(":")
        if not key or not colon:
            raise ValueError(f"{entry!r} is not key:value")
        if key in entries:
            raise ValueError(f"{key!r} occurs twice")
        entries[key] = value
    return MappingProxyType(entries)


def _parse_int(text: str, maximum: int) -> int:
    if not re.fullmatch(r"[+-]?\d{1,20}", text, re.ASCII) or not -maximum - 1 <= int(text) <= maximum:
        raise ValueError(f"{text!r} is not an integer of at most {maximum}")
    return int(text)


def _parse_ratio(text: str) -> float:
    if not re.fullmatch(r"[01]?\.?\d{1,17}|1\.0*", text, re.ASCII) or not 0 <= float(text) <= 1:
        raise ValueError(f"{text!r} is not a number from 0 to 1")
    return float(text)


def option_table(options: Iterable[Option]) -> Mapping[str, Option]:
    """Options by key."""
    table = {}
    for option in options:
        assert option.key not in table, f"{option.key} is defined twice"
        table[option.key] = option
    return MappingProxyType(table)
