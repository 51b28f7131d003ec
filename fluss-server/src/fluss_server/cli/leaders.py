"""Calls about data, sent to the servers that lead the buckets.

The ``fluss`` command has one gRPC address. In ``fluss local`` everything is there. In a cluster, rows are on tablet
servers, which may have no gRPC; so the command finds the leaders with GET_METADATA, and calls them over the native
protocol with the same user, as any client does. A request for buckets with several leaders becomes several requests,
and their responses one. What a server refuses because it does not lead a bucket (any more) is sent again to the leader
that the metadata has then.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from fluss_server.api import messages as pb
from fluss_server.api.keys import API_SPECS, ApiKey
from fluss_server.errors import ErrorCode, FlussError
from fluss_server.model.identifiers import TablePath

if TYPE_CHECKING:
    from google.protobuf.message import Message

    from fluss_server.rpc.client import RpcClient

_REFUSED = frozenset(
    {
        ErrorCode.NOT_LEADER_OR_FOLLOWER,
        ErrorCode.LEADER_NOT_AVAILABLE_EXCEPTION,
        ErrorCode.UNKNOWN_TABLE_OR_BUCKET_EXCEPTION,
    }
)
"""Nothing was done, and another server may do it."""

NO_LEADER_LIMIT_S = 15.0
"""How long a bucket may have no leader."""

_PAUSE_S = 0.1
_TIMEOUT_S = 30.0

Key = tuple[int | None, int]
"""Partition id and number of a bucket."""

Server = tuple[str, int]


class LeaderCalls:
    """Finds leaders and calls them. :meth:`close` it.

    Args:
        call: a call over gRPC.
        path_of: the path of a table with an id.
        user: to authenticate as, None = anonymous.
        password: of that user.
    """

    def __init__(
        self, call: Callable[..., Any], path_of: Callable[[int], TablePath], user: str | None, password: str
    ) -> None:
        self._call = call
        self._path_of = path_of
        self._authentication = None if user is None else (user, password)
        self._loop = asyncio.new_event_loop()
        self._clients: dict[Server, RpcClient] = {}
        self._scanners: dict[bytes, Server] = {}
        self._leaders: dict[tuple[int, Key], Server] = {}

    def close(self) -> None:
        """Close the connections."""
        for client in self._clients.values():
            self._loop.run_until_complete(client.close())
        self._clients.clear()
        self._loop.close()

    def call(self, key: ApiKey, request: Any, *, timeout_s: float = _TIMEOUT_S) -> Any:
        """One of the calls of ``session.ROUTED_KEYS``.

        Raises:
            FlussError: of the whole request; ``LEADER_NOT_AVAILABLE_EXCEPTION`` when a bucket has no leader for
                :data:`NO_LEADER_LIMIT_S`. An error of one bucket is in the response.
        """
        if key is ApiKey.SCAN_KV and not request.HasField("bucket_scan_req"):
            server = self._scanners.get(request.scanner_id)
            if server is None:
                raise FlussError(ErrorCode.UNKNOWN_SCANNER_ID, "the scan was begun by another command")
            return self._loop.run_until_complete(self._send(server, key, request, timeout_s))
        return self._loop.run_until_complete(self._route(key, request, timeout_s))

    async def _route(self, key: ApiKey, request: Any, timeout_s: float) -> Any:
        table_id, waiting = _buckets_of(key, request)
        deadline = time.monotonic() + NO_LEADER_LIMIT_S
        found: list[Any] = []
        while True:
            last = time.monotonic() > deadline
            by_server = self._by_leader(table_id, waiting, last=last)
            servers = list(by_server)
            parts = [_part(key, request, by_server[server]) for server in servers]
            results = await asyncio.gather(
                *(self._send(server, key, part, timeout_s) for server, part in zip(servers, parts, strict=True)),
                return_exceptions=True,
            )
            refused: list[Key] = [bucket for bucket in waiting if not any(bucket in of for of in by_server.values())]
            for server, result in zip(servers, results, strict=True):
                if (
                    isinstance(result, FlussError)
                    and (result.code in _REFUSED or _may_repeat(key, result))
                    and not last
                ):
                    refused += by_server[server]
                elif isinstance(result, BaseException):
                    raise result
                else:
                    if key is ApiKey.SCAN_KV and result.scanner_id:
                        self._scanners[result.scanner_id] = server
                    only = by_server[server] if len(by_server[server]) == 1 else []
                    if only and not last and _is_refusal(result):
                        refused += only
                    else:
                        refused += _take(key, by_server[server][0][0], result, found, keep_refusals=last)
            if not refused:
                return _merged(key, found)
            for bucket in refused:
                self._leaders.pop((table_id, bucket), None)
            waiting = refused
            await asyncio.sleep(_PAUSE_S)

    def _by_leader(self, table_id: int, buckets: Sequence[Key], *, last: bool) -> dict[Server, list[Key]]:
        if any((table_id, bucket) not in self._leaders for bucket in buckets):
            self._look_up(table_id, {partition for partition, _ in buckets})
        grouped: dict[Server, list[Key]] = {}
        for bucket in buckets:
            server = self._leaders.get((table_id, bucket))
            if server is not None:
                grouped.setdefault(server, []).append(bucket)
            elif last:
                raise FlussError(
                    ErrorCode.LEADER_NOT_AVAILABLE_EXCEPTION,
                    f"bucket {bucket[1]} of {self._path_of(table_id)} has no leader",
                    hint="the command 'fluss buckets' tells where its replicas are",
                )
        return grouped

    def _look_up(self, table_id: int, partitions: Iterable[int | None]) -> None:
        request = pb.MetadataRequest()
        path = self._path_of(table_id)
        request.table_path.add(database_name=path.database, table_name=path.table)
        request.partitions_id.extend(partition for partition in partitions if partition is not None)
        response = self._call(ApiKey.GET_METADATA, request)
        servers = {server.node_id: (server.host, server.port) for server in response.tablet_servers}
        described = [(None, entry) for entry in response.table_metadata]
        described += [(entry.partition_id, entry) for entry in response.partition_metadata]
        for partition, entry in described:
            for bucket in entry.bucket_metadata:
                if bucket.HasField("leader_id") and bucket.leader_id in servers:
                    self._leaders[table_id, (partition, bucket.bucket_id)] = servers[bucket.leader_id]

    async def _send(self, server: Server, key: ApiKey, request: Message, timeout_s: float) -> Any:
        from fluss_server.rpc.client import RpcClient

        client = self._clients.get(server)
        try:
            if client is None:
                client = await RpcClient.connect(*server, authentication=self._authentication)
                self._clients[server] = client
        except FlussError as error:
            # Nothing was sent, so that it may be sent to another server.
            raise FlussError(ErrorCode.LEADER_NOT_AVAILABLE_EXCEPTION, error.message) from None
        try:
            return await client.call(key, request, timeout_s=timeout_s)
        except FlussError as error:
            if error.code in (ErrorCode.NETWORK_EXCEPTION, ErrorCode.REQUEST_TIME_OUT):
                del self._clients[server]
                await client.close()
            raise


def _may_repeat(key: ApiKey, error: FlussError) -> bool:
    """Whether a call whose outcome is unknown is harmless when it is made again."""
    return error.code is ErrorCode.NETWORK_EXCEPTION and key not in (ApiKey.PRODUCE_LOG, ApiKey.PUT_KV)


def _is_refusal(response: Any) -> bool:
    """Whether a response about one bucket as a whole says that the server does not lead it."""
    has_code = "error_code" in response.DESCRIPTOR.fields_by_name
    return has_code and response.HasField("error_code") and response.error_code in _REFUSED


def _partition(entry: Any) -> int | None:
    return entry.partition_id if entry.HasField("partition_id") else None


def _buckets_of(key: ApiKey, request: Any) -> tuple[int, list[Key]]:
    """The table of a request, and its buckets."""
    if key is ApiKey.LIST_OFFSETS:
        return request.table_id, [(_partition(request), bucket) for bucket in request.bucket_id]
    if key is ApiKey.LIMIT_SCAN:
        return request.table_id, [(_partition(request), request.bucket_id)]
    if key is ApiKey.SCAN_KV:
        scan = request.bucket_scan_req
        return scan.table_id, [(_partition(scan), scan.bucket_id)]
    table = request.tables_req[0] if key is ApiKey.FETCH_LOG else request
    return table.table_id, [(_partition(entry), entry.bucket_id) for entry in table.buckets_req]


def _part(key: ApiKey, request: Any, buckets: Sequence[Key]) -> Any:
    """The same request for some of its buckets."""
    if key in (ApiKey.LIMIT_SCAN, ApiKey.SCAN_KV):
        return request
    part = API_SPECS[key].request()
    part.CopyFrom(request)
    if key is ApiKey.LIST_OFFSETS:
        del part.bucket_id[:]  # type: ignore[attr-defined]
        part.bucket_id.extend(number for _, number in buckets)  # type: ignore[attr-defined]
        return part
    before = request.tables_req[0] if key is ApiKey.FETCH_LOG else request
    after: Any = part.tables_req[0] if key is ApiKey.FETCH_LOG else part  # type: ignore[attr-defined]
    del after.buckets_req[:]
    wanted = set(buckets)
    after.buckets_req.extend(entry for entry in before.buckets_req if (_partition(entry), entry.bucket_id) in wanted)
    return part


def _take(key: ApiKey, partition: int | None, response: Any, found: list[Any], *, keep_refusals: bool) -> list[Key]:
    """Add what a server says to what is there; returns buckets that it refused.

    Args:
        partition: of all buckets, for a response that does not repeat it.
    """
    if key in (ApiKey.LIMIT_SCAN, ApiKey.SCAN_KV):
        found.append(response)
        return []
    part = response.tables_resp[0] if key is ApiKey.FETCH_LOG else response
    refused: list[Key] = []
    for entry in part.buckets_resp:
        if not keep_refusals and entry.HasField("error_code") and entry.error_code in _REFUSED:
            has_partition = "partition_id" in entry.DESCRIPTOR.fields_by_name
            refused.append((_partition(entry) if has_partition else partition, entry.bucket_id))
        else:
            found.append((response, entry))
    if not part.buckets_resp:
        found.append((response, None))
    return refused


def _merged(key: ApiKey, found: Sequence[Any]) -> Any:
    """One response of all."""
    if key in (ApiKey.LIMIT_SCAN, ApiKey.SCAN_KV):
        return found[0]
    merged: Any = API_SPECS[key].response()
    if not found:
        return merged
    merged.CopyFrom(found[0][0])
    part = merged.tables_resp[0] if key is ApiKey.FETCH_LOG else merged
    del part.buckets_resp[:]
    part.buckets_resp.extend(entry for _, entry in found if entry is not None)
    return merged
