"""Fetches of followers: which request names which bucket, and how many wait at the leader, which is scripted."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any, cast

import pytest

from fluss_server.api import messages as pb
from fluss_server.api.keys import ApiKey
from fluss_server.errors import ErrorCode, FlussError
from fluss_server.log.log_tablet import LogTablet
from fluss_server.model.identifiers import TableBucket, TablePath
from fluss_server.model.schema import Schema
from fluss_server.model.table import TableDescriptor, TableInfo
from fluss_server.replica.follower_replica import FollowerReplica, LeaderLog
from fluss_server.rpc.bulk import FetchLogResponseBuilder
from fluss_server.runtime import InlineWorkers
from fluss_server.runtime.clock import SystemClock
from fluss_server.runtime.system_disk import SystemFile
from fluss_server.tablet.replica_config import MAX_GROUPS, FetcherConfig, max_groups
from fluss_server.tablet.replica_fetcher import GROUP_BUCKETS, OPEN_GROUPS, ReplicaFetchers
from fluss_server.tablet.replication_protocol import FollowerFetch, bucket_of, leader_epochs_response
from log_support import make_batch, open_log, read_all
from rpc_support import async_test

SCHEMA = Schema.from_json({"columns": [{"name": "a", "data_type": {"type": "INTEGER"}}]})
TABLE = TableInfo(TablePath("d", "t"), 1, 1, TableDescriptor(SCHEMA, bucket_count=1), 0, 0)
EPOCH = 7
CONFIG = FetcherConfig(backoff_s=0.02, max_bytes=1000, max_bucket_bytes=100, wait_ms=5_000)
BRIEF = CONFIG._replace(wait_ms=20)


async def eventually(condition: Callable[[], bool]) -> None:
    """Wait for a state, for a bounded time."""
    deadline = asyncio.get_running_loop().time() + 10.0
    while not condition():
        assert asyncio.get_running_loop().time() < deadline, "it does not happen"
        await asyncio.sleep(0.001)


class Fetch:
    """A FETCH_LOG that waits at the leader, and the logs of the buckets that have something for it."""

    def __init__(self, request: pb.FetchLogRequest) -> None:
        self.request = request
        self.offsets = {
            TableBucket(table.table_id, None, entry.bucket_id): entry.fetch_offset
            for table in request.tables_req
            for entry in table.buckets_req
        }
        self.response: asyncio.Future[memoryview] = asyncio.get_running_loop().create_future()

    @property
    def waits(self) -> bool:
        return not self.response.done()

    def time_is_up(self) -> None:
        if self.waits:
            self.respond({})

    def respond(self, logs: dict[TableBucket, LogTablet], errors: dict[TableBucket, ErrorCode] | None = None) -> None:
        """With everything from the offsets of the request on."""
        builder = FetchLogResponseBuilder()
        builder.table(1)
        for bucket, offset in self.offsets.items():
            if errors and bucket in errors:
                builder.error(bucket.bucket, int(errors[bucket]), "scripted")
                continue
            log = logs.get(bucket)
            piece = None if log is None else log.read(offset, 1 << 20, log.end_offset, at_least_one=True)
            records = [] if piece is None else [piece.region.read()]
            end = 0 if log is None else log.end_offset
            builder.data(bucket.bucket, high_watermark=end, log_start_offset=0, records=cast(Any, records))
        self.response.set_result(memoryview(b"".join(cast(Any, builder.pieces()))))


class Leader:
    """Responds to LEADER_EPOCHS, and keeps every FETCH_LOG until it is told what to respond."""

    def __init__(self) -> None:
        self.fetches: list[Fetch] = []
        self.logs: dict[TableBucket, LogTablet] = {}
        self.aligned: list[TableBucket] = []
        self.failed: list[TableBucket] = []  # as followers said
        self.connections = 0
        self.closed = 0
        self.refuses_connections = False
        self.refuses_reports = False

    async def connect(self, leader: int) -> Any:
        self.connections += 1
        await asyncio.sleep(0)
        if self.refuses_connections:
            raise FlussError(ErrorCode.NETWORK_EXCEPTION, "scripted")
        return self

    async def call(self, key: ApiKey, request: Any, *, timeout_s: float) -> Any:
        assert key is ApiKey.LEADER_EPOCHS
        results: list[tuple[TableBucket, LeaderLog | FlussError]] = []
        for entry in request.buckets:
            bucket = bucket_of(entry)
            (self.failed if entry.storage_failed else self.aligned).append(bucket)
            if entry.storage_failed and self.refuses_reports:
                results.append((bucket, FlussError(ErrorCode.NOT_LEADER_OR_FOLLOWER, "scripted")))
                continue
            log = self.logs.get(bucket)
            results.append((bucket, LeaderLog((), 0, 0) if log is None else LeaderLog(log.epochs, 0, log.end_offset)))
        return leader_epochs_response(results)

    async def call_raw(self, key: ApiKey, pieces: Sequence[bytes], *, timeout_s: float) -> memoryview:
        assert key is ApiKey.FETCH_LOG
        fetch = Fetch(pb.FetchLogRequest.FromString(b"".join(pieces)))
        self.fetches.append(fetch)
        timer = asyncio.get_running_loop().call_later(fetch.request.max_wait_ms / 1000, fetch.time_is_up)
        try:
            return await fetch.response
        finally:
            timer.cancel()

    async def close(self) -> None:
        self.closed += 1

    def log_of(self, number: int, directory: Path) -> LogTablet:
        """Give a bucket an empty log, of the epoch that followers know."""
        log = self.logs[TableBucket(1, None, number)] = open_log(directory / f"leader-{number}")
        log.begin_epoch(EPOCH)
        return log

    def waiting(self) -> list[Fetch]:
        return [fetch for fetch in self.fetches if fetch.waits]

    def waits(self, expected: dict[int, int]) -> Callable[[], bool]:
        """Whether so many fetches wait for each of some times, in milliseconds."""
        return lambda: Counter(fetch.request.max_wait_ms for fetch in self.waiting()) == expected

    def newest(self, bucket: TableBucket) -> Fetch:
        """The newest fetch that names a bucket."""
        return [fetch for fetch in self.fetches if bucket in fetch.offsets][-1]

    def named(self) -> int:
        """How many times a bucket was named in a fetch."""
        return sum(len(fetch.offsets) for fetch in self.fetches)

    def names(self, buckets: Sequence[TableBucket]) -> Callable[[], bool]:
        """Whether fetches that wait name all of some buckets."""
        return lambda: set(buckets) <= {bucket for fetch in self.waiting() for bucket in fetch.offsets}


class Disk:
    """See ``FollowerDisk``."""

    state: bool | None = False

    def noticed(self) -> None: ...


class Follower:
    """The fetchers of a server, and the logs of its replicas."""

    def __init__(self, directory: Path, leader: Leader, config: FetcherConfig, disk: Disk | None) -> None:
        self._directory = directory
        self.fetchers = ReplicaFetchers(0, config, leader.connect, SystemClock(), Random(1).random, disk=disk)
        self.logs: list[LogTablet] = []

    def add(self, first: int, count: int = 1, *, epoch: int = EPOCH) -> list[FollowerReplica]:
        """Follow new buckets with some numbers."""
        added = []
        for number in range(first, first + count):
            log = open_log(self._directory / f"{number}-{len(self.logs)}")
            self.logs.append(log)
            added.append(self.follow(number, log, epoch))
        return added

    def follow(self, number: int, log: LogTablet, epoch: int) -> FollowerReplica:
        workers = InlineWorkers()
        follower = FollowerReplica(
            TableBucket(1, None, number),
            TABLE,
            log,
            leader=2,
            leader_epoch=epoch,
            high_watermark=0,
            flush_before_fetch=False,
            flush_pool=workers.pool("io", 1),
            read_pool=workers.pool("io", 1),
        )
        self.fetchers.add(follower)
        return follower


@asynccontextmanager
async def following(
    directory: Path, config: FetcherConfig = CONFIG, disk: Disk | None = None
) -> AsyncIterator[tuple[Leader, Follower]]:
    leader = Leader()
    follower = Follower(directory / "follower", leader, config, disk)
    try:
        yield leader, follower
    finally:
        await asyncio.wait_for(follower.fetchers.close(), 10.0)
        for log in [*follower.logs, *leader.logs.values()]:
            log.close()


def buckets(followers: Sequence[FollowerReplica]) -> list[TableBucket]:
    return [follower.bucket for follower in followers]


@async_test
async def test_a_new_bucket_leaves_the_waiting_fetches_of_full_groups_alone(tmp_path: Path) -> None:
    async with following(tmp_path) as (leader, follower):
        first = follower.add(0, GROUP_BUCKETS)
        await eventually(leader.names(buckets(first)))
        (before,) = leader.waiting()
        later = follower.add(GROUP_BUCKETS, 2)
        await eventually(leader.names(buckets(later)))
        assert before.waits
        assert set(leader.newest(later[0].bucket).offsets) == set(buckets(later))
        assert set(leader.newest(first[0].bucket).offsets) == set(buckets(first)), "it was not sent again"
        assert leader.newest(first[0].bucket) is before


@async_test
async def test_what_new_buckets_cost_does_not_grow(tmp_path: Path) -> None:
    async with following(tmp_path) as (leader, follower):
        costs = []
        for first in range(0, 1024, GROUP_BUCKETS // 2):
            before = leader.named()
            added = follower.add(first, GROUP_BUCKETS // 2)
            await eventually(leader.names(buckets(added)))
            costs.append(leader.named() - before)
        assert max(costs) <= 2 * GROUP_BUCKETS
        assert len(leader.waiting()) <= 2 * 1024 // GROUP_BUCKETS + 2


@async_test
async def test_a_bucket_that_comes_is_fetched_although_an_abandoned_fetch_waits(tmp_path: Path) -> None:
    async with following(tmp_path) as (leader, follower):
        for number in range(4):
            added = follower.add(number)
            await eventually(leader.names(buckets(added)))
        assert not any(fetch.response.done() for fetch in leader.fetches)
        assert len(leader.waiting()) == 2 * OPEN_GROUPS


@async_test
async def test_fetches_that_wait_have_a_bound_and_every_bucket_is_fetched(tmp_path: Path) -> None:
    async with following(tmp_path, BRIEF) as (leader, follower):
        followers = [follower.add(number)[0] for number in range(20)]
        for first in range(20, 1000, 49):
            followers += follower.add(first, 49)
            await asyncio.sleep(0.001)
            assert len(leader.waiting()) <= 2 * (len(followers) // GROUP_BUCKETS + OPEN_GROUPS)

        def each_once() -> bool:
            """After the end of those that were abandoned."""
            named = [bucket for fetch in leader.waiting() for bucket in fetch.offsets]
            return Counter(named) == Counter(buckets(followers))

        await eventually(each_once)


@pytest.mark.parametrize("most", [1, 3])
@async_test
async def test_buckets_beyond_the_largest_number_of_groups_make_them_larger(tmp_path: Path, most: int) -> None:
    async with following(tmp_path, BRIEF._replace(max_groups=most)) as (leader, follower):
        log = open_log(tmp_path / "log")
        follower.logs.append(log)
        count = GROUP_BUCKETS * most * 3
        followers = []
        for first in range(0, count, 32):
            followers += [follower.follow(number, log, EPOCH) for number in range(first, first + 32)]
            await asyncio.sleep(0.001)
            assert len(leader.waiting()) <= 3 * most
        await eventually(leader.names(buckets(followers)))


def test_no_more_groups_than_the_requests_that_a_leader_starts() -> None:
    assert [max_groups(limit) for limit in (1, 10, 500, 10_000)] == [1, 2, MAX_GROUPS, MAX_GROUPS]


@async_test
async def test_fetches_of_quiet_buckets_wait_longer_but_for_one(tmp_path: Path) -> None:
    async with following(tmp_path, BRIEF._replace(wait_ms=50)) as (leader, follower):
        groups = 4
        log = leader.log_of(0, tmp_path)
        followers = follower.add(0, groups * GROUP_BUCKETS + 1)
        await eventually(leader.waits({50: 1, 50 * (groups + 1): groups}))
        before = leader.newest(followers[0].bucket)
        log.append(make_batch(1))
        before.respond(leader.logs)
        await eventually(lambda: followers[0].fetch_offset == 1)
        await eventually(lambda: leader.newest(followers[0].bucket).waits)
        assert leader.newest(followers[0].bucket).request.max_wait_ms == 50, "something has happened to it"
        follower.fetchers.remove(followers[-1])
        await eventually(leader.waits({50: 1, 50 * groups: groups - 1}))


@async_test
async def test_fetches_that_wait_for_more_than_a_byte_do_not_wait_longer(tmp_path: Path) -> None:
    async with following(tmp_path, BRIEF._replace(min_bytes=2)) as (leader, follower):
        followers = follower.add(0, 2 * GROUP_BUCKETS + 1)
        await eventually(lambda: len(leader.fetches) > 60)
        assert {fetch.request.max_wait_ms for fetch in leader.fetches} == {BRIEF.wait_ms}
        await eventually(leader.names(buckets(followers)))


@async_test
async def test_a_full_disk_is_told_by_fetches_that_wait_for_long(tmp_path: Path) -> None:
    disk = Disk()
    async with following(tmp_path, BRIEF._replace(wait_ms=200), disk) as (leader, follower):
        followers = follower.add(0, 3 * GROUP_BUCKETS + 1)
        await eventually(lambda: sum(fetch.request.max_wait_ms > 200 for fetch in leader.waiting()) == 3)
        disk.state = True
        begin = asyncio.get_running_loop().time()

        def told() -> bool:
            full = [FollowerFetch.read(fetch.request).disk_full is True for fetch in leader.waiting()]
            return sum(full) == 4

        await eventually(told)
        assert asyncio.get_running_loop().time() - begin < 0.75, "it did not wait for all of the longer time"
        assert len(followers) == 3 * GROUP_BUCKETS + 1


@async_test
async def test_a_response_of_an_abandoned_fetch_changes_nothing(tmp_path: Path) -> None:
    async with following(tmp_path) as (leader, follower):
        log = leader.log_of(0, tmp_path)
        (first,) = follower.add(0)
        await eventually(leader.names([first.bucket]))
        (abandoned,) = leader.waiting()
        (second,) = follower.add(1)
        await eventually(leader.names([second.bucket]))
        log.append(make_batch(3))
        current = leader.newest(first.bucket)
        assert current is not abandoned
        assert set(current.offsets) == {first.bucket, second.bucket}
        abandoned.respond(leader.logs)
        for _ in range(10):
            await asyncio.sleep(0)
        assert first.fetch_offset == 0
        current.respond(leader.logs)
        await eventually(lambda: first.fetch_offset == 3)
        assert first.high_watermark.value == 3
        await eventually(lambda: leader.newest(first.bucket).offsets[first.bucket] == 3)


@async_test
async def test_groups_do_not_wait_for_each_other(tmp_path: Path) -> None:
    async with following(tmp_path) as (leader, follower):
        quiet = follower.add(0, GROUP_BUCKETS)
        await eventually(leader.names(buckets(quiet)))
        log = leader.log_of(GROUP_BUCKETS, tmp_path)
        (busy,) = follower.add(GROUP_BUCKETS)
        await eventually(leader.names([busy.bucket]))
        named = leader.named()
        for end in range(1, 21):
            await eventually(lambda: leader.newest(busy.bucket).waits)
            log.append(make_batch(1))
            leader.newest(busy.bucket).respond(leader.logs)
            await eventually(lambda: busy.fetch_offset == end)  # noqa: B023 - called at once
        assert read_all(busy.log) == read_all(log)
        assert leader.named() - named <= 22, "no other bucket was named"


@async_test
async def test_a_new_epoch_compares_again_and_old_responses_do_not_count(tmp_path: Path) -> None:
    async with following(tmp_path) as (leader, follower):
        log = leader.log_of(0, tmp_path)
        first, other = follower.add(0, 2)
        await eventually(leader.names([first.bucket]))
        (old,) = leader.waiting()
        log.append(make_batch(5))
        follower.fetchers.remove(first)
        await first.stop()
        again = follower.follow(0, first.log, EPOCH + 1)
        await eventually(lambda: leader.aligned.count(first.bucket) == 2)
        await eventually(lambda: leader.newest(first.bucket) is not old)
        old.respond(leader.logs)
        for _ in range(10):
            await asyncio.sleep(0)
        assert again.fetch_offset == 0
        leader.newest(first.bucket).respond(leader.logs)
        await eventually(lambda: again.fetch_offset == 5)
        assert other.fetch_offset == 0


@async_test
async def test_a_log_that_has_diverged_is_cut_while_others_of_its_group_go_on(tmp_path: Path) -> None:
    async with following(tmp_path, BRIEF) as (leader, follower):
        for number in range(2):
            log = leader.logs[TableBucket(1, None, number)] = open_log(tmp_path / f"leader-{number}")
            log.begin_epoch(3)
            log.append(make_batch(2))
        own = open_log(tmp_path / "own")
        follower.logs.append(own)
        own.begin_epoch(3)
        own.append(make_batch(2))
        own.begin_epoch(5)
        own.append(make_batch(4))
        cut = follower.follow(0, own, EPOCH)
        (other,) = follower.add(1)
        await eventually(leader.names(buckets([cut, other])))
        assert cut.fetch_offset == 2
        leader.newest(cut.bucket).respond(leader.logs, {cut.bucket: ErrorCode.LOG_OFFSET_OUT_OF_RANGE_EXCEPTION})
        await eventually(lambda: other.fetch_offset == 2)
        await eventually(lambda: leader.newest(other.bucket).waits)
        leader.newest(other.bucket).respond(leader.logs)
        await eventually(lambda: leader.aligned.count(cut.bucket) == 2)


@async_test
async def test_buckets_that_fail_together_are_fetched_again_together(tmp_path: Path) -> None:
    async with following(tmp_path) as (leader, follower):
        followers = follower.add(0, GROUP_BUCKETS)
        for count in range(1, 6):
            await eventually(lambda: len(leader.fetches) == count)  # noqa: B023 - called at once
            fetch = leader.fetches[-1]
            assert set(fetch.offsets) == set(buckets(followers))
            fetch.respond({}, dict.fromkeys(buckets(followers), ErrorCode.NOT_LEADER_OR_FOLLOWER))


@async_test
async def test_all_groups_use_the_connection_that_follows_a_lost_one(tmp_path: Path) -> None:
    async with following(tmp_path) as (leader, follower):
        followers = follower.add(0, 3 * GROUP_BUCKETS)
        await eventually(leader.names(buckets(followers)))
        assert (leader.connections, len(leader.waiting())) == (1, 3)
        leader.refuses_connections = True
        for fetch in leader.waiting():
            fetch.response.set_exception(FlussError(ErrorCode.NETWORK_EXCEPTION, "lost"))
        await eventually(lambda: leader.connections >= 3)
        assert leader.closed == 1
        leader.refuses_connections = False
        await eventually(leader.names(buckets(followers)))
        attempts = leader.connections
        for _ in range(20):
            await asyncio.sleep(0)
        assert leader.connections == attempts
        assert leader.aligned == buckets(followers), "the epoch is the same"


@async_test
async def test_responses_of_several_groups_are_shorter_and_the_busy_ones_get_all(tmp_path: Path) -> None:
    async with following(tmp_path) as (leader, follower):
        first = follower.add(0, GROUP_BUCKETS)
        await eventually(leader.names(buckets(first)))
        assert leader.newest(first[0].bucket).request.max_bytes == CONFIG.max_bytes
        log = leader.log_of(GROUP_BUCKETS, tmp_path)
        (busy,) = follower.add(GROUP_BUCKETS)
        await eventually(leader.names([busy.bucket]))
        fetch = leader.newest(busy.bucket)
        assert fetch.request.max_bytes == CONFIG.max_bytes // 2
        while log.size_bytes < CONFIG.max_bytes:
            log.append(make_batch(10))
        fetch.respond(leader.logs)
        await eventually(lambda: leader.newest(busy.bucket) is not fetch)
        assert leader.newest(busy.bucket).request.max_bytes == CONFIG.max_bytes


@async_test
async def test_nothing_is_left_when_the_last_bucket_goes(tmp_path: Path) -> None:
    async with following(tmp_path) as (leader, follower):
        followers = follower.add(0, GROUP_BUCKETS + 1)
        await eventually(leader.names(buckets(followers)))
        for each in followers:
            follower.fetchers.remove(each)
        await eventually(lambda: leader.closed == 1)
        await eventually(lambda: not leader.waiting() or all(fetch.response.cancelled() for fetch in leader.fetches))
        (again,) = follower.add(0)
        await eventually(leader.names([again.bucket]))
        assert leader.connections == 2


@async_test
async def test_a_follower_whose_storage_fails_tells_its_leader_until_it_knows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with following(tmp_path, BRIEF) as (leader, follower):
        failing, other = follower.add(0, 2)
        await eventually(leader.names(buckets([failing, other])))
        failing.log.append(make_batch(1))
        leader.refuses_reports = True
        with monkeypatch.context() as broken:
            broken.setattr(SystemFile, "sync", fail)
            await failing.flush()
        await eventually(lambda: len(leader.failed) >= 3)
        leader.refuses_reports = False
        await eventually(lambda: not failing.has_to_report)
        assert set(leader.failed) == {failing.bucket}
        count = len(leader.failed)
        fetches = len(leader.fetches)
        await eventually(lambda: len(leader.fetches) >= fetches + 3)
        assert {bucket for fetch in leader.fetches[fetches:] for bucket in fetch.offsets} == {other.bucket}
        assert len(leader.failed) == count, "it was told"


@async_test
async def test_a_log_that_has_failed_before_is_not_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with following(tmp_path) as (leader, follower):
        log = open_log(tmp_path / "failed")
        log.begin_epoch(EPOCH)
        log.append(make_batch(1))
        with monkeypatch.context() as broken:
            broken.setattr(SystemFile, "sync", fail)
            with pytest.raises(FlussError):
                log.flush()
        replica = follower.follow(0, log, EPOCH + 1)
        await eventually(lambda: leader.failed == [replica.bucket])
        assert not replica.is_online
        assert leader.fetches == []
        log.close()


def fail(_: SystemFile) -> None:
    raise OSError(5, "scripted")
