"""Bugs to plant in the replication, one at a time, so that one counts the seeds in which the simulation finds each.

A bug that no seed finds means that a checker or a fault is missing. ``simulate.py`` runs them.

Not among them: a leader that counts fetches of another leader epoch (``Followers.check``, which has unit tests). A
follower fetches only what it has compared with the log of the same server, and it does so before its first fetch in
every epoch that it hears of. The two logs differ only when that server lost a part of its log, or followed another
leader, and leads again in an epoch of which the follower has not heard, and its log ends a batch where the follower
goes on. A server that lost something is elected only when nobody else is in the ISR, and followers are told within
the time-out of a control request. When they are, they compare again, and the histories of leader epochs show the
difference. So that the histories are right is what matters: "do not record a new leader epoch".
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from typing import Any
from unittest import mock

from fluss_server.cluster.lease import Lease
from fluss_server.errors import FlussError
from fluss_server.kv.committed_rows import CommittedRows
from fluss_server.kv.kv_tablet import KvTablet
from fluss_server.log.log_tablet import LogTablet
from fluss_server.log.writer_state import WriterStates
from fluss_server.replica.follower_replica import FollowerReplica, LeaderLog
from fluss_server.replica.followers import Followers
from fluss_server.replica.in_sync_replicas import InSyncReplicas
from fluss_server.replica.replica import Replica
from fluss_server.tablet.replica_roles import ReplicaRoles

Patch = Callable[[], AbstractContextManager[Any]]


def _acknowledge_before_replication(self: Followers, durable_end: int, high_watermark: int) -> int:
    return max(durable_end, high_watermark)


def _keep_own_suffix(self: FollowerReplica, leader: LeaderLog, common: int | None) -> None:
    if self.log.end_offset > leader.end_offset:
        self.log.truncate(leader.end_offset)  # as if the length told everything
    if self._flush_before_fetch:
        self.log.flush()


def _append_without_flush(self: FollowerReplica, records: Any) -> None:
    self.log.append_replica(records, self._leader_epochs)


def _join_at_once(self: Followers, server: int, high_watermark: int) -> bool:
    return server not in self.isr.members and self.offset_of(server) >= 0


def _count_only_confirmed(self: InSyncReplicas, members: Any) -> None:
    self.is_requested = True


def _record_no_epoch(self: LogTablet, epoch: int, *, may_continue: bool = False) -> None:
    if not self.epochs:
        _begin_epoch(self, epoch, may_continue=may_continue)


_begin_epoch = LogTablet.begin_epoch
_apply = KvTablet.apply_changelog


def _apply_everything(self: KvTablet, end: int, *, admit: bool = True) -> bool:
    return _apply(self, self._log.end_offset, admit=admit)


async def _skip_tail(self: ReplicaRoles, kv: KvTablet, replica: Replica) -> None:
    return None


def _apply_every_other(
    self: CommittedRows, rows: Any, row_count_change: int, offset: int, size_bytes: int, *, cached: bool = True
) -> None:
    found = rows if cached or self.offset % 2 else {}
    _apply_rows(self, found, row_count_change, offset, size_bytes, cached=cached)


_apply_rows = CommittedRows.apply
_record = WriterStates.record


def _forget_writers(self: WriterStates, header: Any) -> None:
    if header.base_offset % 3:
        _record(self, header)


def _grant_for_ever(self: Lease, sent_at: float, lease_ms: int) -> None:
    _grant(self, sent_at, 0)


_grant = Lease.grant

BUGS: dict[str, Patch] = {
    "acknowledge before replication": partial(
        mock.patch.object, Followers, "committable", _acknowledge_before_replication
    ),
    "skip truncation": partial(mock.patch.object, FollowerReplica, "_align", _keep_own_suffix),
    "fetch before the flush": partial(mock.patch.object, FollowerReplica, "_append", _append_without_flush),
    "serve before the epoch start": partial(mock.patch.object, Replica, "is_caught_up", True),
    "stale member in the ISR": partial(mock.patch.object, Followers, "may_join", _join_at_once),
    "forget members that are being added": partial(
        mock.patch.object, InSyncReplicas, "requested", _count_only_confirmed
    ),
    "do not record a new leader epoch": partial(mock.patch.object, LogTablet, "begin_epoch", _record_no_epoch),
    "ignore the lease": partial(mock.patch.object, Lease, "grant", _grant_for_ever),
    "standby beyond the high watermark": partial(mock.patch.object, KvTablet, "apply_changelog", _apply_everything),
    "promotion without the tail": partial(mock.patch.object, ReplicaRoles, "_replay", _skip_tail),
    "standby leaves out changes": partial(mock.patch.object, CommittedRows, "apply", _apply_every_other),
    "forget writer state": partial(mock.patch.object, WriterStates, "record", _forget_writers),
}


def found_by(name: str, run: Callable[[], object]) -> str | None:
    """What the checks of a run say while a bug is planted; None if they find nothing.

    Args:
        name: of the bug.
        run: the run; what it raises otherwise than a check does is no find, and is raised here.
    """
    with contextlib.redirect_stdout(io.StringIO()), BUGS[name]():
        try:
            run()
        except (AssertionError, FlussError) as error:
            return f"{type(error).__name__}: {error}".splitlines()[0][:110]
    return None
