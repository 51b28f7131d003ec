"""Hostile and broken input against a real server: a clear error or a closed connection, and the server goes on."""

from __future__ import annotations

import random
import socket
import struct
from typing import Any

import pyarrow as pa
import pytest

from fluss_server.api import messages as pb
from fluss_server.api.keys import ApiKey
from fluss_server.errors import ErrorCode, FlussError
from fluss_server.formats.kv_batch import build_kv_batch
from fluss_server.formats.log_batch import build_batch, iter_batches
from fluss_server.rpc.client import RpcClient
from table_rpc import create_from, descriptor, log_batch, produce, put, read, rows, with_client


def test_every_flipped_bit_of_a_log_batch_is_refused_and_the_log_goes_on(fluss_cluster: Any) -> None:
    async def body(client: RpcClient) -> None:
        table_id = await create_from(client, "flipped", descriptor())
        good = log_batch(0, 3)
        damage = (
            ErrorCode.CORRUPT_RECORD_EXCEPTION,
            ErrorCode.CORRUPT_MESSAGE,
            ErrorCode.RECORD_TOO_LARGE_EXCEPTION,  # what a flipped length looks like
        )
        # Offset and timestamp (bytes 0-7 and 13-20) are the server's to write; everything else must be right.
        for position in [*range(8, 13), *range(21, len(good))]:
            bad = bytearray(good)
            bad[position] ^= 0x10
            response = await produce(client, table_id, bytes(bad))
            assert response.error_code in damage, (position, response)
        for end in range(len(good)):
            response = await produce(client, table_id, good[:end])
            assert response.error_code in damage, (end, response)
        response = await produce(client, table_id, good)
        assert not response.HasField("error_code")
        assert response.base_offset == 0
        high_watermark, records = await read(client, table_id)
        assert high_watermark == 3
        assert len(list(iter_batches(records))) == 1

    with_client(fluss_cluster.port, body)


def test_batches_that_do_not_fit_the_table_are_refused(fluss_cluster: Any) -> None:
    wrong = {
        "other types": pa.record_batch({"id": pa.array(["a"]), "v": pa.array([1], pa.int64())}),
        "too few columns": pa.record_batch({"id": pa.array([1], pa.int64())}),
        "too many columns": pa.record_batch({"id": pa.array([1], pa.int64()), "v": ["x"], "w": ["y"]}),
        "other row count": rows(0, 2),
    }

    async def body(client: RpcClient) -> None:
        table_id = await create_from(client, "misfits", descriptor())
        for name, record_batch in wrong.items():
            response = await produce(client, table_id, log_batch(0, 1, record_batch=record_batch))
            assert response.error_code == ErrorCode.INVALID_TABLE_EXCEPTION, name
            assert response.error_message, name
        garbage = bytes(build_batch(1, change_types=None, payload=b"no arrow message" * 4, record_count=1))
        assert (await produce(client, table_id, garbage)).error_code == ErrorCode.INVALID_TABLE_EXCEPTION
        unknown_schema = log_batch(0, 1, schema_id=9)
        assert (await produce(client, table_id, unknown_schema)).error_code == ErrorCode.SCHEMA_NOT_EXIST
        assert await read(client, table_id) == (0, b"")
        assert (await produce(client, table_id, log_batch(0, 1))).base_offset == 0

    with_client(fluss_cluster.port, body)


def test_broken_kv_batches_are_refused_and_the_table_goes_on(fluss_cluster: Any) -> None:
    row = b"\x00" + b"\x05" + b"\x01x"  # null bits, id 5, "x"

    def batch(key: bytes, value: bytes | None) -> bytes:
        return bytes(build_kv_batch(1, [(key, value)]))

    async def body(client: RpcClient) -> None:
        table_id = await create_from(client, "broken_kv", descriptor(["id"]))
        good = batch(b"\x05", row)
        for position in range(len(good)):
            bad = bytearray(good)
            bad[position] ^= 0x04
            response = await put(client, table_id, bytes(bad))
            assert response.error_code != 0, position
        for truncated in range(1, len(row)):  # without any row bytes it is a delete
            response = await put(client, table_id, batch(b"\x05", row[:truncated]))
            assert response.error_code != 0, truncated
        assert (await put(client, table_id, good, target_columns=[1])).error_code == ErrorCode.INVALID_TARGET_COLUMN
        assert (await put(client, table_id, good, target_columns=[0, 7])).error_code == ErrorCode.INVALID_TARGET_COLUMN
        response = await put(client, table_id, good)
        assert not response.HasField("error_code"), response
        lookup = pb.LookupRequest(table_id=table_id)
        lookup.buckets_req.add(bucket_id=0, keys=[b"\x05", b"\x06"])
        values = (await client.call(ApiKey.LOOKUP, lookup)).buckets_resp[0].values
        assert values[0].values == b"\x01\x00" + row
        assert not values[1].HasField("values")

    with_client(fluss_cluster.port, body)


def test_unknown_things_get_their_codes(fluss_cluster: Any) -> None:
    async def body(client: RpcClient) -> None:
        table_id = await create_from(client, "known", descriptor())
        assert (await produce(client, 10**6, log_batch(0, 1))).error_code == ErrorCode.UNKNOWN_TABLE_OR_BUCKET_EXCEPTION
        assert (
            await produce(client, table_id, log_batch(0, 1), bucket=5)
        ).error_code == ErrorCode.UNKNOWN_TABLE_OR_BUCKET_EXCEPTION
        assert (await put(client, table_id, bytes(build_kv_batch(1, [(b"\x05", None)])))).error_code == (
            ErrorCode.NON_PRIMARY_KEY_TABLE_EXCEPTION
        )
        with pytest.raises(FlussError) as failure:
            await produce(client, table_id, log_batch(0, 1), acks=7)
        assert failure.value.code == ErrorCode.INVALID_REQUIRED_ACKS
        metadata = pb.MetadataRequest()
        metadata.table_path.add(database_name="fluss", table_name="nowhere")
        with pytest.raises(FlussError) as failure:
            await client.call(ApiKey.GET_METADATA, metadata)
        assert failure.value.code == ErrorCode.TABLE_NOT_EXIST
        assert "nowhere" in failure.value.message

    with_client(fluss_cluster.port, body)


@pytest.mark.parametrize(
    ("document", "code"),
    [
        (b"no json", ErrorCode.INVALID_TABLE_EXCEPTION),
        (b"[" * 100_000, ErrorCode.INVALID_TABLE_EXCEPTION),
        (b"[]", ErrorCode.INVALID_TABLE_EXCEPTION),
        (descriptor(["nope"]), ErrorCode.INVALID_TABLE_EXCEPTION),
        (descriptor(bucket_count=10**6), ErrorCode.BUCKET_MAX_NUM_EXCEPTION),
        (descriptor(bucket_count=0), ErrorCode.INVALID_TABLE_EXCEPTION),
        (descriptor(properties={"table.log.formt": "ARROW"}), ErrorCode.INVALID_CONFIG_EXCEPTION),
        (descriptor(properties={"table.log.arrow.compression.zstd.level": "99"}), ErrorCode.INVALID_CONFIG_EXCEPTION),
        (descriptor(properties={"table.log.arrow.compression.type": "RAR"}), ErrorCode.INVALID_CONFIG_EXCEPTION),
    ],
)
def test_bad_tables_are_refused(fluss_cluster: Any, document: dict[str, Any] | bytes, code: ErrorCode) -> None:
    async def body(client: RpcClient) -> None:
        with pytest.raises(FlussError) as failure:
            await create_from(client, "refused", document)
        assert failure.value.code == code
        assert failure.value.message

    with_client(fluss_cluster.port, body)


def _closed_or_error(port: int, data: bytes) -> bytes:
    """What the server sends back until it closes the connection."""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        try:
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
            received = b""
            while chunk := connection.recv(65536):
                received += chunk
        except ConnectionError:
            return b"reset"
        return received


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500),
        struct.pack(">i", -1) + b"x" * 100,
        struct.pack(">i", 2**31 - 1) + b"x" * 100,
        struct.pack(">i", 0) * 10,
        struct.pack(">i", 3) + b"abc",
        struct.pack(">ihhi", 8, 32000, 0, 1),
        struct.pack(">ihhi", 18, 1005, 0, 1) + b"\xff" * 10,
        b"",
        b"\x00",
    ],
)
def test_garbage_on_the_port_ends_that_connection_only(fluss_cluster: Any, data: bytes) -> None:
    _closed_or_error(fluss_cluster.port, data)

    async def body(client: RpcClient) -> None:
        assert "fluss" in (await client.call(ApiKey.LIST_DATABASES, pb.ListDatabasesRequest())).database_name

    with_client(fluss_cluster.port, body)


def test_random_bytes_and_mutated_requests_never_stop_the_server(fluss_cluster: Any) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    body_bytes = pb.MetadataRequest().SerializeToString()
    for _ in range(200):
        key = rng.choice([*list(ApiKey), 5, 9999])
        mutated = bytearray(body_bytes + rng.randbytes(rng.randrange(60)))
        frame = struct.pack(">ihhi", 8 + len(mutated), int(key), rng.randrange(3), rng.randrange(100)) + bytes(mutated)
        _closed_or_error(fluss_cluster.port, frame + rng.randbytes(rng.randrange(40)))

    async def body(client: RpcClient) -> None:
        assert "fluss" in (await client.call(ApiKey.LIST_DATABASES, pb.ListDatabasesRequest())).database_name

    with_client(fluss_cluster.port, body)


def test_an_oversized_frame_is_answered_and_closed(fluss_cluster: Any) -> None:
    response = _closed_or_error(fluss_cluster.port, struct.pack(">ihhi", 101 << 20, 1014, 0, 1) + bytes(1000))
    assert response == b"reset" or response[4] == 2, "SERVER_FAILURE"


def test_an_unknown_api_and_an_unreadable_body_are_answered(fluss_cluster: Any) -> None:
    response = _closed_or_error(fluss_cluster.port, struct.pack(">ihhi", 8, 32000, 0, 77))
    assert response[4] == 1
    assert struct.unpack(">i", response[5:9]) == (77,)
    assert pb.ErrorResponse.FromString(response[9:]).error_code == ErrorCode.UNSUPPORTED_VERSION
    response = _closed_or_error(fluss_cluster.port, struct.pack(">ihhi", 8, int(ApiKey.CREATE_TABLE), 0, 78))
    assert response[4] == 1
    assert pb.ErrorResponse.FromString(response[9:]).error_code == ErrorCode.CORRUPT_MESSAGE
