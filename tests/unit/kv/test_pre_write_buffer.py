"""What the pre-write buffer shows and gives up."""

from __future__ import annotations

from fluss_server.kv.pre_write_buffer import Committable, PendingBatch, PreWriteBuffer

INS, UB, UA, DEL = 1, 2, 3, 4


def add(buffer: PreWriteBuffer, base: int, types: list[int], entries: list[tuple[bytes, bytes | None]]) -> None:
    batch = PendingBatch(bytes(types), [key for key, _ in entries], [value for _, value in entries])
    buffer.add(batch, base, base + max(1, len(types)))


def rows(committable: Committable) -> tuple[dict[bytes, bytes | None], int]:
    return committable.rows, committable.row_count_change


def test_newest_values_win_and_tombstones_count() -> None:
    buffer = PreWriteBuffer()
    add(buffer, 0, [INS, INS], [(b"x", b"1"), (b"y", b"1")])
    add(buffer, 2, [UB, UA, DEL], [(b"x", b"2"), (b"y", None)])
    assert buffer.read({b"x", b"y", b"z"}) == {b"x": b"2", b"y": None}
    assert buffer.read(set()) == {}
    assert len(buffer) == 2


def test_committing_everything_empties_the_buffer() -> None:
    buffer = PreWriteBuffer()
    add(buffer, 0, [INS, INS], [(b"x", b"1"), (b"y", b"1")])
    add(buffer, 2, [UB, UA, DEL], [(b"x", b"2"), (b"y", None)])
    assert rows(buffer.committable(5)) == ({b"x": b"2", b"y": None}, 1)
    assert len(buffer) == 2, "looking changes nothing"
    assert buffer.size_bytes == 7
    assert buffer.drop(5) == 7
    assert (len(buffer), buffer.size_bytes, buffer.read({b"x"})) == (0, 0, {})


def test_an_older_batch_goes_without_the_newer_values() -> None:
    buffer = PreWriteBuffer()
    add(buffer, 0, [INS], [(b"x", b"1")])
    add(buffer, 1, [DEL, INS], [(b"x", None), (b"y", b"1")])
    add(buffer, 3, [INS, DEL], [(b"x", b"3"), (b"x", None)])
    buffer.drop(1)
    assert buffer.read({b"x", b"y"}) == {b"x": None, b"y": b"1"}
    assert rows(buffer.committable(3)) == ({b"x": None, b"y": b"1"}, 0)
    buffer.drop(3)
    assert buffer.read({b"x", b"y"}) == {b"x": None}
    assert rows(buffer.committable(99)) == ({b"x": None}, 0)


def test_offsets_inside_a_batch() -> None:
    entries: list[tuple[bytes, bytes | None]] = [(b"x", b"1"), (b"x", b"2"), (b"y", b"1"), (b"y", None)]
    expected = {
        10: ({}, 0),
        11: ({b"x": b"1"}, 1),
        12: ({b"x": b"1"}, 1),  # -U at 11 has no entry; its +U at 12 has
        13: ({b"x": b"2"}, 1),
        14: ({b"x": b"2", b"y": b"1"}, 2),
        15: ({b"x": b"2", b"y": None}, 1),
    }
    for offset, wanted in expected.items():
        buffer = PreWriteBuffer()
        add(buffer, 10, [INS, UB, UA, INS, DEL], entries)
        assert rows(buffer.committable(offset)) == wanted


def test_every_way_to_commit_in_two_steps_gives_the_same() -> None:
    entries: list[tuple[bytes, bytes | None]] = [(b"x", b"1"), (b"x", b"2"), (b"y", b"1"), (b"y", None)]
    for first in range(10, 19):
        buffer = PreWriteBuffer()
        add(buffer, 10, [INS, UB, UA, INS, DEL], entries)
        add(buffer, 15, [], [])
        add(buffer, 16, [UB, UA], [(b"x", b"3")])
        one = buffer.committable(first)
        buffer.drop(first)
        assert buffer.read({b"x", b"y"}) == (
            {} if first >= 18 else {b"x": b"3"} if first >= 15 else {b"x": b"3", b"y": None}
        )
        two = buffer.committable(18)
        buffer.drop(18)
        assert one.rows | two.rows == {b"x": b"3", b"y": None}
        assert one.row_count_change + two.row_count_change == 1
        assert (len(buffer), buffer.size_bytes) == (0, 0)


def test_an_empty_batch_takes_an_offset() -> None:
    buffer = PreWriteBuffer()
    add(buffer, 4, [], [])
    assert rows(buffer.committable(5)) == ({}, 0)
    buffer.drop(4)
    assert len(buffer) == 1
    buffer.drop(5)
    assert len(buffer) == 0
