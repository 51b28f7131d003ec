"""FETCH_LOG: reading log batches, with long polling.

A fetch that finds fewer bytes than it asked for is *parked*: it looks again whenever a high watermark it depends on
moves, and answers when it has enough, when something goes wrong that waiting cannot mend, or when its time is up.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from fluss_server.errors import ErrorCode, FlussError
from fluss_server.formats.projection import TableProjector
from fluss_server.log.batch_selection import select_batches
from fluss_server.log.damage import BatchDamagedError, UncheckedError
from fluss_server.log.log_tablet import LogTablet
from fluss_server.log.storage_errors import storage_errors
from fluss_server.model.identifiers import TableBucket
from fluss_server.replica.replica import Replica
from fluss_server.runtime.disk import FileRegion
from fluss_server.runtime.workers import WorkerPool
from fluss_server.tablet.log_filter import LogFilter
from fluss_server.tablet.parked_fetches import ParkedFetches
from fluss_server.tablet.projected_read import project_batches

EARLIEST_OFFSET = -2
"""A fetch offset that stands for the start of the log."""

DEFAULT_WAIT_MS = 100
MAX_WAIT_MS = 60_000
"""Upper bound of the time a fetch is parked, whatever it asks for."""

MAX_EXAMINED_BATCHES = 500
"""Most batches of a bucket that one fetch filters or projects, some milliseconds; the reader asks again behind them."""

_PROJECTED_READ_BYTES = 4 << 20
"""Log read at a time for a projection, which makes it smaller."""

# A lost bucket is reported with the others when the wait is over, so that polling does not become a busy loop.
_PATIENT_ERRORS = frozenset({ErrorCode.NOT_LEADER_OR_FOLLOWER, ErrorCode.UNKNOWN_TABLE_OR_BUCKET_EXCEPTION})

Piece = bytes | bytearray | memoryview | FileRegion


@dataclass(slots=True)
class BucketFetch:
    """One bucket of a fetch.

    Attributes:
        bucket: which bucket.
        offset: first wanted offset, or ``EARLIEST_OFFSET``.
        max_bytes: most bytes for this bucket.
        projector: which columns, or None for all.
        log_filter: which batches, or None for all.
    """

    bucket: TableBucket
    offset: int
    max_bytes: int
    projector: TableProjector | None = None
    log_filter: LogFilter | None = None


@dataclass(slots=True)
class BucketResult:
    """What a bucket answers: an error, or pieces of whole batches.

    Attributes:
        filtered_end_offset: offset up to which there is nothing that the filter lets through behind the pieces; None if
            it has taken nothing away there.
    """

    fetch: BucketFetch
    error: FlussError | None = None
    high_watermark: int = 0
    log_start_offset: int = 0
    pieces: list[Piece] = field(default_factory=list)
    size_bytes: int = 0
    filtered_end_offset: int | None = None


async def fetch_log(
    fetches: Sequence[BucketFetch],
    replica_of: Callable[[TableBucket], Replica],
    *,
    max_bytes: int,
    min_bytes: int | None,
    max_wait_ms: int | None,
    response_slot: Callable[[], Awaitable[None]],
    response_capacity: Callable[[], int],
    parked: ParkedFetches,
    read_pool: WorkerPool,
) -> list[BucketResult]:
    """Read every bucket of ``fetches``; wait until at least ``min_bytes`` are there, at most ``max_wait_ms``.

    Args:
        replica_of: finds the replica, or raises the bucket's error.
        max_bytes: most bytes of the whole answer; one batch is sent even if it is larger.
        min_bytes: None = answer at once. Counted before a projection makes batches smaller.
        max_wait_ms: None = 100 ms.
        response_slot: awaited before batches are held in memory, so that a slow reader costs a bounded amount.
        response_capacity: most bytes that should be held in memory then.
        parked: where to be while waiting.
        read_pool: where batches are checked that nobody has read since their segment was opened.
    """
    projected = any(fetch.projector is not None for fetch in fetches)
    whole = [replace(fetch, projector=None) for fetch in fetches] if projected else fetches
    results = await _read_patiently(whole, replica_of, max_bytes, min_bytes, max_wait_ms, parked, read_pool)
    if projected:
        await response_slot()
        results = await _read_all(fetches, replica_of, min(max_bytes, response_capacity()), read_pool)
    return results


async def _read_patiently(
    fetches: Sequence[BucketFetch],
    replica_of: Callable[[TableBucket], Replica],
    max_bytes: int,
    min_bytes: int | None,
    max_wait_ms: int | None,
    parked: ParkedFetches,
    read_pool: WorkerPool,
) -> list[BucketResult]:
    results = await _read_all(fetches, replica_of, max_bytes, read_pool)
    if min_bytes is None:
        return results
    wait_ms = DEFAULT_WAIT_MS if max_wait_ms is None else min(max_wait_ms, MAX_WAIT_MS)
    if wait_ms <= 0 or not _worth_waiting(results, min_bytes):
        return results
    moved = asyncio.Event()
    time_is_up = False

    def respond_now() -> None:
        nonlocal time_is_up
        time_is_up = True
        moved.set()

    timer = asyncio.get_running_loop().call_later(wait_ms / 1000, respond_now)
    replicas = _reachable(fetches, replica_of)
    for replica in replicas:
        replica.high_watermark.add_reader(moved.set)
    parked.enter(len(fetches), respond_now)
    try:
        while not time_is_up and _worth_waiting(results, min_bytes):
            await moved.wait()
            moved.clear()
            results = await _read_all(fetches, replica_of, max_bytes, read_pool)
        return results
    finally:
        parked.leave(respond_now)
        timer.cancel()
        for replica in replicas:
            replica.high_watermark.remove_reader(moved.set)


def _reachable(fetches: Sequence[BucketFetch], replica_of: Callable[[TableBucket], Replica]) -> list[Replica]:
    replicas = []
    for fetch in fetches:
        try:
            replicas.append(replica_of(fetch.bucket))
        except FlussError:
            continue  # its error is part of the results
    return replicas


def _worth_waiting(results: Sequence[BucketResult], min_bytes: int) -> bool:
    """Whether time can improve this answer."""
    if sum(result.size_bytes for result in results) >= min_bytes:
        return False
    if any(result.error is not None and result.error.code not in _PATIENT_ERRORS for result in results):
        return False
    if any(result.filtered_end_offset is not None for result in results):
        return False  # the reader can go on from there
    return any(result.error is None for result in results)


async def _read_all(
    fetches: Sequence[BucketFetch],
    replica_of: Callable[[TableBucket], Replica],
    max_bytes: int,
    read_pool: WorkerPool,
) -> list[BucketResult]:
    """Read on the event loop what can be sent as it is; where batches must be checked first, read in the pool."""
    try:
        return _read_now(fetches, replica_of, max_bytes, may_check=False)
    except UncheckedError:
        return await read_pool.run(partial(_read_now, fetches, replica_of, max_bytes, may_check=True))


def _read_now(
    fetches: Sequence[BucketFetch], replica_of: Callable[[TableBucket], Replica], max_bytes: int, *, may_check: bool
) -> list[BucketResult]:
    results = []
    remaining = max_bytes
    at_least_one = True  # once per request: a batch larger than all limits must still get through
    for fetch in fetches:
        result = BucketResult(fetch)
        try:
            _read(result, replica_of(fetch.bucket), min(fetch.max_bytes, remaining), at_least_one, may_check)
        except FlussError as error:
            result.error = error
        if result.size_bytes:
            at_least_one = False
            remaining = max(0, remaining - result.size_bytes)
        results.append(result)
    return results


def _read(result: BucketResult, replica: Replica, max_bytes: int, at_least_one: bool, may_check: bool) -> None:
    """Fill ``result`` from the log below the high watermark."""
    log = replica.log
    high_watermark = replica.high_watermark.value
    result.high_watermark = high_watermark
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
    # Without a projection one slice is the answer. A projection shrinks what it reads: go on until the answer is full.
    remaining = MAX_EXAMINED_BATCHES
    while offset < high_watermark and remaining > 0 and (max_bytes > 0 or at_least_one):
        if projector is None:
            piece = log.read(offset, max_bytes, high_watermark, at_least_one=at_least_one, may_check=may_check)
            if piece is not None:
                result.pieces.append(piece.region)
                result.size_bytes += piece.region.length
            return
        try:
            piece = log.read(offset, _PROJECTED_READ_BYTES, high_watermark, at_least_one=True, may_check=may_check)
        except BatchDamagedError:
            if not result.pieces:
                raise
            return  # what lies in front of the damage can be read
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
    """Add the projected batches of a region, whole ones; returns how many, or None if not all of them fit."""
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
    may_check: bool,
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
            break  # the next one does not fit
        offset = found.next_offset
    if offset > kept_until:
        result.filtered_end_offset = offset
