"""What several messages between servers consist of, as protobuf messages: buckets, outcomes, addresses."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from fluss_server.api import messages as pb
from fluss_server.cluster.messages import BucketResult, Failure, ServerNode
from fluss_server.errors import ErrorCode, FlussError
from fluss_server.model.identifiers import TableBucket
from fluss_server.rpc.endpoints import Endpoint, format_endpoints, parse_endpoints

# Buckets


def encode_bucket(bucket: TableBucket) -> pb.PbTableBucket:
    return pb.PbTableBucket(table_id=bucket.table_id, partition_id=bucket.partition_id, bucket_id=bucket.bucket)


def decode_bucket(message: pb.PbTableBucket) -> TableBucket:
    return TableBucket(message.table_id, partition_id_of(message), message.bucket_id)


def partition_id_of(message: Any) -> int | None:
    return message.partition_id if message.HasField("partition_id") else None


def encode_failure(failure: Failure | None) -> dict[str, Any]:
    return {} if failure is None else {"error_code": int(failure.code), "error_message": str(failure.error())}


def decode_failure(message: Any) -> Failure | None:
    if not message.HasField("error_code") or message.error_code == ErrorCode.NONE:
        return None
    try:
        code = ErrorCode(message.error_code)
    except ValueError:  # a later version of the protocol has more
        code = ErrorCode.UNKNOWN_SERVER_ERROR
    return Failure(code, message.error_message)


def encode_results(results: Iterable[BucketResult], message: Any) -> None:
    for result in results:
        message.add(table_bucket=encode_bucket(result.bucket), **encode_failure(result.failure))


def decode_results(entries: Iterable[Any]) -> tuple[BucketResult, ...]:
    return tuple(BucketResult(decode_bucket(entry.table_bucket), decode_failure(entry)) for entry in entries)


# Servers


def encode_server(server: ServerNode, message: pb.PbServerNode) -> None:
    message.node_id = server.server_id
    # For peers that know no listeners.
    message.host = server.endpoints[0].host if server.endpoints else ""
    message.port = server.endpoints[0].port if server.endpoints else 0
    if server.endpoints:
        message.listeners = format_endpoints(server.endpoints)
    if server.rack is not None:
        message.rack = server.rack


def decode_server(message: pb.PbServerNode) -> ServerNode:
    endpoints = decode_endpoints(message.listeners) if message.HasField("listeners") else ()
    return ServerNode(message.node_id, endpoints, message.rack if message.HasField("rack") else None)


def decode_endpoints(text: str) -> tuple[Endpoint, ...]:
    """Listeners of another server; ``CORRUPT_MESSAGE``."""
    try:
        return tuple(parse_endpoints("listeners", text))
    except FlussError as error:
        raise FlussError(ErrorCode.CORRUPT_MESSAGE, error.message) from None
