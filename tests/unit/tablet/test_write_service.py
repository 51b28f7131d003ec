"""What WriteService decides before a replica is asked."""

from __future__ import annotations

from typing import Any, cast

import pytest

from fluss_server.api.keys import ApiKey
from fluss_server.errors import ErrorCode
from fluss_server.formats.kv_batch import build_kv_batch, merge_cost_bytes
from fluss_server.model.identifiers import TableBucket
from fluss_server.rpc.bulk import BucketRecords, ProduceLogRequest, PutKvRequest
from fluss_server.rpc.service import RequestContext
from fluss_server.tablet.disk_write_lock import DiskWriteLock
from fluss_server.tablet.write_service import MERGE_SHARE, WriteService, put_kv_code
from rpc_support import async_test

BATCH = build_kv_batch(1, [(b"key%d" % number, b"row") for number in range(100)])


class NoReplicas:
    def find(self, bucket: TableBucket) -> None:
        return None


def test_the_cost_of_a_merge() -> None:
    assert merge_cost_bytes(BATCH) == len(BATCH) + 100 * 512
    assert merge_cost_bytes(memoryview(b"short")) == 5
    assert merge_cost_bytes(BATCH[:24] + b"\xff\xff\xff\xff") == 28, "a nonsensical count is found out by others"


@async_test
async def test_batches_that_take_too_much_memory_are_refused() -> None:
    service = WriteService(
        cast("Any", NoReplicas()), DiskWriteLock(1.0, 0.9), kv_queue_bytes=merge_cost_bytes(BATCH) // MERGE_SHARE
    )
    request = PutKvRequest(1, -1, 1000, [BucketRecords(None, 3, memoryview(BATCH))], [], 0)
    response = cast("Any", await service.put_kv(request, RequestContext(ApiKey.PUT_KV)))
    (bucket,) = response.buckets_resp
    assert (bucket.bucket_id, bucket.error_code) == (3, ErrorCode.RECORD_TOO_LARGE_EXCEPTION)
    assert f"about {merge_cost_bytes(BATCH)} bytes of memory" in bucket.error_message
    assert "kv.write-queue.size" in bucket.error_message


@async_test
async def test_nothing_is_written_while_the_disk_is_locked() -> None:
    disk = DiskWriteLock(0.85, 0.80)
    disk.update(0.9)
    service = WriteService(cast("Any", NoReplicas()), disk, kv_queue_bytes=1 << 20)
    put = PutKvRequest(1, -1, 1000, [BucketRecords(None, 3, memoryview(BATCH))], [], 0)
    produce = ProduceLogRequest(1, -1, 1000, [BucketRecords(7, 3, memoryview(b""))])
    context = RequestContext(ApiKey.PUT_KV)
    for response in (await service.put_kv(put, context), service.produce_log(produce, context)):
        (bucket,) = cast("Any", response).buckets_resp
        assert (bucket.bucket_id, bucket.error_code) == (3, ErrorCode.DISK_WRITE_LOCKED)


@pytest.mark.parametrize(
    ("code", "version", "sent"),
    [
        (ErrorCode.STORAGE_BACKPRESSURE_EXCEPTION, 2, ErrorCode.STORAGE_BACKPRESSURE_EXCEPTION),
        (ErrorCode.STORAGE_BACKPRESSURE_EXCEPTION, 1, ErrorCode.KV_STORAGE_EXCEPTION),
        (ErrorCode.DISK_WRITE_LOCKED, 0, ErrorCode.DISK_WRITE_LOCKED),
    ],
)
def test_codes_that_older_clients_do_not_know(code: ErrorCode, version: int, sent: ErrorCode) -> None:
    assert put_kv_code(code, version) is sent
