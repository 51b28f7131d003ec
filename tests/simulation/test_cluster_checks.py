"""The observer sees what lasts for less than the time between two looks, and other bytes of the same length."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from fluss_server.model.identifiers import TableBucket
from fluss_server.replica.replica import Replica
from fluss_server.replica.watched_offset import WatchedOffset
from simulation.cluster_checks import Observer

BUCKET = TableBucket(0, None, 0)


class Log(SimpleNamespace):
    """What the observer reads of a log: one batch for each byte of ``data``."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data=data, start_offset=0, end_offset=len(data), flushed_offset=len(data))

    def batches(self, begin: int, end: int) -> list[tuple[None, bytes]]:
        return [(None, self.data[begin:end])]


class Cluster(SimpleNamespace):
    """A bucket with replicas on some servers, the first of which leads."""

    def __init__(self, logs: dict[int, Log], isr: tuple[int, ...]) -> None:
        nodes = {
            server: SimpleNamespace(
                server=SimpleNamespace(
                    replicas=SimpleNamespace(
                        _hosted={BUCKET: SimpleNamespace(replica=SimpleNamespace(log=log))},
                        leaders=list,
                        replicas=list,
                    )
                )
            )
            for server, log in logs.items()
        }
        super().__init__(nodes=nodes, coordinator_runs=True, coordinator=self)
        self.change_isr(isr)

    def change_isr(self, isr: tuple[int, ...]) -> None:
        record = SimpleNamespace(leader=1, isr=isr, leader_epoch=0, bucket_epoch=len(isr))
        state = SimpleNamespace(record=record, replicas=(1, 2, 3))
        self.server = SimpleNamespace(
            controller=SimpleNamespace(queue=SimpleNamespace(state=SimpleNamespace(buckets={BUCKET: state})))
        )


def leader() -> Any:
    return SimpleNamespace(
        bucket=BUCKET,
        high_watermark=WatchedOffset(0),
        followers=SimpleNamespace(leader_epoch=0),
        _schedule_commit=lambda: None,
    )


def observer_of(cluster: Cluster) -> Observer:
    return Observer(cast("Any", cluster), durable=True)


def test_a_commit_without_a_member_of_the_isr_is_seen_although_it_comes_soon_after() -> None:
    logs = {1: Log(b"abc"), 2: Log(b"ab"), 3: Log(b"abc")}
    observer, replica = observer_of(Cluster(logs, (1, 2, 3))), leader()
    with observer.events():
        Replica.begin(replica)
        replica.high_watermark.advance(2)
        observer.check()
        replica.high_watermark.advance(3)
        logs[2].flushed_offset = 3
        with pytest.raises(AssertionError, match="with 2, 3 was committed"):
            observer.check()


def test_a_new_member_of_the_isr_with_other_bytes() -> None:
    cluster = Cluster({1: Log(b"abc"), 2: Log(b"axc"), 3: Log(b"abx")}, (1,))
    observer, replica = observer_of(cluster), leader()
    with observer.events():
        Replica.begin(replica)
        replica.high_watermark.advance(2)
        observer.check()
        cluster.change_isr((1, 3))
        observer.check()
        cluster.change_isr((1, 2, 3))
        with pytest.raises(AssertionError, match="server 2 came into the ISR with another content below 2"):
            observer.check()
