"""Reading only some of the batches of a log, by what their headers say."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from fluss_server.formats.buffer import Buffer
from fluss_server.formats.log_batch import FIXED_HEADER_SIZES, MAX_FIXED_HEADER_SIZE, BatchHeader, parse_header
from fluss_server.log.checked_read import MayCheck, always
from fluss_server.log.damage import BatchDamagedError
from fluss_server.log.log_tablet import LogTablet
from fluss_server.runtime.disk import FileRegion

Keep = Callable[[BatchHeader, Buffer], bool]
"""Whether to keep a batch with this header and these statistics (empty if it has none)."""

_HEAD_BYTES = 4096
"""Read at a time; covers several small batches, or a header with statistics."""

_READ_BYTES = 4 << 20
MAX_EXAMINED_BYTES = 64 << 20
"""Most bytes of batches that one call examines, and may have to check before."""


@dataclass(slots=True)
class Selection:
    """Batches that were kept, in order.

    Attributes:
        next_offset: everything below this offset was examined.
        regions: the batches; neighbours share a region.
        size_bytes: bytes of the regions.
        kept_until: offset after the last batch kept, or the requested offset.
        examined: number of batches that were examined.
    """

    next_offset: int
    kept_until: int
    regions: list[FileRegion] = field(default_factory=list)
    size_bytes: int = 0
    examined: int = 0


def select_batches(
    log: LogTablet,
    offset: int,
    max_bytes: int,
    max_offset: int,
    keep: Keep,
    *,
    at_least_one: bool,
    max_examined: int,
    may_check: MayCheck = always,
) -> Selection:
    """The batches from ``offset`` on that ``keep`` wants; reads no more of the others than their headers.

    The first time since a segment was opened its batches are read as a whole and checked: a damaged header could make
    ``keep`` leave a batch out.

    Args:
        log: to read.
        offset: from the start offset of the log to its end offset.
        max_bytes: most bytes to keep.
        max_offset: all batches end at or before this offset.
        keep: decides.
        at_least_one: keep the first batch wanted even if it has more than ``max_bytes``.
        max_examined: most batches to examine.
        may_check: see ``LogTablet.read``.

    Raises:
        FlussError: as ``LogTablet.read``, for the first batch.
        UncheckedError: as ``LogTablet.read``.
        OSError: a file cannot be read.
    """
    selection = Selection(offset, offset)
    examined_bytes = 0
    while selection.next_offset < max_offset and selection.examined < max_examined:
        if examined_bytes >= MAX_EXAMINED_BYTES:
            break
        try:
            rest = log.read(selection.next_offset, _READ_BYTES, max_offset, at_least_one=True, may_check=may_check)
        except BatchDamagedError:
            if not selection.examined:
                raise
            break  # what lies before the damage can be read
        if rest is None:
            break
        examined_bytes += rest.region.length
        for position, header, statistics in _heads(rest.region):
            if keep(header, statistics):
                if selection.size_bytes + header.size > max_bytes and (selection.regions or not at_least_one):
                    return selection
                _add(selection, rest.region, position, header.size)
                selection.kept_until = header.next_offset
            selection.examined += 1
            selection.next_offset = header.next_offset
            if selection.examined >= max_examined:
                break
    return selection


def _add(selection: Selection, source: FileRegion, position: int, size: int) -> None:
    last = selection.regions[-1] if selection.regions else None
    if last is not None and last.file is source.file and last.position + last.length == position:
        selection.regions[-1] = FileRegion(last.file, last.position, last.length + size)
    else:
        selection.regions.append(FileRegion(source.file, position, size))
    selection.size_bytes += size


def _heads(region: FileRegion) -> Iterator[tuple[int, BatchHeader, Buffer]]:
    """Position, header and statistics of each batch of a region of whole batches."""
    position, end = region.position, region.position + region.length
    data, start = b"", position
    while position < end:
        at = position - start
        if len(data) - at < MAX_FIXED_HEADER_SIZE and start + len(data) < end:
            data, start, at = region.file.read(min(_HEAD_BYTES, end - position), position), position, 0
        header = parse_header(data, at)
        fixed = FIXED_HEADER_SIZES[header.magic]
        if len(data) - at < header.header_size:
            data, start, at = region.file.read(max(header.header_size, _HEAD_BYTES), position), position, 0
        yield position, header, memoryview(data)[at + fixed : at + header.header_size]
        position += header.size
