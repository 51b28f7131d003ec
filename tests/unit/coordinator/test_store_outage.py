"""Who may grant leases without contact to the store, for how long, and how long a successor waits."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace

import pytest

from fluss_server.cluster.messages import Heartbeat, ServerNode
from fluss_server.coordinator.catalog import MetadataManager
from fluss_server.coordinator.cluster_controller import ClusterController
from fluss_server.coordinator.events import AbsentServersLeft
from fluss_server.coordinator.fencing import FencedStore
from fluss_server.coordinator.standby_coordinators import (
    FORGET_S,
    MAX_STANDBYS,
    MEMORY_S,
    OUTAGE_S,
    SETTLE_S,
    VOUCHED_S,
    Enrollment,
    StandbyCoordinators,
)
from fluss_server.coordinator.store_outage import StoreOutage
from fluss_server.coordinator.tenure import VALID_S, Tenure
from fluss_server.errors import ErrorCode, FlussError
from fluss_server.metadata.embedded import EmbeddedMetadataStore
from fluss_server.metadata.server_records import LEASE_GRANTOR, CoordinatorRecord, LeaseGrantorRecord
from fluss_server.metadata.store import MetadataStore, Set
from fluss_server.runtime.clock import ManualClock
from fluss_server.runtime.runtime import system_runtime
from rpc_support import async_test, eventually

ONE = CoordinatorRecord("one", "FLUSS://one:1")
TWO = CoordinatorRecord("two", "FLUSS://two:2")
LEASE_S = 2.0


def seconds(clock: ManualClock, passed: float) -> None:
    clock.advance(round(passed * 1000))


def opened(path: Path) -> EmbeddedMetadataStore:
    return EmbeddedMetadataStore.open(path / "m", system_runtime())


async def begun(
    store: MetadataStore, record: CoordinatorRecord, clock: ManualClock, enrollment: Enrollment | None = None
) -> tuple[StoreOutage, FencedStore]:
    outage = StoreOutage(record, enrollment, clock)
    return outage, await outage.begin(store)


async def active(
    store: MetadataStore, record: CoordinatorRecord, clock: ManualClock, enrollment: Enrollment | None = None
) -> tuple[Tenure, StoreOutage, FencedStore]:
    """A coordinator whose checks go on only when the test lets them."""
    outage, fenced = await begun(store, record, clock, enrollment)
    tenure = Tenure(fenced, clock, outage)
    await tenure._check()
    return tenure, outage, fenced


def test_times_are_such_that_no_lease_is_granted_when_its_end_is_not_waited_for() -> None:
    assert VOUCHED_S - SETTLE_S <= VALID_S
    assert FORGET_S > MEMORY_S + OUTAGE_S


@async_test
async def test_a_coordinator_without_contact_to_the_store_grants_leases_for_a_limited_time(tmp_path: Path) -> None:
    clock = ManualClock()
    seconds(clock, 100)
    tenure, _, _ = await active(opened(tmp_path), ONE, clock)
    seconds(clock, OUTAGE_S - 0.01)
    assert tenure.certain, "nobody else can lead before these leases are over"
    seconds(clock, 0.02)
    assert not tenure.certain


@async_test
async def test_a_coordinator_grants_none_while_a_standby_that_it_knows_is_silent(tmp_path: Path) -> None:
    clock = ManualClock()
    tenure, outage, _ = await active(opened(tmp_path), ONE, clock)
    issued = outage.standbys.stand_by("two", None)
    seconds(clock, VALID_S + 0.01)
    assert not tenure.certain, "the standby has said nothing yet that it could only say as a standby"
    issued = outage.standbys.stand_by("two", issued)
    assert tenure.certain
    outage.standbys.stand_by("three", None)
    assert not tenure.certain, "one more, which has to say it, too"
    outage.standbys.stand_by("three", issued)
    seconds(clock, VOUCHED_S - VALID_S - 0.02)
    assert tenure.certain
    seconds(clock, VOUCHED_S)
    assert not tenure.certain


@async_test
async def test_a_late_request_says_nothing_of_now(tmp_path: Path) -> None:
    clock = ManualClock()
    standbys = StandbyCoordinators("one", 0, clock)
    issued = standbys.stand_by("two", None)
    seconds(clock, VOUCHED_S + 0.01)
    standbys.stand_by("two", issued)
    assert not standbys.all_stand_by()
    standbys.stand_by("two", int(1e12))
    assert not standbys.all_stand_by(), "this time is not one that this coordinator has issued"


def test_a_standby_that_is_gone_is_needed_until_it_cannot_count_on_that() -> None:
    clock = ManualClock()
    standbys = StandbyCoordinators("one", 0, clock)
    standbys.stand_by("two", None)
    seconds(clock, FORGET_S - 0.01)
    assert not standbys.all_stand_by()
    seconds(clock, 0.02)
    assert standbys.all_stand_by()


def test_there_is_a_limit_of_standbys() -> None:
    standbys = StandbyCoordinators("one", 0, ManualClock())
    for number in range(MAX_STANDBYS):
        standbys.stand_by(f"number {number}", None)
    standbys.stand_by("number 0", None)
    with pytest.raises(FlussError) as caught:
        standbys.stand_by("one more", None)
    assert caught.value.code is ErrorCode.INVALID_CONFIG_EXCEPTION


@async_test
async def test_a_coordinator_that_was_replaced_or_writes_nothing_any_more_grants_none(tmp_path: Path) -> None:
    clock = ManualClock()
    store = opened(tmp_path)
    tenure, _, fenced = await active(store, ONE, clock)
    seconds(clock, 1.0)
    assert tenure.certain
    fenced.stop_writing()
    assert not tenure.certain
    tenure, _, _ = await active(store, ONE, clock)
    await tenure.start()
    await begun(store, TWO, clock)
    seconds(clock, 1.0)
    await eventually(lambda: not tenure.certain)
    await tenure.close()


@async_test
async def test_a_successor_waits_for_leases_of_a_coordinator_that_may_grant_them_still(tmp_path: Path) -> None:
    clock = ManualClock()
    store = opened(tmp_path)
    await active(store, ONE, clock)
    two, fenced = await begun(store, TWO, clock)
    assert two.must_wait
    assert two.grace_s(LEASE_S) > OUTAGE_S + LEASE_S
    three, _ = await begun(store, CoordinatorRecord("three", "FLUSS://three:3"), clock)
    assert three.must_wait, "the second one has not waited to the end, and is no grantor"
    tenure, two, fenced = await active(store, TWO, clock)
    seconds(clock, 1.0)
    assert not tenure.certain, "and while it waits it grants leases only with contact to the store"
    two.waited()
    await tenure._check()
    node = await store.get(LEASE_GRANTOR)
    assert node is not None
    grantor = LeaseGrantorRecord.decode(LEASE_GRANTOR, node.value)
    assert grantor == LeaseGrantorRecord("two", TWO.listeners, fenced.epoch)
    seconds(clock, 1.0)
    assert tenure.certain


@pytest.mark.parametrize(
    ("enrollment", "waits"),
    [
        (Enrollment("one", 0, 10.0), False),
        (Enrollment("one", 0, 1.0), True),
        (Enrollment("one", 1, 10.0), True),
        (Enrollment("three", 0, 10.0), True),
        (None, True),
    ],
    ids=["known", "known for too long", "of another epoch", "of another one", "unknown"],
)
@async_test
async def test_a_successor_that_the_grantor_knows_need_not_wait(
    tmp_path: Path, enrollment: Enrollment | None, waits: bool
) -> None:
    clock = ManualClock()
    store = opened(tmp_path)
    await active(store, ONE, clock)
    seconds(clock, 2.0)
    two, _ = await begun(store, TWO, clock, enrollment)
    assert two.must_wait is waits


@pytest.mark.parametrize(
    "own", [ONE, CoordinatorRecord("again", ONE.listeners), CoordinatorRecord("one", "FLUSS://elsewhere:1")]
)
@async_test
async def test_nobody_waits_for_himself(tmp_path: Path, own: CoordinatorRecord) -> None:
    clock = ManualClock()
    store = opened(tmp_path)
    await active(store, ONE, clock)
    again, _ = await begun(store, own, clock)
    assert not again.must_wait


@async_test
async def test_an_orderly_end_leaves_nobody_to_wait_for(tmp_path: Path) -> None:
    clock = ManualClock()
    store = opened(tmp_path)
    tenure, _, _ = await active(store, ONE, clock)
    await tenure.close()
    assert not tenure.certain
    assert await store.get(LEASE_GRANTOR) is None
    two, _ = await begun(store, TWO, clock)
    assert not two.must_wait


@async_test
async def test_a_grantor_that_cannot_be_read_is_waited_for(tmp_path: Path) -> None:
    clock = ManualClock()
    store = opened(tmp_path)
    await active(store, ONE, clock)
    await store.commit([Set(LEASE_GRANTOR, b"{}")])
    two, _ = await begun(store, TWO, clock)
    assert two.must_wait


class FailingQueue:
    """Of events, none of which can be stored."""

    def submit(self, event: object) -> asyncio.Future[object]:
        done: asyncio.Future[object] = asyncio.get_running_loop().create_future()
        done.set_exception(FlussError(ErrorCode.STORAGE_EXCEPTION, "there is no connection"))
        return done


@async_test
async def test_a_coordinator_starts_again_when_an_event_that_nobody_repeats_is_not_stored(tmp_path: Path) -> None:
    clock = ManualClock()
    store = opened(tmp_path)
    outage, fenced = await begun(store, ONE, clock)
    controller = ClusterController(
        fenced, MetadataManager(fenced, clock), ServerNode(0), lambda bound: 0, clock=clock, outage=outage
    )
    controller._queue = FailingQueue()  # type: ignore[assignment]
    controller._submit_surely(AbsentServersLeft())
    await asyncio.wait_for(fenced.stopped(), 10)
    assert fenced.has_stopped


class SlowQueue:
    """Of events that wait for the store; server 1 is a member."""

    def __init__(self) -> None:
        self.state = SimpleNamespace(servers={1: SimpleNamespace(incarnation="first")})

    def submit(self, event: object) -> asyncio.Future[object]:
        return asyncio.get_running_loop().create_future()


@async_test
async def test_a_server_that_was_taken_for_dead_gets_no_lease_before_that_is_stored(tmp_path: Path) -> None:
    clock = ManualClock()
    outage, fenced = await begun(opened(tmp_path), ONE, clock)
    controller = ClusterController(
        fenced, MetadataManager(fenced, clock), ServerNode(0), lambda bound: 0, clock=clock, outage=outage
    )
    controller._queue = SlowQueue()  # type: ignore[assignment]
    controller.server_lost(1, "first")
    with pytest.raises(FlussError) as caught:
        await controller.heartbeat(Heartbeat(1, "first"))
    assert caught.value.code is ErrorCode.SERVER_NOT_EXIST_EXCEPTION
