"""Sessions of SCAN_KV: a scan of a bucket's whole state takes many requests, and pins a RocksDB snapshot meanwhile.

Scans begin in the KV worker thread, which alone knows the offset that a state belongs to, and are read in a thread of
their own, so that writes do not wait for them. One thread: reading holds the GIL, more would only compete.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Container
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from fluss_server.errors import ErrorCode, FlussError
from fluss_server.model.identifiers import TableBucket
from fluss_server.model.principal import ANONYMOUS, Principal
from fluss_server.runtime import Runtime
from fluss_server.runtime.workers import WorkerPool

if TYPE_CHECKING:
    from fluss_server.kv.scan import KvScan

_T = TypeVar("_T")

logger = logging.getLogger(__name__)

ABANDONED_AFTER_S = 60.0
"""When a limit is reached, the scan that was idle the longest, and at least for this long, gives way to a new one."""

MAX_REMEMBERED = 1_000
"""How many expired ids are remembered, to respond with SCANNER_EXPIRED instead of UNKNOWN_SCANNER_ID."""


class ScannerConfig(NamedTuple):
    """Limits of scans.

    Attributes:
        idle_limit_s: a scan that nobody read for so long is ended.
        check_interval_s: how often idle scans are looked for.
        max_per_bucket: most open scans of a bucket.
        max_per_server: most open scans of the server.
        max_batch_bytes: most bytes of values in a response, whatever the request requires.
    """

    idle_limit_s: float = 600.0
    check_interval_s: float = 30.0
    max_per_bucket: int = 8
    max_per_server: int = 200
    max_batch_bytes: int = 10 << 20


@dataclass(slots=True)
class _OpenScan:
    bucket: TableBucket
    owner: Principal
    scan: KvScan
    rows_left: int | None
    call_seq_id: int
    used_at: float
    busy: bool = False


class ScanResponse(NamedTuple):
    """One response of a scan.

    Attributes:
        scanner_id: of the scan; None if its bucket is empty.
        values: rows as stored: schema id and row.
        log_offset: the scan shows the state at this changelog offset; set in the first response.
        has_more: whether there are more rows; without them the scan is over.
    """

    scanner_id: bytes | None
    values: list[bytes]
    log_offset: int | None
    has_more: bool


class KvScanners:
    """The open scans of a server. Used on the event loop.

    Every error ends its scan: nothing can be repeated.

    Args:
        kv_worker: the thread in which KvTablets change.
        runtime: clock for what is idle, threads, and ids that nobody may guess.
        config: limits.
    """

    def __init__(self, kv_worker: WorkerPool, runtime: Runtime, config: ScannerConfig | None = None) -> None:
        self._kv_worker = kv_worker
        self._reader = runtime.workers.pool("fluss-scan", 1)
        self._secrets = runtime.secrets
        self._clock = runtime.clock
        self._config = config or ScannerConfig()
        self._sessions: dict[bytes, _OpenScan] = {}
        self._opening: Counter[TableBucket] = Counter()  # scans that are about to be registered
        self._expired: dict[bytes, None] = {}
        self._maintenance: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Look for idle scans from time to time: each pins memory and files of its moment."""
        self._maintenance = asyncio.get_running_loop().create_task(self._expire_regularly())

    def __len__(self) -> int:
        """Number of open scans."""
        return len(self._sessions)

    def run(self, function: Callable[..., _T], *arguments: object) -> asyncio.Future[_T]:
        """Run something that reads much in the thread that reads scans."""
        return self._reader.run(function, *arguments)

    async def open(
        self,
        bucket: TableBucket,
        opener: Callable[[], KvScan],
        limit: int | None,
        call_seq_id: int,
        max_bytes: int,
        owner: Principal = ANONYMOUS,
    ) -> ScanResponse:
        """Start a scan and return its first rows.

        Args:
            bucket: which bucket.
            opener: makes the scan, in the KV worker thread.
            limit: most rows of the scan, None = all.
            call_seq_id: must be 0; that of each next call is greater by one.
            max_bytes: bytes of values after which no further row is taken.
            owner: who may continue it.

        Raises:
            FlussError: ``TOO_MANY_SCANNERS``, ``INVALID_SCAN_REQUEST``; what ``opener`` raises.
        """
        if call_seq_id != 0:
            raise FlussError(ErrorCode.INVALID_SCAN_REQUEST, f"a scan begins with call 0, not {call_seq_id}")
        self._expire_idle()
        self._evict_expired(bucket)
        self._opening[bucket] += 1
        try:
            scan = await self._kv_worker.run(opener)
        finally:
            self._opening[bucket] -= 1
            if not self._opening[bucket]:
                del self._opening[bucket]
        session = _OpenScan(bucket, owner, scan, limit, 0, self._clock.monotonic())
        scanner_id = self._secrets.token(16).hex().encode()
        self._sessions[scanner_id] = session
        response = await self._advance(scanner_id, session, max_bytes, scan.log_offset)
        return response if response.values else response._replace(scanner_id=None)

    def _evict_expired(self, bucket: TableBucket) -> None:
        config = self._config
        in_bucket, in_server = self._count(bucket), self._count_all()
        if in_bucket >= config.max_per_bucket or in_server >= config.max_per_server:
            # Clients that died, a Flink job that restarts over and over for example, leave scans behind.
            self._expire_longest_idle(bucket if in_bucket >= config.max_per_bucket else None)
            in_bucket, in_server = self._count(bucket), self._count_all()
        if in_bucket >= config.max_per_bucket or in_server >= config.max_per_server:
            raise FlussError(
                ErrorCode.TOO_MANY_SCANNERS,
                f"{in_bucket} scans of bucket {bucket} and {in_server} of this server are open",
                hint="read the open scans to their end, or close them",
            )

    async def next(
        self, scanner_id: bytes, call_seq_id: int, max_bytes: int, caller: Principal = ANONYMOUS
    ) -> ScanResponse:
        """The next rows of a scan; to anybody but its owner it is unknown.

        Raises:
            FlussError: ``UNKNOWN_SCANNER_ID``, ``SCANNER_EXPIRED``, ``INVALID_SCAN_REQUEST``.
        """
        self._expire_idle()
        session = self._find(scanner_id, caller)
        if session is None:
            if scanner_id in self._expired:
                raise FlussError(ErrorCode.SCANNER_EXPIRED, "the scan was idle for too long", hint="start a new scan")
            raise FlussError(ErrorCode.UNKNOWN_SCANNER_ID, "no such scan; it may have ended")
        if session.busy:
            self.close(scanner_id)
            raise FlussError(ErrorCode.INVALID_SCAN_REQUEST, "a request of this scan is still running")
        if call_seq_id != session.call_seq_id + 1:
            self.close(scanner_id)
            raise FlussError(
                ErrorCode.INVALID_SCAN_REQUEST, f"call {call_seq_id} follows call {session.call_seq_id} of this scan"
            )
        session.call_seq_id = call_seq_id
        return await self._advance(scanner_id, session, max_bytes, None)

    async def _advance(
        self, scanner_id: bytes, session: _OpenScan, max_bytes: int, log_offset: int | None
    ) -> ScanResponse:
        session.busy = True
        max_bytes = min(max_bytes, self._config.max_batch_bytes)
        try:
            values = await self._reader.run(session.scan.next, max_bytes, session.rows_left)
        except BaseException:
            self.close(scanner_id)
            raise
        session.busy = False
        session.used_at = self._clock.monotonic()
        if session.rows_left is not None:
            session.rows_left -= len(values)
        has_more = not session.scan.exhausted and session.rows_left != 0
        if not has_more:
            self.close(scanner_id)
        return ScanResponse(scanner_id, values, log_offset, has_more)

    def close_for(self, scanner_id: bytes, caller: Principal) -> None:
        """End a scan of the caller; nothing happens when there is none."""
        if self._find(scanner_id, caller) is not None:
            self.close(scanner_id)

    def _find(self, scanner_id: bytes, caller: Principal) -> _OpenScan | None:
        scan = self._sessions.get(scanner_id)
        return scan if scan is not None and scan.owner == caller else None

    def close(self, scanner_id: bytes) -> None:
        """End a scan, after the step that is running; unknown ids are ignored."""
        session = self._sessions.pop(scanner_id, None)
        if session is not None:
            self._reader.submit(session.scan.close)

    def close_buckets(self, buckets: Container[TableBucket]) -> None:
        """End every scan of some buckets, before their KvTablets are closed."""
        for scanner_id, session in list(self._sessions.items()):
            if session.bucket in buckets:
                self._expire(scanner_id)

    async def stop(self) -> None:
        """End every scan, also those that are being read."""
        if self._maintenance is not None:
            self._maintenance.cancel()
            await asyncio.wait([self._maintenance])
        for scanner_id in list(self._sessions):
            self._expire(scanner_id)
        self._reader.close()

    async def _expire_regularly(self) -> None:
        while True:
            await asyncio.sleep(self._config.check_interval_s)
            self._expire_idle()

    def _count(self, bucket: TableBucket) -> int:
        return self._opening[bucket] + sum(session.bucket == bucket for session in self._sessions.values())

    def _count_all(self) -> int:
        return self._opening.total() + len(self._sessions)

    def _expire_idle(self) -> None:
        now = self._clock.monotonic()
        for scanner_id, session in list(self._sessions.items()):
            if not session.busy and now - session.used_at > self._config.idle_limit_s:
                self._expire(scanner_id)

    def _expire_longest_idle(self, bucket: TableBucket | None) -> None:
        """End the scan, of ``bucket`` or of any, that nobody seems to read any more."""
        idle = [
            (session.used_at, scanner_id)
            for scanner_id, session in self._sessions.items()
            if not session.busy and bucket in (None, session.bucket)
        ]
        if idle and self._clock.monotonic() - min(idle)[0] >= ABANDONED_AFTER_S:
            self._expire(min(idle)[1])

    def _expire(self, scanner_id: bytes) -> None:
        scan = self._sessions.pop(scanner_id).scan
        scan.cancel()
        self._reader.submit(scan.close)
        self._expired[scanner_id] = None
        if len(self._expired) > MAX_REMEMBERED:
            del self._expired[next(iter(self._expired))]
