"""Writes come first, memory follows the store, and servers hear of what is durable; requests to them are repeated."""

from __future__ import annotations

import asyncio
from itertools import count
from pathlib import Path

import pytest

from coordinator_support import RecordingTabletServer, running
from error_support import refused
from fluss_server.cluster.messages import (
    BucketLeadership,
    BucketResult,
    ControlStamp,
    IdBounds,
    NotifyLeaderAndIsr,
    NotifyLeaderAndIsrResponse,
    RegisterServer,
    ReplicaStop,
    ServerNode,
    UpdateMetadata,
)
from fluss_server.coordinator import control_channel, event_queue
from fluss_server.coordinator.cluster_state import ClusterState
from fluss_server.coordinator.control_channel import ControlChannel
from fluss_server.coordinator.event_queue import EventQueue, PlannedWrites
from fluss_server.coordinator.events import (
    Instruction,
    LeadershipsConfirmed,
    MetadataChange,
    ReplicasStopped,
    ServerJoined,
    Tell,
)
from fluss_server.coordinator.fencing import COORDINATOR_EPOCH, fence
from fluss_server.errors import ErrorCode, FlussError
from fluss_server.metadata.embedded import EmbeddedMetadataStore
from fluss_server.metadata.store import Create, Set
from fluss_server.model.identifiers import TableBucket, TablePath
from fluss_server.model.table import DatabaseDescriptor, TableDescriptor
from fluss_server.runtime.runtime import system_runtime
from rpc_support import async_test, eventually

NODE = ServerNode(1)
DESCRIPTOR = TableDescriptor.from_json(
    {"schema": {"columns": [{"name": "a", "data_type": {"type": "INTEGER"}}]}, "bucket_count": 2}
)
T = TablePath("fluss", "t")


async def opened_queue(path: Path) -> tuple[EmbeddedMetadataStore, EventQueue, list[Instruction]]:
    store = EmbeddedMetadataStore.open(path, system_runtime())
    carried_out: list[Instruction] = []
    return store, EventQueue(store, ClusterState(0, ServerNode(9)), carried_out.append), carried_out


@async_test
async def test_an_event_whose_write_fails_has_no_effect(tmp_path: Path) -> None:
    store, queue, carried_out = await opened_queue(tmp_path / "m")

    async def fail(writes: PlannedWrites) -> None:
        raise FlussError(ErrorCode.STORAGE_EXCEPTION, "full")

    with pytest.raises(FlussError, match="full"):
        await queue.submit(ServerJoined(NODE, "a", clean=True), fail)
    assert queue.state.servers == {}
    assert carried_out == []
    assert queue.story() == []
    await queue.submit(ServerJoined(NODE, "a", clean=True))
    assert list(queue.state.servers) == [1]
    assert [type(instruction) for instruction in carried_out] == [Tell]
    await store.close()


@async_test
async def test_events_are_handled_in_order_and_never_at_once(tmp_path: Path) -> None:
    store, queue, _ = await opened_queue(tmp_path / "m")
    running_commits = 0
    order: list[int] = []

    def commit_of(number: int) -> event_queue.Commit:
        async def commit(writes: PlannedWrites) -> None:
            nonlocal running_commits
            running_commits += 1
            assert running_commits == 1
            await asyncio.sleep(0)
            order.append(number)
            running_commits -= 1

        return commit

    waiting = [queue.submit(ServerJoined(ServerNode(n), "a", clean=True), commit_of(n)) for n in range(5)]
    waiting[2].cancel()  # whoever waited is gone; the event is handled all the same
    await queue.wait()
    assert order == [0, 1, 2, 3, 4]
    assert sorted(queue.state.servers) == [0, 1, 2, 3, 4]
    await queue.close()
    assert (
        await refused(queue.submit(ServerJoined(NODE, "b", clean=True))) is ErrorCode.NOT_COORDINATOR_LEADER_EXCEPTION
    )
    await store.close()


@async_test
async def test_the_queue_and_the_story_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_queue, "MAX_WAITING_EVENTS", 3)
    store, queue, _ = await opened_queue(tmp_path / "m")
    waiting = [queue.submit(ServerJoined(NODE, str(n), clean=True)) for n in range(5)]
    assert await refused(waiting[3]) is ErrorCode.REQUEST_TIME_OUT
    await queue.wait()
    for n in range(event_queue.STORY_LENGTH):
        await queue.submit(ServerJoined(NODE, f"again {n}", clean=True))
    assert len(queue.story()) == event_queue.STORY_LENGTH
    assert queue.story()[-1].transition.detail == f"server 1, incarnation again {event_queue.STORY_LENGTH - 1}"
    await store.close()


@async_test
async def test_a_coordinator_that_was_replaced_writes_nothing(tmp_path: Path) -> None:
    async with running(tmp_path / "m") as parts:
        await fence(parts.store)  # another coordinator
        before = await parts.store.children("/metadata/databases")
        creation = parts.ddl.create_database("d", DatabaseDescriptor(), ignore_if_exists=False)
        assert await refused(creation) is ErrorCode.NOT_COORDINATOR_LEADER_EXCEPTION
        assert await parts.store.children("/metadata/databases") == before
        assert not parts.manager.database_exists("d")


@async_test
async def test_the_coordinator_epoch_is_text_and_grows(tmp_path: Path) -> None:
    store = EmbeddedMetadataStore.open(tmp_path / "m", system_runtime())
    for epoch in range(3):
        assert (await fence(store)).epoch == epoch
        node = await store.get(COORDINATOR_EPOCH)
        assert node is not None
        assert node.value == str(epoch).encode()
    await store.commit([Set(COORDINATOR_EPOCH, b"x")])
    assert await refused(fence(store)) is ErrorCode.UNKNOWN_SERVER_ERROR
    await store.close()
    other = EmbeddedMetadataStore.open(tmp_path / "official", system_runtime())
    await other.commit([Create("/coordinators"), Create(COORDINATOR_EPOCH, b"-1")])
    assert (await fence(other)).epoch == 0
    await other.close()


class Flaky(RecordingTabletServer):
    """Loses requests and responses before it lets one through."""

    def __init__(self, *outcomes: str) -> None:
        super().__init__()
        self.outcomes = list(outcomes)
        self.requests: list[NotifyLeaderAndIsr | UpdateMetadata] = []

    async def notify_leader_and_isr(self, request: NotifyLeaderAndIsr) -> NotifyLeaderAndIsrResponse:
        self.requests.append(request)
        outcome = self.outcomes.pop(0) if self.outcomes else "answer"
        if outcome == "lost":
            raise FlussError(ErrorCode.NETWORK_EXCEPTION, "lost")
        if outcome == "hangs":
            await asyncio.Event().wait()
        if outcome == "newer":
            raise FlussError(ErrorCode.INVALID_COORDINATOR_EXCEPTION, "a newer coordinator")
        if outcome == "silent":
            return NotifyLeaderAndIsrResponse(())
        return NotifyLeaderAndIsrResponse(tuple(BucketResult(entry.bucket) for entry in request.buckets))

    async def update_metadata(self, request: UpdateMetadata) -> None:
        self.requests.append(request)
        await super().update_metadata(request)


class Channel:
    """A channel to a server, with what it reports."""

    def __init__(self, server: RecordingTabletServer) -> None:
        self.confirmed: list[LeadershipsConfirmed | ReplicasStopped] = []
        self.deposed = self.overrun = 0
        self.channel = ControlChannel(
            1,
            server,
            incarnation="first",
            next_sequence=count(1).__next__,
            epoch=5,
            coordinator=ServerNode(9),
            id_bounds=self._bounds,
            confirmed=self.confirmed.append,
            deposed=self._deposed,
            overrun=self._overrun,
        )

    async def _bounds(self) -> IdBounds:
        return IdBounds(10, 20)

    def _deposed(self) -> None:
        self.deposed += 1

    def _overrun(self) -> None:
        self.overrun += 1


def leadership(bucket: int, epoch: int = 0) -> BucketLeadership:
    return BucketLeadership(TableBucket(0, None, bucket), TablePath("d", "t"), None, 1, epoch, (1,), (1,), epoch)


@pytest.fixture
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control_channel, "FIRST_BACKOFF_S", 0.001)
    monkeypatch.setattr(control_channel, "REQUEST_DEADLINE_S", 0.02)


@pytest.mark.usefixtures("fast")
@async_test
async def test_a_control_request_is_repeated_until_it_is_answered() -> None:
    server = Flaky("lost", "hangs", "lost", "silent")
    channel = Channel(server)
    channel.channel.send(leadership(0))
    await channel.channel.wait()
    assert len(server.requests) == 4
    assert all(request == server.requests[0] for request in server.requests)
    [confirmed] = channel.confirmed
    assert isinstance(confirmed, LeadershipsConfirmed)
    failure = confirmed.outcomes[0].failure
    assert failure is not None, "a bucket that the server does not mention has failed"
    assert channel.channel.idle


@pytest.mark.usefixtures("fast")
@async_test
async def test_requests_stay_in_order_and_later_ones_supersede() -> None:
    server = Flaky("lost")
    channel = Channel(server)
    done = [asyncio.get_running_loop().create_future() for _ in range(2)]
    channel.channel.send(leadership(0), done[0])
    channel.channel.send(leadership(1))
    channel.channel.send(leadership(0, epoch=1), done[1])
    channel.channel.send(MetadataChange(snapshot=True))
    channel.channel.send(leadership(2))
    await channel.channel.wait()
    first, again, update, last = server.requests
    stamps = [ControlStamp("first", number) for number in (1, 2, 3)]  # a repetition keeps its number
    assert first == again == NotifyLeaderAndIsr(5, (leadership(0, epoch=1), leadership(1)), stamps[0])
    assert update == UpdateMetadata(5, ServerNode(9), snapshot=IdBounds(10, 20), stamp=stamps[1])
    assert last == NotifyLeaderAndIsr(5, (leadership(2),), stamps[2])
    assert all(future.done() for future in done)


@async_test
async def test_a_closed_channel_tells_who_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    server = Flaky("hangs")
    channel = Channel(server)
    done = [asyncio.get_running_loop().create_future() for _ in range(3)]
    channel.channel.send(leadership(0), done[0])
    await eventually(lambda: bool(server.requests))
    channel.channel.send(ReplicaStop(TableBucket(0, None, 0), 0, delete=True), done[1])
    await channel.channel.close()
    channel.channel.send(leadership(1), done[2])
    assert all(future.done() for future in done)
    assert len(server.requests) == 1


@async_test
async def test_a_server_that_is_too_far_behind_has_to_join_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control_channel, "MAX_WAITING", 2)
    server = Flaky("hangs")
    channel = Channel(server)
    for number in range(6):
        channel.channel.send(leadership(number))
    assert channel.overrun == 1
    await channel.channel.close()


@async_test
async def test_a_response_to_stop_replica_is_reported() -> None:
    """What could not be removed is not served either; what is newer than the request is."""
    server = RecordingTabletServer()
    channel = Channel(server)
    bucket = leadership(0).bucket
    for failure in (None, ErrorCode.STORAGE_EXCEPTION, ErrorCode.FENCED_LEADER_EPOCH_EXCEPTION):
        server.fail_stop = None if failure is None else FlussError(failure, "no")
        channel.channel.send(ReplicaStop(bucket, 0, delete=True))
        await channel.channel.wait()
    assert channel.confirmed == [ReplicasStopped(1, buckets) for buckets in ((bucket,), (bucket,), ())]


@async_test
async def test_a_newer_coordinator_is_reported() -> None:
    channel = Channel(Flaky("newer"))
    channel.channel.send(leadership(0))
    await channel.channel.wait()
    assert (channel.deposed, channel.confirmed) == (1, [])


@async_test
async def test_a_server_that_registers_again_is_told_everything(tmp_path: Path) -> None:
    async with running(tmp_path / "m") as parts:
        await parts.ddl.create_table(T, DESCRIPTOR, ignore_if_exists=False)
        again = RecordingTabletServer()
        registered = await parts.controller.register(RegisterServer(ServerNode(3), "second"), again)
        await parts.controller.settled()
        assert registered.coordinator_epoch == 0
        assert again.metadata.find_table(T) == parts.manager.table(T)
        assert [entry.leader for entry in again.notifications] == [3, 3]
        assert [entry.leader_epoch for entry in again.notifications] == [2, 2]
