"""Time values of partitions: names against the official ones, formats, zones, expiry."""

from __future__ import annotations

import json
import re
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from fluss_server.config import TABLE_OPTIONS, Configuration
from fluss_server.coordinator.partition_time import AutoPartitionStrategy, TimeFormat, TimeUnit, system_zone, time_zone
from fluss_server.errors import ErrorCode, FlussError
from fluss_server.runtime.runtime import system_runtime

VECTORS = json.loads((Path(__file__).parents[2] / "vectors" / "partitions_and_names.json").read_text())
NOON_MS = 1_710_504_000_000  # 2024-03-15 12:00 UTC


def strategy(*columns: str, **options: str) -> AutoPartitionStrategy:
    given = {f"table.auto-partition.{name.replace('_', '-')}": value for name, value in options.items()}
    return AutoPartitionStrategy.of(
        Configuration(TABLE_OPTIONS, {"table.auto-partition.enabled": "true", **given}), columns or ("dt",)
    )


def epoch_ms(text: str) -> int:
    return round(datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp() * 1000)


@pytest.mark.parametrize("entry", VECTORS["auto_partition"])
def test_names_are_the_official_ones(entry: dict[str, Any]) -> None:
    times = strategy(time_zone=entry["time_zone"], time_unit=entry["time_unit"])
    now = epoch_ms(entry["instant"])
    assert [times.name(now, offset) for offset in range(-2, 4)] == entry["offsets_from_-2_to_3"]
    for name in entry["offsets_from_-2_to_3"]:
        assert times.format.matches(name)


def test_a_day_that_a_zone_skipped_is_the_next_one() -> None:
    times = strategy(time_zone="Pacific/Apia")
    now = epoch_ms("2011-12-29T20:00:00Z")  # the 29th there; it went from the 29th to the 31st
    assert [times.name(now, offset) for offset in (0, 1, 2)] == ["20111229", "20111231", "20111231"]


def test_the_end_of_a_month_stays_in_the_month() -> None:
    now = epoch_ms("2024-01-31T12:00:00Z")
    assert strategy(time_zone="UTC", time_unit="MONTH").name(now, 1) == "202402"
    assert strategy(time_zone="UTC", time_unit="QUARTER").name(now, 1) == "20242"
    assert strategy(time_zone="UTC", time_unit="YEAR").name(epoch_ms("2024-02-29T12:00:00Z"), 1) == "2025"


@pytest.mark.parametrize("unit", [unit.name for unit in TimeUnit])
def test_there_is_no_name_outside_of_the_years_of_four_digits(unit: str) -> None:
    times = strategy(time_zone="UTC", time_unit=unit)
    for offset in (2**31 - 1, -(2**31)):
        assert times.name(NOON_MS, offset) is None


@pytest.mark.parametrize(
    ("pattern", "unit", "name"),
    [
        ("yyyy-MM-dd", "DAY", "2024-11-11"),
        ("uuuu_LL_dd", "DAY", "2024_11_11"),
        ("yyyy'q'q", "QUARTER", "2024q4"),
        ("'Y'yyyy", "YEAR", "Y2024"),
        ("yyyyMM", "MONTH", "202411"),
        ("yyyyMMdd'T'HH", "HOUR", "20241111T11"),
    ],
)
def test_custom_formats(pattern: str, unit: str, name: str) -> None:
    made = TimeFormat(pattern, TimeUnit[unit])
    assert made.format(datetime(2024, 11, 11, 11)) == name
    assert made.matches(name)
    assert not made.matches(name + "0")
    assert not made.matches(" " + name)


@pytest.mark.parametrize(
    ("pattern", "unit", "words"),
    [
        ("MM-yyyy", "MONTH", "year, month in this order"),
        ("yyyy-MM", "HOUR", "year, month, day, hour"),
        ("yyyyMMddHH", "DAY", "year, month, day in this order"),
        ("", "YEAR", "none"),
        ("yyyy-M-dd", "DAY", "month must be written with 2 letters"),
        ("yy", "YEAR", "year must be written with 4 letters"),
        ("yyyyyMMdd", "DAY", "not 5"),
        ("yyyyQQ", "QUARTER", "quarter must be written with 1"),
        ("yyyy[-MM]", "MONTH", "'['"),
        ("yyyy{MM", "MONTH", "'{'"),
        ("yyyy#MM", "MONTH", "'#'"),
        ("yyyy-MM-dd mm", "DAY", "unsupported field 'm'"),
        ("yyyy/MM/dd", "DAY", "letters, digits"),
        ("yyyy''MM", "MONTH", "letters, digits"),
        ("yyyy'it''s'MM", "MONTH", "letters, digits"),
        ("yyyy年MM", "MONTH", "letters, digits"),
        ("'__'yyyy", "YEAR", "reserved"),
        ("yyyy'x", "YEAR", "not closed"),
        ("'" + "x" * 197 + "'yyyy", "YEAR", "1 to 200"),
    ],
)
def test_formats_that_are_refused(pattern: str, unit: str, words: str) -> None:
    with pytest.raises(ValueError, match=re.escape(words)):
        TimeFormat(pattern, TimeUnit[unit])


@pytest.mark.parametrize(
    ("unit", "good", "bad"),
    [
        ("YEAR", ["2024", "0001", "9999"], ["0000", "202", "20244", "-2024", "\uff12\uff10\uff12\uff14"]),
        ("QUARTER", ["20241", "20244"], ["20240", "20245", "2024", "202411"]),
        ("MONTH", ["202401", "202412"], ["202400", "202413", "20241"]),
        ("DAY", ["20240229", "20240231"], ["20240200", "20240132", "2024-02-29", "2024022"]),
        ("HOUR", ["2024022900", "2024022923"], ["2024022924", "20240229"]),
    ],
)
def test_values_that_have_the_format(unit: str, good: list[str], bad: list[str]) -> None:
    made = TimeFormat(TimeUnit[unit].value, TimeUnit[unit])
    assert [value for value in good if not made.matches(value)] == []
    assert [value for value in bad if made.matches(value)] == []


@pytest.mark.parametrize(
    ("name", "hours"), [("UTC", 0), ("GMT+8", 8), ("GMT-03:30", -3.5), ("UTC+0530", 5.5), ("Asia/Shanghai", 8)]
)
def test_time_zones(name: str, hours: float) -> None:
    assert datetime(2024, 7, 1, tzinfo=time_zone(name)).utcoffset() == timedelta(hours=hours)


@pytest.mark.parametrize("name", ["", "Mars/Olympus", "GMT+24", "GMT+1:60", "../etc/passwd", "/etc/localtime", "a\0b"])
def test_unknown_time_zones_are_refused(name: str) -> None:
    with pytest.raises(FlussError, match="is not a time zone") as caught:
        strategy(time_zone=name)
    assert caught.value.code is ErrorCode.INVALID_CONFIG_EXCEPTION


def test_the_zone_of_the_machine_is_used_without_one() -> None:
    runtime = system_runtime()
    moment = datetime.fromtimestamp(NOON_MS / 1000, timezone.utc)
    zone = system_zone(runtime.environment, runtime.disk)
    assert moment.astimezone(zone).utcoffset() == moment.astimezone().utcoffset()
    table_options = Configuration(TABLE_OPTIONS, {"table.auto-partition.enabled": "true"})
    kiritimati = system_zone({"TZ": ":Pacific/Kiritimati"}, runtime.disk)
    assert AutoPartitionStrategy.of(table_options, ("dt",), kiritimati).name(NOON_MS, 0) == "20240316"
    assert system_zone({"TZ": "nowhere"}, runtime.disk) is timezone.utc


def check(times: AutoPartitionStrategy, value: str) -> str | None:
    try:
        times.check_new(value, NOON_MS)
    except FlussError as error:
        return error.message if error.code is ErrorCode.PARTITION_SPEC_INVALID_EXCEPTION else repr(error)
    return None


def test_new_partitions_must_have_the_format_and_not_be_expired() -> None:
    times = strategy(time_zone="UTC", num_retention="2")
    assert check(times, "20240313") is None
    assert check(times, "29991231") is None
    assert "expired; the oldest that is kept is '20240313'" in (check(times, "20240312") or "")
    assert "format 'yyyyMMdd'" in (check(times, "2024-03-15") or "")
    assert check(strategy(time_zone="UTC", num_retention="0"), "20240315") is None
    assert "expired" in (check(strategy(time_zone="UTC", num_retention="0"), "20240314") or "")


def test_a_negative_retention_keeps_everything() -> None:
    times = strategy(time_zone="UTC", num_retention="-1")
    assert times.oldest_kept(NOON_MS) is None
    assert check(times, "00010101") is None


def test_without_auto_partitioning_only_a_given_format_is_checked() -> None:
    assert check(strategy(enabled="false"), "anything") is None
    held = strategy(enabled="false", time_format="yyyy-MM-dd")
    assert check(held, "0001-01-01") is None
    assert "format 'yyyy-MM-dd'" in (check(held, "20240101") or "")


def test_the_time_column_among_several() -> None:
    assert strategy("region", "dt", key="dt").key_index == 1
    assert strategy("region", "dt").key_index == 0
    assert strategy("dt", time_zone="Europe/Berlin").zone == ZoneInfo("Europe/Berlin")
