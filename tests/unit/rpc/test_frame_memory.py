"""Memory of long requests is used again when nobody refers to it, and never before."""

from __future__ import annotations

from fluss_server.rpc.frame_memory import LIMIT_BYTES, MAX_BLOCK_BYTES, FrameMemory


def address(view: memoryview) -> int:
    import numpy as np

    return int(np.frombuffer(view, np.uint8).ctypes.data)


def test_released_memory_is_used_again() -> None:
    memory = FrameMemory()
    first = memory.take(1_000_000)
    assert len(first) == 1_000_000
    place = address(first)
    second = memory.take(1_000_000)
    assert address(second) != place
    del first
    assert address(memory.take(900_000)) == place


def test_a_slice_or_an_array_keeps_it() -> None:
    import numpy as np

    memory = FrameMemory()
    view = memory.take(1_000_000)
    view[:4] = b"kept"
    place = address(view)
    part, array = view[:4], np.frombuffer(view, np.uint8)
    del view
    other = memory.take(1_000_000)
    other[:4] = b"lost"
    assert bytes(part) == b"kept"
    del part
    assert address(memory.take(1_000_000)) != place
    assert bytes(array[:4]) == b"kept"
    del array
    del other
    assert place in {address(memory.take(1_000_000)), address(memory.take(900_000))}


def test_what_is_kept_is_bounded() -> None:
    memory = FrameMemory()
    views = [memory.take(MAX_BLOCK_BYTES) for _ in range(2 * LIMIT_BYTES // MAX_BLOCK_BYTES)]
    assert memory._kept_bytes == LIMIT_BYTES
    assert len({address(view) for view in views}) == len(views)
    del views
    assert len(memory.take(MAX_BLOCK_BYTES + 1)) == MAX_BLOCK_BYTES + 1
    assert memory._kept_bytes == LIMIT_BYTES


def test_blocks_that_are_too_short_make_room() -> None:
    memory = FrameMemory()
    views = [memory.take(200_000) for _ in range(LIMIT_BYTES // (256 << 10))]
    assert memory._kept_bytes == LIMIT_BYTES
    del views
    place = address(memory.take(1_000_000))
    assert memory._kept_bytes <= LIMIT_BYTES
    assert address(memory.take(1_000_000)) == place
