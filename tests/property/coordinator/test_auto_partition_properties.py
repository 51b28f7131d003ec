"""Names of time partitions sort like time, and a plan does what is due, once."""

from __future__ import annotations

import dataclasses
from datetime import timezone
from zoneinfo import ZoneInfo

from hypothesis import given, settings
from hypothesis import strategies as st

from example_support import examples
from fluss_server.coordinator.auto_partition import plan_partitions
from fluss_server.coordinator.partition_time import AutoPartitionStrategy, TimeUnit
from fluss_server.model.partition import HISTORICAL

PATTERNS: dict[TimeUnit, list[str | None]] = {
    TimeUnit.YEAR: [None, "'y'uuuu"],
    TimeUnit.QUARTER: [None, "yyyy-'Q'q"],
    TimeUnit.MONTH: [None, "yyyy_LL"],
    TimeUnit.DAY: [None, "yyyy-MM-dd"],
    TimeUnit.HOUR: [None, "yyyyMMdd'T'HH"],
}
HOUR_MS = 3_600_000
moments = st.integers(-2_000_000_000_000, 4_000_000_000_000)  # 1906 to 2096
zones = st.sampled_from(
    [
        timezone.utc,
        *(
            ZoneInfo(name)
            for name in ("Europe/Berlin", "America/New_York", "Pacific/Apia", "Australia/Lord_Howe", "Asia/Kathmandu")
        ),
    ]
)


@st.composite
def timings(draw: st.DrawFn, *, columns: int = 1) -> AutoPartitionStrategy:
    unit = draw(st.sampled_from(TimeUnit))
    return AutoPartitionStrategy(
        enabled=True,
        key_index=draw(st.integers(0, columns - 1)),
        key_count=columns,
        unit=unit,
        pattern=draw(st.sampled_from(PATTERNS[unit])),
        zone=draw(zones),
        precreate=draw(st.integers(0, 6)),
        retention=draw(st.integers(-1, 6)),
    )


def name(timing: AutoPartitionStrategy, now_ms: int, offset: int) -> str:
    found = timing.name(now_ms, offset)
    assert found is not None
    return found


@given(timings(), moments, st.integers(-50, 50))
def test_names_sort_like_time_and_have_their_format(timing: AutoPartitionStrategy, now_ms: int, offset: int) -> None:
    first, second = name(timing, now_ms, offset), name(timing, now_ms, offset + 1)
    assert timing.format.matches(first)
    # Only a day that a zone leaves out, and an hour that it repeats, have the name of a neighbour.
    assert first <= second if timing.unit in (TimeUnit.DAY, TimeUnit.HOUR) else first < second
    assert name(timing, now_ms, 0) <= name(timing, now_ms + 2 * HOUR_MS, 0)


@given(timings(), moments, st.integers(0, 30).map(lambda hours: hours * HOUR_MS), st.data())
def test_a_plan_drops_what_is_expired_and_creates_what_is_missing(
    timing: AutoPartitionStrategy, now_ms: int, delay_ms: int, data: st.DataObject
) -> None:
    known = [name(timing, now_ms, offset) for offset in range(-12, 12)]
    existing = data.draw(st.sets(st.sampled_from([*known, HISTORICAL, "", "zzz", "0"])))
    plan = plan_partitions(timing, existing, now_ms=now_ms, create_ms=now_ms - delay_ms, max_partitions=1000)
    oldest = "" if timing.retention < 0 else name(timing, now_ms, -timing.retention)
    assert list(plan.drops) == sorted(value for value in existing - {HISTORICAL} if value < oldest)
    ahead = {name(timing, now_ms - delay_ms, offset) for offset in range(timing.precreate)}
    assert set(plan.creates) == {value for value in ahead - existing if value >= oldest}
    assert list(plan.creates) == sorted(set(plan.creates))
    after = (existing - set(plan.drops)) | set(plan.creates)
    again = plan_partitions(timing, after, now_ms=now_ms, create_ms=now_ms - delay_ms, max_partitions=1000)
    assert (again.drops, again.creates) == ((), ())
    for value in plan.creates:
        timing.check_new(value, now_ms)  # what the server makes itself, a client may make as well


@settings(max_examples=examples(50))
@given(timings(columns=3), moments, st.data())
def test_with_several_columns_all_partitions_of_a_time_go(
    timing: AutoPartitionStrategy, now_ms: int, data: st.DataObject
) -> None:
    times = [name(timing, now_ms, offset) for offset in range(-12, 12)]
    existing = set()
    for _ in range(data.draw(st.integers(0, 12))):
        values = [data.draw(st.sampled_from("ab")) for _ in range(3)]
        values[timing.key_index] = data.draw(st.sampled_from(times))
        existing.add("$".join(values))
    plan = plan_partitions(timing, existing, now_ms=now_ms, create_ms=now_ms, max_partitions=1000)
    oldest = "" if timing.retention < 0 else name(timing, now_ms, -timing.retention)
    assert set(plan.drops) == {value for value in existing if value.split("$")[timing.key_index] < oldest}
    assert plan.creates == ()
    off = dataclasses.replace(timing, enabled=False)
    assert plan_partitions(off, existing, now_ms=now_ms, create_ms=now_ms, max_partitions=1000).drops == ()
