"""Names of partitions that stand for a span of time: units, formats, time zones and which are expired. Pure.

Names are compared as text, which is why a format must have all fields of its unit, the largest first, each of a fixed
width.
"""

from __future__ import annotations

import calendar
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone, tzinfo
from enum import Enum
from functools import cached_property, lru_cache
from pathlib import PurePath
from typing import TYPE_CHECKING

from fluss_server.config import Configuration
from fluss_server.errors import ErrorCode, FlussError
from fluss_server.model.identifiers import name_problem
from fluss_server.runtime.disk import Disk

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

_SYSTEM_ZONE_FILE = PurePath("/etc/localtime")
_GMT_OFFSET = re.compile(r"(?:GMT|UTC)(?P<sign>[+-])(?P<hours>\d{1,2})(?::?(?P<minutes>\d\d))?\Z")
_MAX_OFFSET_HOURS = 23


class TimeUnit(Enum):
    """Span of time of one partition; the value is the format of the names if the table gives none."""

    YEAR = "yyyy"
    QUARTER = "yyyyQ"
    MONTH = "yyyyMM"
    DAY = "yyyyMMdd"
    HOUR = "yyyyMMddHH"

    def add(self, moment: datetime, count: int) -> datetime:
        """``moment`` moved by whole units; the calendar units keep the wall clock, hours the time that passes.

        Raises:
            OverflowError: the result is outside of the years 1 to 9999.
        """
        if self is TimeUnit.HOUR:
            return (moment.astimezone(timezone.utc) + timedelta(hours=count)).astimezone(moment.tzinfo)
        if self is TimeUnit.DAY:
            # A wall clock time that a zone skips is the same span later, as java.time has it.
            local = (moment.replace(tzinfo=None) + timedelta(days=count)).replace(tzinfo=moment.tzinfo)
            return local.astimezone(timezone.utc).astimezone(moment.tzinfo)
        months = count * {TimeUnit.YEAR: 12, TimeUnit.QUARTER: 3, TimeUnit.MONTH: 1}[self]
        year, month = divmod(moment.year * 12 + moment.month - 1 + months, 12)
        if not datetime.min.year <= year <= datetime.max.year:
            raise OverflowError(f"year {year}")
        day = min(moment.day, calendar.monthrange(year, month + 1)[1])
        return moment.replace(year=year, month=month + 1, day=day)


@dataclass(frozen=True, slots=True)
class _Field:
    """A part of a time that a format can have.

    Attributes:
        name: for messages.
        width: digits.
        minimum: smallest value.
        maximum: largest value.
    """

    name: str
    width: int
    minimum: int
    maximum: int

    def of(self, moment: datetime) -> int:
        """The value of this field."""
        if self.name == "quarter":
            return (moment.month + 2) // 3
        value: int = getattr(moment, self.name)
        return value


_YEAR = _Field("year", 4, 1, 9999)
_QUARTER = _Field("quarter", 1, 1, 4)
_MONTH = _Field("month", 2, 1, 12)
_DAY = _Field("day", 2, 1, 31)
_HOUR = _Field("hour", 2, 0, 23)
_FIELDS = {
    "y": _YEAR,
    "u": _YEAR,
    "Q": _QUARTER,
    "q": _QUARTER,
    "M": _MONTH,
    "L": _MONTH,
    "d": _DAY,
    "H": _HOUR,
}
_UNIT_FIELDS = {
    TimeUnit.YEAR: (_YEAR,),
    TimeUnit.QUARTER: (_YEAR, _QUARTER),
    TimeUnit.MONTH: (_YEAR, _MONTH),
    TimeUnit.DAY: (_YEAR, _MONTH, _DAY),
    TimeUnit.HOUR: (_YEAR, _MONTH, _DAY, _HOUR),
}


class TimeFormat:
    """A pattern of ``java.time.format.DateTimeFormatter``, of numeric fields and literals.

    Args:
        pattern: for example ``yyyy-MM-dd``.
        unit: which fields it must have.

    Raises:
        ValueError: names that it makes would not sort by time, or would not be allowed.
    """

    def __init__(self, pattern: str, unit: TimeUnit) -> None:
        self.pattern = pattern
        self._parts = _parse_pattern(pattern)
        fields = tuple(part for part in self._parts if isinstance(part, _Field))
        if fields != _UNIT_FIELDS[unit]:
            expected = ", ".join(field.name for field in _UNIT_FIELDS[unit])
            found = ", ".join(field.name for field in fields) or "none"
            raise ValueError(f"{unit.name} needs the fields {expected} in this order, {pattern!r} has {found}")
        example = self.format(datetime(2024, 11, 11, 11))
        if problem := name_problem(example):
            raise ValueError(f"{pattern!r} makes the partition value {example!r}: {problem}")
        self._regex = re.compile(
            "".join(f"([0-9]{{{part.width}}})" if isinstance(part, _Field) else re.escape(part) for part in self._parts)
        )
        self._fields = fields

    def format(self, moment: datetime) -> str:
        """The name of the partition that ``moment``, on the wall clock, is in."""
        return "".join(f"{part.of(moment):0{part.width}}" if isinstance(part, _Field) else part for part in self._parts)

    def matches(self, value: str) -> bool:
        """Whether ``value`` has this format, with every field in its range."""
        match = self._regex.fullmatch(value)
        return match is not None and all(
            field.minimum <= int(digits) <= field.maximum
            for field, digits in zip(self._fields, match.groups(), strict=True)
        )


def _parse_pattern(pattern: str) -> list[_Field | str]:
    """Fields and literals of a pattern; ``ValueError`` when it has anything else."""
    parts: list[_Field | str] = []
    position = 0
    while position < len(pattern):
        character = pattern[position]
        if character == "'":
            literal, position = _quoted(pattern, position)
            parts.append(literal)
        elif character.isascii() and character.isalpha():
            run = len(pattern) - position - len(pattern[position:].lstrip(character))
            field = _FIELDS.get(character)
            if field is None:
                raise ValueError(f"{pattern!r} has the unsupported field {character!r}")
            if run != field.width:
                raise ValueError(f"{field.name} must be written with {field.width} letters in {pattern!r}, not {run}")
            parts.append(field)
            position += run
        elif character in "[]{}#":
            raise ValueError(f"{character!r} is not allowed in {pattern!r}")
        else:
            parts.append(character)
            position += 1
    return parts


def _quoted(pattern: str, start: int) -> tuple[str, int]:
    """The literal of a quote at ``start``, and where it ends; two quotes stand for one."""
    if pattern.startswith("''", start):
        return "'", start + 2
    literal = ""
    position = start + 1
    while position < len(pattern):
        if pattern.startswith("''", position):
            literal += "'"
            position += 2
        elif pattern[position] == "'":
            return literal, position + 1
        else:
            literal += pattern[position]
            position += 1
    raise ValueError(f"a quote is not closed in {pattern!r}")


def _zone_info() -> type[ZoneInfo]:
    from zoneinfo import ZoneInfo  # 0.5 MB and 5 ms, for tables with time partitions only

    return ZoneInfo


def system_zone(environment: Mapping[str, str], disk: Disk) -> tzinfo:
    """Time zone of this machine, with its changes in summer and winter; UTC where it cannot be told.

    Args:
        environment: its variable ``TZ`` comes first.
        disk: holds the file of the system's time zone.
    """
    try:
        if name := environment.get("TZ", "").lstrip(":"):
            return time_zone(name)
        return _zone_info().from_file(io.BytesIO(disk.read_file(_SYSTEM_ZONE_FILE)), key="localtime")
    except (OSError, ValueError):
        return timezone.utc


@lru_cache(maxsize=256)
def time_zone(name: str) -> tzinfo:
    """A time zone by its name (``Europe/Berlin``) or as a distance (``GMT+8``, ``GMT-03:30``); ``ValueError``."""
    if match := _GMT_OFFSET.match(name):
        hours, minutes = int(match["hours"]), int(match["minutes"] or 0)
        if hours > _MAX_OFFSET_HOURS or minutes > 59:
            raise ValueError(f"{name!r} is not a time zone")
        return timezone(timedelta(hours=hours, minutes=minutes) * (-1 if match["sign"] == "-" else 1))
    try:
        return _zone_info()(name)
    except (OSError, ValueError, KeyError):
        raise ValueError(f"{name!r} is not a time zone") from None


@dataclass(frozen=True)
class AutoPartitionStrategy:
    """The ``table.auto-partition.*`` options of a partitioned table.

    Attributes:
        enabled: whether partitions come and go by themselves.
        key_index: position of the time column in the partition key.
        key_count: columns of the partition key.
        unit: span of a partition.
        pattern: format of the names, or None for that of the unit.
        zone: time zone of the names.
        precreate: partitions that exist ahead of time, with the current one.
        retention: past partitions that are kept; negative = all.
    """

    enabled: bool
    key_index: int
    key_count: int
    unit: TimeUnit
    pattern: str | None
    zone: tzinfo
    precreate: int
    retention: int

    @property
    def is_daily(self) -> bool:
        """Whether each partition is a day."""
        return self.unit is TimeUnit.DAY

    @classmethod
    def of(
        cls, options: Configuration, partition_key: Sequence[str], default_zone: tzinfo = timezone.utc
    ) -> AutoPartitionStrategy:
        """The strategy in the options of a table that has at least one partition column.

        Args:
            options: of the table.
            partition_key: its partition columns.
            default_zone: for a table that gives none.

        Raises:
            FlussError: ``INVALID_CONFIG_EXCEPTION`` for an unknown time zone.
        """
        zone = options.get("table.auto-partition.time-zone")
        key = options.get("table.auto-partition.key")
        pattern = options.get("table.auto-partition.time-format")
        try:
            resolved = default_zone if zone is None else time_zone(str(zone))
        except ValueError as error:
            raise FlussError(
                ErrorCode.INVALID_CONFIG_EXCEPTION,
                f"table.auto-partition.time-zone: {error}",
                hint="write it as Europe/Berlin, UTC or GMT+8",
            ) from None
        return cls(
            options.get_bool("table.auto-partition.enabled"),
            partition_key.index(str(key)) if key in partition_key else 0,
            len(partition_key),
            TimeUnit[options.get_str("table.auto-partition.time-unit")],
            None if pattern is None else str(pattern),
            resolved,
            options.get_int("table.auto-partition.num-precreate"),
            options.get_int("table.auto-partition.num-retention"),
        )

    @cached_property
    def format(self) -> TimeFormat:
        """Format of the names; ``ValueError`` for a pattern that is not allowed."""
        return TimeFormat(self.pattern or self.unit.value, self.unit)

    def wall_clock(self, now_ms: int) -> datetime:
        """``now_ms`` (epoch milliseconds) in the time zone of the names."""
        moment = datetime.fromtimestamp(now_ms / 1000, timezone.utc)
        return moment.astimezone(self.zone)

    def name(self, now_ms: int, offset: int) -> str | None:
        """The time value ``offset`` units from now; None outside of the years 1 to 9999."""
        try:
            return self.format.format(self.unit.add(self.wall_clock(now_ms), offset))
        except OverflowError:
            return None

    def oldest_kept(self, now_ms: int) -> str | None:
        """The smallest time value that is not expired; None when none ever expires."""
        return None if self.retention < 0 else self.name(now_ms, -self.retention)

    def check_new(self, value: str, now_ms: int) -> None:
        """Refuse a time value for a new partition that has not the format, or is expired already.

        Tables that give a format are held to it even while nothing is created and dropped by itself.

        Raises:
            FlussError: ``PARTITION_SPEC_INVALID_EXCEPTION``.
        """
        if not self.enabled and self.pattern is None:
            return
        if not self.format.matches(value):
            raise FlussError(
                ErrorCode.PARTITION_SPEC_INVALID_EXCEPTION,
                f"partition value {value!r} does not have the format {self.format.pattern!r} of the unit"
                f" {self.unit.name}",
            )
        oldest = self.oldest_kept(now_ms) if self.enabled else None
        if oldest is not None and value < oldest:
            raise FlussError(
                ErrorCode.PARTITION_SPEC_INVALID_EXCEPTION,
                f"partition value {value!r} is expired; the oldest that is kept is {oldest!r}",
                hint="raise table.auto-partition.num-retention to keep more",
            )
