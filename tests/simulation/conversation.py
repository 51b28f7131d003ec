"""A scripted conversation of several clients with one server that crashes, and what must be true after it.

Each client has a log table and a primary-key table of its own and does one thing after another, so that a model knows
what both must hold. A call that gets no response is repeated as official clients do it: with the same writer id and
sequence number, until the server is back.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine
from pathlib import PurePosixPath
from random import Random
from typing import Any

import pyarrow as pa

from fluss_server.api import messages as pb
from fluss_server.api.keys import ApiKey
from fluss_server.errors import ErrorCode, FlussError
from fluss_server.formats.arrow_batch import decode_batch, encode_payload
from fluss_server.formats.arrow_types import arrow_schema
from fluss_server.formats.keys import key_encoder
from fluss_server.formats.kv_batch import build_kv_batch
from fluss_server.formats.log_batch import build_batch, iter_batches
from fluss_server.formats.row_codec import row_codec
from fluss_server.model.schema import Column, Schema
from fluss_server.model.table import ArrowCompression, KvFormat, TableDescriptor
from fluss_server.model.types import DataType, TypeRoot
from fluss_server.processes.local import LocalServer
from fluss_server.rpc.client import RpcClient
from fluss_server.runtime import Network
from fluss_server.simulation import Simulation

DATA_DIRECTORY = PurePosixPath("/data")
PORT = 9123
CLIENTS = 4
KEYS = 50
CALL_TIMEOUT_S = 5.0
RECOVERY_LIMIT_S = 120.0
REPEATED = {
    ErrorCode.NETWORK_EXCEPTION,
    ErrorCode.REQUEST_TIME_OUT,
    ErrorCode.NOT_LEADER_OR_FOLLOWER,
    ErrorCode.UNKNOWN_TABLE_OR_BUCKET_EXCEPTION,
    ErrorCode.LEADER_NOT_AVAILABLE_EXCEPTION,
}

COLUMNS = (
    Column("id", DataType(TypeRoot.BIGINT, nullable=False), 0),
    Column("value", DataType(TypeRoot.STRING), 1),
)
LOG_SCHEMA = Schema(COLUMNS, (), highest_field_id=1)
KEYED_SCHEMA = Schema(COLUMNS, ("id",), highest_field_id=1)
ARROW_SCHEMA = arrow_schema(LOG_SCHEMA)
ROWS = row_codec(KEYED_SCHEMA.types, KvFormat.COMPACTED)


class Conversation:
    """One run.

    Args:
        simulation: that it happens in.
        operations: of all clients together.
        crashes: of the server meanwhile, some of them losses of power.

    Attributes:
        done: operations by name.
        crashes: how the server ended each time.
    """

    def __init__(self, simulation: Simulation, *, operations: int, crashes: int) -> None:
        self.simulation = simulation
        self.done: Counter[str] = Counter()
        self.crashes: list[str] = []
        self._operations = operations
        self._planned_crashes = crashes
        self._server = simulation.machine("server")
        self._failed: asyncio.Future[None] = simulation.loop.create_future()
        self._random = Random(simulation.random.getrandbits(64))
        self._reached: dict[int, asyncio.Event] = {
            operations * (number + 1) // (crashes + 1): asyncio.Event() for number in range(crashes)
        }

    async def run(self) -> None:
        """Talk, crash, and check everything at the end."""
        self._start_server()
        client = self.simulation.machine("client")
        network = client.runtime().network
        sessions = [
            Session(network, number, Random(self._random.getrandbits(64)), self._count) for number in range(CLIENTS)
        ]
        share = self._operations // CLIENTS
        talking = client.start(_gather(*(session.talk(share) for session in sessions)))
        crashing = asyncio.ensure_future(self._crash())
        await self._while_server_starts(talking, crashing)
        self._restart(lose_power=True)
        await self._while_server_starts(client.start(_gather(*(session.check() for session in sessions))))

    async def _while_server_starts(self, *tasks: asyncio.Task[None]) -> None:
        """Wait for the tasks; a start of the server that fails ends the run."""
        pending: set[asyncio.Future[None]] = set(tasks)
        while pending:
            done, _ = await asyncio.wait([*pending, self._failed], return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
            pending -= done

    def _count(self, operation: str) -> None:
        self.done[operation] += 1
        reached = self._reached.get(self.done.total())
        if reached is not None:
            reached.set()

    async def _crash(self) -> None:
        for number, reached in enumerate(self._reached.values()):
            await reached.wait()
            await asyncio.sleep(self._random.random() * 0.02)  # in the middle of what the others do
            self._restart(lose_power=number % 2 == 0)

    def _restart(self, *, lose_power: bool) -> None:
        if lose_power:
            self._server.lose_power()
        else:
            self._server.kill()
        self.crashes.append("power" if lose_power else "kill")
        self._start_server()

    def _start_server(self) -> None:
        runtime = self._server.runtime()
        server = LocalServer(DATA_DIRECTORY, host="server", port=PORT, runtime=runtime)
        task = self._server.start(server.start())
        task.add_done_callback(self._started)

    def _started(self, task: asyncio.Task[None]) -> None:
        error = task.exception()
        if error is not None and not self._failed.done():
            self._failed.set_exception(error)


async def _gather(*sessions: Coroutine[Any, Any, None]) -> None:
    await asyncio.gather(*sessions)


class Session:
    """One client, with its tables and its model of them."""

    def __init__(self, network: Network, number: int, random: Random, count: Callable[[str], None]) -> None:
        self._network = network
        self._random = random
        self._count = count
        self._client: RpcClient | None = None
        self._log_name, self._keyed_name = f"log_{number}", f"keyed_{number}"
        self._log_id = self._keyed_id = -1
        self._writer = -1
        self._sequences: Counter[int] = Counter()  # by table
        self._appended: list[int] = []  # ids in the log
        self._rows: dict[int, str] = {}
        self._changes = 0
        self._next_id = number * 1_000_000
        self._keys = key_encoder(KEYED_SCHEMA.types[:1])

    async def talk(self, operations: int) -> None:
        """Create the tables, then do so many things."""
        self._log_id = await self._create(self._log_name, LOG_SCHEMA)
        self._keyed_id = await self._create(self._keyed_name, KEYED_SCHEMA)
        self._writer = await self._init_writer()
        choices = [
            (self._append, 30),
            (self._upsert, 20),
            (self._delete, 5),
            (self._look_up, 15),
            (self._fetch, 10),
            (self._list_offsets, 10),
            (self._describe, 8),
            (self._create_and_drop, 2),
        ]
        actions, weights = zip(*choices, strict=True)
        for action in self._random.choices(actions, weights, k=operations):
            await action()
            self._count(action.__name__)

    async def check(self) -> None:
        """Everything acknowledged is there, once and in order; lookups and changelog agree."""
        assert await self._read_log() == self._appended
        for key in range(KEYS):
            await self._check_key(key)
        assert len(await self._read(self._keyed_id)) == self._changes

    # ---- operations

    async def _append(self) -> None:
        count = self._random.randint(1, 20)
        ids = [self._next_id + index for index in range(count)]
        self._next_id += count
        batch = log_batch(ids, self._writer, self._next_sequence(self._log_id))
        request = pb.ProduceLogRequest(acks=-1, table_id=self._log_id, timeout_ms=4_000)
        request.buckets_req.add(bucket_id=0, records=batch)
        await self._write(ApiKey.PRODUCE_LOG, request)
        self._appended += ids

    async def _upsert(self) -> None:
        rows = {self._random.randrange(KEYS): f"value {self._random.random()}" for _ in range(5)}
        await self._put([(self._key(key), ROWS.encode((key, value))) for key, value in rows.items()])
        for key, value in rows.items():
            self._changes += 2 if key in self._rows else 1
            self._rows[key] = value

    async def _delete(self) -> None:
        key = self._random.randrange(KEYS)
        await self._put([(self._key(key), None)])
        self._changes += self._rows.pop(key, None) is not None

    async def _look_up(self) -> None:
        await self._check_key(self._random.randrange(KEYS))

    async def _fetch(self) -> None:
        assert await self._read_log() == self._appended

    async def _list_offsets(self) -> None:
        request = pb.ListOffsetsRequest(follower_server_id=-1, offset_type=1, table_id=self._log_id, bucket_id=[0])
        response = await self._call(ApiKey.LIST_OFFSETS, request, lambda found: found.buckets_resp[0])
        assert response.offset == len(self._appended)

    async def _describe(self) -> None:
        request = pb.MetadataRequest(table_path=[path_of(self._log_name), path_of(self._keyed_name)])
        response = await self._call(ApiKey.GET_METADATA, request)
        assert {table.table_id for table in response.table_metadata} == {self._log_id, self._keyed_id}

    async def _create_and_drop(self) -> None:
        name = f"{self._log_name}_short"
        await self._create(name, LOG_SCHEMA)
        await self._call(ApiKey.DROP_TABLE, pb.DropTableRequest(table_path=path_of(name), ignore_if_not_exists=True))

    # ---- their parts

    async def _create(self, name: str, schema: Schema) -> int:
        key = tuple(schema.primary_key)
        descriptor = TableDescriptor(schema, bucket_key=key, bucket_count=1).to_json_bytes()
        request = pb.CreateTableRequest(table_path=path_of(name), table_json=descriptor, ignore_if_exists=True)
        await self._call(ApiKey.CREATE_TABLE, request)
        info = await self._call(ApiKey.GET_TABLE_INFO, pb.GetTableInfoRequest(table_path=path_of(name)))
        return int(info.table_id)

    async def _init_writer(self) -> int:
        request = pb.InitWriterRequest(table_path=[path_of(self._log_name), path_of(self._keyed_name)])
        return int((await self._call(ApiKey.INIT_WRITER, request)).writer_id)

    def _next_sequence(self, table_id: int) -> int:
        self._sequences[table_id] += 1
        return self._sequences[table_id] - 1

    async def _put(self, records: list[tuple[bytes, bytes | None]]) -> None:
        batch = build_kv_batch(1, records, writer_id=self._writer, batch_sequence=self._next_sequence(self._keyed_id))
        request = pb.PutKvRequest(acks=-1, table_id=self._keyed_id, timeout_ms=4_000)
        request.buckets_req.add(bucket_id=0, records=batch)
        await self._write(ApiKey.PUT_KV, request)

    async def _write(self, key: ApiKey, request: Any) -> None:
        await self._call(key, request, lambda response: response.buckets_resp[0])

    async def _check_key(self, key: int) -> None:
        request = pb.LookupRequest(table_id=self._keyed_id)
        request.buckets_req.add(bucket_id=0, keys=[self._key(key)])
        found = await self._call(ApiKey.LOOKUP, request, lambda response: response.buckets_resp[0])
        value = found.values[0].values if found.values[0].HasField("values") else None
        row = None if value is None else ROWS.decode(value[2:])
        assert row == ((key, self._rows[key]) if key in self._rows else None)

    async def _read_log(self) -> list[int]:
        return await self._read(self._log_id)

    async def _read(self, table_id: int) -> list[int]:
        """The ids of every row of a table's log."""
        ids: list[int] = []
        offset = 0  # also counts batches without rows: a delete of a missing key makes one
        while True:
            request = pb.FetchLogRequest(follower_server_id=-1, max_bytes=1 << 20)
            table = request.tables_req.add(table_id=table_id, projection_pushdown_enabled=False)
            table.buckets_req.add(bucket_id=0, fetch_offset=offset, max_fetch_bytes=1 << 20)
            found = await self._call(
                ApiKey.FETCH_LOG, request, lambda response: response.tables_resp[0].buckets_resp[0]
            )
            before = offset
            for position, header in iter_batches(found.records):
                assert header.base_offset == offset
                offset = header.next_offset
                _, rows = decode_batch(memoryview(found.records)[position:], header, ARROW_SCHEMA)
                ids += rows.column(0).to_pylist()
            if offset == before:
                assert found.high_watermark == offset
                return ids

    def _key(self, key: int) -> bytes:
        return self._keys.encode((key,))

    async def _call(self, key: ApiKey, request: Any, bucket: Callable[[Any], Any] | None = None) -> Any:
        """A call, repeated until it succeeds; ``bucket`` finds the part of the response with the error."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + RECOVERY_LIMIT_S
        while True:
            try:
                client = await self._connected()
                response = await client.call(key, request, timeout_s=CALL_TIMEOUT_S)
                found = response if bucket is None else bucket(response)
                if bucket is None or not found.HasField("error_code") or found.error_code == 0:
                    return found
                raise FlussError(ErrorCode(found.error_code), found.error_message)
            except FlussError as error:
                if error.code not in REPEATED or loop.time() > deadline:
                    raise
            if self._client is not None:
                await self._client.close()
                self._client = None
            await asyncio.sleep(0.1)

    async def _connected(self) -> RpcClient:
        if self._client is None:
            self._client = await RpcClient.connect("server", PORT, network=self._network, timeout_s=CALL_TIMEOUT_S)
        return self._client


def path_of(table: str) -> pb.PbTablePath:
    return pb.PbTablePath(database_name="fluss", table_name=table)


def log_batch(ids: list[int], writer: int, sequence: int) -> bytes:
    rows = pa.record_batch(
        [pa.array(ids, pa.int64()), pa.array([f"row {value}" for value in ids])], schema=ARROW_SCHEMA
    )
    payload = encode_payload(rows, ArrowCompression.NONE)
    return bytes(
        build_batch(
            1, change_types=None, payload=payload, record_count=len(ids), writer_id=writer, batch_sequence=sequence
        )
    )
