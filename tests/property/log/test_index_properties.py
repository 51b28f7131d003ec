"""Indexes and tail positions against plain searches."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from example_support import examples
from fluss_server.log.offset_index import OffsetIndex
from fluss_server.log.tail_positions import TailPositions
from fluss_server.log.time_index import TimeIndex

BASE = 1000
STEPS = st.lists(st.tuples(st.integers(1, 50), st.integers(1, 5000)), max_size=60)


def sums(steps: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Strictly ascending pairs, both from above 0."""
    result, first, second = [], 0, 0
    for a, b in steps:
        first, second = first + a, second + b
        result.append((first, second))
    return result


@settings(max_examples=examples(50))
@given(STEPS, st.integers(0, 3100), st.integers(0, 310_000))
def test_offset_index(steps: list[tuple[int, int]], offset: int, position: int) -> None:
    entries = [(BASE + last, at) for last, at in sums(steps)]
    index = OffsetIndex(BASE, 1 << 20)
    for entry in entries:
        index.add(*entry)
    target = BASE + offset
    assert index.at_or_before(target) == next((e for e in reversed(entries) if e[0] <= target), None)
    assert index.within(position, target) == next(
        (e for e in reversed(entries) if e[0] < target and e[1] <= position), None
    )
    half = len(entries) // 2
    image = index.encode(0, half) + index.encode(half, len(entries))
    loaded = OffsetIndex(BASE, 1 << 20)
    size, end = (entries[-1][1] + 1, entries[-1][0] + 1) if entries else (0, BASE)
    assert loaded.load(image, size, end)
    assert loaded.encode(0, len(loaded)) == image
    index.truncate(position)
    assert len(index) == sum(1 for e in entries if e[1] < position)


@settings(max_examples=examples(50))
@given(STEPS, st.integers(0, 3100), st.integers(-10, 310_000))
def test_time_index(steps: list[tuple[int, int]], offset: int, timestamp: int) -> None:
    entries = [(time, BASE + at) for at, time in sums(steps)]
    index = TimeIndex(BASE, 1 << 20)
    for entry in entries:
        index.add(*entry)
    assert index.at_or_before(timestamp) == next((e for e in reversed(entries) if e[0] <= timestamp), None)
    image = index.encode(0, len(entries))
    loaded = TimeIndex(BASE, 1 << 20)
    assert loaded.load(image, entries[-1][1] + 1 if entries else BASE)
    assert (loaded.last, loaded.encode(0, len(loaded))) == (index.last, image)
    index.truncate(BASE + offset)
    assert len(index) == sum(1 for e in entries if e[1] < BASE + offset)


@settings(max_examples=examples(40))
@given(st.integers(0, 1200), st.integers(1, 30), st.integers(1, 200), st.data())
def test_tail_positions(count: int, rows: int, size: int, data: st.DataObject) -> None:
    tail = TailPositions()
    batches = [(BASE + number * rows, number * size) for number in range(count)]
    for batch in batches:
        tail.add(*batch)
    kept = batches[-256:]
    offset = data.draw(st.integers(BASE, BASE + count * rows))
    position = data.draw(st.integers(0, count * size))
    expected = next((b for b in reversed(batches) if b[0] <= offset), None)
    assert tail.at_or_before(offset) == expected or (tail.at_or_before(offset) is None and expected not in kept)
    expected = next((b for b in reversed(batches) if b[0] <= offset and b[1] <= position), None)
    found = tail.within(position, offset)
    assert found == expected or (found is None and expected not in kept)
    tail.truncate(position)
    expected = next((b for b in reversed(batches) if b[1] < position), None)
    assert tail.at_or_before(1 << 40) == expected or expected not in kept
