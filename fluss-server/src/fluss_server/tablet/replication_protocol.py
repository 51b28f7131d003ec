"""What followers send to leaders, and what they get: LEADER_EPOCHS, and FETCH_LOG with a leader epoch for each bucket.

The leader epoch and the incarnation of the follower's server are extensions of FETCH_LOG, see ``api/own_messages.py``;
servers of Apache Fluss send none.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from fluss_server.api import messages as pb
from fluss_server.api.own_messages import message_class
from fluss_server.errors import ErrorCode, FlussError
from fluss_server.log.leader_epochs import EpochStart, is_history
from fluss_server.model.identifiers import TableBucket
from fluss_server.replica.follower_replica import LeaderLog
from fluss_server.rpc.wire import varint

NO_EPOCH = -1
"""Leader epoch of a follower that sends none."""

_LEADER_EPOCH_TAG = varint(20_000 << 3)
_INCARNATION_TAG = varint(20_100 << 3 | 2)
_DISK_FULL_TAG = varint(20_101 << 3)


class FetchFrom(NamedTuple):
    """One bucket that a follower fetches."""

    bucket: TableBucket
    leader_epoch: int
    offset: int


def follower_fetch_request(
    server_id: int,
    fetches: Iterable[FetchFrom],
    *,
    max_bytes: int,
    max_bucket_bytes: int,
    wait_ms: int,
    min_bytes: int,
    incarnation: str | None = None,
    disk_full: bool | None = None,
) -> pb.FetchLogRequest:
    """The FETCH_LOG of a follower; buckets of one table that follow each other share their table's part.

    Args:
        server_id: of the follower.
        fetches: in the order in which they are to be served.
        max_bytes: of the whole response.
        max_bucket_bytes: for each bucket.
        wait_ms: how long the leader waits for data.
        min_bytes: with which it responds before.
        incarnation: of the follower's server.
        disk_full: see :class:`FollowerFetch`.
    """
    request = pb.FetchLogRequest(
        follower_server_id=server_id, max_bytes=max_bytes, max_wait_ms=wait_ms, min_bytes=min_bytes
    )
    if incarnation is not None:
        text = incarnation.encode()
        request.MergeFromString(_INCARNATION_TAG + varint(len(text)) + text)
    if disk_full is not None:
        request.MergeFromString(_DISK_FULL_TAG + varint(disk_full))
    table: Any = None
    for bucket, leader_epoch, offset in fetches:
        if table is None or table.table_id != bucket.table_id:
            table = request.tables_req.add(table_id=bucket.table_id, projection_pushdown_enabled=False)
        entry = table.buckets_req.add(bucket_id=bucket.bucket, fetch_offset=offset, max_fetch_bytes=max_bucket_bytes)
        if bucket.partition_id is not None:
            entry.partition_id = bucket.partition_id
        entry.MergeFromString(_LEADER_EPOCH_TAG + varint(leader_epoch))
    return request


class FollowerFetch(NamedTuple):
    """What a follower's fetch says beside its offsets.

    Attributes:
        incarnation: of the follower's server, None when it does not say so.
        leader_epochs: of each bucket, in order; :data:`NO_EPOCH` where there is none.
        disk_full: whether the disk of the follower's server is full; False = there is space; None when it does not say.
    """

    incarnation: str | None
    leader_epochs: tuple[int, ...]
    disk_full: bool | None = None

    @classmethod
    def read(cls, request: pb.FetchLogRequest) -> FollowerFetch:
        """From a request."""
        extension = message_class("FollowerFetchExtension").FromString(request.SerializeToString())
        return cls(
            extension.incarnation if extension.HasField("incarnation") else None,
            tuple(
                bucket.leader_epoch if bucket.HasField("leader_epoch") else NO_EPOCH
                for table in extension.tables_req
                for bucket in table.buckets_req
            ),
            extension.disk_full if extension.HasField("disk_full") else None,
        )


def leader_epochs_request(server_id: int, buckets: Iterable[tuple[TableBucket, int, bool]]) -> Any:
    """A LEADER_EPOCHS for buckets.

    Args:
        server_id: of the follower.
        buckets: with the leader epochs that the follower knows, and whether its storage has failed.
    """
    request = message_class("LeaderEpochsRequest")(follower_server_id=server_id)
    for bucket, leader_epoch, storage_failed in buckets:
        entry = request.buckets.add(table_id=bucket.table_id, bucket_id=bucket.bucket, leader_epoch=leader_epoch)
        if bucket.partition_id is not None:
            entry.partition_id = bucket.partition_id
        if storage_failed:
            entry.storage_failed = True
    return request


def bucket_of(message: Any) -> TableBucket:
    """The bucket of an entry of a LEADER_EPOCHS request or response."""
    partition_id = message.partition_id if message.HasField("partition_id") else None
    return TableBucket(message.table_id, partition_id, message.bucket_id)


def leader_epochs_response(results: Iterable[tuple[TableBucket, LeaderLog | FlussError]]) -> Any:
    """The response to a LEADER_EPOCHS."""
    response = message_class("LeaderEpochsResponse")()
    for bucket, result in results:
        entry = response.buckets.add(table_id=bucket.table_id, bucket_id=bucket.bucket)
        if bucket.partition_id is not None:
            entry.partition_id = bucket.partition_id
        if isinstance(result, FlussError):
            entry.error_code, entry.error_message = int(result.code), str(result)
            continue
        entry.log_start_offset, entry.log_end_offset = result.start_offset, result.end_offset
        for epoch in result.epochs:
            entry.epochs.add(epoch=epoch.epoch, start_offset=epoch.start_offset)
    return response


def read_leader_epochs(response: Any) -> dict[TableBucket, LeaderLog | FlussError]:
    """What a leader says of each bucket; a history that cannot be one is an error of its bucket."""
    found: dict[TableBucket, LeaderLog | FlussError] = {}
    for entry in response.buckets:
        bucket = bucket_of(entry)
        if entry.HasField("error_code") and entry.error_code != 0:
            found[bucket] = FlussError(error_code(entry.error_code), entry.error_message)
            continue
        epochs = tuple(EpochStart(epoch.epoch, epoch.start_offset) for epoch in entry.epochs)
        found[bucket] = _checked(epochs, entry.log_start_offset, entry.log_end_offset)
    return found


def _checked(epochs: Sequence[EpochStart], start: int, end: int) -> LeaderLog | FlussError:
    if is_history(epochs) and 0 <= start <= end and all(epoch.start_offset <= end for epoch in epochs):
        return LeaderLog(tuple(epochs), start, end)
    return FlussError(ErrorCode.CORRUPT_MESSAGE, f"leader epochs {epochs} in a log from {start} to {end}")


def error_code(number: int) -> ErrorCode:
    """The error of a number, ``UNKNOWN_SERVER_ERROR`` for one that is not known."""
    try:
        return ErrorCode(number)
    except ValueError:
        return ErrorCode.UNKNOWN_SERVER_ERROR
