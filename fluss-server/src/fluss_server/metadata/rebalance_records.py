"""The nodes of a rebalance: what moves where, and which servers are to have nothing.

``/cluster/rebalance`` has the current rebalance or the last one, ``/tabletservers/server_tags`` the tags of servers; it
exists only while there are any.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from enum import IntEnum
from typing import Any, NamedTuple

from fluss_server.errors import ErrorCode, FlussError
from fluss_server.model.identifiers import TableBucket

REBALANCE = "/cluster/rebalance"
SERVER_TAGS = "/tabletservers/server_tags"

_NO_SERVER = -1


class RebalanceStatus(IntEnum):
    """Of a rebalance, or of one bucket of it; the numbers are the protocol's."""

    NOT_STARTED = 0
    REBALANCING = 1
    FAILED = 2
    COMPLETED = 3
    CANCELED = 4
    TIMEOUT = 5

    @property
    def is_final(self) -> bool:
        """Whether nothing changes any more; TIMEOUT only says that a bucket takes long."""
        return self in (RebalanceStatus.FAILED, RebalanceStatus.COMPLETED, RebalanceStatus.CANCELED)


class ServerTag(IntEnum):
    """Why a server is to have no replicas; the numbers are the protocol's."""

    PERMANENT_OFFLINE = 0
    TEMPORARY_OFFLINE = 1


class BucketMove(NamedTuple):
    """Where the replicas and the leader of a bucket are to go.

    Attributes:
        bucket: which.
        original_leader: before, -1 for none.
        new_leader: afterwards; the first of ``new_replicas``.
        origin_replicas: the assignment before.
        new_replicas: the assignment afterwards.
    """

    bucket: TableBucket
    original_leader: int
    new_leader: int
    origin_replicas: tuple[int, ...]
    new_replicas: tuple[int, ...]


class RebalanceRecord(NamedTuple):
    """The node of a rebalance."""

    rebalance_id: str
    status: RebalanceStatus
    moves: tuple[BucketMove, ...]

    def encode(self) -> bytes:
        """Plain tables come first, as Apache Fluss writes them."""
        by_table: dict[tuple[int, int | None], list[BucketMove]] = {}
        for move in self.moves:
            by_table.setdefault((move.bucket.table_id, move.bucket.partition_id), []).append(move)
        plan = []
        for (table_id, partition_id), moves in sorted(by_table.items(), key=lambda entry: entry[0][1] is not None):
            entry: dict[str, Any] = {"table_id": table_id}
            if partition_id is not None:
                entry["partition_id"] = partition_id
            entry["buckets"] = [
                {
                    "bucket_id": move.bucket.bucket,
                    "original_leader": move.original_leader,
                    "new_leader": move.new_leader,
                    "origin_replicas": list(move.origin_replicas),
                    "new_replicas": list(move.new_replicas),
                }
                for move in moves
            ]
            plan.append(entry)
        return _encode(
            {
                "version": 1,
                "rebalance_id": self.rebalance_id,
                "rebalance_status": int(self.status),
                "rebalance_plan": plan,
            }
        )

    @classmethod
    def decode(cls, value: bytes) -> RebalanceRecord:
        """The record in the node; ``UNKNOWN_SERVER_ERROR``."""
        try:
            document = json.loads(value)
            moves = []
            for table in document["rebalance_plan"]:
                for entry in table["buckets"]:
                    bucket = TableBucket(
                        int(table["table_id"]), _optional(table, "partition_id"), int(entry["bucket_id"])
                    )
                    moves.append(
                        BucketMove(
                            bucket,
                            int(entry.get("original_leader", _NO_SERVER)),
                            int(entry["new_leader"]),
                            _servers(entry["origin_replicas"]),
                            _servers(entry["new_replicas"]),
                        )
                    )
            return cls(str(document["rebalance_id"]), RebalanceStatus(document["rebalance_status"]), tuple(moves))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise _unreadable(REBALANCE, error) from None


def encode_server_tags(tags: Mapping[int, ServerTag]) -> bytes:
    """The value of the node."""
    return _encode({"version": 1, "server_tags": {str(server): int(tag) for server, tag in sorted(tags.items())}})


def decode_server_tags(value: bytes) -> dict[int, ServerTag]:
    """The tags in the node; ``UNKNOWN_SERVER_ERROR``."""
    try:
        return {int(server): ServerTag(tag) for server, tag in json.loads(value)["server_tags"].items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise _unreadable(SERVER_TAGS, error) from None


def _optional(document: Mapping[str, Any], name: str) -> int | None:
    value = document.get(name)
    return None if value is None else int(value)


def _servers(value: Sequence[Any]) -> tuple[int, ...]:
    return tuple(int(server) for server in value)


def _encode(document: Mapping[str, Any]) -> bytes:
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode()


def _unreadable(path: str, error: Exception) -> FlussError:
    return FlussError(
        ErrorCode.UNKNOWN_SERVER_ERROR, f"metadata node {path} cannot be read: {type(error).__name__} {error}"
    )
