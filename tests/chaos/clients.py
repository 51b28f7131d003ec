"""Clients of a cluster under chaos: writers, readers and lookups, over the wire protocol only.

They behave as official clients do: they find leaders by GET_METADATA of any server that responds, and repeat a call
after every error that those take for a change of the leader.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from random import Random
from typing import Any

from chaos.checks import Row, Violation
from chaos.history import OK, UNKNOWN, History, Lookup, Version
from fluss_server.api import messages as pb
from fluss_server.api.keys import ApiKey
from fluss_server.errors import ErrorCode, FlussError
from fluss_server.formats.arrow_batch import decode_batch
from fluss_server.formats.kv_batch import build_kv_batch
from fluss_server.formats.log_batch import iter_batches
from fluss_server.rpc.endpoints import Endpoint
from fluss_server.runtime.system_network import SystemNetwork
from simulation.cluster_clients import KEY_ENCODER, REPEATED, ClusterClient
from simulation.conversation import ARROW_SCHEMA, ROWS, log_batch, path_of

CALL_TIMEOUT_S = 2.0
ACKNOWLEDGE_TIMEOUT_MS = 1_500
AVOIDED_S = 3.0
"""How long a server that did not respond is not asked for metadata, unless all are like that."""

RETRIED = REPEATED | {
    ErrorCode.LOG_STORAGE_EXCEPTION,
    ErrorCode.KV_STORAGE_EXCEPTION,
    ErrorCode.STORAGE_EXCEPTION,
    ErrorCode.DISK_WRITE_LOCKED,
    ErrorCode.STORAGE_BACKPRESSURE_EXCEPTION,
}
BROKEN = frozenset(
    {
        ErrorCode.OUT_OF_ORDER_SEQUENCE_EXCEPTION,
        ErrorCode.UNKNOWN_WRITER_ID_EXCEPTION,
        ErrorCode.CORRUPT_MESSAGE,
        ErrorCode.CORRUPT_RECORD_EXCEPTION,
        ErrorCode.UNKNOWN_SERVER_ERROR,
    }
)
"""What no client may get that repeats its calls in their order: something was forgotten, damaged, or not foreseen."""

KEYS = 20
"""Keys that a writer changes at a time."""

KEYS_OF_WRITER = 10_000_000
ROWS_OF_WRITER = 1_000_000_000


class Target:
    """A table, and how to reach its cluster.

    Args:
        name: of the table.
        table_id: its id.
        endpoints: where tablet servers listen for clients.
        history: takes down what clients do.
        now: seconds of the run.
        pace_s: longest pause of a client between two operations.
        timeout_s: of a call.
    """

    def __init__(
        self,
        name: str,
        table_id: int,
        endpoints: list[Endpoint],
        history: History,
        now: Callable[[], float],
        pace_s: float,
        timeout_s: float = CALL_TIMEOUT_S,
    ) -> None:
        self.name = name
        self.table_id = table_id
        self.endpoints = endpoints
        self.history = history
        self.now = now
        self.pace_s = pace_s
        self.timeout_s = timeout_s


class ChaosClient(ClusterClient):
    """Leaves servers alone for a while that did not respond."""

    def __init__(self, endpoints: list[Endpoint], random: Random, timeout_s: float) -> None:
        super().__init__(SystemNetwork(), self._candidates, random, timeout_s=timeout_s)
        self._endpoints = endpoints
        self._avoided: dict[tuple[str, int], float] = {}

    def _candidates(self) -> list[Endpoint]:
        now = asyncio.get_running_loop().time()
        found = [each for each in self._endpoints if self._avoided.get((each.host, each.port), 0.0) <= now]
        return found or self._endpoints

    async def _call(self, address: tuple[str, int], key: ApiKey, request: Any) -> Any:
        try:
            return await super()._call(address, key, request)
        except FlussError as error:
            if error.code in (ErrorCode.NETWORK_EXCEPTION, ErrorCode.REQUEST_TIME_OUT):
                self._avoided[address] = asyncio.get_running_loop().time() + AVOIDED_S
            raise


class Actor:
    """A client with a task: until :attr:`stopped` it does one thing after the other.

    Attributes:
        stopped: finish what was begun, and end.
        violations: what it saw that must not be.
    """

    def __init__(self, target: Target, bucket: int, random: Random) -> None:
        self.target = target
        self.bucket = bucket
        self.random = random
        self.client = ChaosClient(target.endpoints, random, target.timeout_s)
        self.stopped = False
        self.violations: list[Violation] = []

    async def run(self) -> None:
        """Work until stopped."""
        while not self.stopped:
            await self.step()
            await asyncio.sleep(self.target.pace_s * self.random.random())
        await self.client.close()

    async def step(self) -> None:
        """Do one thing."""
        raise NotImplementedError

    async def call(self, operation: str, key: ApiKey, request: Any, part: Callable[[Any], Any]) -> Any:
        """A call of the bucket's leader, repeated as long as clients repeat it.

        Raises:
            FlussError: with a code that clients do not repeat.
        """
        while True:
            try:
                return await self.client.call_leader(self.target.name, self.bucket, key, request, part)
            except FlussError as error:
                self.target.history.note_error(operation, error)
                if error.code in BROKEN:
                    text = f"{operation} in bucket {self.bucket} of {self.target.name}: {error.code.name}: {error}"
                    self.violations.append(Violation("broken", text))
                if error.code not in RETRIED:
                    raise
            await asyncio.sleep(0.05 * self.random.random())

    async def writer_id(self) -> int:
        """An id for an idempotent writer."""
        request = pb.InitWriterRequest(table_path=[path_of(self.target.name)])
        while True:
            try:
                return int((await self.client.call_any(ApiKey.INIT_WRITER, request)).writer_id)
            except FlussError as error:
                self.target.history.note_error("init writer", error)
            await asyncio.sleep(0.1 * self.random.random())


def _bucket_of(response: Any) -> Any:
    return response.buckets_resp[0]


class Appender(Actor):
    """Appends numbered rows with acks = all as an idempotent writer, a batch after the other.

    A batch is repeated until it is acknowledged. When the leader does not know the writer any more, its fate is
    unknown; then the next batch comes from another writer.

    Args:
        first_rows: how many rows the first batch has; 0 = as many as the others.

    Attributes:
        sent: numbers of all rows that were sent.
        acknowledged: numbers of rows that were acknowledged, in order.
    """

    def __init__(self, target: Target, bucket: int, number: int, random: Random, *, first_rows: int = 0) -> None:
        super().__init__(target, bucket, random)
        self._first_rows = first_rows
        self._number = number
        self._next = number * ROWS_OF_WRITER
        self._writer: int | None = None
        self._sequence = 0
        self.sent: set[int] = set()
        self.acknowledged: list[int] = []

    async def step(self) -> None:
        if self._writer is None:
            self._writer, self._sequence = await self.writer_id(), 0
        count, self._first_rows = self._first_rows or self.random.randint(1, 10), 0
        rows = list(range(self._next, self._next + count))
        self._next += len(rows)
        self.sent.update(rows)
        request = pb.ProduceLogRequest(acks=-1, table_id=self.target.table_id, timeout_ms=ACKNOWLEDGE_TIMEOUT_MS)
        request.buckets_req.add(bucket_id=self.bucket, records=log_batch(rows, self._writer, self._sequence))
        start, outcome = self.target.now(), OK
        try:
            await self.call("append", ApiKey.PRODUCE_LOG, request, _bucket_of)
        except FlussError as error:
            if error.code is not ErrorCode.DUPLICATE_SEQUENCE_EXCEPTION:
                outcome = UNKNOWN
        details = {"writer": self._number, "first": rows[0], "count": len(rows), "writer_id": self._writer}
        self.target.history.note_done("append", self.bucket, start, self.target.now(), outcome, **details)
        if outcome == OK:
            self.acknowledged += rows
            self._sequence += 1
        else:
            self._writer = None


class Upserter(Actor):
    """Upserts and deletes rows under keys of its own, and looks some of them up.

    Attributes:
        versions: everything that it wrote, by key.
        lookups: what it found.
    """

    def __init__(self, target: Target, bucket: int, number: int, random: Random) -> None:
        super().__init__(target, bucket, random)
        self._number = number
        self._first_key = number * KEYS_OF_WRITER
        self._writer: int | None = None
        self._sequence = 0
        self._batch_sequence = 0
        self.versions: dict[int, list[Version]] = {}
        self.lookups: list[Lookup] = []

    @property
    def keys(self) -> range:
        """The keys that it changes now."""
        return range(self._first_key, self._first_key + KEYS)

    async def step(self) -> None:
        if self.random.random() < 0.3:
            await self.look_up(self.random.choice(self.keys))
        else:
            await self._write()

    async def _write(self) -> None:
        if self._writer is None:
            self._writer, self._batch_sequence = await self.writer_id(), 0
        start, sequence = self.target.now(), self._sequence
        self._sequence += 1
        written = {}
        for key in self.random.sample(self.keys, 3):
            before = self.versions.setdefault(key, [])
            previous = before[-1].sequence if before else -1
            value = None if self.random.random() < 0.15 else f"{self._number}:{sequence}:{previous}"
            written[key] = Version(sequence, value, start, None)
            before.append(written[key])
        records = [
            (KEY_ENCODER.encode((key,)), None if version.value is None else ROWS.encode((key, version.value)))
            for key, version in written.items()
        ]
        batch = build_kv_batch(1, records, writer_id=self._writer, batch_sequence=self._batch_sequence)
        request = pb.PutKvRequest(acks=-1, table_id=self.target.table_id, timeout_ms=ACKNOWLEDGE_TIMEOUT_MS)
        request.buckets_req.add(bucket_id=self.bucket, records=batch)
        outcome = OK
        try:
            await self.call("upsert", ApiKey.PUT_KV, request, _bucket_of)
        except FlussError as error:
            if error.code is not ErrorCode.DUPLICATE_SEQUENCE_EXCEPTION:
                outcome = UNKNOWN
        end = self.target.now()
        values = {str(key): version.value for key, version in written.items()}
        details = {"writer": self._number, "sequence": sequence, "values": values}
        self.target.history.note_done("upsert", self.bucket, start, end, outcome, **details)
        if outcome == OK:
            self._batch_sequence += 1
            for key, version in written.items():
                self.versions[key][-1] = version._replace(acknowledged=end)
        else:  # the batch may be applied at any later time: nobody writes these keys any more
            self._writer = None
            self._first_key += KEYS

    async def look_up(self, key: int) -> None:
        """Look a row up and keep what was found."""
        request = pb.LookupRequest(table_id=self.target.table_id)
        request.buckets_req.add(bucket_id=self.bucket, keys=[KEY_ENCODER.encode((key,))])
        start = self.target.now()
        try:
            found = await self.call("lookup", ApiKey.LOOKUP, request, _bucket_of)
        except FlussError:
            self.target.history.note_done("lookup", self.bucket, start, self.target.now(), UNKNOWN, key=key)
            return
        end = self.target.now()
        value = found.values[0].values if found.values[0].HasField("values") else None
        text = None if value is None else str(ROWS.decode(value[2:])[1])
        self.lookups.append(Lookup(key, start, end, text))
        self.target.history.note_done("lookup", self.bucket, start, end, OK, key=key, value=text)


class Visitor(Upserter):
    """Looks up rows that somebody else writes, over connections of its own."""

    def __init__(self, target: Target, owner: Upserter, random: Random) -> None:
        super().__init__(target, owner.bucket, -1, random)
        self._owner = owner

    async def step(self) -> None:
        await self.look_up(self.random.choice(self._owner.keys))


class Reader(Actor):
    """Follows the log of a bucket from its beginning.

    Attributes:
        rows: what it has read.
        offset: of the next row.
        high_watermark: the largest that was seen.
        regressions: how often a smaller one came.
    """

    def __init__(self, target: Target, bucket: int, random: Random, *, wait_ms: int = 500) -> None:
        super().__init__(target, bucket, random)
        self._wait_ms = wait_ms
        self.rows: list[Row] = []
        self.offset = 0
        self.high_watermark = 0
        self.regressions = 0

    async def step(self) -> None:
        await self.read()

    async def read(self) -> bool:
        """One fetch; returns whether there may be more."""
        target = self.target
        request = pb.FetchLogRequest(follower_server_id=-1, max_bytes=1 << 20, max_wait_ms=self._wait_ms, min_bytes=1)
        table = request.tables_req.add(table_id=target.table_id, projection_pushdown_enabled=False)
        table.buckets_req.add(bucket_id=self.bucket, fetch_offset=self.offset, max_fetch_bytes=1 << 18)
        start = target.now()
        try:
            found = await self.call(
                "read", ApiKey.FETCH_LOG, request, lambda response: response.tables_resp[0].buckets_resp[0]
            )
        except FlussError as error:
            text = f"{target.name} bucket {self.bucket}: a read at offset {self.offset} fails: {error.code.name}"
            if error.code is ErrorCode.LOG_OFFSET_OUT_OF_RANGE_EXCEPTION:
                text = f"{target.name} bucket {self.bucket}: the log ends before {self.offset}, which was read"
                self.violations.append(Violation("truncated below a read", text))
                self.stopped = True
            target.history.write({"op": "read", "bucket": self.bucket, "start": start, "error": text})
            return True
        if found.high_watermark < self.high_watermark:
            self.regressions += 1
        self.high_watermark = max(self.high_watermark, found.high_watermark)
        before = len(self.rows)
        self._take_in(found.records)
        if len(self.rows) > before:
            new = self.rows[before:]
            target.history.note_done(
                "read", self.bucket, start, target.now(), OK, table=target.name, first=new[0].offset, count=len(new)
            )
        return self.offset < self.high_watermark

    def _take_in(self, records: bytes) -> None:
        for position, header in iter_batches(records):
            if header.base_offset != self.offset:
                text = f"{self.target.name} bucket {self.bucket}: offset {header.base_offset} comes, not {self.offset}"
                self.violations.append(Violation("poll skip", text))
            changes, batch = decode_batch(memoryview(records)[position:], header, ARROW_SCHEMA)
            kinds = [0] * batch.num_rows if changes is None else changes.tolist()
            columns = zip(kinds, batch.column(0).to_pylist(), batch.column(1).to_pylist(), strict=True)
            self.rows += [Row(header.base_offset + index, *row) for index, row in enumerate(columns)]
            self.offset = header.next_offset
