"""Rules around handlers, without a network."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from fluss_server.api import messages as pb
from fluss_server.api.keys import ApiKey
from fluss_server.errors import ErrorCode, FlussError
from fluss_server.metadata.embedded import EmbeddedMetadataStore
from fluss_server.model.acl import AclBinding, AclEntry, Operation, Resource
from fluss_server.model.identifiers import TablePath
from fluss_server.model.principal import Principal
from fluss_server.rpc.service import RequestContext, ResponseBody, ServiceRegistry, rpc
from fluss_server.runtime import system_runtime
from fluss_server.security.authorization_interceptor import AuthorizationInterceptor
from fluss_server.security.authorizer import Authorizer
from rpc_support import async_test

ROOT, ANN = Principal("User", "root"), Principal("User", "ann")
PATHS = {1: TablePath("d", "open"), 2: TablePath("d", "closed")}


class Data:
    """Answers every fetch and says what it was asked."""

    def __init__(self) -> None:
        self.asked: list[list[int]] = []
        self.waits: list[bool] = []

    @rpc(ApiKey.FETCH_LOG, cancel_on_disconnect=True)
    async def fetch_log(self, request: pb.FetchLogRequest, context: RequestContext) -> ResponseBody:
        self.asked.append([table.table_id for table in request.tables_req])
        self.waits.append(request.HasField("min_bytes"))
        response = pb.FetchLogResponse()
        for table in request.tables_req:
            response.tables_resp.add(table_id=table.table_id).buckets_resp.add(bucket_id=0, high_watermark=9)
        return [response.SerializeToString()]


def fetch(*tables: int) -> pb.FetchLogRequest:
    request = pb.FetchLogRequest(follower_server_id=-1, max_bytes=1000, min_bytes=1, max_wait_ms=500)
    for table in tables:
        entry = request.tables_req.add(table_id=table, projection_pushdown_enabled=False)
        entry.buckets_req.add(bucket_id=0, fetch_offset=0, max_fetch_bytes=100)
        entry.buckets_req.add(bucket_id=1, partition_id=5, fetch_offset=0, max_fetch_bytes=100)
    return request


@async_test
async def test_a_fetch_of_several_tables_is_answered_for_each(tmp_path: Path) -> None:
    store = EmbeddedMetadataStore.open(tmp_path / "metadata", system_runtime())
    authorizer = Authorizer(store, [ROOT])
    grant = AclBinding(Resource.table(PATHS[1]), AclEntry(ANN, "*", Operation.READ))
    await authorizer.create([grant], ROOT, "127.0.0.1")
    data = Data()
    handler = ServiceRegistry(data, interceptors=[AuthorizationInterceptor(authorizer, PATHS.get)]).get(
        ApiKey.FETCH_LOG
    )
    assert handler is not None
    assert handler.cancel_on_disconnect

    async def call(principal: Principal, *tables: int) -> dict[int, list[tuple[int, int, int]]]:
        context = RequestContext(ApiKey.FETCH_LOG, principal=principal, peer="127.0.0.1:1")
        response = handler.method(fetch(*tables), context)
        body: Any = await response if asyncio.iscoroutine(response) else response
        encoded = b"".join(body) if isinstance(body, list) else body.SerializeToString()
        response = pb.FetchLogResponse.FromString(encoded)
        return {
            table.table_id: [(b.bucket_id, b.partition_id, b.error_code) for b in table.buckets_resp]
            for table in response.tables_resp
        }

    good, denied = [(0, 0, 0)], [(0, 0, 48), (1, 5, 48)]
    assert await call(ANN, 1) == {1: good}
    assert await call(ANN, 2, 3) == {2: denied, 3: denied}, "whether there is such a table or not"
    assert await call(ANN, 1, 2, 3) == {1: good, 2: denied, 3: denied}
    assert await call(ROOT, 1, 2) == {1: good, 2: good}
    assert data.asked == [[1], [1], [1, 2]], "what is refused is not asked for"
    assert data.waits == [True, False, True], "a partly refused fetch does not wait"
    await store.close()


def test_an_api_without_a_rule_cannot_be_served(tmp_path: Path) -> None:
    class Unruled:
        @rpc(ApiKey.ACQUIRE_KV_SNAPSHOT_LEASE)
        def acquire(self, request: pb.AcquireKvSnapshotLeaseRequest, context: RequestContext) -> ResponseBody:
            raise FlussError(ErrorCode.UNKNOWN_SERVER_ERROR, "not reached")

    store = EmbeddedMetadataStore.open(tmp_path / "metadata", system_runtime())
    ServiceRegistry(Unruled())
    with pytest.raises(ValueError, match="ACQUIRE_KV_SNAPSHOT_LEASE has no rule"):
        ServiceRegistry(Unruled(), interceptors=[AuthorizationInterceptor(Authorizer(store), PATHS.get)])
    asyncio.run(store.close())


class Producers:
    """Has offsets of two tables, and of one that is gone, for every producer."""

    def __init__(self) -> None:
        self.registered: list[list[int]] = []

    @rpc(ApiKey.REGISTER_PRODUCER_OFFSETS)
    async def register(self, request: pb.RegisterProducerOffsetsRequest, context: RequestContext) -> ResponseBody:
        self.registered.append([table.table_id for table in request.table_offsets])
        return pb.RegisterProducerOffsetsResponse(result=0)

    @rpc(ApiKey.GET_PRODUCER_OFFSETS)
    async def get(self, request: pb.GetProducerOffsetsRequest, context: RequestContext) -> ResponseBody:
        tables = [pb.PbProducerTableOffsets(table_id=table) for table in (1, 2, 3)]
        return pb.GetProducerOffsetsResponse(producer_id=request.producer_id, expiration_time=5, table_offsets=tables)


@async_test
async def test_offsets_of_producers_with_several_tables(tmp_path: Path) -> None:
    store = EmbeddedMetadataStore.open(tmp_path / "metadata", system_runtime())
    authorizer = Authorizer(store, [ROOT])
    entries = [AclEntry(ANN, "*", operation) for operation in (Operation.READ, Operation.WRITE)]
    await authorizer.create([AclBinding(Resource.table(PATHS[1]), entry) for entry in entries], ROOT, "127.0.0.1")
    producers = Producers()
    registry = ServiceRegistry(producers, interceptors=[AuthorizationInterceptor(authorizer, PATHS.get)])

    async def call(key: ApiKey, request: Any) -> Any:
        handler = registry.get(key)
        assert handler is not None
        response = handler.method(request, RequestContext(key, principal=ANN, peer="127.0.0.1:1"))
        return await response if asyncio.iscoroutine(response) else response

    async def register(*tables: int) -> None:
        offsets = [pb.PbProducerTableOffsets(table_id=table) for table in tables]
        request = pb.RegisterProducerOffsetsRequest(producer_id="job", table_offsets=offsets)
        await call(ApiKey.REGISTER_PRODUCER_OFFSETS, request)

    texts = set()
    for refused in (2, 3):
        with pytest.raises(FlussError) as raised:
            await register(1, refused)
        assert raised.value.code is ErrorCode.AUTHORIZATION_EXCEPTION
        texts.add(str(raised.value).replace(f"id {refused}", "id"))
    assert len(texts) == 1
    assert "closed" not in texts.pop()
    with pytest.raises(FlussError) as raised:
        await register()
    assert raised.value.code is ErrorCode.AUTHORIZATION_EXCEPTION, "else anybody could take the places of others"
    await register(1)
    assert producers.registered == [[1]]
    found = await call(ApiKey.GET_PRODUCER_OFFSETS, pb.GetProducerOffsetsRequest(producer_id="job"))
    assert (found.producer_id, found.expiration_time) == ("job", 5)
    assert [table.table_id for table in found.table_offsets] == [1]
    await store.close()


class Writers:
    """Gives every writer the same id."""

    @rpc(ApiKey.INIT_WRITER)
    async def init_writer(self, request: pb.InitWriterRequest, context: RequestContext) -> ResponseBody:
        return pb.InitWriterResponse(writer_id=7)


@async_test
async def test_a_writer_needs_the_right_to_write_one_of_its_tables(tmp_path: Path) -> None:
    store = EmbeddedMetadataStore.open(tmp_path / "metadata", system_runtime())
    authorizer = Authorizer(store, [ROOT])
    grant = AclBinding(Resource.table(PATHS[1]), AclEntry(ANN, "*", Operation.WRITE))
    await authorizer.create([grant], ROOT, "127.0.0.1")
    registry = ServiceRegistry(Writers(), interceptors=[AuthorizationInterceptor(authorizer, PATHS.get)])
    handler = registry.get(ApiKey.INIT_WRITER)
    assert handler is not None

    async def init(*tables: int) -> int:
        paths = [pb.PbTablePath(database_name=PATHS[n].database, table_name=PATHS[n].table) for n in tables]
        context = RequestContext(ApiKey.INIT_WRITER, principal=ANN, peer="127.0.0.1:1")
        response: Any = handler.method(pb.InitWriterRequest(table_path=paths), context)
        return int((await response).writer_id)

    assert await init(1) == 7
    assert await init(2, 1) == 7, "one of them is enough"
    for refused in ((2,), (2, 2), ()):
        with pytest.raises(FlussError) as raised:
            await init(*refused)
        assert raised.value.code is ErrorCode.AUTHORIZATION_EXCEPTION
    await store.close()
