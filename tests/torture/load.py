"""Clients that write to a server, all at the same time, and note what they send and what is acknowledged."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

from fluss_server.api import messages as pb
from fluss_server.api.keys import ApiKey
from fluss_server.errors import ErrorCode, FlussError
from fluss_server.formats.arrow_types import arrow_schema
from fluss_server.formats.keys import key_encoder
from fluss_server.formats.kv_batch import build_kv_batch
from fluss_server.formats.row_codec import row_codec
from fluss_server.model.schema import Column, Schema
from fluss_server.model.table import KvFormat, TableDescriptor
from fluss_server.model.types import DataType, TypeRoot
from table_rpc import arrow_log_batch, table_path
from torture.client import CALL_TIMEOUT_S, Client, Refused
from torture.model import Change, KeyedModel, LogModel, NamesModel, text_of

BUCKETS = 2
KEYS_OF_A_WRITER = 60
REPEATED_SHARE = 0.1
"""Of the groups of batches, those whose last batch is sent again, as by a client that did not get the response.

Few batches are in the log and without a response when a server dies, so few are repeated for that reason.
"""

LOG_TABLE, KEYED_TABLE, SUMS_TABLE, PARTITIONED_TABLE = "log", "keyed", "sums", "parts"

ID = Column("id", DataType(TypeRoot.BIGINT, nullable=False), 0)
TEXT = Column("text", DataType(TypeRoot.STRING), 1)
LOG_SCHEMA = Schema((ID, TEXT, Column("p", DataType(TypeRoot.STRING), 2)), (), highest_field_id=2)
AMOUNT = Column("amount", DataType(TypeRoot.BIGINT), 1)
SUM = Column("amount", DataType(TypeRoot.BIGINT), 1, agg_function=("sum", ()))
NOTE = Column("note", DataType(TypeRoot.STRING), 2)
KEYED_SCHEMA = Schema((ID, AMOUNT, NOTE), ("id",), highest_field_id=2)
SUMS_SCHEMA = Schema((ID, SUM, NOTE), ("id",), highest_field_id=2)
ROWS = row_codec(KEYED_SCHEMA.types, KvFormat.COMPACTED)
KEYS = key_encoder(KEYED_SCHEMA.types[:1])
ARROW_SCHEMAS = {
    LOG_TABLE: arrow_schema(LOG_SCHEMA),
    KEYED_TABLE: arrow_schema(KEYED_SCHEMA),
    SUMS_TABLE: arrow_schema(SUMS_SCHEMA),
}


@dataclass
class Expected:
    """What a server must hold.

    Attributes:
        database: of all tables.
        logs: by table, partition ("" for none) and bucket.
        keyed: by table and bucket.
        tables: by name.
        partitions: of the partitioned table.
        ids: of tables, by name, and of partitions, by their name after a slash.
        writer_ids: that were handed out.
    """

    database: str = "fluss"
    logs: dict[tuple[str, str, int], LogModel] = field(default_factory=dict)
    keyed: dict[tuple[str, int], KeyedModel] = field(default_factory=dict)
    tables: NamesModel = field(default_factory=NamesModel)
    partitions: NamesModel = field(default_factory=NamesModel)
    ids: dict[str, int] = field(default_factory=dict)
    writer_ids: list[int] = field(default_factory=list)

    def log(self, table: str, bucket: int, partition: str = "") -> LogModel:
        return self.logs.setdefault((table, partition, bucket), LogModel())

    def keyed_bucket(self, table: str, bucket: int) -> KeyedModel:
        return self.keyed.setdefault((table, bucket), KeyedModel(sums=table == SUMS_TABLE))

    def path(self, table: str) -> pb.PbTablePath:
        return table_path(table, self.database)

    @property
    def acknowledged_rows(self) -> int:
        return sum(model.acknowledged_rows for model in self.logs.values())


class Load:
    """Everybody who writes.

    Args:
        port: of the server.
        rng: makes all choices.
        repeated: codes after which calls are repeated.
        on_error: gets every error that is returned.
        database: of the tables.
        authentication: user and password, None = without.
        timeout_s: of a call.
        pause_s: of a writer after each request, so that others get their share of this process.

    Attributes:
        expected: what is written.
        progress: acknowledged requests by writer.
    """

    def __init__(
        self,
        port: int,
        rng: Random,
        repeated: frozenset[ErrorCode],
        on_error: Callable[[FlussError], None],
        *,
        database: str = "fluss",
        authentication: tuple[str, str] | None = None,
        pause_s: float = 0.0,
        timeout_s: float = CALL_TIMEOUT_S,
    ) -> None:
        self._timeout_s = timeout_s
        self._pause_s = pause_s
        self.expected = Expected(database)
        self._authentication = authentication
        self.progress: dict[str, int] = {}
        self._port = port
        self._rng = rng
        self._repeated = repeated
        self._on_error = on_error
        self._next_writer = 0
        self._stop = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    async def prepare(self) -> None:
        """Create the tables."""
        client = self._client()
        create = pb.CreateDatabaseRequest(database_name=self.expected.database, ignore_if_exists=True)
        await client.call(ApiKey.CREATE_DATABASE, create)
        await self.create(client, LOG_TABLE, LOG_SCHEMA)
        await self.create(client, KEYED_TABLE, KEYED_SCHEMA)
        await self.create(client, SUMS_TABLE, SUMS_SCHEMA, {"table.merge-engine": "aggregation"})
        await self.create(client, PARTITIONED_TABLE, LOG_SCHEMA, partition_key=("p",))
        await client.close()

    def start(self) -> None:
        """Let everybody begin."""
        for table, count in ((LOG_TABLE, 3), (KEYED_TABLE, 2), (SUMS_TABLE, 1)):
            for _ in range(count):
                self._start(f"{table} {self._next_writer}", self._write(table, self._next_writer))
                self._next_writer += 1
        self._start("ddl", self._change_definitions())

    def _start(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        self.progress[name] = 0
        self._tasks.append(asyncio.create_task(work, name=name))

    async def wait(self, requests: int, *, limit_s: float = 60.0) -> list[str]:
        """Until each of the writers got so many more acknowledged; the names of those that did not."""
        goal = {name: count + requests for name, count in self.progress.items()}
        deadline = asyncio.get_running_loop().time() + limit_s
        while behind := [name for name, count in goal.items() if self.progress[name] < count]:
            for task in self._tasks:
                if task.done():
                    task.result()
            if asyncio.get_running_loop().time() > deadline:
                break
            await asyncio.sleep(0.005)
        return behind

    async def finish(self) -> None:
        """Let everybody end with a response for everything."""
        self._stop.set()
        await asyncio.gather(*self._tasks)

    async def abandon(self) -> None:
        """End everybody at once; what they were waiting for may be there or not."""
        for outcome in await self.end():
            if isinstance(outcome, Exception):
                raise outcome

    async def end(self) -> list[BaseException | None]:
        """End everybody at once; how each ended."""
        pending = set(self._tasks)
        while pending:  # wait_for of Python 3.11 may lose a cancellation
            for task in pending:
                task.cancel()
            _, pending = await asyncio.wait(pending, timeout=0.1)
        return await asyncio.gather(*self._tasks, return_exceptions=True)

    def check_repeated(self, error: FlussError) -> None:
        """Whether a request with this error may be repeated."""
        self._on_error(error)
        if error.code not in self._repeated:
            raise Refused(f"a write is refused with {error.code.name}: {error}")

    def _client(self) -> Client:
        return Client(
            self._port,
            self._repeated,
            self._on_error,
            authentication=self._authentication,
            timeout_s=self._timeout_s,
        )

    # ---- definitions

    async def create(
        self,
        client: Client,
        name: str,
        schema: Schema,
        properties: dict[str, str] | None = None,
        partition_key: tuple[str, ...] = (),
    ) -> None:
        """Create a table of the default database."""
        document = TableDescriptor(
            schema,
            bucket_key=schema.primary_key,
            bucket_count=BUCKETS,
            properties=properties or {},
            partition_key=partition_key,
        )
        path = self.expected.path(name)
        self.expected.tables.begin(name, present=True)
        request = pb.CreateTableRequest(table_path=path, table_json=document.to_json_bytes(), ignore_if_exists=True)
        await client.call(ApiKey.CREATE_TABLE, request)
        info = await client.call(ApiKey.GET_TABLE_INFO, pb.GetTableInfoRequest(table_path=path))
        self._note_id(name, int(info.table_id), self.expected.ids)
        self.expected.tables.acknowledge(name)

    def _note_id(self, name: str, new: int, ids: dict[str, int]) -> None:
        kind = "/" in name
        used = {number for other, number in ids.items() if ("/" in other) == kind and other != name}
        assert new not in used, f"the id {new} of {name} is handed out twice: {ids}"
        ids[name] = new

    async def _change_definitions(self) -> None:
        """Create and drop tables and partitions; those that stay get some rows."""
        client = self._client()
        names: dict[bool, list[str]] = {False: [], True: []}  # by whether they are partitions
        number = 0
        try:
            while not self._stop.is_set():
                is_partition = self._rng.random() < 0.5
                present = names[is_partition]
                if len(present) > 3 or (present and self._rng.random() < 0.3):
                    name = present.pop(self._rng.randrange(len(present)))
                    await (self._drop_partition if is_partition else self._drop_table)(client, name)
                else:
                    number += 1
                    name = f"p{number}" if is_partition else f"made_{number}"
                    if is_partition:
                        await self._create_partition(client, name)
                        target = (PARTITIONED_TABLE, name)
                    else:
                        await self.create(client, name, LOG_SCHEMA)
                        target = (name, "")
                    present.append(name)
                    writer = LogWriter(self, client, *target, writer=0, rng=self._rng)
                    await writer.write()
                self.progress["ddl"] += 1
                await asyncio.sleep(self._pause_s)
        finally:
            await client.close()

    async def _drop_table(self, client: Client, name: str) -> None:
        self.expected.tables.begin(name, present=False)
        await client.call(
            ApiKey.DROP_TABLE, pb.DropTableRequest(table_path=self.expected.path(name), ignore_if_not_exists=True)
        )
        self.expected.tables.acknowledge(name)

    async def _create_partition(self, client: Client, name: str) -> None:
        path = self.expected.path(PARTITIONED_TABLE)
        self.expected.partitions.begin(name, present=True)
        request = pb.CreatePartitionRequest(table_path=path, partition_spec=_spec(name), ignore_if_not_exists=True)
        await client.call(ApiKey.CREATE_PARTITION, request)
        listed = await client.call(ApiKey.LIST_PARTITION_INFOS, pb.ListPartitionInfosRequest(table_path=path))
        ids = {
            info.partition_spec.partition_key_values[0].value: int(info.partition_id) for info in listed.partitions_info
        }
        assert name in ids, f"partition {name} is created and not listed"
        self._note_id(f"/{name}", ids[name], self.expected.ids)
        self.expected.partitions.acknowledge(name)

    async def _drop_partition(self, client: Client, name: str) -> None:
        self.expected.partitions.begin(name, present=False)
        path = self.expected.path(PARTITIONED_TABLE)
        request = pb.DropPartitionRequest(table_path=path, partition_spec=_spec(name), ignore_if_not_exists=True)
        await client.call(ApiKey.DROP_PARTITION, request)
        self.expected.partitions.acknowledge(name)

    # ---- rows

    async def _write(self, table: str, writer: int) -> None:
        client = self._client()
        kind = LogWriter if table == LOG_TABLE else KeyedWriter
        rows = kind(self, client, table, "", writer=writer, rng=Random(self._rng.getrandbits(64)))
        name = f"{table} {writer}"
        try:
            while not self._stop.is_set():
                await rows.write()
                await asyncio.sleep(self._pause_s)
                self.progress[name] += 1
        finally:
            await client.close()

    async def write_once_more(self) -> None:
        """A new writer in each table that was prepared; with an id that was used before, its rows would be lost."""
        client = self._client()
        for table in (LOG_TABLE, KEYED_TABLE, SUMS_TABLE):
            kind = LogWriter if table == LOG_TABLE else KeyedWriter
            await kind(self, client, table, "", writer=self._next_writer, rng=self._rng).write(buckets=range(BUCKETS))
            self._next_writer += 1
        await client.close()

    async def init_writer(self, client: Client) -> int:
        """A new writer id."""
        request = pb.InitWriterRequest(table_path=[self.expected.path(LOG_TABLE), self.expected.path(KEYED_TABLE)])
        new = int((await client.call(ApiKey.INIT_WRITER, request)).writer_id)
        assert new not in self.expected.writer_ids, f"writer id {new} is handed out twice"
        self.expected.writer_ids.append(new)
        return new


class Writer:
    """One idempotent writer of a table or partition."""

    def __init__(self, load: Load, client: Client, table: str, partition: str, *, writer: int, rng: Random) -> None:
        self.load = load
        self.client = client
        self.table = table
        self.partition = partition
        self.writer = writer
        self.rng = rng
        self._id = -1
        self._sent: dict[int, int] = {}  # batches by bucket

    async def write(self, buckets: Sequence[int] = ()) -> None:
        """Some batches for each of some buckets, all in flight together."""
        if self._id < 0:
            self._id = await self.load.init_writer(self.client)
        for bucket in buckets or (self.rng.randrange(BUCKETS),):
            sent = self._sent.get(bucket, 0)
            count = self.rng.choice((1, 1, 2, 4))
            requests = [self.request(bucket, self._id, sent + number) for number in range(count)]
            self._sent[bucket] = sent + len(requests)
            outcomes = await asyncio.gather(*map(self._send_once, requests), return_exceptions=True)
            for number, (request, outcome) in enumerate(zip(requests, outcomes, strict=True)):
                if isinstance(outcome, FlussError):
                    await self._send_again(request, outcome, is_first=number == 0)
                elif isinstance(outcome, BaseException):
                    raise outcome
                self.acknowledge(bucket, sent + number + 1)
            if self.rng.random() < REPEATED_SHARE:
                await self.client.call(self.api, requests[-1], lambda response: response.buckets_resp[0])

    async def _send_once(self, request: Any) -> None:
        await self.client.call_once(self.api, request, lambda response: response.buckets_resp[0])

    async def _send_again(self, request: Any, error: FlussError, *, is_first: bool) -> None:
        # After a batch that was refused, those behind it are out of order; repeated in order, they are not.
        if is_first or error.code is not ErrorCode.OUT_OF_ORDER_SEQUENCE_EXCEPTION:
            self.load.check_repeated(error)
        if error.code in (ErrorCode.NETWORK_EXCEPTION, ErrorCode.REQUEST_TIME_OUT):
            await self.client.close()
        await self.client.call(self.api, request, lambda response: response.buckets_resp[0])

    api: ApiKey

    def request(self, bucket: int, writer_id: int, sequence: int) -> Any:
        """The request with a new batch, which is noted as sent."""
        raise NotImplementedError

    def acknowledge(self, bucket: int, batches: int) -> None:
        """Note that the first batches are acknowledged."""
        raise NotImplementedError


class LogWriter(Writer):
    """Appends rows."""

    api = ApiKey.PRODUCE_LOG

    def request(self, bucket: int, writer_id: int, sequence: int) -> Any:
        ids = self.load.expected.log(self.table, bucket, self.partition).new_ids(self.writer, self.rng.randint(1, 30))
        columns: list[list[Any]] = [ids, [text_of(number) for number in ids], [self.partition] * len(ids)]
        batch = arrow_log_batch(LOG_SCHEMA, columns, writer_id=writer_id, batch_sequence=sequence)
        expected = self.load.expected
        request = pb.ProduceLogRequest(acks=-1, table_id=expected.ids[self.table], timeout_ms=8_000)
        part = request.buckets_req.add(bucket_id=bucket, records=batch)
        if self.partition:
            part.partition_id = expected.ids[f"/{self.partition}"]
        return request

    def acknowledge(self, bucket: int, batches: int) -> None:
        self.load.expected.log(self.table, bucket, self.partition).acknowledge(self.writer, batches)


class KeyedWriter(Writer):
    """Upserts and deletes rows with keys of its own; a sum is never deleted."""

    api = ApiKey.PUT_KV

    def request(self, bucket: int, writer_id: int, sequence: int) -> Any:
        changes: list[Change] = []
        for _ in range(self.rng.randint(1, 12)):
            key = self.writer * 1_000 + self.rng.randrange(KEYS_OF_A_WRITER)
            if self.table == KEYED_TABLE and self.rng.random() < 0.2:
                changes.append((key, None))
            else:
                amount = self.rng.randrange(1_000_000)
                changes.append((key, (key, amount, text_of(amount))))
        self.load.expected.keyed_bucket(self.table, bucket).send(self.writer, changes)
        records = [(KEYS.encode((key,)), None if row is None else ROWS.encode(row)) for key, row in changes]
        batch = build_kv_batch(1, records, writer_id=writer_id, batch_sequence=sequence)
        request = pb.PutKvRequest(acks=-1, table_id=self.load.expected.ids[self.table], timeout_ms=8_000)
        request.buckets_req.add(bucket_id=bucket, records=batch)
        return request

    def acknowledge(self, bucket: int, batches: int) -> None:
        self.load.expected.keyed_bucket(self.table, bucket).acknowledge(self.writer, batches)


def _spec(name: str) -> pb.PbPartitionSpec:
    return pb.PbPartitionSpec(partition_key_values=[pb.PbKeyValue(key="p", value=name)])
