"""Which followers of a primary-key bucket keep a KvTablet of their own. Pure.

A standby replica is a member of the ISR, and elections prefer it. It stays one for as long as it can: another one has
to apply the whole changelog before it is of any use.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from fluss_server.cluster.messages import NO_LEADER
from fluss_server.config import TABLE_OPTIONS
from fluss_server.metadata.records import LeaderAndIsrRecord
from fluss_server.model.table import TableInfo

STANDBY_ENABLED = "table.kv.standby-replica.enabled"


def standby_count(table: TableInfo, configured: int) -> int:
    """How many standby replicas the buckets of a table have.

    Args:
        table: which one; without a primary key it has none.
        configured: ``kv.standby-replica.number``.
    """
    if not table.has_primary_key:
        return 0
    value = table.descriptor.properties.get(STANDBY_ENABLED)
    is_enabled = value is None or TABLE_OPTIONS[STANDBY_ENABLED].parse(value) is True
    return configured if is_enabled else 0


def with_standbys(record: LeaderAndIsrRecord, candidates: Sequence[int], count: int) -> LeaderAndIsrRecord:
    """The record with the standby replicas that it should have; the epochs stay as they are.

    Present ones stay if they are candidates. New ones are added only while the bucket has a leader: without one the
    first election decides.

    Args:
        record: leader and ISR.
        candidates: replicas that could lead, in the order of the assignment.
        count: how many there should be.

    Returns:
        the same record when nothing changes.
    """
    possible = [server for server in candidates if server in record.isr and server != record.leader]
    chosen = [server for server in record.standby_replicas if server in possible]
    if record.leader != NO_LEADER:
        chosen += [server for server in possible if server not in chosen]
    standbys = tuple(chosen[:count])
    return record if standbys == record.standby_replicas else replace(record, standby_replicas=standbys)
