"""The server over loopback: answers, errors, bad input, ends."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import struct
from pathlib import Path
from typing import Any

import pytest

from fluss_server.api import messages as pb
from fluss_server.api.keys import ApiKey
from fluss_server.errors import ErrorCode, FlussError
from fluss_server.rpc.bulk import ProduceLogRequest
from fluss_server.rpc.client import RpcClient
from fluss_server.rpc.server import RpcServer
from fluss_server.rpc.service import RequestContext, ResponseBody, ServiceRegistry, rpc
from fluss_server.runtime.disk import FileRegion
from fluss_server.runtime.runtime import system_runtime
from fluss_server.runtime.system_disk import SystemFile
from rpc_support import RawClient, async_test, eventually, serving

EXISTS = pb.DatabaseExistsRequest(database_name="d").SerializeToString()
TABLE = pb.TableExistsRequest(table_path=pb.PbTablePath(database_name="d", table_name="t")).SerializeToString()
FETCH = pb.FetchLogRequest(follower_server_id=-1, max_bytes=1).SerializeToString()
CREATE = pb.CreateDatabaseRequest(database_name="d", ignore_if_exists=False).SerializeToString()


class Service:
    """One method of every kind."""

    def __init__(self) -> None:
        self.started: list[str] = []
        self.contexts: list[RequestContext] = []
        self.release = asyncio.Event()
        self.parked_cancelled = 0
        self.work_done = 0
        self.pieces: list[Any] = [b"\x08\x01"]

    @rpc(ApiKey.DATABASE_EXISTS)
    async def asynchronous(self, request: pb.DatabaseExistsRequest, context: RequestContext) -> ResponseBody:
        self.started.append(request.database_name)
        self.contexts.append(context)
        return pb.DatabaseExistsResponse(exists=True)

    @rpc(ApiKey.TABLE_EXISTS)
    def plain(self, request: pb.TableExistsRequest, context: RequestContext) -> ResponseBody:
        return pb.TableExistsResponse(exists=request.table_path.table_name == "t")

    @rpc(ApiKey.LIST_TABLES)
    def future(self, request: pb.ListTablesRequest, context: RequestContext) -> asyncio.Future[ResponseBody]:
        result: asyncio.Future[ResponseBody] = asyncio.get_running_loop().create_future()
        if request.database_name == "fails":
            result.set_exception(FlussError(ErrorCode.DATABASE_NOT_EXIST, "no such database"))
        elif request.database_name == "cancelled":
            result.cancel()
        else:
            result.set_result(pb.ListTablesResponse(table_name=["a"]))
        return result

    @rpc(ApiKey.GET_DATABASE_INFO)
    def coroutine_of_plain(self, request: pb.GetDatabaseInfoRequest, context: RequestContext) -> Any:
        return self.asynchronous(pb.DatabaseExistsRequest(database_name="from plain"), context)

    @rpc(ApiKey.LIMIT_SCAN, raw=True)
    async def raw(self, request: memoryview, context: RequestContext) -> ResponseBody:
        return [b"\x22" + bytes([len(request)]), request]

    @rpc(ApiKey.PRODUCE_LOG)
    async def produce(self, request: ProduceLogRequest, context: RequestContext) -> ResponseBody:
        response = pb.ProduceLogResponse()
        for bucket in request.buckets:
            response.buckets_resp.add(bucket_id=bucket.bucket_id, base_offset=len(bucket.records))
        return response

    @rpc(ApiKey.FETCH_LOG, cancel_on_disconnect=True)
    async def parked(self, request: pb.FetchLogRequest, context: RequestContext) -> ResponseBody:
        self.started.append("fetch")
        try:
            await self.release.wait()
        except asyncio.CancelledError:
            self.parked_cancelled += 1
            raise
        return pb.FetchLogResponse()

    @rpc(ApiKey.CREATE_DATABASE)
    async def work(self, request: pb.CreateDatabaseRequest, context: RequestContext) -> ResponseBody:
        self.started.append("work")
        await self.release.wait()
        self.work_done += 1
        return pb.CreateDatabaseResponse()

    @rpc(ApiKey.DROP_DATABASE)
    async def refuses(self, request: pb.DropDatabaseRequest, context: RequestContext) -> ResponseBody:
        raise FlussError(ErrorCode.DATABASE_NOT_EMPTY, "d has tables", hint="drop them first")

    @rpc(ApiKey.DROP_TABLE)
    async def broken(self, request: pb.DropTableRequest, context: RequestContext) -> ResponseBody:
        raise ZeroDivisionError("a bug")

    @rpc(ApiKey.LIST_DATABASES)
    def broken_at_once(self, request: pb.ListDatabasesRequest, context: RequestContext) -> ResponseBody:
        raise KeyError("a bug")

    @rpc(ApiKey.GET_TABLE_INFO)
    async def incomplete(self, request: pb.GetTableInfoRequest, context: RequestContext) -> ResponseBody:
        return pb.GetTableInfoResponse()

    @rpc(ApiKey.GET_TABLE_SCHEMA)
    async def nothing(self, request: pb.GetTableSchemaRequest, context: RequestContext) -> ResponseBody:
        return None  # type: ignore[return-value]

    @rpc(ApiKey.SCAN_KV, raw=True)
    def in_pieces(self, request: memoryview, context: RequestContext) -> ResponseBody:
        return list(self.pieces)


@async_test
async def test_every_kind_of_method() -> None:
    service = Service()
    async with serving(service) as server, await RpcClient.connect("127.0.0.1", server.port) as client:
        exists = await client.call(ApiKey.DATABASE_EXISTS, pb.DatabaseExistsRequest(database_name="d"))
        assert exists.exists
        table = await client.call_raw(ApiKey.TABLE_EXISTS, [TABLE])
        assert pb.TableExistsResponse.FromString(bytes(table)).exists
        tables = await client.call(ApiKey.LIST_TABLES, pb.ListTablesRequest(database_name="d"))
        assert list(tables.table_name) == ["a"]
        await client.call_raw(
            ApiKey.GET_DATABASE_INFO, [pb.GetDatabaseInfoRequest(database_name="d").SerializeToString()]
        )
        assert service.started == ["d", "from plain"]
        scan = pb.LimitScanRequest(table_id=1, bucket_id=2, limit=3)
        echoed = await client.call(ApiKey.LIMIT_SCAN, scan)
        assert pb.LimitScanRequest.FromString(echoed.records) == scan


@async_test
async def test_records_of_all_sizes_arrive() -> None:
    async with serving(Service()) as server, await RpcClient.connect("127.0.0.1", server.port) as client:
        for size in (0, 1, 4000, 65_500, 65_536, 1 << 20, 20 << 20):
            request = pb.ProduceLogRequest(acks=1, table_id=1, timeout_ms=1)
            request.buckets_req.add(bucket_id=5, records=bytes(size))
            response = await client.call(ApiKey.PRODUCE_LOG, request)
            assert [(b.bucket_id, b.base_offset) for b in response.buckets_resp] == [(5, size)]


@async_test
async def test_api_versions_come_from_the_registry() -> None:
    async with serving(Service()) as server, RawClient.connected(server.port) as client:
        request = pb.ApiVersionsRequest(client_software_name="x", client_software_version="1").SerializeToString()
        for version in (0, 7, -1):
            client.send(ApiKey.API_VERSIONS, request, version, version=version)
            response = await client.receive()
            assert (response.type, response.request_id) == (0, version)
            message = pb.ApiVersionsResponse.FromString(bytes(response.body))
            assert not message.HasField("server_type")
            versions = {api.api_key: (api.min_version, api.max_version) for api in message.api_versions}
            assert versions == {spec.key: (spec.min_version, spec.max_version) for spec in server.registry.specs}
            assert versions[ApiKey.API_VERSIONS] == versions[ApiKey.FETCH_LOG] == (0, 0)
            assert ApiKey.LOOKUP not in versions


@async_test
async def test_context_tells_where_a_request_came_from() -> None:
    service = Service()
    async with serving(service) as server, RawClient.connected(server.port) as client:
        client.send(ApiKey.DATABASE_EXISTS, EXISTS)
        await client.receive()
        (context,) = service.contexts
        assert (context.api_key, context.api_version) == (ApiKey.DATABASE_EXISTS, 0)
        assert (context.local_host, context.local_port) == ("127.0.0.1", server.port)
        assert context.peer == "{}:{}".format(*client.writer.get_extra_info("sockname"))
        assert (str(context.principal), context.listener) == ("User:ANONYMOUS", "FLUSS")


@async_test
async def test_requests_that_cannot_be_served_get_an_error() -> None:
    async with serving(Service()) as server, RawClient.connected(server.port) as client:
        cases: list[tuple[int, int, bytes, ErrorCode, str]] = [
            (ApiKey.LOOKUP, 0, b"", ErrorCode.UNSUPPORTED_VERSION, "1017"),
            (0, 0, b"", ErrorCode.UNSUPPORTED_VERSION, "0"),
            (-5, 0, b"", ErrorCode.UNSUPPORTED_VERSION, "-5"),
            (ApiKey.DATABASE_EXISTS, 1, EXISTS, ErrorCode.UNSUPPORTED_VERSION, "only 0 to 0"),
            (ApiKey.DATABASE_EXISTS, -1, EXISTS, ErrorCode.UNSUPPORTED_VERSION, "only 0 to 0"),
            (ApiKey.DATABASE_EXISTS, 0, b"\xff\xff", ErrorCode.CORRUPT_MESSAGE, "DatabaseExistsRequest"),
            (ApiKey.DATABASE_EXISTS, 0, b"", ErrorCode.CORRUPT_MESSAGE, "database_name"),
            (ApiKey.PRODUCE_LOG, 0, b"", ErrorCode.CORRUPT_MESSAGE, "acks"),
            (ApiKey.PRODUCE_LOG, 0, b"\x22\x7f", ErrorCode.CORRUPT_MESSAGE, "127 bytes"),
            (ApiKey.API_VERSIONS, 0, b"", ErrorCode.CORRUPT_MESSAGE, "client_software_name"),
        ]
        for request_id, (key, version, body, code, text) in enumerate(cases):
            client.send(key, body, request_id, version)
            response = await client.receive()
            error = pb.ErrorResponse.FromString(bytes(response.body))
            assert (response.type, response.request_id, error.error_code) == (1, request_id, code)
            assert text in error.error_message
        assert await client.alive()


@async_test
async def test_errors_of_methods_are_answered(caplog: pytest.LogCaptureFixture) -> None:
    async with serving(Service()) as server, await RpcClient.connect("127.0.0.1", server.port) as client:
        path = pb.PbTablePath(database_name="d", table_name="t")
        with pytest.raises(FlussError, match="drop them first") as raised:
            await client.call(
                ApiKey.DROP_DATABASE,
                pb.DropDatabaseRequest(database_name="d", ignore_if_not_exists=False, cascade=False),
            )
        assert raised.value.code is ErrorCode.DATABASE_NOT_EMPTY
        with pytest.raises(FlussError) as raised:
            await client.call(ApiKey.LIST_TABLES, pb.ListTablesRequest(database_name="fails"))
        assert raised.value.code is ErrorCode.DATABASE_NOT_EXIST
        with pytest.raises(FlussError) as raised:
            await client.call(ApiKey.LIST_TABLES, pb.ListTablesRequest(database_name="cancelled"))
        assert raised.value.code is ErrorCode.NETWORK_EXCEPTION
        assert not caplog.records
        for key, request, name in (
            (ApiKey.DROP_TABLE, pb.DropTableRequest(table_path=path, ignore_if_not_exists=True), "ZeroDivisionError"),
            (ApiKey.LIST_DATABASES, pb.ListDatabasesRequest(), "KeyError"),
            (ApiKey.GET_TABLE_INFO, pb.GetTableInfoRequest(table_path=path), "EncodeError"),
            (ApiKey.GET_TABLE_SCHEMA, pb.GetTableSchemaRequest(table_path=path), "AttributeError"),
        ):
            caplog.clear()
            with pytest.raises(FlussError, match=name) as raised:
                await client.call(key, request)
            assert raised.value.code is ErrorCode.UNKNOWN_SERVER_ERROR
            (record,) = caplog.records
            assert record.levelno == logging.ERROR
            assert record.exc_info is not None
            assert key.name in record.getMessage()


@pytest.mark.parametrize(
    "garbage",
    [
        b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        bytes.fromhex("1603010200010001fc0303") + bytes(200),  # TLS
        b"SSH-2.0-OpenSSH_9.6\r\n",
        struct.pack(">i", -1),
        struct.pack(">i", -(2**31)),
        struct.pack(">i", 0) + bytes(100),
        struct.pack(">i", 7) + bytes(100),
        struct.pack(">i", 100 * 1024 * 1024 + 1),
        struct.pack(">i", 2**31 - 1) + bytes(100_000),
        b"\xff" * 100_000,
    ],
    ids=lambda data: data[:8].hex(),
)
@async_test
async def test_garbage_ends_its_connection_only(garbage: bytes) -> None:
    service = Service()
    async with serving(service) as server, RawClient.connected(server.port) as bystander:
        async with RawClient.connected(server.port) as client:
            client.send(ApiKey.DATABASE_EXISTS, EXISTS, 4)
            first = await client.receive()
            assert (first.type, first.request_id) == (0, 4)
            client.writer.write(garbage)
            last = await client.receive()
            assert (last.type, last.request_id) == (2, None)
            error = pb.ErrorResponse.FromString(bytes(last.body))
            assert error.error_code in (ErrorCode.RECORD_TOO_LARGE_EXCEPTION, ErrorCode.CORRUPT_MESSAGE)
            assert await client.closed() == b""
        assert await bystander.alive()
        await eventually(lambda: server.connection_count == 1)


@async_test
async def test_the_largest_frame_allowed_is_served() -> None:
    async with serving(Service(), max_frame_bytes=1000) as server, RawClient.connected(server.port) as client:
        client.send(ApiKey.LIMIT_SCAN, bytes(992), 1)
        assert (await client.receive()).request_id == 1
        client.send(ApiKey.LIMIT_SCAN, bytes(993), 2)
        assert (await client.receive()).type == 2


@pytest.mark.parametrize("part", [1, 3, 4, 7, 11, 15])
@async_test
async def test_a_frame_cut_off_by_the_client(part: int) -> None:
    service = Service()
    frame = struct.pack(">ihhi", 8 + len(EXISTS), ApiKey.DATABASE_EXISTS, 0, 1) + EXISTS
    assert part <= len(frame)
    async with serving(service) as server:
        async with RawClient.connected(server.port) as client:
            client.writer.write(frame[: min(part, len(frame) - 1)])
            client.writer.write_eof()
            assert await client.closed() == b""
        await eventually(lambda: server.connection_count == 0)
        assert not service.started


@async_test
async def test_work_of_a_client_that_is_gone() -> None:
    service = Service()
    async with serving(service, grace_s=5.0) as server:
        async with RawClient.connected(server.port) as client:
            client.send(ApiKey.FETCH_LOG, FETCH, 1)
            client.send(ApiKey.CREATE_DATABASE, CREATE, 2)
            await eventually(lambda: service.started == ["fetch", "work"])
            client.reset()
            await eventually(lambda: service.parked_cancelled == 1)
        assert server.connection_count == 1, "work that changes something runs to its end"
        service.release.set()
        await eventually(lambda: server.connection_count == 0)
        assert service.work_done == 1


@async_test
async def test_order_of_starts_and_overtaking_answers() -> None:
    service = Service()
    async with serving(service) as server, RawClient.connected(server.port) as client:
        count = 3000
        for number in range(count):
            body = pb.DatabaseExistsRequest(database_name=str(number)).SerializeToString()
            client.send(ApiKey.FETCH_LOG, FETCH, -1 - number) if number % 1000 == 0 else None
            client.send(ApiKey.DATABASE_EXISTS, body, number)
        answered = [(await client.receive()).request_id for _ in range(count)]
        assert answered == list(range(count)), "a parked request holds up nothing"
        names = [name for name in service.started if name != "fetch"]
        assert names == [str(number) for number in range(count)]
        service.release.set()
        assert {(await client.receive()).request_id for _ in range(3)} == {-1, -1001, -2001}


@async_test
async def test_pipelined_mix_is_answered_completely() -> None:
    async with serving(Service()) as server, RawClient.connected(server.port) as client:
        kinds = [
            (ApiKey.DATABASE_EXISTS, EXISTS, 0),
            (ApiKey.TABLE_EXISTS, TABLE, 0),
            (9999, b"junk", 1),
            (ApiKey.LIMIT_SCAN, b"x" * 100, 0),
            (ApiKey.DATABASE_EXISTS, b"\x0a\x7f", 1),
        ]
        for request_id in range(5000):
            key, body, _ = kinds[request_id % len(kinds)]
            client.send(key, body, request_id)
        responses = {}
        for _ in range(5000):
            response = await client.receive()
            responses[response.request_id] = response.type
        assert responses == {request_id: kinds[request_id % len(kinds)][2] for request_id in range(5000)}


@async_test
async def test_answers_in_pieces_and_from_files(tmp_path: Path) -> None:
    path = tmp_path / "segment"
    content = os.urandom(3_000_000)
    path.write_bytes(content)
    service = Service()
    with contextlib.closing(SystemFile(path, read_only=True)) as file:
        async with serving(service) as server, RawClient.connected(server.port) as client:
            for start, length in ((0, 1), (5, 1000), (1, 70_000), (100, 600_000), (0, 3_000_000)):
                service.pieces = [
                    b"head",
                    FileRegion(file, start, length),
                    memoryview(b"middle"),
                    FileRegion(file, 7, 9),
                    b"tail",
                ]
                client.send(ApiKey.SCAN_KV, b"", 1)
                client.send(ApiKey.TABLE_EXISTS, TABLE, 2)
                expected = b"head" + content[start : start + length] + b"middle" + content[7:16] + b"tail"
                assert (await client.receive()).body == expected
                assert (await client.receive()).request_id == 2
            service.pieces = []
            client.send(ApiKey.SCAN_KV, b"", 1)
            assert bytes((await client.receive()).body) == b""


@pytest.mark.parametrize("length", [100, 1_000_000])
@async_test
async def test_a_file_that_became_shorter_ends_the_connection(
    tmp_path: Path, length: int, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "segment"
    path.write_bytes(bytes(50))
    service = Service()
    with contextlib.closing(SystemFile(path, read_only=True)) as file:
        service.pieces = [b"head", FileRegion(file, 0, length)]
        async with serving(service) as server, RawClient.connected(server.port) as client:
            client.send(ApiKey.SCAN_KV, b"", 1)
            await client.closed()
            assert "the file ends before byte" in caplog.text
            async with RawClient.connected(server.port) as other:
                assert await other.alive()


@async_test
async def test_close_answers_what_is_in_flight() -> None:
    service = Service()
    async with serving(service) as server, RawClient.connected(server.port) as client:
        client.send(ApiKey.FETCH_LOG, FETCH, 1)
        client.send(ApiKey.CREATE_DATABASE, CREATE, 2)
        await eventually(lambda: service.started == ["fetch", "work"])
        closing = asyncio.create_task(server.close(grace_s=20.0))
        parked = await client.receive()
        assert (parked.type, parked.request_id) == (1, 1)
        with pytest.raises(OSError):  # noqa: PT011 - refused or reset, as the system likes
            await asyncio.open_connection("127.0.0.1", server.port)
        assert not closing.done()
        service.release.set()
        done = await client.receive()
        assert (done.type, done.request_id) == (0, 2)
        assert await client.closed() == b""
        await closing
        assert server.connection_count == 0


@async_test
async def test_close_cancels_what_takes_too_long(caplog: pytest.LogCaptureFixture) -> None:
    service = Service()
    async with serving(service) as server, RawClient.connected(server.port) as client:
        client.send(ApiKey.CREATE_DATABASE, CREATE, 2)
        await eventually(lambda: service.started == ["work"])
        await server.close(grace_s=0.01)
        assert await client.closed() == b""
        assert (service.work_done, server.connection_count) == (0, 0)
        assert "cancelling 1 requests" in caplog.text
        await server.close()


@async_test
async def test_close_with_requests_that_have_not_started() -> None:
    service = Service()
    async with serving(service) as server, RawClient.connected(server.port) as client:
        # Both tasks exist, none has run: cancelling them must still end the connection.
        body = struct.pack(">ihhi", 8 + len(FETCH), ApiKey.FETCH_LOG, 0, 1) + FETCH
        (connection,) = await _connections(server, 1)
        connection.get_buffer(-1)[: len(body)] = body
        connection.buffer_updated(len(body))
        await server.close(grace_s=5.0)
        assert service.started == []
        assert (await client.receive()).type == 1
        assert await client.closed() == b""


async def _connections(server: RpcServer, count: int) -> list[Any]:
    await eventually(lambda: server.connection_count == count)
    return list(server._connections)


@async_test
async def test_idle_connections_are_closed() -> None:
    service = Service()
    async with serving(service, max_idle_s=100.0) as server, RawClient.connected(server.port) as idle:
        assert await idle.alive()
        (first,) = await _connections(server, 1)
        async with RawClient.connected(server.port) as busy:
            busy.send(ApiKey.FETCH_LOG, FETCH, 1)
            await eventually(lambda: service.started == ["fetch"])
            now = asyncio.get_running_loop().time()
            for connection in list(server._connections):
                connection.check_deadlines(now + 99.0)
            assert await idle.alive()
            for connection in list(server._connections):
                connection.check_deadlines(first.last_activity + 101.0)
            assert await idle.closed() == b""
            service.release.set()
            assert (await busy.receive()).request_id == 1


@async_test
async def test_idle_connections_are_found_by_the_sweep() -> None:
    async with serving(Service(), max_idle_s=0.05) as server, RawClient.connected(server.port) as client:
        assert await client.closed() == b""
        await eventually(lambda: server.connection_count == 0)


@async_test
async def test_too_many_connections() -> None:
    async with serving(Service(), max_connections=1) as server, RawClient.connected(server.port) as first:
        assert await first.alive()
        async with RawClient.connected(server.port) as second:
            response = await second.receive()
            assert response.type == 2
            assert await second.closed() == b""
        first.reset()
        await eventually(lambda: server.connection_count == 0)
        async with RawClient.connected(server.port) as third:
            assert await third.alive()


@async_test
async def test_a_name_with_several_addresses_has_one_port() -> None:
    async with serving(Service(), host="localhost") as server:
        assert server.port > 0
        for family, _, _, _, address in socket.getaddrinfo("localhost", server.port, type=socket.SOCK_STREAM):
            try:
                reader, writer = await asyncio.open_connection(str(address[0]), server.port, family=family)
            except OSError:
                assert family == socket.AF_INET6, "the system has no IPv6"
                continue
            client = RawClient(reader, writer)
            assert await client.alive()
            client.reset()


@async_test
async def test_a_port_in_use_is_an_error() -> None:
    async with serving(Service()) as server:
        with pytest.raises(OSError, match=str(server.port)):
            await RpcServer(ServiceRegistry(), "127.0.0.1", server.port, runtime=system_runtime()).start()


@async_test
async def test_an_address_that_is_not_ours_is_an_error() -> None:
    with pytest.raises(OSError, match="192"):
        await RpcServer(ServiceRegistry(), "192.0.2.1", 0, runtime=system_runtime()).start()


@async_test
async def test_an_api_has_one_method() -> None:
    with pytest.raises(ValueError, match="DATABASE_EXISTS"):
        ServiceRegistry(Service(), Service())


@async_test
async def test_another_registry_serves_open_connections_too() -> None:
    async with serving(Service()) as server, await RpcClient.connect("127.0.0.1", server.port) as client:
        request = pb.DatabaseExistsRequest(database_name="d")
        assert (await client.call(ApiKey.DATABASE_EXISTS, request)).exists
        server.registry = ServiceRegistry()
        with pytest.raises(FlussError):
            await client.call(ApiKey.DATABASE_EXISTS, request)
        server.registry = ServiceRegistry(Service())
        assert (await client.call(ApiKey.DATABASE_EXISTS, request)).exists
