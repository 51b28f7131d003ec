"""FETCH_LOG: reading log batches, with long polling.

A fetch that finds fewer bytes than it requested is *parked*: it reads a bucket again whenever its high watermark moves,
and responds when it has enough, at an error that waiting cannot resolve, or when its time is over. A follower reads up
to the end of the log, and its fetch waits for that.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import NamedTuple

from fluss_server.errors import ErrorCode, FlussError
from fluss_server.formats.projection import TableProjector
from fluss_server.log.batch_selection import select_batches
from fluss_server.log.checked_read import MayCheck, always
from fluss_server.log.damage import BatchDamagedError, UncheckedError
from fluss_server.log.log_tablet import LogTablet
from fluss_server.log.log_view import LogSlice
from fluss_server.log.storage_errors import storage_errors
from fluss_server.model.identifiers import TableBucket
from fluss_server.replica.replica import Replica
from fluss_server.replica.watched_offset import WatchedOffset
from fluss_server.rpc.frames import Piece
from fluss_server.runtime.disk import FileRegion
from fluss_server.runtime.loop_share import TimeSlice
from fluss_server.runtime.workers import WorkerPool
from fluss_server.tablet.log_filter import LogFilter
from fluss_server.tablet.parked_fetches import ParkedFetches
from fluss_server.tablet.projected_read import project_batches

EARLIEST_OFFSET = -2
"""A fetch offset that stands for the start of the log."""

DEFAULT_WAIT_MS = 100
MAX_WAIT_MS = 60_000
"""Upper bound of the time a fetch is parked, whatever it requests."""

MAX_EXAMINED_BATCHES = 500
"""Most batches of a bucket that one fetch filters or projects, some milliseconds; the reader continues after them."""

_MAX_INLINE_BYTES = 1 << 20
"""Most bytes that are checked on the event loop: about 0.3 ms of work."""

_MAX_INLINE_RECORDS = 8192
"""Most records, and so batches, that are checked there: a batch of one record costs about 2 us."""

_CHECKED_READ_BYTES = 4 << 20
"""Log read at a time for a projection, which makes it smaller, by a worker that may have to check it."""

_PROJECTED_READ_BYTES = 64 << 20
"""The same on the event loop, where most of the log is checked already: every step searches the log again."""

# A lost bucket is reported with the others when the wait is over, so that polling does not become a busy loop.
_DEFERRED_ERRORS = frozenset(
    {
        ErrorCode.NOT_LEADER_OR_FOLLOWER,
        ErrorCode.UNKNOWN_TABLE_OR_BUCKET_EXCEPTION,
        ErrorCode.LEADER_NOT_AVAILABLE_EXCEPTION,
    }
)


@dataclass(slots=True)
class BucketFetch:
    """One bucket of a fetch.

    Attributes:
        bucket: which bucket.
        offset: first wanted offset, or ``EARLIEST_OFFSET``.
        max_bytes: most bytes for this bucket.
        projector: which columns, or None for all.
        log_filter: which batches, or None for all.
        is_follower: whether a follower fetches.
    """

    bucket: TableBucket
    offset: int
    max_bytes: int
    projector: TableProjector | None = None
    log_filter: LogFilter | None = None
    is_follower: bool = False


@dataclass(slots=True)
class BucketResult:
    """What a bucket responds: an error, or pieces of whole batches.

    Attributes:
        filtered_end_offset: offset up to which there is nothing that the filter lets through after the pieces; None if
            it has taken nothing away there.
    """

    fetch: BucketFetch
    error: FlussError | None = None
    high_watermark: int = 0
    log_start_offset: int = 0
    pieces: list[Piece] = field(default_factory=list)
    size_bytes: int = 0
    filtered_end_offset: int | None = None


class FetchLimits(NamedTuple):
    """What a fetch requests as a whole.

    Attributes:
        max_bytes: most bytes of the whole response; one batch is sent even if it is larger.
        min_bytes: bytes to wait for, counted before a projection makes batches smaller; None = respond at once.
        max_wait_ms: None = 100 ms.
    """

    max_bytes: int
    min_bytes: int | None
    max_wait_ms: int | None


async def fetch_log(
    fetches: Sequence[BucketFetch],
    replica_of: Callable[[TableBucket], Replica],
    limits: FetchLimits,
    *,
    response_slot: Callable[[], Awaitable[None]],
    response_capacity: Callable[[], int],
    parked: ParkedFetches,
    time_slice: TimeSlice,
    read_pool: WorkerPool,
) -> list[BucketResult]:
    """Read every bucket of ``fetches``; wait for data as ``limits`` say.

    Args:
        replica_of: finds the leader, or raises the bucket's error.
        response_slot: awaited before batches are held in memory, so that a slow reader costs a bounded amount.
        response_capacity: most bytes that should be held in memory then.
        parked: where to be while waiting.
        time_slice: of this request.
        read_pool: where batches are checked that nobody has read since their segment was opened.
    """
    projected = any(fetch.projector is not None for fetch in fetches)
    whole = [replace(fetch, projector=None) for fetch in fetches] if projected else fetches
    reading = _Reading(whole, replica_of, limits.max_bytes, time_slice, read_pool)
    await reading.read(range(len(whole)))
    await _wait_for_data(reading, limits, parked, time_slice)
    if projected:
        await response_slot()
        reading = _Reading(fetches, replica_of, min(limits.max_bytes, response_capacity()), time_slice, read_pool)
        await reading.read(range(len(fetches)))
    return [result for result in reading.results if result is not None]


class _Reading:
    """What the buckets of a fetch hold by now, and whether that is enough.

    Buckets are read again one by one, when their high watermark has moved.
    """

    def __init__(
        self,
        fetches: Sequence[BucketFetch],
        replica_of: Callable[[TableBucket], Replica],
        max_bytes: int,
        time_slice: TimeSlice,
        read_pool: WorkerPool,
    ) -> None:
        self._fetches = fetches
        self._replica_of = replica_of
        self._max_bytes = max_bytes
        self._slice = time_slice
        self._read_pool = read_pool
        # None until the bucket is read: to make very many results at once would hold the event loop.
        self.results: list[BucketResult | None] = [None] * len(fetches)
        self._size_bytes = 0
        self._settled = 0  # results that time cannot improve, and that end the wait
        self._readable = 0

    async def read(self, indexes: Iterable[int]) -> None:
        """Read some of the buckets, in pieces that do not hold up the event loop."""
        for index in indexes:
            await self._slice.pause_if_over()
            if (before := self.results[index]) is not None:
                self._add(before, -1)
            try:
                result = self._read_one(index, _is_quick)
            except UncheckedError:
                result = await self._read_pool.run(self._read_one, index, always)
            self._add(result)
            self.results[index] = result

    def _read_one(self, index: int, may_check: MayCheck) -> BucketResult:
        result = BucketResult(self._fetches[index])
        max_bytes = min(result.fetch.max_bytes, max(0, self._max_bytes - self._size_bytes))
        at_least_one = not self._size_bytes  # a batch larger than all limits must still get through
        try:
            _read(result, self._replica_of(result.fetch.bucket), max_bytes, at_least_one, may_check)
        except FlussError as error:
            result.error = error.with_traceback(None)  # which refers to this frame, and so to the result
        return result

    def have_lost_leader(self, indexes: Iterable[int]) -> bool:
        """Whether buckets that were read before are led by another server now."""
        for index in indexes:
            result = self.results[index]
            error = None if result is None else result.error
            if error is not None and error.code is ErrorCode.NOT_LEADER_OR_FOLLOWER:
                return True
        return False

    def watched(self) -> Iterator[tuple[int, WatchedOffset, bool]]:
        """What to wait for, by the position of the bucket, and whether it has moved since the read.

        A client waits for the high watermark, a follower for the end of the log.
        """
        for index, fetch in enumerate(self._fetches):
            try:
                replica = self._replica_of(fetch.bucket)
            except FlussError:
                if fetch.is_follower:
                    self._settled += 1  # nothing would wake it: the next fetch gets the error
                continue  # its error is part of the results
            result = self.results[index]
            if fetch.is_follower:
                yield index, replica.log_end, fetch.offset < replica.log.end_offset
            else:
                has_moved = result is None or result.high_watermark < replica.high_watermark.value
                yield index, replica.high_watermark, has_moved

    def bucket(self, index: int) -> TableBucket:
        """The bucket at a position."""
        return self._fetches[index].bucket

    def worth_waiting(self, min_bytes: int) -> bool:
        """Whether time can improve the response."""
        return self._size_bytes < min_bytes and not self._settled and self._readable > 0

    def _add(self, result: BucketResult, sign: int = 1) -> None:
        self._size_bytes += sign * result.size_bytes
        if result.error is None:
            self._readable += sign
            # Behind what a filter has taken away the reader can go on.
            self._settled += sign * (result.filtered_end_offset is not None)
        elif result.error.code is ErrorCode.LEADER_NOT_AVAILABLE_EXCEPTION:
            self._readable += sign  # it will be
        else:
            self._settled += sign * (result.error.code not in _DEFERRED_ERRORS)


def _is_quick(batches: LogSlice | None) -> bool:
    """Whether batches are checked on the event loop: handing them to a worker and back would take longer."""
    if batches is None or batches.next_offset - batches.first_offset > _MAX_INLINE_RECORDS:
        return False
    region = batches.region
    return region.length <= _MAX_INLINE_BYTES and region.file.is_cached(region.position, region.length)


async def _wait_for_data(reading: _Reading, limits: FetchLimits, parked: ParkedFetches, time_slice: TimeSlice) -> None:
    """Read again whatever moves until there is enough or the time is over."""
    wait_ms = DEFAULT_WAIT_MS if limits.max_wait_ms is None else min(limits.max_wait_ms, MAX_WAIT_MS)
    min_bytes = limits.min_bytes
    if min_bytes is None or wait_ms <= 0 or not reading.worth_waiting(min_bytes):
        return
    changed = asyncio.Event()
    moved: dict[int, None] = {}
    time_is_up = False

    def respond_now() -> None:
        nonlocal time_is_up
        time_is_up = True
        changed.set()

    def notice(index: int) -> None:
        if not moved:
            parked.wake(changed.set, reading.bucket(index))
        moved[index] = None

    timer = asyncio.get_running_loop().call_later(wait_ms / 1000, respond_now)
    watched: list[tuple[WatchedOffset, Callable[[], None]]] = []
    parked.enter(len(reading.results), respond_now)
    try:
        for index, offset, has_moved in reading.watched():
            has_news = partial(notice, index)
            watched.append((offset, has_news))
            offset.add_reader(has_news)
            if has_moved:
                has_news()
            await time_slice.pause_if_over()
            if time_is_up:
                break
        while not time_is_up and reading.worth_waiting(min_bytes):
            await changed.wait()
            changed.clear()
            indexes = list(moved)
            moved.clear()
            await reading.read(indexes)
            if reading.have_lost_leader(indexes):
                return
    finally:
        parked.leave(respond_now)
        timer.cancel()
        for offset, wake in watched:
            offset.remove_reader(wake)


def _read(result: BucketResult, replica: Replica, max_bytes: int, at_least_one: bool, may_check: MayCheck) -> None:
    """Fill ``result`` from the log below the high watermark, for a follower from all of it."""
    log = replica.log
    result.high_watermark = high_watermark = replica.high_watermark.value
    if result.fetch.is_follower:
        high_watermark = log.end_offset
    elif replica.followers is not None and not replica.is_serving:
        raise replica.not_serving()
    result.log_start_offset = log.start_offset
    offset = log.start_offset if result.fetch.offset == EARLIEST_OFFSET else result.fetch.offset
    if not log.start_offset <= offset <= log.end_offset:
        raise FlussError(
            ErrorCode.LOG_OFFSET_OUT_OF_RANGE_EXCEPTION,
            f"offset {offset} is outside of [{log.start_offset}, {log.end_offset}] of bucket {result.fetch.bucket}",
        )
    if result.fetch.log_filter is not None:
        _read_filtered(result, log, offset, high_watermark, max_bytes, at_least_one, may_check)
        return
    projector = result.fetch.projector
    # Without a projection one slice is the response. A projection shrinks what it reads: continue until it is full.
    remaining = MAX_EXAMINED_BATCHES
    step = _CHECKED_READ_BYTES if may_check is always else _PROJECTED_READ_BYTES
    while offset < high_watermark and remaining > 0 and (max_bytes > 0 or at_least_one):
        if projector is None:
            piece = log.read(offset, max_bytes, high_watermark, at_least_one=at_least_one, may_check=may_check)
            if piece is not None:
                result.pieces.append(piece.region)
                result.size_bytes += piece.region.length
            return
        try:
            piece = log.read(offset, step, high_watermark, at_least_one=True, may_check=may_check)
        except BatchDamagedError:
            if not result.pieces:
                raise
            return  # what lies before the damage can be read
        if piece is None:
            return
        before = result.size_bytes
        added = _project(result, projector, piece.region, max_bytes, at_least_one, remaining)
        if added is None:
            return
        remaining -= added
        max_bytes -= result.size_bytes - before
        at_least_one = at_least_one and not result.pieces
        offset = piece.next_offset


def _project(
    result: BucketResult,
    projector: TableProjector,
    region: FileRegion,
    max_bytes: int,
    at_least_one: bool,
    max_batches: int,
) -> int | None:
    """Add the projected batches of a region, whole ones; returns how many, or None if that would be too many bytes."""
    count = 0
    with storage_errors(f"cannot read bucket {result.fetch.bucket}"):
        for _, pieces, size in project_batches(region, projector):
            if count == max_batches or (size > max_bytes and not at_least_one):
                return None
            result.pieces += pieces
            result.size_bytes += size
            max_bytes -= size
            at_least_one = False
            count += 1
    return count


def _read_filtered(
    result: BucketResult,
    log: LogTablet,
    offset: int,
    high_watermark: int,
    max_bytes: int,
    at_least_one: bool,
    may_check: MayCheck,
) -> None:
    """As :func:`_read`, with only those batches that the filter lets through."""
    projector, log_filter = result.fetch.projector, result.fetch.log_filter
    assert log_filter is not None
    remaining = MAX_EXAMINED_BATCHES
    kept_until = offset
    while offset < high_watermark and remaining > 0 and (max_bytes > 0 or at_least_one):
        with storage_errors(f"cannot read bucket {result.fetch.bucket}"):
            found = select_batches(
                log,
                offset,
                max_bytes,
                high_watermark,
                log_filter.may_keep,
                at_least_one=at_least_one,
                max_examined=remaining,
                may_check=may_check,
            )
        remaining -= found.examined
        if found.regions:
            kept_until = found.kept_until
        if projector is None:
            result.pieces.extend(found.regions)
            result.size_bytes += found.size_bytes
            offset = found.next_offset
            break
        for region in found.regions:
            before = result.size_bytes
            if _project(result, projector, region, max_bytes, at_least_one, MAX_EXAMINED_BATCHES) is None:
                return
            max_bytes -= result.size_bytes - before
            at_least_one = False
        if found.next_offset == offset:
            break  # the next one is too large
        offset = found.next_offset
    if offset > kept_until:
        result.filtered_end_offset = offset
