"""Reading a log again from time to time, to find what its disk has damaged since."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from fluss_server.log.damage import BatchDamagedError, DamageRegister
from fluss_server.log.log_view import LogView
from fluss_server.log.stored_batches import check_stored_batches
from fluss_server.runtime.disk import Disk


class ScrubPosition(NamedTuple):
    """Where to go on.

    Attributes:
        segment_base: base offset of a segment.
        position: of a batch in it.
        offset: of this batch.
    """

    segment_base: int
    position: int
    offset: int


class ScrubStep(NamedTuple):
    """What one step has done.

    Attributes:
        checked_bytes: bytes of batches read and checked.
        following: where to go on; None at the end of the log.
    """

    checked_bytes: int
    following: ScrubPosition | None


def scrub(
    view: Callable[[], LogView], disk: Disk, damage: DamageRegister, start: ScrubPosition | None, max_bytes: int
) -> ScrubStep:
    """Check some batches of one segment. Blocks; any thread.

    Opens a descriptor of its own, so that the segments that readers use stay open. After a damaged batch it goes on
    with the next segment.

    Args:
        view: gives the batches that are in the log.
        disk: holds them.
        damage: is told what is damaged, and what is not damaged any more.
        start: None for the beginning of the log.
        max_bytes: about so many bytes; one batch is checked even if it is larger.

    Raises:
        OSError: a segment cannot be read.
    """
    before = view()
    wanted = before.bases[0] if start is None else start.segment_base
    number = next((index for index, base in enumerate(before.bases) if base >= wanted), None)
    if number is None:
        return ScrubStep(0, None)
    segment, size, _ = before.part(number)
    position, offset = 0, segment.base_offset
    if start is not None and start.segment_base == segment.base_offset:
        position, offset = start.position, start.offset
    following = None
    if number + 1 < len(before.bases):
        following = ScrubPosition(before.bases[number + 1], 0, before.bases[number + 1])
    if position >= size:
        return ScrubStep(0, following)
    try:
        file = disk.open(segment.path, read_only=True)
    except FileNotFoundError:  # deleted meanwhile, or gone: readers will notice
        return ScrubStep(0, following)
    try:
        result = check_stored_batches(file, position, offset, min(position + max_bytes, size), size)
    finally:
        file.close()
    after = view()
    if segment not in after.segments or after.truncations != before.truncations:
        return ScrubStep(result.position - position, following)  # truncated or deleted meanwhile
    if result.damage is not None:
        damage.found(
            BatchDamagedError(segment.path, segment.base_offset, result.position, result.offset, result.damage)
        )
    elif result.position < size:
        following = ScrubPosition(segment.base_offset, result.position, result.offset)
    else:
        damage.repaired(segment.base_offset)
    return ScrubStep(result.position - position, following)
