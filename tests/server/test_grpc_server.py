"""The gRPC server of a running server, through gRPC's own clients of the standard services and through ours."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass
from grpc._cython import cygrpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from fluss_server.api import messages as pb
from fluss_server.api.keys import ApiKey
from fluss_server.errors import ErrorCode, FlussError
from fluss_server.formats.log_batch import build_batch, parse_header
from fluss_server.grpc_server.client import GrpcClient
from fluss_server.grpc_server.server import GrpcServer
from fluss_server.rpc.service import RequestContext, ResponseBody, ServiceRegistry, rpc
from fluss_server.runtime.clock import ManualClock
from fluss_server.testing import LocalCluster
from rpc_support import async_test
from waiting import wait_until

SCHEMA = {
    "version": 1,
    "columns": [{"name": "id", "data_type": {"type": "INTEGER"}, "id": 0}],
    "highest_field_id": 0,
}


@pytest.fixture(scope="module")
def cluster() -> Iterator[LocalCluster]:
    with LocalCluster(grpc=True) as running:
        yield running


@pytest.fixture
def address(cluster: LocalCluster) -> str:
    return f"127.0.0.1:{cluster.grpc_port}"


@pytest.fixture
def client(address: str) -> Iterator[GrpcClient]:
    with GrpcClient(address) as opened:
        yield opened


def create_table(client: GrpcClient, name: str) -> int:
    descriptor = {
        "version": 1,
        "schema": SCHEMA,
        "partition_key": [],
        "bucket_key": [],
        "bucket_count": 1,
        "properties": {},
        "custom_properties": {},
    }
    path = pb.PbTablePath(database_name="fluss", table_name=name)
    client.call(
        ApiKey.CREATE_TABLE,
        pb.CreateTableRequest(table_path=path, table_json=json.dumps(descriptor).encode(), ignore_if_exists=False),
    )
    return int(client.call(ApiKey.GET_TABLE_INFO, pb.GetTableInfoRequest(table_path=path)).table_id)


def test_health(address: str) -> None:
    with grpc.insecure_channel(address) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        for service in ("", "fluss.Fluss"):
            response = stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=10)
            assert response.status == health_pb2.HealthCheckResponse.SERVING
        with pytest.raises(grpc.RpcError) as refused:
            stub.Check(health_pb2.HealthCheckRequest(service="other"), timeout=10)
        assert refused.value.code() is grpc.StatusCode.NOT_FOUND


def test_watch_tells_of_the_end(tmp_path: Path) -> None:
    with LocalCluster(tmp_path, grpc=True) as own, grpc.insecure_channel(f"127.0.0.1:{own.grpc_port}") as channel:
        watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest(), timeout=30)
        assert next(watch).status == health_pb2.HealthCheckResponse.SERVING
        own.stop()
        assert next(watch).status == health_pb2.HealthCheckResponse.NOT_SERVING


def test_a_tool_that_knows_nothing_finds_and_calls_methods(address: str) -> None:
    with grpc.insecure_channel(address) as channel:
        database = ProtoReflectionDescriptorDatabase(channel)
        assert set(database.get_services()) == {
            "fluss.Fluss",
            "grpc.health.v1.Health",
            "grpc.reflection.v1.ServerReflection",
            "grpc.reflection.v1alpha.ServerReflection",
        }
        pool = DescriptorPool(database)
        method = pool.FindServiceByName("fluss.Fluss").FindMethodByName("ListDatabases")
        request, response = GetMessageClass(method.input_type), GetMessageClass(method.output_type)
        call = channel.unary_unary(
            "/fluss.Fluss/ListDatabases",
            request_serializer=request.SerializeToString,
            response_deserializer=response.FromString,
        )
        assert list(call(request(), timeout=10).database_name) == ["fluss"]
        assert "status" in pool.FindMessageTypeByName("grpc.health.v1.HealthCheckResponse").fields_by_name
        with pytest.raises(KeyError):
            pool.FindMessageTypeByName("fluss.NoSuchMessage")


def test_rows_go_in_and_out(client: GrpcClient) -> None:
    table_id = create_table(client, "through_grpc")
    batch = bytes(build_batch(1, change_types=None, payload=b"", record_count=0))
    request = pb.ProduceLogRequest(acks=-1, table_id=table_id, timeout_ms=10_000)
    request.buckets_req.add(bucket_id=0, records=batch)
    assert client.call(ApiKey.PRODUCE_LOG, request).buckets_resp[0].base_offset == 0

    fetch = pb.FetchLogRequest(follower_server_id=-1, max_bytes=1 << 20)
    table = fetch.tables_req.add(table_id=table_id, projection_pushdown_enabled=False)
    table.buckets_req.add(bucket_id=0, fetch_offset=0, max_fetch_bytes=1 << 20)
    bucket = client.call(ApiKey.FETCH_LOG, fetch).tables_resp[0].buckets_resp[0]
    assert bucket.high_watermark == 1
    header = parse_header(bucket.records)
    assert (header.base_offset, header.last_offset, header.record_count, header.size) == (0, 0, 0, len(batch))


def test_errors_carry_code_message_and_hint(client: GrpcClient, address: str) -> None:
    missing = pb.GetTableInfoRequest(table_path=pb.PbTablePath(database_name="fluss", table_name="missing"))
    with pytest.raises(FlussError) as raised:
        client.call(ApiKey.GET_TABLE_INFO, missing)
    assert raised.value.code is ErrorCode.TABLE_NOT_EXIST
    assert "fluss.missing" in raised.value.message
    with grpc.insecure_channel(address) as channel:
        call = channel.unary_unary("/fluss.Fluss/GetTableInfo", request_serializer=missing.__class__.SerializeToString)
        with pytest.raises(grpc.RpcError) as status:
            call(missing, timeout=10)
    assert status.value.code() is grpc.StatusCode.NOT_FOUND
    assert dict(status.value.trailing_metadata())["fluss-error-code"] == "7"


def test_garbage_and_unknown_methods(address: str, client: GrpcClient) -> None:
    with grpc.insecure_channel(address) as channel:
        with pytest.raises(grpc.RpcError) as garbage:
            channel.unary_unary("/fluss.Fluss/GetTableInfo")(b"\xff\xff", timeout=10)
        with pytest.raises(grpc.RpcError) as unknown:
            channel.unary_unary("/fluss.Fluss/ListKvSnapshots")(b"", timeout=10)
    assert garbage.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert dict(garbage.value.trailing_metadata())["fluss-error-code"] == str(int(ErrorCode.CORRUPT_MESSAGE))
    assert unknown.value.code() is grpc.StatusCode.UNIMPLEMENTED
    assert client.call(ApiKey.LIST_DATABASES, pb.ListDatabasesRequest()).database_name == ["fluss"]


def test_a_taken_port_is_refused(cluster: LocalCluster, tmp_path: Path) -> None:
    second = LocalCluster(tmp_path, grpc=True)
    second.grpc_port = cluster.grpc_port
    with pytest.raises(RuntimeError, match="the gRPC server cannot listen"):
        second.start()


def test_no_server() -> None:
    with GrpcClient("127.0.0.1:1") as client, pytest.raises(FlussError) as raised:
        client.call(ApiKey.LIST_DATABASES, pb.ListDatabasesRequest())
    assert raised.value.code is ErrorCode.NETWORK_EXCEPTION
    assert raised.value.hint


def test_the_credentials_of_the_first_listener_are_required(tmp_path: Path) -> None:
    options = {"security.protocol.map": "FLUSS:SASL", "security.sasl.plain.credentials": "bob:bob-pass"}
    request = pb.DatabaseExistsRequest(database_name="fluss")
    with LocalCluster(tmp_path, grpc=True, options=options) as own:
        address = f"127.0.0.1:{own.grpc_port}"
        with GrpcClient(address, user="bob", password="bob-pass") as bob:
            assert bob.call(ApiKey.DATABASE_EXISTS, request).exists
        for authentication in ({}, {"user": "bob", "password": "wrong"}, {"user": "eve", "password": "bob-pass"}):
            stranger = GrpcClient(address, user=authentication.get("user"), password=authentication.get("password", ""))
            with stranger, pytest.raises(FlussError) as refused:
                stranger.call(ApiKey.DATABASE_EXISTS, request)
            assert refused.value.code is ErrorCode.AUTHENTICATE_EXCEPTION
        wait_until(lambda: own.log.count("an authentication from 127.0.0.1 failed") == 3, "three lines", 30)
        assert "bob-pass" not in own.log


class SlowRefusals:
    """Drops nothing, and says so when it is allowed to."""

    def __init__(self) -> None:
        self.begun, self.allowed = asyncio.Event(), asyncio.Event()

    @rpc(ApiKey.DROP_DATABASE)
    async def drop_database(self, request: pb.DropDatabaseRequest, context: RequestContext) -> ResponseBody:
        self.begun.set()
        await self.allowed.wait()
        raise FlussError(ErrorCode.DATABASE_NOT_EXIST, "there is none")

    @rpc(ApiKey.LIST_DATABASES)
    def list_databases(self, request: pb.ListDatabasesRequest, context: RequestContext) -> ResponseBody:
        return pb.ListDatabasesResponse()


@async_test
async def test_a_refusal_without_a_caller_leaves_nothing_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    service = SlowRefusals()
    server = GrpcServer(ServiceRegistry(service), "127.0.0.1", 0, native_port=1, clock=ManualClock(0))
    await server.start()
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
            call = channel.unary_unary("/fluss.Fluss/DropDatabase")(
                pb.DropDatabaseRequest(database_name="d", ignore_if_not_exists=False, cascade=False).SerializeToString()
            )
            await service.begun.wait()
            call.cancel()
            list_databases = channel.unary_unary("/fluss.Fluss/ListDatabases")
            for _ in range(5):  # the server meets the end of the first call before later ones
                await list_databases(b"")
            service.allowed.set()
            await list_databases(b"")
        gc.collect()  # a task with an error that nobody took says so when it goes
    finally:
        await server.close()
    assert not caplog.records, caplog.text


def test_callers_that_are_gone_leave_no_traceback_of_the_library(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def run() -> None:
        server = GrpcServer(ServiceRegistry(), "127.0.0.1", 0, native_port=1, clock=ManualClock(0))
        await server.start()
        await server.close()

    asyncio.run(run())
    library = logging.getLogger("grpc._cython.cygrpc")
    for error in (cygrpc.ExecuteBatchError("gone"), ValueError("another")):
        try:
            raise error
        except Exception:
            library.exception("raised in core by servicer method")
    (record,) = caplog.records
    assert record.exc_info is not None
    assert isinstance(record.exc_info[1], ValueError)
