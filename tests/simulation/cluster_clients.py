"""Clients of the simulated cluster: writers that remember what was acknowledged, and readers that check as they read.

They find leaders as official clients do, by GET_METADATA of any server, and go on after every error that those take for
a change of the leader.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from random import Random
from typing import Any

from fluss_server.api import messages as pb
from fluss_server.api.keys import ApiKey
from fluss_server.errors import ErrorCode, FlussError
from fluss_server.formats.arrow_batch import decode_batch
from fluss_server.formats.keys import key_encoder
from fluss_server.formats.kv_batch import build_kv_batch
from fluss_server.formats.log_batch import iter_batches
from fluss_server.model.schema import Schema
from fluss_server.model.table import TableDescriptor
from fluss_server.rpc.client import RpcClient
from fluss_server.rpc.endpoints import Endpoint
from fluss_server.runtime import Network
from simulation.conversation import ARROW_SCHEMA, KEYED_SCHEMA, ROWS, log_batch, path_of

CALL_TIMEOUT_S = 3.0
KEYS = 20
KEY_ENCODER = key_encoder(KEYED_SCHEMA.types[:1])
REPEATED = frozenset(
    {
        ErrorCode.NETWORK_EXCEPTION,
        ErrorCode.REQUEST_TIME_OUT,
        ErrorCode.NOT_LEADER_OR_FOLLOWER,
        ErrorCode.UNKNOWN_TABLE_OR_BUCKET_EXCEPTION,
        ErrorCode.LEADER_NOT_AVAILABLE_EXCEPTION,
        ErrorCode.NOT_ENOUGH_REPLICAS_EXCEPTION,
        ErrorCode.NOT_ENOUGH_REPLICAS_AFTER_APPEND_EXCEPTION,
        ErrorCode.UNSUPPORTED_VERSION,  # a server that has just begun to listen
        ErrorCode.TABLE_NOT_EXIST,  # a server that has not heard of it yet
    }
)

OPERATIONS = {
    ApiKey.PRODUCE_LOG: "append",
    ApiKey.PUT_KV: "upsert",
    ApiKey.LOOKUP: "lookup",
    ApiKey.FETCH_LOG: "read",
}
WITHOUT_RESPONSE = frozenset({ErrorCode.NETWORK_EXCEPTION, ErrorCode.REQUEST_TIME_OUT})

Servers = Callable[[], list[Endpoint]]
"""Where tablet servers are now."""


class ClusterClient:
    """Connections to the tablet servers, and what one client knows of the leaders of a table.

    Args:
        network: of the client's machine.
        servers: where tablet servers are.
        random: chooses among them.
        timeout_s: of connecting, and of a call.
        calls: where to count the calls of leaders: "append ok", "append failed", "append without response", ...

    Attributes:
        repeated: errors after which a call is made again.
        epochs: the newest leader epoch of each bucket that was heard of; older leaders are not called any more.
    """

    def __init__(
        self,
        network: Network,
        servers: Servers,
        random: Random,
        repeated: frozenset[ErrorCode] = REPEATED,
        *,
        timeout_s: float = CALL_TIMEOUT_S,
        calls: Counter[str] | None = None,
    ) -> None:
        self._network = network
        self._servers = servers
        self._timeout_s = timeout_s
        self.random = random
        self.repeated = repeated
        self._calls = Counter() if calls is None else calls
        self._clients: dict[tuple[str, int], RpcClient] = {}
        self._leaders: dict[int, tuple[str, int]] = {}
        self.epochs: dict[int, int] = {}

    async def call_leader(self, table: str, bucket: int, key: ApiKey, request: Any, part: Callable[[Any], Any]) -> Any:
        """One call of the leader of a bucket; ``part`` finds what the response says of it.

        Raises:
            FlussError: also those of :attr:`repeated`; the leader is looked up again after one.
        """
        try:
            if bucket not in self._leaders:
                await self._find_leaders(table)
            address = self._leaders.get(bucket)
            if address is None:
                raise FlussError(ErrorCode.LEADER_NOT_AVAILABLE_EXCEPTION, f"bucket {bucket} has no leader")
            return await self._call_counted(address, key, request, part)
        except FlussError:
            self._leaders.pop(bucket, None)
            raise

    async def _call_counted(
        self, address: tuple[str, int], key: ApiKey, request: Any, part: Callable[[Any], Any]
    ) -> Any:
        outcome = "without response"  # unless it has one
        try:
            found = part(await self._call(address, key, request))
            if found.HasField("error_code") and found.error_code != 0:
                raise FlussError(ErrorCode(found.error_code), found.error_message)
            outcome = "ok"
            return found
        except FlussError as error:
            if error.code not in WITHOUT_RESPONSE:
                outcome = "failed"
            raise
        finally:
            self._calls[f"{OPERATIONS[key]} {outcome}"] += 1

    async def call_any(self, key: ApiKey, request: Any) -> Any:
        """A call of some tablet server."""
        endpoints = self._servers()
        if not endpoints:
            raise FlussError(ErrorCode.NETWORK_EXCEPTION, "no server runs")
        endpoint = self.random.choice(endpoints)
        return await self._call((endpoint.host, endpoint.port), key, request)

    async def close(self) -> None:
        """Close the connections."""
        clients, self._clients = self._clients, {}
        await asyncio.gather(*(client.close() for client in clients.values()))

    async def _find_leaders(self, table: str) -> None:
        response = await self.call_any(ApiKey.GET_METADATA, pb.MetadataRequest(table_path=[path_of(table)]))
        addresses = {node.node_id: (node.host, node.port) for node in response.tablet_servers}
        for entry in response.table_metadata[0].bucket_metadata:
            if not entry.HasField("leader_id") or entry.leader_id not in addresses:
                continue
            if entry.leader_epoch >= self.epochs.get(entry.bucket_id, -1):
                self.epochs[entry.bucket_id] = entry.leader_epoch
                self._leaders[entry.bucket_id] = addresses[entry.leader_id]

    async def _call(self, address: tuple[str, int], key: ApiKey, request: Any) -> Any:
        client = self._clients.get(address)
        try:
            if client is None:
                client = await RpcClient.connect(*address, network=self._network, timeout_s=self._timeout_s)
                self._clients[address] = client
            return await client.call(key, request, timeout_s=self._timeout_s)
        except FlussError:
            if client is not None and self._clients.pop(address, None) is client:
                await client.close()
            raise


async def create_table(
    network: Network, coordinator: Endpoint, name: str, schema: Schema, *, buckets: int, replicas: int
) -> int:
    """Create a table; returns its id."""
    document = TableDescriptor(
        schema,
        bucket_key=tuple(schema.primary_key),
        bucket_count=buckets,
        properties={"table.replication.factor": str(replicas)},
    ).to_json_bytes()
    async with await RpcClient.connect(coordinator.host, coordinator.port, network=network) as client:
        request = pb.CreateTableRequest(table_path=path_of(name), table_json=document, ignore_if_exists=False)
        await client.call(ApiKey.CREATE_TABLE, request)
        info = await client.call(ApiKey.GET_TABLE_INFO, pb.GetTableInfoRequest(table_path=path_of(name)))
        return int(info.table_id)


async def init_writer(client: ClusterClient, table: str) -> int:
    """An id for an idempotent writer."""
    while True:
        request = pb.InitWriterRequest(table_path=[path_of(table)])
        try:
            return int((await client.call_any(ApiKey.INIT_WRITER, request)).writer_id)
        except FlussError as error:
            await pause_after(client, error)


async def pause_after(client: ClusterClient, error: FlussError) -> None:
    """Wait a little before a call is repeated; raises errors that clients do not take for a change of the leader."""
    if error.code not in client.repeated:
        raise error
    await asyncio.sleep(0.1 * client.random.random())


class Writer:
    """Appends numbered rows to one bucket, a batch after the other.

    With ``acks`` -1 it is idempotent and repeats a batch until it is acknowledged. With 1 it sends each batch once.

    Attributes:
        sent: ids of all rows that were sent.
        acknowledged: ids of rows that were acknowledged, in order.
    """

    def __init__(
        self, client: ClusterClient, table: str, table_id: int, bucket: int, *, acks: int, number: int
    ) -> None:
        self._client = client
        self._table = table
        self._table_id = table_id
        self.bucket = bucket
        self.acks = acks
        self._next_id = number * 1_000_000
        self._sequence = 0
        self.sent: list[int] = []
        self.acknowledged: list[int] = []
        self.stopped = False

    async def run(self) -> None:
        """Write until :attr:`stopped`; the last batch is acknowledged."""
        writer_id = await init_writer(self._client, self._table) if self.acks == -1 else -1
        while not self.stopped:
            await self._write(writer_id)
            await asyncio.sleep(0.2 * self._client.random.random())

    async def _write(self, writer_id: int) -> None:
        count = self._client.random.randint(1, 10)
        ids = list(range(self._next_id, self._next_id + count))
        self._next_id += count
        self.sent += ids
        batch = log_batch(ids, writer_id, self._sequence if writer_id >= 0 else -1)
        request = pb.ProduceLogRequest(acks=self.acks, table_id=self._table_id, timeout_ms=2_000)
        request.buckets_req.add(bucket_id=self.bucket, records=batch)
        while True:
            try:
                await self._client.call_leader(
                    self._table, self.bucket, ApiKey.PRODUCE_LOG, request, lambda response: response.buckets_resp[0]
                )
            except FlussError as error:
                await pause_after(self._client, error)
                if self.acks == -1:
                    continue
                return
            self._sequence += 1
            self.acknowledged += ids
            return


class KeyedWriter:
    """Upserts, deletes and looks up the rows of a primary-key table that nobody else writes, one call at a time.

    Attributes:
        rows: what is acknowledged.
        looked_up: how many rows were compared.
        calls: calls that have succeeded.
    """

    def __init__(self, client: ClusterClient, table: str, table_id: int) -> None:
        self._client = client
        self._table = table
        self._table_id = table_id
        self._sequence = 0
        self.rows: dict[int, str] = {}
        self.looked_up = 0
        self.calls = 0
        self.stopped = False

    async def run(self) -> None:
        """Write and read until :attr:`stopped`; the last write is acknowledged."""
        writer_id = await init_writer(self._client, self._table)
        random = self._client.random
        while not self.stopped:
            if random.random() < 0.5:
                await self._put(writer_id)
            else:
                await self.look_up_all()
            await asyncio.sleep(0.2 * random.random())

    async def _put(self, writer_id: int) -> None:
        random = self._client.random
        changes = {
            random.randrange(KEYS): f"value {self._sequence}" if random.random() < 0.8 else None for _ in range(3)
        }
        records = [
            (KEY_ENCODER.encode((key,)), None if value is None else ROWS.encode((key, value)))
            for key, value in changes.items()
        ]
        batch = build_kv_batch(1, records, writer_id=writer_id, batch_sequence=self._sequence)
        request = pb.PutKvRequest(acks=-1, table_id=self._table_id, timeout_ms=2_000)
        request.buckets_req.add(bucket_id=0, records=batch)
        await self._call(ApiKey.PUT_KV, request)
        self._sequence += 1
        for key, value in changes.items():
            if value is None:
                self.rows.pop(key, None)
            else:
                self.rows[key] = value

    async def look_up_all(self) -> None:
        """Compare all rows with what was acknowledged."""
        request = pb.LookupRequest(table_id=self._table_id)
        request.buckets_req.add(bucket_id=0, keys=[KEY_ENCODER.encode((key,)) for key in range(KEYS)])
        found = await self._call(ApiKey.LOOKUP, request)
        rows = {}
        for key, value in zip(range(KEYS), found.values, strict=True):
            if value.HasField("values"):
                rows[key] = ROWS.decode(value.values[2:])[1]
        assert rows == self.rows, f"rows are {rows}, acknowledged were {self.rows}"
        self.looked_up += KEYS

    async def _call(self, key: ApiKey, request: Any) -> Any:
        while True:
            try:
                found = await self._client.call_leader(
                    self._table, 0, key, request, lambda response: response.buckets_resp[0]
                )
            except FlussError as error:
                await pause_after(self._client, error)
                continue
            self.calls += 1
            return found


class Reader:
    """Follows one bucket, and checks that what it has seen stays.

    Attributes:
        rows: ids of the rows, by offset.
        high_watermark: the largest that was seen.
    """

    def __init__(self, client: ClusterClient, table: str, table_id: int, bucket: int) -> None:
        self._client = client
        self._table = table
        self._table_id = table_id
        self.bucket = bucket
        self.rows: list[int] = []
        self.high_watermark = 0
        self.stopped = False

    async def run(self) -> None:
        """Read until :attr:`stopped`."""
        while not self.stopped:
            try:
                await self.read()
            except FlussError as error:
                if error.code not in self._client.repeated:
                    raise
                await asyncio.sleep(0.1 * self._client.random.random())

    async def read(self) -> bool:
        """One fetch; returns whether it has brought something."""
        request = pb.FetchLogRequest(follower_server_id=-1, max_bytes=1 << 20, max_wait_ms=300, min_bytes=1)
        table = request.tables_req.add(table_id=self._table_id, projection_pushdown_enabled=False)
        table.buckets_req.add(bucket_id=self.bucket, fetch_offset=len(self.rows), max_fetch_bytes=1 << 16)
        found = await self._client.call_leader(
            self._table,
            self.bucket,
            ApiKey.FETCH_LOG,
            request,
            lambda response: response.tables_resp[0].buckets_resp[0],
        )
        assert found.high_watermark >= self.high_watermark, (
            f"the high watermark of bucket {self.bucket} fell from {self.high_watermark} to {found.high_watermark}"
        )
        self.high_watermark = found.high_watermark
        before = len(self.rows)
        for position, header in iter_batches(found.records):
            assert header.base_offset == len(self.rows), "offsets are without gaps"
            _, batch = decode_batch(memoryview(found.records)[position:], header, ARROW_SCHEMA)
            self.rows += batch.column(0).to_pylist()
            assert header.next_offset == len(self.rows)
        assert len(self.rows) <= self.high_watermark, "nothing above the high watermark is read"
        return len(self.rows) > before
