"""Commands on a cluster: its servers, the buckets of a table, moving replicas."""

from __future__ import annotations

import argparse
import time
from typing import Any

from fluss_server.api import messages as pb
from fluss_server.api.keys import ApiKey
from fluss_server.api.own_messages import message_class
from fluss_server.cli.failures import CommandError
from fluss_server.cli.output import note, print_rows
from fluss_server.cli.output_format import OutputFormat
from fluss_server.cli.session import Session
from fluss_server.cli.table_reader import EARLIEST, LATEST, list_offsets
from fluss_server.errors import ErrorCode, FlussError
from fluss_server.metadata.rebalance_records import RebalanceStatus, ServerTag
from fluss_server.rpc.endpoints import parse_endpoints

_POLL_S = 0.5
_GOALS = {"replicas": 0, "leaders": 1, "racks": 2}
GOALS = tuple(_GOALS)


def cluster(session: Session, parsed: argparse.Namespace) -> int:
    """``fluss cluster``: exit code 1 when a tablet server that is to have replicas is not there."""
    response = session.call(ApiKey.DESCRIBE_SERVERS, message_class("DescribeServersRequest")())
    names = (
        "server",
        "role",
        "state",
        "address",
        "rack",
        "tag",
        "version",
        "heartbeat_ms",
        "leaders",
        "replicas",
        "in_sync",
        "data_bytes",
        "disk_free_bytes",
        "disk_total_bytes",
    )
    epoch = f"active, epoch {response.coordinator_epoch}"
    rows: list[tuple[Any, ...]] = [(None, "coordinator", epoch, _address(response.coordinator), *(None,) * 10)]
    rows += [
        (
            server.server_id,
            "tablet server",
            server.state,
            _address(server.listeners),
            server.rack or None,
            server.tag or None,
            server.fluss_version or None,
            server.silent_ms if server.HasField("silent_ms") else None,
            server.leaders,
            server.replicas,
            server.in_sync,
            *_disk(server),
        )
        for server in response.servers
    ]
    print_rows(names, rows, parsed.output)
    return 0 if all(server.state != "gone" or not server.replicas for server in response.servers) else 1


def _disk(server: Any) -> tuple[int | None, ...]:
    """Bytes of its data, free bytes and size of its disk."""
    if not server.HasField("disk"):
        return None, None, None
    return server.disk.data_bytes, server.disk.free_bytes, server.disk.total_bytes


def _address(listeners: str) -> str | None:
    found = [f"{host}:{port}" for _, host, port in parse_endpoints("listeners", listeners)] if listeners else []
    return ", ".join(dict.fromkeys(found)) or None


def buckets(session: Session, parsed: argparse.Namespace) -> int:
    """``fluss buckets``: exit code 1 when a bucket has no leader."""
    table = session.table(parsed.table)
    request = message_class("DescribeBucketsRequest")(database_name=table.path.database, table_name=table.path.table)
    response = session.call(ApiKey.DESCRIBE_BUCKETS, request)
    ends: dict[tuple[str | None, int], tuple[int, int]] = {}
    for partition in session.partitions(table):
        try:
            first = list_offsets(session, table, partition, EARLIEST)
            after = list_offsets(session, table, partition, LATEST)
        except FlussError as error:
            note(f"note: the ends of the logs are not known: {error.message}")
            continue
        ends.update({(partition.name, bucket): (first[bucket], after[bucket]) for bucket in first})
    rows = []
    for bucket in response.buckets:
        name = bucket.partition if bucket.HasField("partition") else None
        start, end = ends.get((name, bucket.bucket_id), (None, None))
        rows.append(
            (
                name,
                bucket.bucket_id,
                None if bucket.leader < 0 else bucket.leader,
                bucket.leader_epoch if bucket.HasField("leader_epoch") else None,
                _servers(bucket.replicas, parsed.output),
                _servers(bucket.isr, parsed.output),
                _servers(bucket.standby, parsed.output),
                start,
                end,
            )
        )
    names = (
        "partition",
        "bucket",
        "leader",
        "leader_epoch",
        "replicas",
        "isr",
        "standby",
        "earliest",
        "latest",
    )
    print_rows(names, rows, parsed.output)
    return 0 if all(bucket.active for bucket in response.buckets) else 1


def _servers(servers: Any, output: OutputFormat) -> Any:
    found = list(servers)
    return found if output is not OutputFormat.TABLE else ", ".join(map(str, found)) or None


# ---- rebalance


def plan(session: Session, parsed: argparse.Namespace) -> None:
    """``fluss rebalance plan``"""
    request = message_class("PlanRebalanceRequest")(goals=_goals(parsed))
    moves = session.call(ApiKey.PLAN_REBALANCE, request).moves
    _print_moves(moves, parsed.output)
    note(f"{len(moves)} buckets would move")


def run(session: Session, parsed: argparse.Namespace) -> int:
    """``fluss rebalance run``: exit code 1 when a bucket could not be moved."""
    started = session.call(ApiKey.REBALANCE, pb.RebalanceRequest(goals=_goals(parsed)))
    if parsed.no_wait:
        note(f"rebalance {started.rebalance_id} has begun")
        return 0
    return _wait(session, started.rebalance_id)


def progress(session: Session, parsed: argparse.Namespace) -> int:
    """``fluss rebalance progress``: exit code 1 when it has failed."""
    response = session.call(ApiKey.LIST_REBALANCE_PROGRESS, pb.ListRebalanceProgressRequest())
    if not response.HasField("rebalance_id"):
        note("there was no rebalance")
        return 0
    request = message_class("PlanRebalanceRequest")(current=True)
    _print_moves(session.call(ApiKey.PLAN_REBALANCE, request).moves, parsed.output)
    status = RebalanceStatus(response.rebalance_status)
    done, total = _counted(response)
    note(f"rebalance {response.rebalance_id}: {_text(status)}, {done} of {total} buckets")
    return 1 if status is RebalanceStatus.FAILED else 0


def cancel(session: Session, parsed: argparse.Namespace) -> None:
    """``fluss rebalance cancel``"""
    session.call(ApiKey.CANCEL_REBALANCE, pb.CancelRebalanceRequest())
    note("no bucket moves any more; each has as many replicas as before")


def drain(session: Session, parsed: argparse.Namespace) -> int:
    """``fluss drain``: exit code 1 when the server has replicas afterwards."""
    tag = ServerTag.PERMANENT_OFFLINE
    if parsed.undo:
        for known in ServerTag:
            try:
                session.call(
                    ApiKey.REMOVE_SERVER_TAG, pb.RemoveServerTagRequest(server_ids=[parsed.id], server_tag=known)
                )
            except FlussError as error:
                if error.code is not ErrorCode.SEVER_TAG_NOT_EXIST_EXCEPTION:
                    raise
        note(f"server {parsed.id} may have replicas again; 'fluss rebalance run' moves some there")
        return 0
    session.call(ApiKey.ADD_SERVER_TAG, pb.AddServerTagRequest(server_ids=[parsed.id], server_tag=tag))
    started = session.call(ApiKey.REBALANCE, pb.RebalanceRequest(goals=[_GOALS["replicas"], _GOALS["leaders"]]))
    code = _wait(session, started.rebalance_id)
    servers = session.call(ApiKey.DESCRIBE_SERVERS, message_class("DescribeServersRequest")()).servers
    left = next((server.replicas for server in servers if server.server_id == parsed.id), 0)
    if left:
        raise CommandError(
            f"server {parsed.id} still has {left} replicas",
            hint="there must be as many other servers without a tag as a bucket has replicas; run the command again",
        )
    note(f"server {parsed.id} has no replicas and gets none; it can be stopped")
    return code


def _goals(parsed: argparse.Namespace) -> list[int]:
    return [_GOALS[goal] for goal in parsed.goal or ()]


def _wait(session: Session, rebalance_id: str) -> int:
    shown = None
    while True:
        request = pb.ListRebalanceProgressRequest(rebalance_id=rebalance_id)
        response = session.call(ApiKey.LIST_REBALANCE_PROGRESS, request)
        status = RebalanceStatus(response.rebalance_status)
        if (counted := _counted(response)) != shown:
            shown = counted
            note(f"{counted[0]} of {counted[1]} buckets are done")
        if status.is_final:
            note(f"rebalance {rebalance_id}: {_text(status)}")
            return 0 if status is RebalanceStatus.COMPLETED else 1
        time.sleep(_POLL_S)


def _counted(response: Any) -> tuple[int, int]:
    statuses = [entry.rebalance_status for table in response.table_progress for entry in table.buckets_progress]
    return sum(RebalanceStatus(status).is_final for status in statuses), len(statuses)


def _text(status: RebalanceStatus) -> str:
    return status.name.lower().replace("_", " ")


def _print_moves(moves: Any, output: OutputFormat) -> None:
    rows = [
        (
            move.table,
            move.partition if move.HasField("partition") else None,
            move.bucket_id,
            move.original_leader,
            move.new_leader,
            _servers(move.original_replicas, output),
            _servers(move.new_replicas, output),
            _text(RebalanceStatus(move.status)) if move.HasField("status") else None,
        )
        for move in moves
    ]
    names = ("table", "partition", "bucket", "leader", "new_leader", "replicas", "new_replicas", "status")
    print_rows(names, rows, output)
